"""Chaos policies that fail calls: what a struck call becomes, and that the policies around them cannot tell."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
import pytest
from chaos_policy_kit import Peer, a_call, failed, now, through

from recloser.errors import CODES, AuthError, CircuitOpen, CriticalError, RouterError, TransientError
from recloser.options import Breaker, Retry, Timeouts
from recloser.pipeline import compose
from recloser.policies.attempt import AttemptTimeout
from recloser.policies.breaker import CircuitBreaker
from recloser.policies.budget import RetryBudget
from recloser.policies.deadline import TotalDeadline
from recloser.policies.retry import Retrying
from recloser.testing.chaos import AuthFailure, Blackhole, ChaosPolicy, Disconnect, Fault, Garbage, RateLimited
from recloser.testing.clock import run_virtual

# --- failures


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_the_table_can_be_raised_as_the_table_has_it(code: str) -> None:
    error = failed(Fault(code))
    facts = CODES[code]
    assert (error.payload.type, error.payload.delivered, error.evidence) == (
        facts.type,
        facts.delivered,
        facts.evidence,
    )
    assert "search" in error.payload.message
    assert error.payload.cause is not None
    assert error.payload.cause.exception == "recloser.testing.chaos.Fault"
    assert isinstance(error, CircuitOpen) == (code == "circuit_open")


@pytest.mark.parametrize(("delivered", "sent", "executions"), [("no", False, 0), ("maybe", True, 0), ("yes", True, 1)])
def test_what_a_fault_says_of_delivery_is_true(delivered: Any, sent: bool, executions: int) -> None:
    peer, call = Peer(), a_call()
    call.trail.sent = not sent
    error = failed(Fault("server_error", delivered=delivered), peer=peer, call=call)
    assert (error.payload.delivered, call.trail.sent, peer.executions) == (delivered, sent, executions)


@pytest.mark.parametrize(("phase", "delivered"), [("after", "no"), ("before", "yes")])
def test_a_fault_that_would_lie_about_delivery_is_refused(phase: Any, delivered: Any) -> None:
    with pytest.raises(ValueError, match=f"strikes {phase} the call cannot say delivered='{delivered}'"):
        Fault("server_error", phase=phase, delivered=delivered)


def test_a_fault_may_tell_when_to_come_again_and_whether_it_is_evidence() -> None:
    error = failed(Fault("server_error", retry_after=3, evidence=False, status=503))
    assert error.payload.retry_after == 3
    assert "try again in 3 s" in error.payload.message
    assert not error.evidence
    assert error.payload.cause is not None
    assert error.payload.cause.http_status == 503


def test_a_fault_without_a_server_or_a_tool_has_a_message_all_the_same() -> None:
    error = failed(Fault("timeout"), call=a_call().replace(server=None, name=""))
    assert (error.payload.server, error.payload.tool) == (None, None)
    assert error.payload.message


def test_an_unknown_code_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="unknown error code 'nonsense'; known: timeout, "):
        Fault("nonsense")


def test_a_failure_of_the_server_itself_goes_first() -> None:
    real = TransientError(failed(Fault("unreachable")).payload)
    assert failed(Disconnect(phase="after"), peer=Peer(error=real)) is real


@pytest.mark.parametrize(
    ("phase", "delivered", "executions"), [("before", "no", 0), ("during", "maybe", 0), ("after", "maybe", 1)]
)
def test_a_lost_connection_tells_how_far_the_request_got(phase: Any, delivered: str, executions: int) -> None:
    peer = Peer()
    error = failed(Disconnect(phase=phase), peer=peer)
    assert (error.payload.code, error.payload.delivered, peer.executions) == ("connection_lost", delivered, executions)
    assert error.evidence


@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden")])
def test_refused_credentials_are_an_error_of_their_own_class(status: Any, code: str) -> None:
    peer = Peer()
    error = failed(AuthFailure(status), peer=peer)
    assert isinstance(error, AuthError)
    assert (error.payload.code, error.payload.delivered, peer.executions) == (code, "no", 0)
    assert error.payload.cause is not None
    assert error.payload.cause.http_status == status
    with pytest.raises(ValueError, match="status must be 401 or 403, got 404"):
        AuthFailure(404)


@pytest.mark.parametrize("asked", [4.0, None])
def test_a_rate_limit_says_when_to_come_again(asked: float | None) -> None:
    error = failed(RateLimited(asked))
    assert (error.payload.code, error.payload.retry_after, error.payload.delivered) == ("overloaded", asked, "no")
    assert not error.evidence


@pytest.mark.parametrize(
    ("kind", "code", "delivered"), [("shape", "protocol_violation", "maybe"), ("schema", "invalid_result", "yes")]
)
def test_garbage_comes_after_the_tool_has_run(kind: Any, code: str, delivered: str) -> None:
    peer = Peer()
    error = failed(Garbage(kind), peer=peer)
    assert isinstance(error, CriticalError)
    assert (error.payload.code, error.payload.delivered, peer.executions) == (code, delivered, 1)


def test_nonsense_is_an_answer() -> None:
    real = types.CallToolResult(content=[types.TextContent(type="text", text="42")], structured_content={"answer": 42})
    first, again = (through(Garbage("nonsense", seed=2), peer=Peer(answer=real)) for _ in range(2))
    assert first == again
    assert first.content[0].text != "42"
    assert first.structured_content is None
    assert real.structured_content == {"answer": 42}
    other = types.ReadResourceResult(contents=[])
    assert through(Garbage("nonsense"), peer=Peer(answer=other)) is other
    with pytest.raises(ValueError, match="kind must be shape, schema or nonsense"):
        Garbage("words")


# --- within the pipeline


def pipeline(*policies: ChaosPolicy, peer: Peer, **options: Any) -> Any:
    """The policies of a call as the router composes them, with chaos in its place."""
    retry = Retry(**options)
    timeouts = Timeouts(attempt=2, total=20)
    circuit = CircuitBreaker(Breaker(), server="search", endpoint="search/0", emit=lambda _: None, lease=3)
    return compose(
        [
            TotalDeadline(timeouts),
            Retrying(retry, RetryBudget(retry), rng=lambda: 1.0, emit=lambda _: None, server="search"),
            circuit,
            AttemptTimeout(timeouts),
            *policies,
        ],
        peer,
    )


def test_a_fault_that_ends_is_got_over_by_a_retry() -> None:
    peer = Peer()
    fault = Disconnect(rate=0.5, seed=4)

    async def main() -> None:
        for _ in range(10):
            assert await pipeline(fault, peer=peer, attempts=10)(a_call(safe=True)) is peer.answer

    run_virtual(main)
    assert fault.struck > 0
    assert peer.executions == 10


@pytest.mark.parametrize(("phase", "attempts"), [("before", 3), ("during", 1), ("after", 1)])
def test_an_unsafe_tool_is_tried_again_only_where_nothing_was_written(phase: Any, attempts: int) -> None:
    peer, fault = Peer(), Disconnect(phase=phase)
    with pytest.raises(TransientError):
        run_virtual(pipeline(fault, peer=peer)(a_call()))
    assert fault.struck == attempts
    assert peer.executions <= 1


def test_a_rate_limit_is_waited_for_and_then_the_call_goes_through() -> None:
    peer, limit = Peer(), RateLimited(4)

    async def main() -> float:
        asyncio.get_running_loop().call_later(3.0, limit.off)
        assert await pipeline(limit, peer=peer)(a_call()) is peer.answer
        return now()

    assert 4 <= run_virtual(main) < 6


def test_evidence_opens_the_circuit_and_what_is_none_does_not() -> None:
    def codes(policy: ChaosPolicy) -> list[str]:
        send = pipeline(policy, peer=Peer(), attempts=1)

        async def main() -> list[str]:
            found = []
            for _ in range(8):
                with pytest.raises(RouterError) as caught:
                    await send(a_call())
                found.append(caught.value.payload.code)
            return found

        return run_virtual(main)

    assert codes(Fault("server_error"))[-1] == "circuit_open"
    assert codes(Garbage())[-1] == "circuit_open"
    assert codes(Blackhole())[-1] == "circuit_open"
    assert set(codes(AuthFailure())) == {"unauthenticated"}
    assert set(codes(RateLimited())) == {"overloaded"}
