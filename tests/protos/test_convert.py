import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import splitwire_pb2 as pb
from protos.convert import (
    boundary_to_message,
    frame_from_message,
    frame_to_message,
    plan_to_message,
    trace_from_message,
    trace_to_message,
)
from splitwire.errors import CorruptPayload, ShapeMismatch
from splitwire.frame import Frame
from splitwire.packing import Packing
from splitwire.plan import FLOAT_BITS, BoundarySpec, SplitPlan
from splitwire.trace import Trace, TraceParent, is_request_id

_frames = st.builds(
    Frame,
    shape=st.lists(st.integers(1, 2**16), min_size=2, max_size=4).map(tuple),
    packing=st.sampled_from(Packing),
    bits=st.sampled_from((*range(2, 9), FLOAT_BITS)),
    payload=st.binary(max_size=200),
)


_boundaries = st.builds(
    BoundarySpec,
    shape=st.lists(st.integers(1, 2**4), min_size=1, max_size=3).filter(lambda s: len(s) != 2).map(tuple),
    keep=st.just(1.0),
    bits=st.sampled_from((*range(2, 9), FLOAT_BITS)),
    zero=st.just(0),
)
_BOUNDARY = BoundarySpec(shape=(64, 14, 14), keep=1.0, bits=4, zero=0)


@given(_frames, _boundaries)
def test_a_frame_survives_the_wire(frame: Frame, boundary: BoundarySpec) -> None:
    sent = frame_to_message(frame, boundary).SerializeToString()
    assert frame_from_message(pb.Frame.FromString(sent), boundary) == frame


@given(_boundaries, st.integers(1, 3))
def test_one_row_of_the_boundary_need_not_say_so(boundary: BoundarySpec, rows: int) -> None:
    frame = Frame((rows, *boundary.shape), Packing.DENSE, boundary.bits, b"1234")
    message = frame_to_message(frame, boundary)
    assert (len(message.shape) == 0) == (rows == 1)
    assert message.bits == 0
    assert frame_from_message(pb.Frame.FromString(message.SerializeToString()), boundary) == frame


def test_a_sender_may_say_what_the_receiver_knows() -> None:
    message = pb.Frame(shape=[1, 64, 14, 14], packing=pb.PACKING_DENSE, bits=4, payload=b"1234")
    lean = pb.Frame(packing=pb.PACKING_DENSE, payload=b"1234")
    assert frame_from_message(message, _BOUNDARY) == frame_from_message(lean, _BOUNDARY)


def test_the_wire_knows_exactly_the_kernels_packings() -> None:
    on_the_wire = {name.removeprefix("PACKING_"): value for name, value in pb.Packing.items() if value}
    assert on_the_wire == {packing.name: packing.value for packing in Packing}


@pytest.mark.parametrize("packing", [max(Packing) + 1, 2**31 - 1, -1])
def test_an_unknown_packing_is_corrupt(packing: int) -> None:
    message = pb.Frame(shape=[1, 4], bits=8, payload=b"1234")
    message.packing = packing  # type: ignore[assignment]
    with pytest.raises(CorruptPayload, match=rf"packing {packing}, expected one of 1 \(DENSE\)"):
        frame_from_message(message, _BOUNDARY)


@pytest.mark.parametrize("dimensions", [5, 1_000_000])
def test_more_dimensions_than_a_boundary_has_are_not_even_read(dimensions: int) -> None:
    message = pb.Frame(shape=[1] * dimensions, bits=8, payload=b"1234")
    with pytest.raises(ShapeMismatch, match=f"at most 4 dimensions, got {dimensions}"):
        frame_from_message(message, _BOUNDARY)


def test_an_envelope_is_lean() -> None:
    frame = frame_to_message(Frame((1, 64, 14, 14), Packing.CODED, 4, bytes(200)), _BOUNDARY)
    request = pb.ForwardRequest(id=127, frame=frame, timeout_ms=2000)
    assert request.ByteSize() - len(frame.payload) == 11


def test_a_frame_that_says_that_it_is_coded_is_coded() -> None:
    said = pb.Frame(shape=[1, 4], bits=8, packing=pb.PACKING_CODED, payload=b"1234")
    left_out = pb.Frame(shape=[1, 4], bits=8, payload=b"1234")
    coded = Frame((1, 4), Packing.CODED, 8, b"1234")
    assert frame_from_message(said, _BOUNDARY) == frame_from_message(left_out, _BOUNDARY) == coded


def test_what_crosses_of_a_trace_is_what_is_worth_it() -> None:
    parent = TraceParent(bytes(range(16)), bytes(range(8)), 0)
    for trace, expected in (
        (Trace("given", True, parent), Trace("given", True, parent)),
        (Trace("given", True), Trace("given", True)),
        (Trace("made", False, parent), Trace(None, True, parent)),
    ):
        message = trace_to_message(trace)
        assert message is not None
        assert trace_from_message(pb.Trace.FromString(message.SerializeToString())) == expected
        assert message.ByteSize() <= 7 + 27


@pytest.mark.parametrize("trace", [None, Trace("made")])
def test_without_a_trace_a_request_has_not_a_byte_more(trace: Trace | None) -> None:
    lean = pb.ForwardRequest(bundle_digest=bytes(8), id=1, timeout_ms=2000)
    request = pb.ForwardRequest(bundle_digest=bytes(8), id=1, timeout_ms=2000, trace=trace_to_message(trace))
    assert request.SerializeToString() == lean.SerializeToString()


@given(st.text(), st.binary(max_size=30))
def test_what_is_not_valid_in_a_trace_is_ignored(request_id: str, parent: bytes) -> None:
    trace = trace_from_message(pb.Trace(request_id=request_id, parent=parent))
    if trace is not None:
        assert trace.request_id is None or is_request_id(trace.request_id)
        assert trace.parent is None or trace.parent.pack() == parent


def test_plan_and_boundary_say_what_the_manifest_says() -> None:
    boundary = BoundarySpec(shape=(64, 14, 14), keep=0.1, bits=8, zero=128)
    message = boundary_to_message(boundary)
    assert BoundarySpec(tuple(message.shape), message.keep, message.bits, message.zero) == boundary
    plan = plan_to_message(SplitPlan(front=3, back=1))
    assert (plan.front, plan.back) == (3, 1)
