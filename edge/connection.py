"""One connection to the cloud, from its first attempt until it breaks.

    caller 1 --.                                        .--> mailbox of caller 1
    caller 2 ---+--> outbox ==> ForwardStream ==> deliver ---> mailbox of caller 2
    caller 3 --'                (ids tell apart)        '--> mailbox of caller 3

A reply is delivered where it is deserialized, in gRPC's own thread: the reader, which asks gRPC for one
message after another, would be one more thread to wake before the caller.

A broken connection is never mended: the next caller opens another. A new channel has no backoff
to sit out, so that a cloud that comes back is found by the first request after it.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue

import grpc

from edge.access import PLAIN, CloudAccess
from edge.mailboxes import Mailboxes
from protos import splitwire_pb2 as pb
from protos.digest import stream_metadata
from protos.probing import bdp_probe
from protos.service import FORWARD_STREAM
from protos.splitwire_pb2_grpc import SplitInferenceStub
from splitwire.errors import CloudError, CloudRefused, CloudUnavailable, CloudUnreached, DeadlineExceeded
from splitwire.logs import on_one_line

__all__ = ["Connection"]

_OPTIONS: tuple[tuple[str, int], ...] = (
    # Channels to one address share their sockets, and their backoff, unless told not to.
    ("grpc.use_local_subchannel_pool", 1),
    # A peer that vanished without a word is noticed within 4 s. The cloud allows a ping a second.
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # An attempt to connect ends after this, and the next connection sends its first packet: TCP repeats one
    # that was lost after one second, then two, then four. Three round trips of a satellite's link are less.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    # --cloud means that address, whatever proxy the environment speaks of.
    ("grpc.enable_http_proxy", 0),
    # Requests are repeated where it is known to be safe, in client.py.
    ("grpc.enable_retries", 0),
)

#: What a message may hold beside its payload: shape, trace, timings, or an error's text.
_ENVELOPE_BYTES = 16 << 10

#: A connection that is not there by then may never be: the network may be dropping packets, and TCP's next
#: attempt seconds away.
_OPENING_SECONDS = 1.0

#: What the cloud, or a proxy before it, says of a call whose credentials it does not accept.
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)

#: What the stream's reader sees of a reply. (Not None, which gRPC takes for a failed deserialization.)
_DELIVERED = object()

#: Channels for which gRPC could not start its threads: when such a one is closed, or collected, it waits for
#: them for ever.
_unclosable: list[grpc.Channel] = []


class Connection:
    """Sends requests over one long-lived stream, and hands each reply to the caller with its id.

    target: HOST:PORT. digest: of the bundle that all its requests are for, so that none has to say so.
    max_payload_bytes: most bytes of one frame's payload, either way. access: how it is reached.

    Raises:
        CloudUnavailable: the system has not the threads for it.
    """

    def __init__(
        self, target: str, digest: bytes, *, max_payload_bytes: int, access: CloudAccess = PLAIN
    ) -> None:
        max_message_bytes = max_payload_bytes + _ENVELOPE_BYTES
        limits = (
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            bdp_probe(max_payload_bytes),
        )
        self._target = target
        self._lock = threading.Lock()
        self._access = access
        self._broken: CloudError | None = None
        self._began, self._established = time.monotonic(), False
        self._mailboxes: Mailboxes[pb.ForwardReply | CloudError] = Mailboxes()
        self._outbox: SimpleQueue[pb.ForwardRequest | None] = SimpleQueue()
        self._channel = access.open(target, _OPTIONS + limits)
        self._stub = SplitInferenceStub(self._channel)
        try:
            threading.Thread(target=self._serve, args=(digest,), name="cloud-reader", daemon=True).start()
        except RuntimeError as error:
            self._channel.close()
            raise self._no_threads(error) from None

    @property
    def broken(self) -> bool:
        """Whether it takes no more requests."""
        return self._broken is not None

    def exchange(self, request: pb.ForwardRequest, deadline: float) -> pb.ForwardReply:
        """Send, with an id of its own, and wait for the reply. `deadline` is a `time.monotonic()` value.

        Raises:
            CloudUnreached: no connection within the deadline, but there may be one soon.
            CloudUnavailable: no connection in a time that is enough for any, or it broke before the reply.
            CloudRefused: the cloud does not accept what the edge shows.
            DeadlineExceeded: connected, but no reply in time. A later one is dropped.
        """
        with self._lock:
            if self._broken is not None:
                raise _again(self._broken)
            request.id, mailbox = self._mailboxes.open()
        self._outbox.put(request)
        try:
            answer = mailbox.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            self._mailboxes.give_up(request.id, mailbox)
            raise self._give_up() from None
        if isinstance(answer, CloudError):
            raise answer
        return answer

    def describe(self, digest: bytes, deadline: float) -> pb.DescribeReply:
        """What the cloud serves: the bundle of that digest, if it holds it.

        Raises:
            CloudUnavailable: it cannot be reached, or does not answer in time.
            CloudRefused: it does not accept what the edge shows.
        """
        timeout, metadata = max(0.0, deadline - time.monotonic()), self._access.metadata()
        try:
            request = pb.DescribeRequest(bundle_digest=digest)
            return self._stub.Describe(request, timeout=timeout, metadata=metadata)
        except (grpc.RpcError, ValueError) as e:  # ValueError: the channel has been closed meanwhile
            # What broke the connection says more than that the call was cut off with it.
            raise (self._explain(e) if self._broken is None else _again(self._broken)) from None

    def retire(self) -> None:
        """Take no more requests; those under way are still answered."""
        self._break(CloudUnavailable("the cloud is going away"), fail_waiting=False)

    def close(self) -> None:
        self._break(CloudUnavailable("the connection was closed"))
        self._channel.close()

    def _open_stream(self) -> "grpc.StreamStreamMultiCallable[pb.ForwardRequest, object]":
        """The stub's ForwardStream, but for what becomes of a reply."""
        return self._channel.stream_stream(
            FORWARD_STREAM,
            request_serializer=pb.ForwardRequest.SerializeToString,
            response_deserializer=self._deliver,
        )

    def _deliver(self, message: bytes) -> object:
        """Raises DecodeError for what is no reply: gRPC ends the stream."""
        reply = pb.ForwardReply.FromString(message)
        self._mailboxes.deliver(reply.id, reply)
        return _DELIVERED

    def _requests(self) -> Iterator[pb.ForwardRequest]:
        while (request := self._outbox.get()) is not None:
            if self._mailboxes.wanted(request.id):
                yield request

    def _serve(self, digest: bytes) -> None:
        """In a thread of its own, until the connection breaks."""
        try:
            stream = self._begin(digest)
        except RuntimeError as error:
            _unclosable.append(self._channel)
            self._break(self._no_threads(error))
        except ValueError:  # it was closed before it began
            return
        else:
            self._break(self._read(stream))
            self._channel.close()

    def _begin(self, digest: bytes) -> Iterable[object]:
        # Beside the stream, so that no request waits for it: its answer tells that someone is there.
        greeting = self._stub.Describe.future(pb.DescribeRequest(), metadata=self._access.metadata())
        greeting.add_done_callback(self._note_greeting)
        metadata = self._access.metadata() + stream_metadata(digest)
        stream: Iterable[object] = self._open_stream()(self._requests(), metadata=metadata)
        return stream

    def _read(self, stream: Iterable[object]) -> CloudError:
        """-> why it ended."""
        try:
            for _ in stream:
                pass
        except grpc.RpcError as e:
            return self._explain(e)
        return CloudUnavailable(f"the cloud at {self._target} ended the connection")

    def _no_threads(self, error: RuntimeError) -> CloudError:
        return CloudUnavailable(f"the cloud at {self._target} cannot be asked: {error}")

    def _break(self, reason: CloudError, *, fail_waiting: bool = True) -> None:
        with self._lock:
            self._broken = self._broken or reason
        self._outbox.put(None)
        if fail_waiting:
            self._mailboxes.fail(lambda: _again(reason))

    def _note_greeting(self, greeting: "grpc.Future[pb.DescribeReply]") -> None:
        self._established = not greeting.cancelled() and greeting.exception() is None

    def _give_up(self) -> CloudError:
        if self._established:
            return DeadlineExceeded(f"the cloud at {self._target} did not answer within the deadline")
        message = f"the cloud at {self._target} could not be reached within the deadline"
        # By its own age: others who wait for it may have more time than this caller had.
        if time.monotonic() - self._began < _OPENING_SECONDS:
            return CloudUnreached(message)
        reason = CloudUnavailable(message)
        self._break(_again(reason))
        self._channel.close()
        return reason

    def _explain(self, error: Exception) -> CloudError:
        if not isinstance(error, grpc.Call):
            return CloudUnavailable(f"the cloud at {self._target} is not available: {error}")
        said = f"{error.code().name}, {on_one_line(error.details() or '')}"
        if error.code() in _REFUSALS:
            return CloudRefused(f"the cloud at {self._target} does not accept the edge's credentials: {said}")
        return CloudUnavailable(f"the cloud at {self._target} is not available: {said}")


def _again(error: CloudError) -> CloudError:
    """For one more thread to raise: an exception holds the trace of who raised it."""
    return type(error)(str(error))
