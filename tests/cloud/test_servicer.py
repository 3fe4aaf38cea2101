import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from protos import splitwire_pb2 as pb
from protos.convert import frame_from_message
from splitwire import __version__
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.frame import decode
from tests.cloud.serving import PATIENCE, Serving, StreamClient, health, make_request, make_symbols, serving


def _returned(bundle: Bundle, reply: pb.ForwardReply) -> object:
    return decode(frame_from_message(reply.frame, bundle.manifest.downlink), bundle.manifest.downlink)


def _refusal(cloud: Serving, request: pb.ForwardRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        cloud.stub.Forward(request, timeout=PATIENCE)
    error = caught.value
    assert isinstance(error, grpc.Call)
    return error.code(), error.details() or ""


@pytest.mark.parametrize("rows", [1, 3])
def test_forward_answers_with_the_graphs_symbols(cloud: Serving, tiny_bundle: Bundle, rows: int) -> None:
    reply = cloud.stub.Forward(make_request(tiny_bundle, id=7, rows=rows), timeout=PATIENCE)
    expected = Engine(tiny_bundle.graph("body")).run(make_symbols(tiny_bundle, rows=rows))
    np.testing.assert_array_equal(_returned(tiny_bundle, reply), expected)
    assert reply.id == 7
    assert reply.WhichOneof("result") == "frame"
    assert reply.timings.compute_us > 0


def test_another_bundles_request_is_a_failed_precondition(cloud: Serving, tiny_bundle: Bundle) -> None:
    request = make_request(tiny_bundle)
    request.bundle_digest = bytes(range(8))
    code, details = _refusal(cloud, request)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert tiny_bundle.digest.hex() in details
    assert "0001020304050607" in details


def test_a_request_without_a_digest_is_a_failed_precondition(cloud: Serving, tiny_bundle: Bundle) -> None:
    code, details = _refusal(cloud, pb.ForwardRequest(frame=make_request(tiny_bundle).frame))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert details.endswith("the request is for none")


def test_an_empty_frame_is_an_invalid_argument(cloud: Serving, tiny_bundle: Bundle) -> None:
    code, details = _refusal(cloud, pb.ForwardRequest(bundle_digest=tiny_bundle.digest))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "tables" in details


def test_describe_says_what_is_served(cloud: Serving, tiny_bundle: Bundle) -> None:
    described = cloud.stub.Describe(pb.DescribeRequest(), timeout=PATIENCE)
    assert described.bundle_digest == tiny_bundle.digest
    assert described.name == tiny_bundle.manifest.name
    assert (described.plan.front, described.plan.back) == (3, 1)
    assert tuple(described.uplink.shape) == tiny_bundle.manifest.uplink.shape
    assert described.uplink.bits == tiny_bundle.manifest.uplink.bits
    assert described.downlink.zero == tiny_bundle.manifest.downlink.zero
    assert described.server_version == __version__
    assert described.max_rows == 8


def test_a_stream_answers_each_request_with_its_own_result(cloud: Serving, tiny_bundle: Bundle) -> None:
    stream = StreamClient(cloud.stub)
    stream.send(*(make_request(tiny_bundle, id=i, seed=i, rows=1 + i % 3) for i in range(200)))
    stream.half_close()
    replies = {reply.id: reply for reply in stream.receive_rest()}
    assert sorted(replies) == list(range(200))
    engine = Engine(tiny_bundle.graph("body"))
    for i, reply in replies.items():
        expected = engine.run(make_symbols(tiny_bundle, rows=1 + i % 3, seed=i))
        np.testing.assert_array_equal(_returned(tiny_bundle, reply), expected)
    assert stream.status() == (grpc.StatusCode.OK, "")


def test_requests_that_name_no_bundle_are_for_their_streams(cloud: Serving, tiny_bundle: Bundle) -> None:
    stream = StreamClient(cloud.stub, tiny_bundle.digest)
    nameless, other = make_request(tiny_bundle, id=1), make_request(tiny_bundle, id=2)
    nameless.bundle_digest = b""
    other.bundle_digest = bytes(8)
    stream.send(nameless, other)
    replies = {reply.id: reply for reply in (stream.receive(), stream.receive())}
    assert replies[1].WhichOneof("result") == "frame"
    assert replies[2].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    stream.half_close()


@pytest.mark.parametrize("named", [b"", bytes(8), bytes(100)])
def test_a_stream_for_no_bundle_that_is_held_refuses_its_requests(
    cloud: Serving, tiny_bundle: Bundle, named: bytes
) -> None:
    stream = StreamClient(cloud.stub, named)
    nameless = make_request(tiny_bundle)
    nameless.bundle_digest = b""
    stream.send(nameless)
    error = stream.receive().error
    assert error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert (named[:16].hex() or "for none") in error.message
    stream.half_close()


def test_an_error_belongs_to_its_request(cloud: Serving, tiny_bundle: Bundle) -> None:
    other = make_request(tiny_bundle, id=1)
    other.bundle_digest = bytes(8)
    broken = make_request(tiny_bundle, id=2)
    broken.frame.payload += b"x"
    stream = StreamClient(cloud.stub)
    stream.send(other, broken, make_request(tiny_bundle, id=3))
    replies = {reply.id: reply for reply in (stream.receive(), stream.receive(), stream.receive())}
    assert replies[1].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert replies[2].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert replies[3].WhichOneof("result") == "frame"
    stream.send(make_request(tiny_bundle, id=4))
    assert stream.receive().id == 4
    stream.half_close()
    assert stream.status() == (grpc.StatusCode.OK, "")


def test_a_quick_answer_overtakes_a_slow_one(slow_cloud: Serving, slow_bundle: Bundle) -> None:
    refused = make_request(slow_bundle, id=2)
    refused.bundle_digest = bytes(8)
    stream = StreamClient(slow_cloud.stub)
    stream.send(make_request(slow_bundle, id=1), refused)
    assert [stream.receive().id, stream.receive().id] == [2, 1]
    stream.half_close()


def test_a_request_that_expires_in_the_queue_is_answered_so(slow_bundle: Bundle) -> None:
    with serving(slow_bundle.path, workers=1, max_batch=1) as cloud:
        stream = StreamClient(cloud.stub)
        stream.send(make_request(slow_bundle, id=1))
        _await_rows(cloud, 0)  # it is being computed
        stream.send(make_request(slow_bundle, id=2, timeout_ms=1))
        first, second = sorted((stream.receive(), stream.receive()), key=lambda reply: reply.id)
        assert (first.id, first.WhichOneof("result")) == (1, "frame")
        assert (second.id, second.error.code) == (2, grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
        assert "may wait 1 ms" in second.error.message
        stream.half_close()


def test_what_comes_to_a_full_queue_is_refused_at_once(slow_bundle: Bundle) -> None:
    with serving(slow_bundle.path, workers=1, max_rows=2, max_queue=2) as cloud:
        stream = StreamClient(cloud.stub)
        stream.send(make_request(slow_bundle, id=1, rows=2))
        _await_rows(cloud, 0)  # it is being computed
        stream.send(make_request(slow_bundle, id=2, rows=2))
        _await_rows(cloud, 2)
        stream.send(make_request(slow_bundle, id=3))
        refused = stream.receive()
        assert (refused.id, refused.error.code) == (3, grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
        assert "the cloud's queue holds 2 rows: 2 wait, 1 more came" in refused.error.message
        _assert_pushback(cloud, make_request(slow_bundle))
        stream.half_close()
        assert [reply.id for reply in stream.receive_rest() if reply.HasField("frame")] == [1, 2]
        assert cloud.stub.Forward(make_request(slow_bundle, rows=2), timeout=PATIENCE).HasField("frame")


def _await_rows(cloud: Serving, rows: int) -> None:
    """Until the worker computes, and so many rows wait for it."""
    batcher = cloud.server.holder.current.body._batcher
    while batcher.idle or batcher._queue.rows != rows:
        time.sleep(0.001)


def _assert_pushback(cloud: Serving, request: pb.ForwardRequest) -> None:
    """The call is refused as busy, and its status says how long to stay away."""
    with pytest.raises(grpc.RpcError) as caught:
        cloud.stub.Forward(request, timeout=PATIENCE)
    error = caught.value
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(error.trailing_metadata() or ())["grpc-retry-pushback-ms"]) > 0


def test_a_client_that_goes_away_leaves_a_server_that_serves(
    slow_cloud: Serving, slow_bundle: Bundle
) -> None:
    leaving = StreamClient(slow_cloud.stub)
    leaving.send(*(make_request(slow_bundle, id=i) for i in range(20)))
    leaving.receive()
    leaving.cancel()
    reply = slow_cloud.stub.Forward(make_request(slow_bundle, id=9), timeout=PATIENCE)
    assert reply.WhichOneof("result") == "frame"


def test_draining_ends_idle_streams_and_refuses_the_rest(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.path) as cloud:
        stream = StreamClient(cloud.stub)
        stream.send(make_request(tiny_bundle))
        stream.receive()
        cloud.drain()
        assert stream.status() == (grpc.StatusCode.UNAVAILABLE, "the cloud is shutting down")
        code, _ = _refusal(cloud, make_request(tiny_bundle))
        assert code is grpc.StatusCode.UNAVAILABLE


def test_draining_answers_what_is_in_flight(slow_bundle: Bundle) -> None:
    with serving(slow_bundle.path, workers=1) as cloud:
        unary = cloud.stub.Forward.future(make_request(slow_bundle, id=1), timeout=PATIENCE)
        refused = make_request(slow_bundle, id=3)
        refused.bundle_digest = bytes(8)
        stream = StreamClient(cloud.stub)
        stream.send(make_request(slow_bundle, id=2), refused)
        assert stream.receive().id == 3  # so 2 is in flight
        cloud.drain()
        assert stream.receive().id == 2
        assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
        assert unary.result(PATIENCE).id == 1


def test_draining_it_does_not_say_any_more_what_it_serves(slow_bundle: Bundle) -> None:
    with serving(slow_bundle.path, workers=1) as cloud, ThreadPoolExecutor(1) as thread:
        stream = StreamClient(cloud.stub)
        stream.send(make_request(slow_bundle, id=1))
        _await_rows(cloud, 0)  # it is being computed, and keeps the cloud from ending
        draining = thread.submit(cloud.drain)
        while not cloud.server._servicer.draining:
            time.sleep(0.001)
        with pytest.raises(grpc.RpcError, match="shutting down"):
            cloud.stub.Describe(pb.DescribeRequest(), timeout=PATIENCE)
        draining.result(PATIENCE)


def test_draining_gives_up_at_its_limit(slow_bundle: Bundle) -> None:
    with serving(slow_bundle.path, workers=1) as cloud:
        stream = StreamClient(cloud.stub)
        stream.send(*(make_request(slow_bundle, id=i) for i in range(50)))
        stream.receive()
        cloud.drain(0.0)
        code, _ = stream.status()
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_a_refused_request_is_one_line_of_the_log(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whichever call it came; what nobody expected has its traceback there too."""

    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("why")

    other = make_request(tiny_bundle)
    other.bundle_digest = bytes(8)
    with caplog.at_level(logging.INFO), serving(tiny_bundle.path) as cloud:
        stream = StreamClient(cloud.stub)
        for code, level, detail in (
            ("FAILED_PRECONDITION", "INFO", "the request is for"),
            ("INTERNAL", "ERROR", "why"),
        ):
            if code == "INTERNAL":
                monkeypatch.setattr(cloud.server.holder, "find", breaks)
            for unary in (True, False):
                caplog.clear()
                if unary:
                    _refusal(cloud, other)
                else:
                    stream.send(other)
                    stream.receive()
                health(cloud.channel)  # by now the event loop has written it
                (record,) = caplog.records
                assert (record.name, record.levelname) == ("cloud.observer", level)
                assert record.getMessage().startswith(f"{code} after ")
                assert detail in record.getMessage()
                assert (record.exc_info is not None) == (code == "INTERNAL")
        stream.half_close()


def test_garbled_bytes_are_one_line_too(
    cloud: Serving, tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    unary: Any = cloud.channel.unary_unary("/splitwire.v1.SplitInference/Forward")
    stream: Any = cloud.channel.stream_stream("/splitwire.v1.SplitInference/ForwardStream")
    for call in (lambda: unary(b"\xff", timeout=PATIENCE), lambda: list(stream(iter([b"\xff"])))):
        caplog.clear()
        with caplog.at_level(logging.INFO), pytest.raises(grpc.RpcError):
            call()
        (record,) = caplog.records
        assert record.getMessage().startswith("INVALID_ARGUMENT: ")
        assert "127.0.0.1" in record.getMessage()
