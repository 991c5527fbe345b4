"""Orders strike what they should, as often and as long as they should; executions are counted across processes."""

from __future__ import annotations

import pytest

from recloser.testing.faulty import FAULTS
from recloser.testing.faulty.plan import Order, Plan, Tally
from recloser.testing.faulty.work import Ledger, read_ledger

WRITE = {"name": "write"}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def struck(plan: Plan, count: int = 6, method: str = "tools/call", params=WRITE) -> str:
    return "".join("x" if plan.due(method, params) else "." for _ in range(count))


def plan_of(*orders: Order, clock: Clock | None = None, tally: Tally | None = None) -> Plan:
    plan = Plan(clock or Clock(), tally)
    for order in orders:
        plan.add(order, keep=True)
    return plan


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_fault_says_what_it_does_and_can_be_ordered(fault):
    assert fault.does
    assert not {"name", "after", "times", "seconds", "on", "tool", "keep"} & set(fault.arguments)
    order = Order.of(fault.name)
    assert order.executes is bool(fault.executes)
    assert Order.of(**order.to_json()) == order
    if "executes" in fault.arguments:
        assert fault.arguments["executes"] is fault.executes
        assert Order.of(fault.name, arguments={"executes": "yes"}).executes is True


def test_the_order_of_events_is_good_then_struck_then_good():
    assert struck(plan_of(Order.of("reset", after=2, times=2))) == "..xx.."
    assert struck(plan_of(Order.of("reset"))) == "xxxxxx"
    assert struck(Plan(Clock())) == "......"
    assert struck(plan_of(Order.of("exit_after", after=1, arguments={"calls": 3}))) == "...xxx"


def test_a_fault_with_seconds_is_over_so_long_after_its_first_strike():
    clock = Clock()
    plan = plan_of(Order.of("reset", seconds=5), clock=clock)
    clock.now = 100
    assert struck(plan, 2) == "xx"
    clock.now = 104.9
    assert struck(plan, 2) == "xx"
    clock.now = 105
    assert struck(plan, 2) == ".."


def test_an_order_is_narrowed_to_a_method_or_a_tool():
    assert struck(plan_of(Order.of("reset", tool="echo"))) == "......"
    assert struck(plan_of(Order.of("reset", tool="write")), 1) == "x"
    assert struck(plan_of(Order.of("reset", tool="write", on="*")), 1, "ping") == "."
    assert struck(plan_of(Order.of("reset", on="ping"))) == "......"
    assert struck(plan_of(Order.of("reset", on="ping")), 1, "ping") == "x"
    assert struck(plan_of(Order.of("reset", on="*")), 1, "DELETE") == "x"
    assert struck(plan_of(Order.of("reset", on="*")), 1, "start") == "."
    assert struck(plan_of(Order.of("notify_hang")), 1, "notifications/initialized") == "x"
    assert struck(plan_of(Order.of("notify_hang")), 1, "initialize") == "."
    assert struck(plan_of(Order.of("page_loss")), 1, "tools/list", {"cursor": "5"}) == "x"
    assert struck(plan_of(Order.of("page_loss")), 1, "tools/list") == "."


def test_of_several_orders_the_oldest_that_is_due_strikes():
    plan = plan_of(Order.of("reset", times=1), Order.of("close", after=1))
    assert [order.fault.name if (order := plan.due("tools/call", WRITE)) else None for _ in range(4)] == [
        "reset",
        None,
        "close",
        "close",
    ]
    plan.add(Order.of("accepted"))
    assert [order.fault.name for order in plan.orders] == ["accepted"]
    plan.heal()
    assert plan.orders == []


def test_flapping_goes_by_time_or_by_calls():
    clock = Clock()
    plan = plan_of(Order.of("flapping", arguments={"period": 1}), clock=clock)
    found = ""
    for moment in (10, 10.9, 11, 11.9, 12, 13):
        clock.now = moment
        found += struck(plan, 1)
    assert found == "xx..x."
    order = plan_of(Order.of("flapping", arguments={"fault": "reset"})).due("tools/call", WRITE)
    assert order is not None
    assert order.fault.name == "reset"
    assert struck(plan_of(Order.of("flapping", after=1, arguments={"calls": 1})), 5) == ".x.x."


def test_strikes_are_counted_across_processes_by_a_file(tmp_path):
    path = str(tmp_path / "fired")
    order = Order.of("exit_mid_call", times=2, serial=4)
    plan = Plan(Clock(), Tally(path))
    plan.replace([order])
    assert struck(plan, 1) == "x"
    again = Plan(Clock(), Tally(path))
    again.replace([order])
    assert struck(again, 3) == "x.."
    assert len(Tally(path).read()) == 2
    assert Tally(path).read(3) == []
    assert Tally(str(tmp_path / "none")).read() == []


def test_an_order_that_comes_with_a_serial_is_counted_under_it():
    plan = plan_of(Order.of("reset", tool="write", serial=9), Order.of("close", tool="echo"))
    assert [order.serial for order in plan.orders] == [9, 2]
    assert struck(plan, 3) == "xxx"
    assert [len(plan.tally.read(serial)) for serial in (9, 2)] == [3, 0]


def test_orders_that_stay_in_force_go_on_counting():
    plan = Plan(Clock())
    first, second = Order.of("reset", after=2, serial=1), Order.of("close", after=2, serial=2)
    plan.replace([first])
    assert struck(plan, 1) == "."
    plan.replace([first, second])
    assert struck(plan, 2) == ".x"
    plan.replace([Order.of("reset", after=2, serial=1, tool="write")])
    assert struck(plan, 3) == "..x"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fault": "explode"}, "unknown fault 'explode'; known: hang_initialize, "),
        ({"fault": "reset", "speed": 1}, "unknown field 'speed'; known: after, "),
        ({"fault": "reset", "after": -1}, "after must be a whole number of at least 0, got -1"),
        ({"fault": "reset", "after": None}, "after must be a whole number of at least 0, got None"),
        ({"fault": "reset", "after": True}, "after must be a whole number"),
        ({"fault": "reset", "times": 1.5}, "times must be a whole number of at least 0, got 1.5"),
        ({"fault": "reset", "seconds": -1}, "seconds must be a finite number of at least 0, got -1"),
        ({"fault": "reset", "seconds": float("inf")}, "seconds must be a finite number of at least 0, got inf"),
        ({"fault": "reset", "on": 5}, "on must be text, got 5"),
        ({"fault": "reset", "tool": 5}, "tool must be text, got 5"),
        ({"fault": "reset", "serial": "x"}, "serial must be a whole number of at least 0, got 'x'"),
        (
            {"fault": "redirect", "arguments": {"location": "http://x/\u2026"}},
            "redirect: location must be of characters",
        ),
        ({"fault": "reset", "times": "often"}, "times must be a whole number"),
        ({"fault": "accepted", "arguments": {"speed": 1}}, "accepted has no argument 'speed'; known: executes"),
        ({"fault": "hang_list", "arguments": {"speed": 1}}, "hang_list has no argument 'speed'; known: none"),
        ({"fault": "accepted", "arguments": {"executes": "perhaps"}}, "accepted: executes must be yes or no"),
        ({"fault": "late_answer", "arguments": {"delay": "soon"}}, "late_answer: delay must be of type float"),
        ({"fault": "late_answer", "arguments": {"delay": -1}}, "late_answer: delay must be 0 or more, got -1.0"),
        ({"fault": "late_answer", "arguments": {"delay": "inf"}}, "late_answer: delay must be 0 or more, got inf"),
        ({"fault": "slow_drip", "arguments": {"chunk": 1.5}}, "slow_drip: chunk must be a whole number, got 1.5"),
        ({"fault": "slow_drip", "arguments": {"chunk": float("inf")}}, "slow_drip: chunk must be of type int"),
        ({"fault": "redirect", "arguments": {"status": 600}}, "redirect: status must be 100 to 599, got 600"),
        ({"fault": "flapping", "arguments": {"period": 0}}, "flapping: period must be more than 0, got 0.0"),
        ({"fault": "hang_initialize", "tool": "echo"}, "hang_initialize on initialize, server/discover never strikes"),
        ({"fault": "reset", "on": "ping", "tool": "echo"}, "reset on ping never strikes the call of a tool"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_what_is_known(fields, message):
    with pytest.raises(ValueError) as raised:
        Order.of(**fields)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("arguments", [[1], [], "ab", 5])
def test_the_arguments_of_an_order_are_a_table(arguments):
    with pytest.raises(TypeError, match="arguments must be a table of names and values, got "):
        Order.of("status", arguments=arguments)


def test_an_order_may_be_without_limits():
    none = dict.fromkeys(("times", "seconds", "on", "tool", "arguments"))
    assert Order.of("reset", **none) == Order.of("reset")


def test_an_order_is_for_certain_transports_and_eras():
    Order.of("session_lost").check("http")
    Order.of("session_lost").check("http", "legacy")
    with pytest.raises(ValueError, match="session_lost is not possible in the modern era"):
        Order.of("session_lost").check("http", "modern")
    with pytest.raises(ValueError, match="session_lost is not possible over stdio"):
        Order.of("flapping", arguments={"fault": "session_lost"}).check("stdio")


def test_a_code_may_be_any_whole_number():
    assert Order.of("jsonrpc_error", arguments={"code": "-7"}).number("code") == -7


def test_arguments_are_read_as_their_defaults_are():
    order = Order.of("slow_drip", arguments={"delay": "0.5", "chunk": "3"})
    assert dict(order.settings) == {"delay": 0.5, "chunk": 3}
    assert Order.of("status_503", arguments={"retry_after": 2}).text("retry_after") == "2"
    assert Order.of("status_503", arguments={"rpc": False}).settings["rpc"] is False


def test_executions_of_several_ledgers_come_together_in_one_file(tmp_path):
    path = str(tmp_path / "counts")
    clock = Clock()
    ledgers = [Ledger(clock, path) for _ in range(2)]
    for number, ledger in enumerate(ledgers):
        clock.now = number
        ledger.add("write", f"a text\nof {number}")
    assert [tuple(entry) for entry in read_ledger(path)] == [
        ("write", "a text\nof 0", 0.0),
        ("write", "a text\nof 1", 1.0),
    ]
    for ledger in ledgers:
        ledger.close()
        ledger.close()
        assert len(ledger.entries()) == 2
    assert read_ledger(str(tmp_path / "none")) == []
