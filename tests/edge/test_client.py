import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from edge.client import CloudClient, CloudTimings
from protos import splitwire_pb2 as pb
from splitwire.bundle import Bundle
from splitwire.errors import (
    BundleMismatch,
    CloudError,
    CloudRejected,
    CloudUnavailable,
    CorruptPayload,
    DeadlineExceeded,
)
from splitwire.frame import Frame, decode, encode
from splitwire.packing import Packing
from splitwire.plan import BoundarySpec
from splitwire.trace import CURRENT, Trace
from tests.cloud.serving import make_symbols, serving
from tests.edge.scripted import Paused, Script, echo, scripted_cloud

DIGEST = b"12345678"
BOUNDARY = BoundarySpec((4,), keep=1.0, bits=8, zero=0)

#: Only a hang takes this long.
PATIENCE = 60.0


def frame_of(payload: bytes) -> Frame:
    return Frame((1, 4), Packing.DENSE, 8, payload)


def soon(seconds: float = PATIENCE) -> float:
    return time.monotonic() + seconds


@contextlib.contextmanager
def client_of(
    target: str, digest: bytes = DIGEST, boundaries: tuple[BoundarySpec, BoundarySpec] = (BOUNDARY, BOUNDARY)
) -> Iterator[CloudClient]:
    client = CloudClient(target, digest, uplink=boundaries[0], downlink=boundaries[1])
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def client_with(script: Script) -> Iterator[CloudClient]:
    with scripted_cloud(script) as cloud, client_of(cloud.target) as client:
        yield client


def echoes(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
    return map(echo, requests)


def test_a_reply_carries_frame_timings_and_the_bytes_of_both_messages() -> None:
    seen: list[pb.ForwardRequest] = []

    def script(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            seen.append(request)
            yield echo(request)

    with client_with(script) as client:
        reply = client.forward(frame_of(b"abcd"), soon())
    assert reply.frame == frame_of(b"abcd")
    assert reply.timings == CloudTimings(queue=1.5, decode=0.0, compute=0.0, encode=0.0)
    assert reply.uplink == len(seen[0].SerializeToString()) + 5
    assert reply.downlink == len(echo(seen[0]).SerializeToString()) + 5
    assert seen[0].bundle_digest == b""  # the stream said so
    assert 0 < seen[0].timeout_ms <= PATIENCE * 1000


def test_the_callers_trace_goes_along_and_nothing_else_does() -> None:
    seen: list[pb.ForwardRequest] = []

    def script(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            seen.append(request)
            yield echo(request)

    lengths = []
    with client_with(script) as client:
        for trace in (None, Trace("made"), Trace("given", given=True)):
            token = CURRENT.set(trace)
            lengths.append(client.forward(frame_of(b"abcd"), soon()).uplink)
            CURRENT.reset(token)
    assert [request.HasField("trace") for request in seen] == [False, False, True]
    assert seen[2].trace.request_id == "given"
    first, *others = lengths
    assert others == [first + 2, first + 2 + len("given") + 4]  # the first id, 0, is left out


def test_replies_in_any_order_reach_those_who_asked() -> None:
    def in_reversed_fours(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        while batch := [request for _, request in zip(range(4), requests, strict=False)]:
            yield from map(echo, reversed(batch))

    payloads = [str(i).encode() for i in range(64)]
    with client_with(in_reversed_fours) as client, ThreadPoolExecutor(len(payloads)) as callers:
        replies = list(callers.map(lambda p: client.forward(frame_of(p), soon()), payloads))
    assert [reply.frame.payload for reply in replies] == payloads


def test_a_late_reply_is_dropped_and_never_given_to_another() -> None:
    def one_behind(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        first = next(requests)
        for request in requests:
            yield echo(first)
            yield echo(request)

    with client_with(one_behind) as client:
        client.check(soon())  # connected: what runs out is the cloud's time
        with pytest.raises(DeadlineExceeded, match="did not answer within the deadline"):
            client.forward(frame_of(b"first"), soon(0.3))
        assert client.forward(frame_of(b"second"), soon()).frame.payload == b"second"


def test_replies_that_nobody_asked_for_are_dropped() -> None:
    def noisy(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            yield pb.ForwardReply(id=request.id + 1000)
            yield echo(request)
            yield echo(request)

    with client_with(noisy) as client:
        for payload in (b"a", b"b", b"c"):
            assert client.forward(frame_of(payload), soon()).frame.payload == payload


def test_nobody_listening_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = f"127.0.0.1:{taken.getsockname()[1]}"
    with client_of(target) as client:
        for ask in (lambda: client.forward(frame_of(b""), soon()), lambda: client.check(soon())):
            with pytest.raises(CloudUnavailable, match=target):
                ask()


def test_a_listener_that_never_speaks_is_unavailable_by_the_deadline() -> None:
    mute = socket.create_server(("127.0.0.1", 0))
    with mute, client_of(f"127.0.0.1:{mute.getsockname()[1]}") as client:
        for _ in range(2):
            with pytest.raises(CloudUnavailable, match="could not be reached within the deadline"):
                client.forward(frame_of(b""), soon(0.3))


def test_a_deadline_in_the_past_asks_nobody() -> None:
    with client_with(echoes) as client, pytest.raises(DeadlineExceeded, match="before the cloud was asked"):
        client.forward(frame_of(b""), soon(-1.0))


def test_a_cloud_that_goes_away_under_a_request_is_unavailable() -> None:
    asked = threading.Event()

    def silent(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for _ in requests:
            asked.set()
        yield from ()

    with scripted_cloud(silent) as cloud, client_of(cloud.target) as client, ThreadPoolExecutor(1) as caller:
        client.check(soon())
        answer = caller.submit(client.forward, frame_of(b""), soon())
        assert asked.wait(PATIENCE)
        cloud.server.stop(0)
        with pytest.raises(CloudUnavailable):
            answer.result(PATIENCE)


def test_the_first_request_after_a_restart_is_answered() -> None:
    with scripted_cloud(echoes) as cloud, client_of(cloud.target) as client:
        assert client.forward(frame_of(b"before"), soon()).frame.payload == b"before"
        cloud.server.stop(0).wait()
        with pytest.raises(CloudUnavailable):
            client.forward(frame_of(b"between"), soon())
        with scripted_cloud(echoes, port=cloud.port):
            assert client.forward(frame_of(b"after"), soon()).frame.payload == b"after"


def test_a_restart_that_nobody_noticed_costs_no_request() -> None:
    with scripted_cloud(echoes) as cloud, client_of(cloud.target) as client:
        client.forward(frame_of(b"before"), soon())
        cloud.server.stop(0).wait()
        with scripted_cloud(echoes, port=cloud.port):
            assert client.forward(frame_of(b"after"), soon()).frame.payload == b"after"


@pytest.mark.parametrize("endings", [1, 2])
def test_a_request_whose_stream_ended_is_repeated_once(endings: int) -> None:
    streams: list[int] = []

    def ends_at_first(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        streams.append(len(streams))
        greeting = next(requests)
        if len(streams) == 1:
            yield echo(greeting)  # so that the connection is an old one when it ends
            next(requests)
        elif len(streams) > endings:
            yield echo(greeting)
            yield from echoes(requests)

    with client_with(ends_at_first) as client:
        client.forward(frame_of(b"before"), soon())
        if endings == 1:
            assert client.forward(frame_of(b"after"), soon()).frame.payload == b"after"
        else:
            with pytest.raises(CloudUnavailable, match="ended the connection"):
                client.forward(frame_of(b"after"), soon())
    assert len(streams) == 2


def test_a_draining_cloud_is_left_for_its_successor() -> None:
    streams: list[int] = []

    def drains(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        streams.append(len(streams))
        if len(streams) > 1:
            yield from echoes(requests)
        yield echo(next(requests))
        error = pb.Error(code=grpc.StatusCode.UNAVAILABLE.value[0], message="draining")
        for request in requests:
            yield pb.ForwardReply(id=request.id, error=error)

    with client_with(drains) as client:
        for payload in (b"a", b"b", b"c"):
            assert client.forward(frame_of(payload), soon()).frame.payload == payload
    assert len(streams) == 2


def test_what_a_cloud_says_is_one_short_line() -> None:
    """It ends up in the log, and before clients."""
    said = "no\n\0\u202e" + 9000 * "y"

    def refuses(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            yield pb.ForwardReply(id=request.id, error=pb.Error(code=9, message=said))

    with client_with(refuses) as client, pytest.raises(CloudError) as caught:
        client.forward(frame_of(b""), soon())
    assert str(caught.value).startswith("no\\n\\x00\\u202eyy")
    assert len(str(caught.value)) == 500


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, BundleMismatch),
        (grpc.StatusCode.INVALID_ARGUMENT, CloudRejected),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.UNAVAILABLE, CloudUnavailable),
        (grpc.StatusCode.INTERNAL, CloudRejected),
    ],
)
def test_an_error_belongs_to_its_request(status: grpc.StatusCode, expected: type[CloudError]) -> None:
    def refuses_odd(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            error = pb.Error(code=status.value[0], message="because")
            odd = request.frame.payload == b"odd"
            yield pb.ForwardReply(id=request.id, error=error) if odd else echo(request)

    with client_with(refuses_odd) as client:
        with pytest.raises(expected, match="because"):
            client.forward(frame_of(b"odd"), soon())
        assert client.forward(frame_of(b"even"), soon()).frame.payload == b"even"


def test_a_packing_that_nobody_knows_is_corrupt() -> None:
    def unknown(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            yield pb.ForwardReply(id=request.id, frame=pb.Frame(shape=[1, 4], packing=99))  # type: ignore[arg-type]

    with client_with(unknown) as client, pytest.raises(CorruptPayload, match="99"):
        client.forward(frame_of(b""), soon())


def test_a_reply_beyond_the_limit_is_refused() -> None:
    def bloated(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            yield pb.ForwardReply(id=request.id, frame=pb.Frame(payload=bytes(1 << 20)))

    with client_with(bloated) as client, pytest.raises(CloudUnavailable, match="RESOURCE_EXHAUSTED"):
        client.forward(frame_of(b""), soon())


def test_check_compares_bundles() -> None:
    other = b"another!"
    with scripted_cloud(echoes, digest=other) as cloud, client_of(cloud.target) as client:
        mismatch = pytest.raises(BundleMismatch, match=other.hex())
        with mismatch:
            client.check(soon())


def test_closing_fails_who_waits_and_leaves_no_thread() -> None:
    asked = threading.Event()

    def silent(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for _ in requests:
            asked.set()
        yield from ()

    with scripted_cloud(silent) as cloud, client_of(cloud.target) as client, ThreadPoolExecutor(1) as caller:
        client.check(soon())
        answer = caller.submit(client.forward, frame_of(b""), soon())
        assert asked.wait(PATIENCE)
        client.close()
        with pytest.raises(CloudUnavailable):
            answer.result(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == "cloud-reader":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_finished_client_answers_what_it_took_and_takes_no_more() -> None:
    script = Paused()
    with scripted_cloud(script) as cloud, client_of(cloud.target) as client, ThreadPoolExecutor(1) as caller:
        answer = caller.submit(client.forward, frame_of(b"first"), soon())
        assert script.asked.wait(PATIENCE)
        client.finish()
        with pytest.raises(CloudUnavailable, match="is not asked any more"):
            client.forward(frame_of(b"second"), soon())
        script.may_answer.set()
        assert answer.result(PATIENCE).frame.payload == b"first"


def test_the_real_cloud_answers_and_its_drain_is_survived(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    frame = encode(make_symbols(tiny_bundle), manifest.uplink)
    with serving(tiny_bundle.path) as first:
        target = str(first.server.address)
        boundaries = manifest.uplink, manifest.downlink
        with client_of(target, tiny_bundle.digest, boundaries) as client:
            client.check(soon())
            before = decode(client.forward(frame, soon()).frame, manifest.downlink, max_rows=1)
            first.drain()
            with pytest.raises(CloudUnavailable):
                client.forward(frame, soon())
            with serving(tiny_bundle.path, port=first.server.address.port):
                after = decode(client.forward(frame, soon()).frame, manifest.downlink, max_rows=1)
    assert (before == after).all()


def test_the_real_cloud_with_another_bundle_is_a_mismatch(tiny_bundle: Bundle) -> None:
    frame = encode(make_symbols(tiny_bundle), tiny_bundle.manifest.uplink)
    with serving(tiny_bundle.path) as cloud, client_of(str(cloud.server.address), b"another!") as client:
        for ask in (lambda: client.forward(frame, soon()), lambda: client.check(soon())):
            with pytest.raises(BundleMismatch):
                ask()
