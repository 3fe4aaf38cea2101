"""One request, from its message to its reply, by whichever call it came."""

import asyncio
from collections.abc import Callable

import grpc

from cloud.body import Computed
from cloud.held import Held
from cloud.observer import Observation
from protos import splitwire_pb2 as pb
from protos.convert import fill_frame, frame_from_message
from protos.status import status_from_error
from splitwire.frame import Frame

__all__ = ["Flight", "refusal"]

#: An error repeats what was wrong; a hostile request must not choose how long that is.
_EXPLANATION_CHARS = 500


class Flight:
    """Begins at once, and is over with `reply` or `land`, of which one is called.

    find: the bundle of a digest, or raises. seen: told of it, and over with it. Times are those of
    `time.perf_counter_ns`.

    answer: of the body, or why there is none. Whoever does not wait for it any more cancels it.
    """

    def __init__(
        self, request: pb.ForwardRequest, find: Callable[[bytes], Held], *, seen: Observation, arrived_ns: int
    ) -> None:
        self._request, self._seen = request, seen
        self.answer: asyncio.Future[Computed]
        try:
            self._held = find(seen.digest)
            self._frame = frame_from_message(request.frame, self._held.uplink)
            self.answer = self._forward(self._frame, arrived_ns)
        except Exception as error:
            self.answer = asyncio.get_running_loop().create_future()
            self.answer.set_exception(error)

    async def reply(self) -> pb.ForwardReply:
        """Waits for the answer.

        Raises:
            Exception: there is none; `refusal` says what to say of it.
        """
        with self._seen:
            return self._message(await self.answer)

    def land(self) -> pb.ForwardReply:
        """What to reply, now that the answer is there; a refusal is a reply too.

        Raises:
            CancelledError: the answer was cancelled; nobody waits for a reply.
        """
        try:
            with self._seen:
                return self._message(self.answer.result())
        except Exception as error:
            status, message = refusal(error)
            return pb.ForwardReply(id=self._request.id, error=pb.Error(code=status.value[0], message=message))

    def _forward(self, frame: Frame, arrived_ns: int) -> "asyncio.Future[Computed]":
        timeout_ms = self._request.timeout_ms
        expires_ns = arrived_ns + timeout_ms * 1_000_000 if timeout_ms else None
        return self._held.body.forward(frame, arrived_ns=arrived_ns, expires_ns=expires_ns)

    def _message(self, computed: Computed) -> pb.ForwardReply:
        self._seen.computed(self._frame, computed)
        reply = pb.ForwardReply(id=self._request.id)
        fill_frame(reply.frame, computed.frame, self._held.downlink)
        timings = reply.timings
        timings.queue_us = computed.queue_ns // 1000
        timings.decode_us = computed.decode_ns // 1000
        timings.compute_us = computed.compute_ns // 1000
        timings.encode_us = computed.encode_ns // 1000
        return reply


def refusal(error: Exception) -> tuple[grpc.StatusCode, str]:
    """What the client is told; the log, which the observer writes, has what is none of its business."""
    status = status_from_error(error)
    if status is grpc.StatusCode.INTERNAL:
        return status, "internal error"
    explanation = str(error)[:_EXPLANATION_CHARS]
    return status, explanation.encode(errors="replace").decode()  # a message takes no lone surrogates
