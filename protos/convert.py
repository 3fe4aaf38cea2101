"""Values of the kernel <-> protobuf messages; the only place that knows both."""

from typing import cast

from protos import splitwire_pb2 as pb
from splitwire.errors import CorruptPayload, ShapeMismatch
from splitwire.frame import Frame
from splitwire.packing import Packing
from splitwire.plan import BoundarySpec, SplitPlan
from splitwire.trace import Trace, TraceParent, is_request_id

__all__ = [
    "boundary_to_message",
    "fill_frame",
    "frame_from_message",
    "frame_to_message",
    "plan_to_message",
    "trace_from_message",
    "trace_to_message",
]

#: Rows, channels, height, width.
_MOST_DIMENSIONS = 4


def frame_to_message(frame: Frame, boundary: BoundarySpec) -> pb.Frame:
    """As of `fill_frame`."""
    message = pb.Frame()
    fill_frame(message, frame, boundary)
    return message


def fill_frame(message: pb.Frame, frame: Frame, boundary: BoundarySpec) -> None:
    """What the receiver expects anyway is left out: one row of `boundary`, its bits, and CODED.

    message: an empty one; as a part of another it need not be copied there, which takes longer than this.
    """
    message.payload = frame.payload
    if frame.shape != (1, *boundary.shape):
        message.shape.extend(frame.shape)
    if frame.packing is not Packing.CODED:
        message.packing = cast("pb.Packing.ValueType", int(frame.packing))
    if frame.bits != boundary.bits:
        message.bits = frame.bits


def frame_from_message(message: pb.Frame, boundary: BoundarySpec) -> Frame:
    """The frame as it was declared; `splitwire.frame.decode` decides whether it is valid.

    boundary: the one it crossed, which says what the message does not.

    Raises:
        CorruptPayload: the message names a packing that this version does not know.
        ShapeMismatch: its shape has more dimensions than any boundary's; a million would take a second.
    """
    declared = message.shape
    if len(declared) > _MOST_DIMENSIONS:
        raise ShapeMismatch(f"a frame has at most {_MOST_DIMENSIONS} dimensions, got {len(declared)}")
    try:
        packing = Packing(message.packing or Packing.CODED)
    except ValueError:
        known = ", ".join(f"{p.value} ({p.name})" for p in Packing)
        raise CorruptPayload(f"the frame names packing {message.packing}, expected one of {known}") from None
    shape = tuple(declared) if declared else (1, *boundary.shape)
    return Frame(shape, packing, message.bits or boundary.bits, message.payload)


def plan_to_message(plan: SplitPlan) -> pb.Plan:
    return pb.Plan(front=plan.front, back=plan.back)


def boundary_to_message(boundary: BoundarySpec) -> pb.Boundary:
    return pb.Boundary(shape=boundary.shape, keep=boundary.keep, bits=boundary.bits, zero=boundary.zero)


def trace_to_message(trace: Trace | None) -> pb.Trace | None:
    """None where nothing of it is worth its bytes, so that most requests are no longer for it."""
    if trace is None or (trace.crossing_id is None and trace.parent is None):
        return None
    return pb.Trace(
        request_id=trace.crossing_id or "", parent=b"" if trace.parent is None else trace.parent.pack()
    )


def trace_from_message(message: pb.Trace) -> Trace | None:
    """What of it is valid; None where nothing is."""
    request_id = message.request_id if is_request_id(message.request_id) else None
    parent = TraceParent.unpack(message.parent)
    return None if request_id is None and parent is None else Trace(request_id, True, parent)
