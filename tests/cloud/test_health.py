"""grpc.health.v1 as those see it who ask once, who watch, and who watch without reading."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.service import SERVICE
from splitwire.address import Address
from splitwire.bundle import Bundle
from tests.cloud.serving import PATIENCE, Serving, health, serving

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

#: Frames of HTTP/2 (RFC 9113, section 6), and flags of theirs.
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4

_INITIAL_WINDOW_SIZE = 4


def _watch(cloud: Serving, service: str) -> Iterator[health_pb2.HealthCheckResponse]:
    stub: Any = health_pb2_grpc.HealthStub(cloud.channel)  # its types know no methods
    watch: Iterator[health_pb2.HealthCheckResponse] = stub.Watch(
        health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE
    )
    return watch


def test_a_service_that_nobody_has_is_unknown(cloud: Serving) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health(cloud.channel, "no.such.Service")
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert next(_watch(cloud, "no.such.Service")).status == _SERVICE_UNKNOWN


@pytest.mark.parametrize("service", ["", SERVICE])
def test_one_that_watches_and_does_not_read_holds_neither_the_drain_nor_those_who_do(
    tiny_bundle: Bundle, service: str
) -> None:
    """grpc_health's own servicer let neither go on."""
    with (
        serving(tiny_bundle.path) as cloud,
        _stalled_watcher(cloud.server.address, service),
        ThreadPoolExecutor(1) as pool,
    ):
        watch = _watch(cloud, service)
        assert next(watch).status == _SERVING
        told = pool.submit(next, watch)
        cloud.drain()
        assert told.result(PATIENCE).status == _NOT_SERVING


@contextlib.contextmanager
def _stalled_watcher(address: Address, service: str) -> Iterator[None]:
    """Its window is closed from the beginning: what it is told stays in the cloud."""
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    opening = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        _frame(_SETTINGS, struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0)),
        _frame(_HEADERS, _header_block("/grpc.health.v1.Health/Watch"), flags=_END_HEADERS, stream=1),
        _frame(_DATA, struct.pack(">?I", False, len(request)) + request, flags=_END_STREAM, stream=1),
    ]
    with (
        socket.create_connection((address.host, address.port), PATIENCE) as client,
        client.makefile("rb") as frames,
    ):
        client.sendall(b"".join(opening))
        kind = None
        while kind != _HEADERS:  # then the first message is being written
            kind, flags = _read_frame(frames)
            if (kind, flags) == (_SETTINGS, 0):
                client.sendall(_frame(_SETTINGS, flags=_ACK))
        yield


def _frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _read_frame(frames: IO[bytes]) -> tuple[int, int]:
    """Type and flags."""
    length, kind, flags, _ = struct.unpack(">IBBI", b"\0" + frames.read(9))
    frames.read(length)
    return kind, flags


def _header_block(path: str) -> bytes:
    """Of a call. All fields are literals that are not indexed (RFC 7541, section 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "cloud",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields.items())


def _string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
