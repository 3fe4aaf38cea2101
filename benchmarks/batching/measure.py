"""The rates themselves: of a cloud under so many clients, and of its graph with nothing around it."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import Service
from protos import splitwire_pb2 as pb
from protos.convert import frame_to_message
from protos.probing import bdp_probe
from protos.service import FORWARD_STREAM
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.frame import decode, encode

__all__ = ["Rate", "cloud_rate", "codec_ms", "graph_rate", "make_requests", "make_symbols"]


_Options: TypeAlias = tuple[tuple[str, int], ...]

#: Each client is an edge of its own: one connection each.
_OPTIONS: _Options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))

#: Before anything counts: connections are opened, batches form.
_WARM_UP_SECONDS = 0.3


_CODEC_REPEATS = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """images: a second. latency: median milliseconds from request to reply, or of one run of the graph.
    processor: milliseconds of processor time an image, of the cloud's process or of the graph's threads."""

    images: float
    latency: float
    processor: float


def make_symbols(bundle: Bundle, images: Sequence[bytes]) -> NDArray[Any]:
    """Image files -> what their heads send: (images, *uplink.shape)."""
    head = bundle.engine("head")
    return np.concatenate([head.run(bundle.manifest.preprocess(image)) for image in images])


def make_requests(bundle: Bundle, symbols: NDArray[Any]) -> list[bytes]:
    """One serialized request for each row."""
    uplink = bundle.manifest.uplink
    frames = (frame_to_message(encode(row[None], uplink), uplink) for row in symbols)
    return [pb.ForwardRequest(bundle_digest=bundle.digest, frame=f).SerializeToString() for f in frames]


def cloud_rate(cloud: Service, requests: Sequence[bytes], *, clients: int, seconds: float) -> Rate:
    """Each client has one stream, and sends its next request when it has the answer to the last.

    Raises:
        OSError: the cloud refuses a request.
    """
    used = cloud.processor_seconds()
    counts_from = time.perf_counter() + _WARM_UP_SECONDS
    ends = counts_from + seconds
    options = (*_OPTIONS, bdp_probe(max(map(len, requests))))
    replies = asyncio.run(_run(cloud.address, requests, clients, ends, options))
    used = cloud.processor_seconds() - used
    counted = [reply.latency for reply in replies if counts_from <= reply.at < ends]
    return Rate(len(counted) / seconds, statistics.median(counted) * 1000, used * 1000 / len(replies))


def graph_rate(engine: Engine, symbols: NDArray[Any], *, rows: int, workers: int, seconds: float) -> Rate:
    """`workers` threads that do nothing but run the graph on `rows` at a time."""
    batch = np.resize(symbols, (rows, *symbols.shape[1:]))
    engine.run(batch)
    ends = time.perf_counter() + seconds

    def run(_: int) -> list[float]:
        times = [time.perf_counter()]
        while times[-1] < ends:
            engine.run(batch)
            times.append(time.perf_counter())
        return np.diff(times).tolist()

    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        runs = [seconds for times in pool.map(run, range(workers)) for seconds in times]
    took, used = time.perf_counter() - began, time.process_time() - used
    images = len(runs) * rows
    return Rate(images / took, statistics.median(runs) * 1000, used * 1000 / images)


def codec_ms(bundle: Bundle, engine: Engine, symbols: NDArray[Any]) -> float:
    """Median milliseconds to decode an uplink frame of one row, and to encode its downlink frame."""
    uplink, downlink = bundle.manifest.uplink, bundle.manifest.downlink
    times = []
    for row in symbols:
        frame, returned = encode(row[None], uplink), engine.run(row[None])
        for _ in range(_CODEC_REPEATS):
            began = time.perf_counter()
            decode(frame, uplink)
            encode(returned, downlink)
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


@dataclass(frozen=True, slots=True)
class _Reply:
    """at: when it came, of `time.perf_counter`. latency: seconds since its request."""

    at: float
    latency: float


async def _run(
    address: str, requests: Sequence[bytes], clients: int, ends: float, options: _Options
) -> list[_Reply]:
    found = await asyncio.gather(
        *(_client(address, requests, number, ends, options) for number in range(clients))
    )
    return [reply for replies in found for reply in replies]


async def _client(
    address: str, requests: Sequence[bytes], first: int, ends: float, options: _Options
) -> list[_Reply]:
    """Every reply until `ends`, and the one after."""
    replies: list[_Reply] = []
    async with grpc.aio.insecure_channel(address, options) as channel:
        stream: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(FORWARD_STREAM)()
        sent = time.perf_counter()
        while sent < ends:
            await stream.write(requests[(first + len(replies)) % len(requests)])
            _check(await stream.read())
            answered = time.perf_counter()
            replies.append(_Reply(answered, answered - sent))
            sent = answered
        await stream.done_writing()
        await stream.read()
    return replies


def _check(reply: Any) -> None:
    if not isinstance(reply, bytes):
        raise OSError("the cloud ended the stream")
    message = pb.ForwardReply.FromString(reply)
    if message.HasField("error"):
        raise OSError(f"the cloud answered {message.error.code}: {message.error.message}")
