"""A real gRPC server whose answers a test writes: for what a well-behaved cloud never does."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

from protos import splitwire_pb2 as pb
from protos.splitwire_pb2_grpc import SplitInferenceServicer, add_SplitInferenceServicer_to_server

__all__ = ["Paused", "Script", "ScriptedCloud", "echo", "scripted_cloud"]

_PATIENCE = 60.0

#: One whole stream: requests in, replies out.
Script = Callable[[Iterator[pb.ForwardRequest]], Iterator[pb.ForwardReply]]


@dataclass(frozen=True)
class ScriptedCloud:
    target: str
    server: grpc.Server

    @property
    def port(self) -> int:
        return int(self.target.rpartition(":")[2])


def echo(request: pb.ForwardRequest) -> pb.ForwardReply:
    return pb.ForwardReply(id=request.id, frame=request.frame, timings=pb.Timings(queue_us=1500))


@dataclass(frozen=True)
class Paused:
    """A script that answers when it may. asked: a request is there. may_answer: to be set by the test."""

    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __call__(self, requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            self.asked.set()
            self.may_answer.wait(_PATIENCE)
            yield echo(request)


@contextlib.contextmanager
def scripted_cloud(
    script: Script,
    *,
    digest: bytes = b"12345678",
    port: int = 0,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[ScriptedCloud]:
    """credentials: None is unencrypted."""
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        add_SplitInferenceServicer_to_server(_Servicer(script, digest), server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
        server.start()
        try:
            yield ScriptedCloud(f"127.0.0.1:{bound}", server)
        finally:
            server.stop(0).wait()


class _Servicer(SplitInferenceServicer):
    def __init__(self, script: Script, digest: bytes) -> None:
        self._script = script
        self._digest = digest

    def ForwardStream(self, requests: Any, _: Any) -> Iterator[pb.ForwardReply]:  # noqa: N802
        return self._script(requests)

    def Forward(self, *_: Any) -> pb.ForwardReply:  # noqa: N802
        raise NotImplementedError("the edge uses the stream")

    def Describe(self, *_: Any) -> pb.DescribeReply:  # noqa: N802
        return pb.DescribeReply(bundle_digest=self._digest)
