import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.trace import Trace, TraceParent, is_request_id, new_request_id

#: The example of W3C's recommendation, section 3.2.
TEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

parents = st.builds(
    TraceParent,
    trace_id=st.binary(min_size=16, max_size=16).filter(any),
    parent_id=st.binary(min_size=8, max_size=8).filter(any),
    flags=st.integers(0, 255),
)


def test_the_recommendations_example() -> None:
    parent = TraceParent.parse(TEXT)
    assert parent is not None
    assert parent.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert parent.parent_id.hex() == "b7ad6b7169203331"
    assert parent.sampled
    assert str(parent) == TEXT


@given(parents)
def test_text_and_bytes_say_the_same(parent: TraceParent) -> None:
    assert TraceParent.parse(str(parent)) == TraceParent.unpack(parent.pack()) == parent
    assert len(parent.pack()) == 25


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.upper(),
        TEXT + "-more",
        TEXT[:-1],
        TEXT + "\n",
        "ff" + TEXT[2:],
        "cc" + TEXT[2:] + ".more",
        "00-" + "0" * 32 + TEXT[35:],
        TEXT[:36] + "0" * 16 + "-01",
        TEXT.replace("0af7", "0ag7"),
    ],
)
def test_what_is_not_valid_is_nothing(text: str) -> None:
    assert TraceParent.parse(text) is None


@pytest.mark.parametrize("text", ["cc" + TEXT[2:], "cc" + TEXT[2:] + "-more"])
def test_a_later_version_is_read_as_this_one(text: str) -> None:
    assert str(TraceParent.parse(text)) == TEXT


@given(st.binary(max_size=30))
def test_any_bytes_are_a_parent_or_nothing(packed: bytes) -> None:
    parent = TraceParent.unpack(packed)
    assert parent is None or parent.pack() == packed


@pytest.mark.parametrize("text", ["a", "A-Z_0.9", "x" * 64, new_request_id()])
def test_sane_ids(text: str) -> None:
    assert is_request_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a\n", "ä", "a/b", 'a"b'])
def test_ids_that_are_not(text: str) -> None:
    assert not is_request_id(text)


def test_made_ids_differ() -> None:
    assert len({new_request_id() for _ in range(1000)}) == 1000


def test_an_id_crosses_when_somebody_knows_it_or_records_the_trace() -> None:
    sampled, unsampled = (TraceParent.parse(TEXT[:-2] + flags) for flags in ("01", "00"))
    assert Trace("made").crossing_id is None
    assert Trace("made", parent=unsampled).crossing_id is None
    assert Trace("made", parent=sampled).crossing_id == "made"
    assert Trace("given", given=True).crossing_id == "given"
