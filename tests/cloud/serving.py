"""A cloud inside the test's process, and a client for its streams."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from cloud.config import CloudConfig
from cloud.credentials import Credentials
from cloud.server import CloudServer
from protos import splitwire_pb2 as pb
from protos.convert import frame_to_message
from protos.digest import stream_metadata
from protos.splitwire_pb2_grpc import SplitInferenceStub
from splitwire.address import Address
from splitwire.bundle import Bundle
from splitwire.frame import encode

__all__ = ["PATIENCE", "Serving", "StreamClient", "health", "make_request", "make_symbols", "serving"]

#: Only a hang takes this long.
PATIENCE = 120.0


@dataclass(frozen=True)
class Serving:
    server: CloudServer
    loop: asyncio.AbstractEventLoop
    channel: grpc.Channel
    stub: SplitInferenceStub

    def reload(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.holder.reload(), self.loop).result(PATIENCE)

    def drain(self, seconds: float = PATIENCE) -> None:
        asyncio.run_coroutine_threadsafe(self.server.drain(seconds), self.loop).result(PATIENCE)


@contextlib.contextmanager
def serving(
    path: Path,
    *,
    port: int = 0,
    workers: int = 2,
    max_rows: int = 8,
    max_batch: int = 16,
    max_queue: int = 256,
    also: Path | None = None,
    max_connections: int = 512,
    credentials: Credentials | None = None,
    client: grpc.ChannelCredentials | None = None,
) -> Iterator[Serving]:
    """Serve the bundle at `path` on a free port, from an event loop in a thread of its own.

    client: for a channel to a cloud that shows the certificate of `cloud.example`.
    """
    config = CloudConfig(
        path,
        Address("127.0.0.1", port),
        also=also,
        workers=workers,
        max_rows=max_rows,
        max_batch=max_batch,
        max_queue=max_queue,
        max_connections=max_connections,
        credentials=credentials or Credentials(),
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(CloudServer.start(config), loop).result(PATIENCE)
        with _channel(str(server.address), client) as channel:
            running = Serving(server, loop, channel, SplitInferenceStub(channel))
            yield running
        running.drain(0.0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _channel(target: str, client: grpc.ChannelCredentials | None) -> grpc.Channel:
    if client is None:
        return grpc.insecure_channel(target)
    return grpc.secure_channel(target, client, [("grpc.ssl_target_name_override", "cloud.example")])


class StreamClient:
    """One ForwardStream, by hand. digest: of the bundle that the stream is opened for, if any."""

    def __init__(self, stub: SplitInferenceStub, digest: bytes | None = None) -> None:
        self._outbox: SimpleQueue[pb.ForwardRequest | None] = SimpleQueue()
        metadata = None if digest is None else stream_metadata(digest)
        self._call = stub.ForwardStream(iter(self._outbox.get, None), timeout=PATIENCE, metadata=metadata)

    def send(self, *requests: pb.ForwardRequest) -> None:
        for request in requests:
            self._outbox.put(request)

    def receive(self) -> pb.ForwardReply:
        return next(self._call)

    def receive_rest(self) -> list[pb.ForwardReply]:
        return list(self._call)

    def half_close(self) -> None:
        self._outbox.put(None)

    def cancel(self) -> None:
        self._call.cancel()
        self._outbox.put(None)

    def status(self) -> tuple[grpc.StatusCode, str]:
        """How the server ended the stream; waits until it does."""
        with contextlib.suppress(grpc.RpcError):
            self.receive_rest()
        self._outbox.put(None)
        return self._call.code(), self._call.details() or ""


def health(channel: grpc.Channel, service: str = "") -> int:
    """A HealthCheckResponse.ServingStatus."""
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know no methods
    response: health_pb2.HealthCheckResponse = stub.Check(
        health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE
    )
    return response.status


def make_symbols(bundle: Bundle, *, rows: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    """Random uplink symbols, about half of them zero: uint8 (rows, C, H, W)."""
    uplink = bundle.manifest.uplink
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, 1 << uplink.bits, (rows, *uplink.shape), dtype=np.uint8)
    return np.where(rng.random(symbols.shape) < 0.5, symbols, np.uint8(uplink.zero))


def make_request(
    bundle: Bundle,
    *,
    id: int = 1,  # noqa: A002
    rows: int = 1,
    seed: int = 0,
    timeout_ms: int = 0,
) -> pb.ForwardRequest:
    uplink = bundle.manifest.uplink
    frame = frame_to_message(encode(make_symbols(bundle, rows=rows, seed=seed), uplink), uplink)
    return pb.ForwardRequest(bundle_digest=bundle.digest, id=id, frame=frame, timeout_ms=timeout_ms)
