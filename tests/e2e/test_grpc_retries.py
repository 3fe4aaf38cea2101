"""What docs/decisions/0011-retries.md says of gRPC's own retries, held to the library that is installed."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

PATIENCE = 60.0

ATTEMPTS = 3

_POLICY = {
    "maxAttempts": ATTEMPTS,
    "initialBackoff": "0.01s",
    "maxBackoff": "0.02s",
    "backoffMultiplier": 1,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_OPTIONS = (
    ("grpc.enable_retries", 1),
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _POLICY}]})),
)


class Clouds:
    """Of each call, the messages that the server read."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []

    def silent(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Answers nothing, then goes away at the second message."""
        yield from self._serve(requests, context, answers=False)

    def answering(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Answers the first message, and goes away at the second."""
        yield from self._serve(requests, context, answers=True)

    def refusing(self, requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        """Answers each message that it is unavailable, as Splitwire's cloud does."""
        self.calls.append([])
        for request in requests:
            self.calls[-1].append(request)
            yield b"UNAVAILABLE"

    def _serve(self, requests: Iterator[bytes], context: Any, *, answers: bool) -> Iterator[bytes]:
        read: list[bytes] = []
        self.calls.append(read)
        for request in requests:
            read.append(request)
            if len(read) == 2:
                context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            if answers:
                yield request


@pytest.mark.parametrize(
    ("method", "calls", "code"),
    [
        ("silent", [[b"0", b"1"]] * ATTEMPTS, grpc.StatusCode.UNAVAILABLE),
        ("answering", [[b"0", b"1"]], grpc.StatusCode.UNAVAILABLE),
        ("refusing", [[b"0", b"1"]], grpc.StatusCode.OK),
    ],
)
def test_a_stream_is_replayed_whole_or_once_it_has_answered_not_at_all(
    method: str, calls: list[list[bytes]], code: grpc.StatusCode
) -> None:
    clouds = Clouds()
    handlers: dict[str, Any] = {method: grpc.stream_stream_rpc_method_handler(getattr(clouds, method))}
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("T", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}", _OPTIONS) as channel:
            stream: Any = channel.stream_stream(f"/T/{method}")
            call = stream(iter([b"0", b"1"]), timeout=PATIENCE)
            if code is grpc.StatusCode.OK:
                assert list(call) == [b"UNAVAILABLE"] * 2
            else:
                with pytest.raises(grpc.RpcError):
                    list(call)
            assert call.code() is code
        server.stop(0).wait()
    assert clouds.calls == calls
