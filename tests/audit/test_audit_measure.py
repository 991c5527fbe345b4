"""How large a result is, known without writing it out."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.audit.measure import TEXT, VALUES, result_of, weigh

IMAGE = types.ImageContent(type="image", data="aGVsbG8=", mime_type="image/png")
AUDIO = types.AudioContent(type="audio", data="aGVsbG8=", mime_type="audio/wav")
LINK = types.ResourceLink(type="resource_link", name="n", uri="note://1")
TEXT_RESOURCE = types.TextResourceContents(uri="note://1", text="inside")
BLOB_RESOURCE = types.BlobResourceContents(uri="note://1", blob="aGVsbG8=")
EMBEDDED = types.EmbeddedResource(type="resource", resource=TEXT_RESOURCE)


def said(*texts: str, **more: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text) for text in texts], **more)


def test_a_tool_s_result() -> None:
    told = result_of(said("hello", "ö", structured_content={"a": [1, 2.5, None, True, False, "x"]}, is_error=True))
    assert told.to_dict() == {
        "is_error": True,
        "content_types": ["text"],
        "content_count": 2,
        "structured": True,
        "bytes": 7 + len('{"a":[1,2.5,null,true,false,"x"]}'),
        "exact": True,
    }


def test_nothing_at_all() -> None:
    told = result_of(said())
    assert (told.bytes, told.exact, told.content_count, told.structured) == (0, True, 0, False)


@pytest.mark.parametrize(
    ("block", "kind", "size"),
    [(IMAGE, "image", 8), (AUDIO, "audio", 8), (LINK, "resource_link", 8), (EMBEDDED, "resource", 6)],
    ids=["image", "audio", "link", "embedded"],
)
def test_every_kind_of_content_is_measured_by_what_it_holds(block: Any, kind: str, size: int) -> None:
    for result in (
        types.CallToolResult(content=[block]),
        {"content": [block.model_dump(by_alias=True, mode="json")], "isError": False, "structuredContent": None},
    ):
        told = result_of(result)
        assert (told.content_types, told.bytes, told.exact, told.is_error) == ((kind,), size, True, False)


def test_the_results_of_resources_prompts_and_completions() -> None:
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text="abc"))
    resource = result_of(types.ReadResourceResult(contents=[TEXT_RESOURCE, BLOB_RESOURCE]))
    assert (resource.content_types, resource.content_count, resource.bytes) == (("blob", "text"), 2, 14)
    prompt = result_of(types.GetPromptResult(messages=[message, message]))
    assert (prompt.content_types, prompt.content_count, prompt.bytes) == (("text",), 2, 6)
    completion = result_of(types.CompleteResult(completion=types.Completion(values=["ab", "c"])))
    assert (completion.content_types, completion.content_count, completion.bytes) == (("text",), 2, 3)


@pytest.mark.parametrize(
    "result",
    [None, 5, "text", {}, {"content": None}, {"completion": {}}, {"completion": None}, {"messages": 3}],
)
def test_a_result_of_no_known_shape_holds_nothing(result: Any) -> None:
    assert result_of(result).content_count == 0


@pytest.mark.parametrize(
    "block",
    [None, {}, {"type": "evil text of a server", "text": 5}, {"type": 7}, {"type": "resource", "resource": None}],
)
def test_a_content_of_no_known_kind_is_told_as_such(block: Any) -> None:
    told = result_of({"content": [block]})
    assert told.bytes == 0
    assert set(told.content_types) <= {"other", "resource"}


# --- large ones


class Counted(dict[str, Any]):
    """A mapping that counts how often somebody looks into one."""

    looks = 0

    def items(self) -> Any:
        Counted.looks += 1
        return super().items()

    def get(self, *given: Any) -> Any:
        Counted.looks += 1
        return super().get(*given)


@pytest.fixture(autouse=True)
def _nothing_looked_at() -> None:
    Counted.looks = 0


@pytest.mark.parametrize("count", [10 * VALUES, 1000 * VALUES])
def test_the_work_for_a_result_does_not_grow_with_it(count: int) -> None:
    many = [Counted(type="text", text="x" * 10)] * count
    told = result_of({"content": many, "structuredContent": {"rows": many}})
    assert Counted.looks <= 8 * VALUES
    assert not told.exact
    assert told.content_count == count
    whole = 10 * count + len(json.dumps({"rows": many}, separators=(",", ":")))
    assert abs(told.bytes - whole) <= whole // 100


def test_a_long_text_is_counted_where_that_is_free_and_else_measured_by_slices() -> None:
    assert weigh("x" * 50_000_000) == (50_000_002, True)
    assert weigh("ö" * TEXT) == (2 * TEXT + 2, True)
    size, exact = weigh("ö" * 1_000_000 + "x" * 1_000_000)
    assert not exact
    assert abs(size - 3_000_000) < 600_000


def test_a_value_of_any_depth_ends() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert weigh(deep)[1] is False
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert weigh(loop)[1] is False


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1 << 50_000], ids=lambda value: type(value).__name__)
def test_what_is_no_json_or_a_number_without_end_is_not_exact(value: Any) -> None:
    assert weigh(value)[1] is False


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.just("a ö 🙂"),
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["k", "ü", "kk"]), inner),
        max_leaves=60,
    )
)
def test_a_small_value_is_measured_as_json_writes_it(value: Any) -> None:
    size, exact = weigh(value)
    if exact:
        assert size == len(compact(value).encode())
    else:
        assert any(number > 2**64 for number in (abs(int(n)) for n in _integers(value)))


def _integers(value: Any) -> list[int]:
    if isinstance(value, bool) or value is None or isinstance(value, str | float):
        return []
    if isinstance(value, int):
        return [value]
    return [n for inner in (value.values() if isinstance(value, dict) else value) for n in _integers(inner)]
