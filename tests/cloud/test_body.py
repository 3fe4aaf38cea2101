import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest

from cloud.body import Body, Computed
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.errors import DeadlineExceeded, FrameError, ShapeMismatch
from splitwire.frame import Frame, decode, encode
from tests.cloud.serving import make_symbols


@pytest.fixture(scope="module")
def body(tiny_bundle: Bundle) -> Iterator[Body]:
    with Body(tiny_bundle, threads=1, workers=2, max_rows=4) as body:
        yield body


def _frame(bundle: Bundle, *, rows: int = 1, seed: int = 0) -> Frame:
    return encode(make_symbols(bundle, rows=rows, seed=seed), bundle.manifest.uplink)


def _forward(body: Body, frame: Frame, *, expires_ns: int | None = None) -> Computed:
    return asyncio.run(body.forward(frame, arrived_ns=time.perf_counter_ns(), expires_ns=expires_ns))


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_frame_comes_back_as_the_graph_made_it(tiny_bundle: Bundle, body: Body, rows: int) -> None:
    computed = _forward(body, _frame(tiny_bundle, rows=rows))
    expected = Engine(tiny_bundle.graph("body")).run(make_symbols(tiny_bundle, rows=rows))
    np.testing.assert_array_equal(decode(computed.frame, tiny_bundle.manifest.downlink), expected)


def test_every_stage_is_timed(tiny_bundle: Bundle, body: Body) -> None:
    computed = _forward(body, _frame(tiny_bundle))
    assert min(computed.queue_ns, computed.decode_ns, computed.compute_ns, computed.encode_ns) > 0


def test_concurrent_frames_do_not_mix(tiny_bundle: Bundle, body: Body) -> None:
    async def all_at_once() -> list[Computed]:
        now = time.perf_counter_ns()
        frames = (_frame(tiny_bundle, seed=seed) for seed in range(50))
        return await asyncio.gather(*(body.forward(frame, arrived_ns=now) for frame in frames))

    engine = Engine(tiny_bundle.graph("body"))
    for seed, computed in enumerate(asyncio.run(all_at_once())):
        expected = encode(engine.run(make_symbols(tiny_bundle, seed=seed)), tiny_bundle.manifest.downlink)
        assert computed.frame == expected


def test_more_rows_than_allowed_are_refused(tiny_bundle: Bundle, body: Body) -> None:
    with pytest.raises(FrameError, match="4"):
        _forward(body, _frame(tiny_bundle, rows=5))


def test_an_expired_frame_is_not_even_decoded(body: Body, tiny_bundle: Bundle) -> None:
    broken = Frame((1, 1, 1, 1), _frame(tiny_bundle).packing, 4, b"")
    with pytest.raises(ShapeMismatch):
        _forward(body, broken)
    with pytest.raises(DeadlineExceeded, match="waited"):
        _forward(body, broken, expires_ns=time.perf_counter_ns())


def test_a_lone_brief_frame_needs_no_worker(tiny_bundle: Bundle) -> None:
    """With the pool closed, what would need a worker fails."""
    with Body(tiny_bundle, threads=1, workers=1, max_rows=4) as body:
        expected = _forward(
            body, _frame(tiny_bundle)
        ).frame  # by a worker: how long it takes is not known yet
        body.close()
        assert _forward(body, _frame(tiny_bundle)).frame == expected
        with pytest.raises(RuntimeError):
            _forward(body, _frame(tiny_bundle, rows=2))

        async def beside_another() -> Computed:
            now = time.perf_counter_ns()
            body._in_flight += 1  # of somebody else
            try:
                return await body.forward(_frame(tiny_bundle), arrived_ns=now)
            finally:
                body._in_flight -= 1

        with pytest.raises(RuntimeError):
            asyncio.run(beside_another())
        assert _forward(body, _frame(tiny_bundle)).frame == expected


def test_a_frame_that_would_take_long_needs_a_worker(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.body._BRIEF_NS", 0)
    with Body(tiny_bundle, threads=1, workers=1, max_rows=4) as body:
        _forward(body, _frame(tiny_bundle))
        body.close()
        with pytest.raises(RuntimeError):
            _forward(body, _frame(tiny_bundle))
