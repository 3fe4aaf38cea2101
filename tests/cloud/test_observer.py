import asyncio
import contextlib
import logging
import time

import pytest

from cloud.body import Computed
from cloud.metrics import CloudMetrics
from cloud.observer import Observer
from cloud.spans import CloudSpans
from protos import splitwire_pb2 as pb
from splitwire.errors import BundleMismatch
from splitwire.frame import Frame
from splitwire.packing import Packing
from splitwire.trace import CURRENT, Trace

FRAME = Frame((1, 4), Packing.DENSE, 8, bytes(4))


def observe(metrics: CloudMetrics, request: pb.ForwardRequest, error: BaseException | None = None) -> None:
    async def answer() -> None:
        with Observer(metrics).request(request, time.perf_counter_ns(), method="Forward", digest=b"") as seen:
            assert metrics.in_flight == 1
            if error is not None:
                raise error
            seen.computed(FRAME, Computed(FRAME, 0, 0, 0, 0))

    asyncio.run(answer())


def requests(metrics: CloudMetrics, code: str) -> float | None:
    return metrics.registry.get_sample_value("splitwire_cloud_requests_total", {"code": code})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BundleMismatch("other"), "FAILED_PRECONDITION"),
        (RuntimeError("bug"), "INTERNAL"),
        (asyncio.CancelledError(), "CANCELLED"),
    ],
)
def test_failures_are_counted_and_logged_at_info(
    error: BaseException, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = CloudMetrics()
    with caplog.at_level(logging.INFO, "cloud.observer"), pytest.raises(type(error)):
        observe(metrics, pb.ForwardRequest(), error)
    assert (requests(metrics, code), requests(metrics, "OK"), metrics.in_flight) == (1, 0, 0)
    (record,) = caplog.records
    level = "ERROR" if code == "INTERNAL" else "INFO"
    assert (record.levelname, record.getMessage().split()[0]) == (level, code)
    assert record.getMessage().endswith(f": {error}" if str(error) else " B out")
    assert (record.exc_info is not None) == (code == "INTERNAL")


def test_answers_are_counted_and_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    metrics = CloudMetrics()
    for level, expected in ((logging.INFO, 0), (logging.DEBUG, 1)):
        with caplog.at_level(level, "cloud.observer"):
            observe(metrics, pb.ForwardRequest())
        assert len(caplog.records) == expected
    assert requests(metrics, "OK") == 2
    assert "payload 4 B in, 4 B out" in caplog.text


def test_what_ends_in_one_turn_is_noted_each_for_itself(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = CloudMetrics()
    observer = Observer(metrics)
    traces: list[Trace | None] = []

    def keep_trace(_: logging.LogRecord) -> bool:
        traces.append(CURRENT.get())
        return True

    monkeypatch.setattr(caplog.handler, "filters", [keep_trace])

    def answer(name: str, error: Exception | None) -> None:
        request = pb.ForwardRequest(trace=pb.Trace(request_id=name))
        with (
            contextlib.suppress(BundleMismatch),
            observer.request(request, time.perf_counter_ns(), method="Forward", digest=b"") as seen,
        ):
            if error is not None:
                raise error
            seen.computed(FRAME, Computed(FRAME, 0, 0, 0, 0))

    async def answer_all() -> None:
        answer("one", None)
        answer("two", BundleMismatch("other"))
        answer("three", None)
        noted = sum(metrics.requests.sums().values())
        assert (metrics.in_flight, noted) == (
            0,
            0,
        )  # not before answers are on their way
        await asyncio.sleep(0)
        assert not metrics.requests.sums()["OK",], "in this turn answers are written"
        await asyncio.sleep(0)
        assert (requests(metrics, "OK"), requests(metrics, "FAILED_PRECONDITION")) == (2, 1)

    with caplog.at_level(logging.DEBUG, "cloud.observer"):
        asyncio.run(answer_all())
    assert [record.getMessage().split()[0] for record in caplog.records] == [
        "OK",
        "FAILED_PRECONDITION",
        "OK",
    ]
    assert traces == [Trace(name, given=True) for name in ("one", "two", "three")]


def test_what_exporting_spans_says_is_of_their_request() -> None:
    class Spans(CloudSpans):
        def __init__(self) -> None:
            self.traces: list[tuple[Trace | None, Trace | None]] = []

        def record(self, trace: Trace | None, **_: object) -> None:
            self.traces.append((trace, CURRENT.get()))

    spans = Spans()
    observer = Observer(CloudMetrics(), spans)

    async def answer_all() -> None:
        for name in ("one", "two"):
            request = pb.ForwardRequest(trace=pb.Trace(request_id=name))
            with observer.request(request, time.perf_counter_ns(), method="Forward", digest=b""):
                pass
        await asyncio.sleep(0)

    asyncio.run(answer_all())
    assert spans.traces == [(Trace(name, given=True), Trace(name, given=True)) for name in ("one", "two")]


def test_the_requests_trace_is_followed() -> None:
    async def answer(request: pb.ForwardRequest) -> Trace | None:
        with Observer(CloudMetrics()).request(request, 0, method="Forward", digest=b""):
            return CURRENT.get()

    request = pb.ForwardRequest(trace=pb.Trace(request_id="abc"))
    assert asyncio.run(answer(request)) == Trace("abc", given=True)
    assert asyncio.run(answer(pb.ForwardRequest(trace=pb.Trace(request_id="a\nb")))) is None
    assert asyncio.run(answer(pb.ForwardRequest())) is None
