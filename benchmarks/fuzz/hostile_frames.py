"""Hostile requests to a live cloud, over streams and in unary calls, with good ones in between.

python -m benchmarks.fuzz.hostile_frames --bundle models/cifar10
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks.environment import Environment
from benchmarks.fuzz.hostile import Hostile
from benchmarks.fuzz.tally import Tally
from benchmarks.progress import progress
from demo.child import Child, DemoError
from protos import splitwire_pb2 as pb
from protos.convert import frame_to_message
from protos.splitwire_pb2_grpc import SplitInferenceStub
from splitwire.bundle import Bundle
from splitwire.errors import SplitwireError
from splitwire.frame import encode

__all__ = ["main"]

#: Only a hang takes this long.
_TIMEOUT_SECONDS = 60.0

#: Of one stream, and, in the same round, of unary calls and of garbage of both kinds.
_STREAMED, _UNARY, _GARBAGE = 180, 10, 10

#: What the cloud may grow by, once a tenth of the requests have warmed it up.
_GROWTH_MIB = 32.0

#: Of the other request that hostile ones are made from: with the shipped bundle, too many to be coded. What
#: is still valid takes long to compute, so it is one of eight.
_MANY_ROWS, _TO_MANY = 11, 7

_METHOD = "/splitwire.v1.SplitInference/Forward"


@dataclass(frozen=True)
class _Sender:
    """One round after another, each closed by a good request."""

    channel: grpc.Channel
    good: pb.ForwardRequest
    expected: bytes
    hostile: Hostile
    tally: Tally

    def round(self) -> None:
        self._stream([self.hostile.message() for _ in range(_STREAMED)])
        for _ in range(_UNARY):
            self._unary(*self.hostile.message())
        for number in range(_GARBAGE):
            self._garbled(*self.hostile.garbled(), streamed=number % 2 == 0)
        self._check_good()

    def _stream(self, requests: list[tuple[str, pb.ForwardRequest]]) -> None:
        for number, (_, request) in enumerate(requests):
            request.id = number
        kinds = {request.id: kind for kind, request in requests}
        replies = SplitInferenceStub(self.channel).ForwardStream(
            iter([request for _, request in requests]), timeout=_TIMEOUT_SECONDS
        )
        try:
            for reply in replies:
                self._count(kinds.pop(reply.id), reply)
        except grpc.RpcError as error:
            self.tally.failures.append(f"a stream of messages ended: {error}")
        if kinds:
            self.tally.failures.append(f"never answered, or not under their id: {kinds}")

    def _unary(self, kind: str, request: pb.ForwardRequest) -> None:
        try:
            self._count(kind, SplitInferenceStub(self.channel).Forward(request, timeout=_TIMEOUT_SECONDS))
        except grpc.RpcError as error:
            self._refused(kind, error)

    def _garbled(self, kind: str, data: bytes, *, streamed: bool) -> None:
        try:
            replies = self._call_streamed(data) if streamed else self._call_unary(data)
        except grpc.RpcError as error:
            self._refused(kind, error)
        else:
            for reply in replies:
                self._count(kind, reply)

    def _call_streamed(self, data: bytes) -> list[pb.ForwardReply]:
        call = self.channel.stream_stream(f"{_METHOD}Stream", bytes, pb.ForwardReply.FromString)
        return list(call(iter([data]), timeout=_TIMEOUT_SECONDS))

    def _call_unary(self, data: bytes) -> list[pb.ForwardReply]:
        call = self.channel.unary_unary(_METHOD, bytes, pb.ForwardReply.FromString)
        return [call(data, timeout=_TIMEOUT_SECONDS)]

    def _count(self, kind: str, reply: pb.ForwardReply) -> None:
        if reply.HasField("frame"):
            self.tally.answered(kind)
        else:
            self.tally.refused(kind, reply.error.code, reply.error.message)

    def _refused(self, kind: str, error: grpc.RpcError) -> None:
        assert isinstance(error, grpc.Call)
        self.tally.refused(kind, error.code(), error.details() or "")

    def _check_good(self) -> None:
        try:
            reply = SplitInferenceStub(self.channel).Forward(self.good, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            self.tally.failures.append(f"a good request was refused: {error}")
            return
        if reply.frame.payload != self.expected:
            self.tally.failures.append("a good request was answered wrongly")


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    print(f"{Environment.read('benchmarks.fuzz.hostile_frames', arguments)}\n", flush=True)
    try:
        bundle = Bundle.load(options.bundle)
        cloud = Child("cloud", ["--bundle", str(options.bundle), "--listen", "127.0.0.1:0"])
        try:
            tally = Tally()
            memory = list(_attack(bundle, cloud, tally, options.count, options.seed))
        finally:
            cloud.stop()
    except (SplitwireError, DemoError) as error:
        print(f"benchmarks.fuzz: error: {error}", file=sys.stderr)
        return 2
    return _report(tally, memory)


def _attack(bundle: Bundle, cloud: Child, tally: Tally, count: int, seed: int) -> Iterator[float]:
    """The cloud's memory after each round, in MiB."""
    (good, expected), (many, _) = _good(bundle, 1, seed), _good(bundle, _MANY_ROWS, seed)
    hostile = Hostile([good] * _TO_MANY + [many], bundle.manifest.uplink, seed)
    rounds = -(-count // (_STREAMED + _UNARY + _GARBAGE))
    with grpc.insecure_channel(cloud.wait_ready()) as channel:
        sender = _Sender(channel, good, expected, hostile, tally)
        for _ in progress("rounds", range(rounds), rounds):
            sender.round()
            cloud.check()
            yield cloud.resident_bytes() / 2**20


def _good(bundle: Bundle, rows: int, seed: int) -> tuple[pb.ForwardRequest, bytes]:
    """A request, and the payload of its answer."""
    uplink, downlink = bundle.manifest.uplink, bundle.manifest.downlink
    pixels = np.random.default_rng(seed).normal(size=(rows, 3, *2 * (bundle.manifest.preprocess.size,)))
    symbols = bundle.engine("head").run(pixels.astype(np.float32))
    request = pb.ForwardRequest(
        bundle_digest=bundle.digest, frame=frame_to_message(encode(symbols, uplink), uplink)
    )
    return request, encode(bundle.engine("body").run(symbols), downlink).payload


def _report(tally: Tally, memory: list[float]) -> int:
    warm, last = memory[len(memory) // 10], memory[-1]
    if last - warm > _GROWTH_MIB:
        tally.failures.append(f"the cloud grew from {warm:.0f} to {last:.0f} MiB")
    print(f"{tally.requests:,} hostile requests, {len(memory):,} good ones in between\n{tally}\n")
    print(f"cloud: {warm:.0f} MiB after a tenth, {max(memory):.0f} at most, {last:.0f} at the end")
    print(f"failures: {len(tally.failures)}", *tally.failures[:20], sep="\n  ")
    return int(bool(tally.failures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "benchmarks.fuzz.hostile_frames",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR")
    add("--count", type=int, default=200_000, metavar="N", help="hostile requests (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="the same makes the same requests")
    return parser


if __name__ == "__main__":
    sys.exit(main())
