import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import grpc
import numpy as np
import pytest

from cloud.flight import Flight, refusal
from cloud.held import Held
from cloud.metrics import CloudMetrics
from cloud.observer import Observer
from protos import splitwire_pb2 as pb
from protos.convert import frame_from_message
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.errors import BundleMismatch, DeadlineExceeded, FrameError
from splitwire.frame import decode
from tests.cloud.serving import make_request, make_symbols
from tests.cloud.test_held import make
from tests.garbage import collector_off

T = TypeVar("T")


class _Flights:
    """Of one bundle. metrics: what became of them is counted there."""

    def __init__(self, held: Held) -> None:
        self.held = held
        self.metrics = CloudMetrics()
        self._observer = Observer(self.metrics)

    def begin(self, request: pb.ForwardRequest) -> Flight:
        arrived_ns = time.perf_counter_ns() - 2_000_000  # what may wait 1 ms has expired
        seen = self._observer.request(request, arrived_ns, method="Forward", digest=request.bundle_digest)
        return Flight(request, self._find, seen=seen, arrived_ns=arrived_ns)

    def counted(self, code: str) -> float | None:
        return self.metrics.registry.get_sample_value("splitwire_cloud_requests_total", {"code": code})

    def _find(self, digest: bytes) -> Held:
        if digest != self.held.bundle.digest:
            raise BundleMismatch("another")
        return self.held


async def _counting() -> None:
    """What is over is counted two turns later."""
    for _ in range(3):
        await asyncio.sleep(0)


def _fly(bundle: Bundle, scenario: Callable[[_Flights], Awaitable[T]]) -> T:
    held = make(bundle, fits=8)
    flights = _Flights(held)

    async def run() -> T:
        result = await scenario(flights)
        await _counting()
        assert flights.metrics.in_flight == 0
        return result

    try:
        return asyncio.run(run())
    finally:
        held.body.close()


@pytest.mark.parametrize("lands", [False, True])
def test_a_request_becomes_its_reply(tiny_bundle: Bundle, lands: bool) -> None:
    async def scenario(flights: _Flights) -> pb.ForwardReply:
        flight = flights.begin(make_request(tiny_bundle, id=7, rows=2))
        assert flights.metrics.in_flight == 1
        if not lands:
            return await flight.reply()
        await asyncio.wait([flight.answer])
        return flight.land()

    reply = _fly(tiny_bundle, scenario)
    downlink = tiny_bundle.manifest.downlink
    expected = Engine(tiny_bundle.graph("body")).run(make_symbols(tiny_bundle, rows=2))
    np.testing.assert_array_equal(decode(frame_from_message(reply.frame, downlink), downlink), expected)
    assert reply.id == 7


_REFUSED: list[tuple[Callable[[pb.ForwardRequest], object], str]] = [
    (lambda request: setattr(request, "bundle_digest", bytes(8)), "FAILED_PRECONDITION"),
    (lambda request: request.frame.shape.extend([1] * 9), "INVALID_ARGUMENT"),
    (lambda request: setattr(request.frame, "payload", b"x"), "INVALID_ARGUMENT"),
    (lambda request: setattr(request, "timeout_ms", 1), "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize(("change", "code"), _REFUSED)
def test_a_refusal_is_a_reply_too_and_counted(
    tiny_bundle: Bundle, change: Callable[[pb.ForwardRequest], object], code: str
) -> None:
    request = make_request(tiny_bundle, id=7)
    change(request)

    async def scenario(flights: _Flights) -> tuple[pb.ForwardReply, float | None]:
        flight = flights.begin(request)
        await asyncio.wait([flight.answer])
        reply = flight.land()
        await _counting()
        return reply, flights.counted(code)

    reply, counted = _fly(tiny_bundle, scenario)
    assert (reply.id, reply.error.code) == (7, grpc.StatusCode[code].value[0])
    assert reply.error.message
    assert counted == 1

    async def unary(flights: _Flights) -> None:
        with pytest.raises((BundleMismatch, DeadlineExceeded, FrameError)):
            await flights.begin(request).reply()

    _fly(tiny_bundle, unary)


def test_refusals_leave_nothing_to_the_collector(tiny_bundle: Bundle) -> None:
    """What is refused at most is refused when there is least time."""

    async def scenario(flights: _Flights) -> int:
        requests = [make_request(tiny_bundle) for _ in _REFUSED]
        for request, (change, _) in zip(requests, _REFUSED, strict=True):
            change(request)

        async def refuse() -> None:
            landed: list[pb.ForwardReply] = []

            def land(flight: Flight, _: object) -> None:
                landed.append(flight.land())

            for request in requests:
                flight = flights.begin(request)
                flight.answer.add_done_callback(partial(land, flight))
            while len(landed) < len(requests):
                await asyncio.sleep(0.001)
            await _counting()

        await refuse()
        with collector_off():
            await refuse()
            return gc.collect()

    assert _fly(tiny_bundle, scenario) == 0


def test_nobody_waits_for_what_is_cancelled(tiny_bundle: Bundle) -> None:
    async def scenario(flights: _Flights) -> float | None:
        flight = flights.begin(make_request(tiny_bundle))
        flight.answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            flight.land()
        await _counting()
        return flights.counted("CANCELLED")

    assert _fly(tiny_bundle, scenario) == 1


def test_what_is_our_own_fault_is_not_told() -> None:
    assert refusal(RuntimeError("secret")) == (grpc.StatusCode.INTERNAL, "internal error")
    assert refusal(FrameError("x" * 10_000)) == (grpc.StatusCode.INVALID_ARGUMENT, "x" * 500)
    assert refusal(FrameError("a\ud800")) == (grpc.StatusCode.INVALID_ARGUMENT, "a?")
