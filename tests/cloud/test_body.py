import asyncio
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from cloud.body import Body, Computed
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.errors import CloudUnavailable, DeadlineExceeded, FrameError, PayloadTooLarge, ShapeMismatch
from splitwire.frame import Frame, decode, encode, max_payload_bytes
from tests.cloud.serving import make_symbols


@pytest.fixture(scope="module")
def body(tiny_bundle: Bundle) -> Iterator[Body]:
    with Body(tiny_bundle, threads=1, workers=2, max_rows=4, max_batch=4, max_queue=64) as body:
        yield body


def _frame(bundle: Bundle, *, rows: int = 1, seed: int = 0) -> Frame:
    return encode(make_symbols(bundle, rows=rows, seed=seed), bundle.manifest.uplink)


def _forward(body: Body, frame: Frame, *, expires_ns: int | None = None) -> Computed:
    async def forward() -> Computed:
        return await body.forward(frame, arrived_ns=time.perf_counter_ns(), expires_ns=expires_ns)

    return asyncio.run(forward())


async def _all_at_once(body: Body, frames: Sequence[Frame]) -> list[Computed | BaseException]:
    now = time.perf_counter_ns()
    waiting = (body.forward(frame, arrived_ns=now) for frame in frames)
    return await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_frame_comes_back_as_the_graph_made_it(tiny_bundle: Bundle, body: Body, rows: int) -> None:
    computed = _forward(body, _frame(tiny_bundle, rows=rows))
    expected = Engine(tiny_bundle.graph("body")).run(make_symbols(tiny_bundle, rows=rows))
    np.testing.assert_array_equal(decode(computed.frame, tiny_bundle.manifest.downlink), expected)


def test_every_stage_is_timed(tiny_bundle: Bundle, body: Body) -> None:
    computed = _forward(body, _frame(tiny_bundle))
    assert min(computed.queue_ns, computed.decode_ns, computed.compute_ns, computed.encode_ns) > 0


def test_the_rows_of_each_computation_are_noted(tiny_bundle: Bundle) -> None:
    noted: list[int] = []
    limits = {"threads": 1, "workers": 1, "max_rows": 4, "max_batch": 4, "max_queue": 4}
    with Body(tiny_bundle, **limits, note_rows=noted.append) as body:
        for rows in (1, 3):
            _forward(body, _frame(tiny_bundle, rows=rows))
    assert noted == [1, 3]


def test_concurrent_frames_do_not_mix(tiny_bundle: Bundle, body: Body) -> None:
    frames = [_frame(tiny_bundle, seed=seed) for seed in range(50)]
    engine = Engine(tiny_bundle.graph("body"))
    for seed, computed in enumerate(asyncio.run(_all_at_once(body, frames))):
        expected = encode(engine.run(make_symbols(tiny_bundle, seed=seed)), tiny_bundle.manifest.downlink)
        assert isinstance(computed, Computed)
        assert computed.frame == expected


def test_what_waits_for_the_worker_is_one_batch(slow_bundle: Bundle) -> None:
    frames = [_frame(slow_bundle, seed=seed) for seed in range(5)]
    with Body(slow_bundle, threads=1, workers=1, max_rows=4, max_batch=4, max_queue=64) as body:
        computed = asyncio.run(_all_at_once(body, frames))
    assert len({one.compute_ns for one in computed if isinstance(one, Computed)}) == 2, "a batch has one time"
    engine = Engine(slow_bundle.graph("body"))
    for seed, one in enumerate(computed):
        expected = encode(engine.run(make_symbols(slow_bundle, seed=seed)), slow_bundle.manifest.downlink)
        assert isinstance(one, Computed)
        assert one.frame == expected


def test_a_refused_frame_in_a_batch_fails_alone(tiny_bundle: Bundle) -> None:
    frames = [_frame(tiny_bundle, seed=seed) for seed in range(6)]
    frames[2] = replace(frames[2], payload=frames[2].payload + b"x")
    frames[4] = replace(frames[4], shape=(5, *frames[4].shape[1:]))

    with Body(tiny_bundle, threads=1, workers=1, max_rows=4, max_batch=16, max_queue=64) as body:
        answers = asyncio.run(_all_at_once(body, frames))
    assert [isinstance(answer, Computed) for answer in answers] == [True, True, False, True, False, True]
    assert isinstance(answers[2], FrameError)
    assert isinstance(answers[4], PayloadTooLarge)


@pytest.mark.parametrize("max_batch", [1, 2, 3])
def test_a_frame_of_more_rows_than_a_batch_is_run_in_pieces(tiny_bundle: Bundle, max_batch: int) -> None:
    with Body(tiny_bundle, threads=1, workers=2, max_rows=4, max_batch=max_batch, max_queue=4) as body:
        computed = _forward(body, _frame(tiny_bundle, rows=4))
    expected = Engine(tiny_bundle.graph("body")).run(make_symbols(tiny_bundle, rows=4))
    np.testing.assert_array_equal(decode(computed.frame, tiny_bundle.manifest.downlink), expected)


def test_what_will_be_refused_takes_the_room_that_it_may_hold(tiny_bundle: Bundle, body: Body) -> None:
    frame = _frame(tiny_bundle, rows=2)
    assert body._weigh(frame) == 2
    assert body._weigh(replace(frame, shape=())) == 4
    assert body._weigh(replace(frame, shape=(2**32 - 1, *frame.shape[1:]))) == 4
    assert body._weigh(replace(frame, shape=(0, *frame.shape[1:]))) == 4
    most = max_payload_bytes(tiny_bundle.manifest.uplink, 2)
    assert body._weigh(replace(frame, payload=bytes(most))) == 2
    assert body._weigh(replace(frame, payload=bytes(most + 1))) == 4


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
    with Body(tiny_bundle, threads=1, workers=1, max_rows=4, max_batch=4, max_queue=64) as body:
        # By a worker: how long it takes is not known yet.
        expected = _forward(body, _frame(tiny_bundle)).frame
        body.close()
        assert _forward(body, _frame(tiny_bundle)).frame == expected
        with pytest.raises(CloudUnavailable):
            _forward(body, _frame(tiny_bundle, rows=2))

        async def beside_another() -> Computed:
            now = time.perf_counter_ns()
            body._in_flight += 1  # of somebody else
            try:
                return await body.forward(_frame(tiny_bundle), arrived_ns=now)
            finally:
                body._in_flight -= 1

        with pytest.raises(CloudUnavailable):
            asyncio.run(beside_another())
        assert _forward(body, _frame(tiny_bundle)).frame == expected


def test_a_refused_frame_says_nothing_of_what_the_next_will_take(tiny_bundle: Bundle) -> None:
    noted: list[int] = []
    limits = {"threads": 1, "workers": 1, "max_rows": 4, "max_batch": 4, "max_queue": 64}
    good = _frame(tiny_bundle)
    with Body(tiny_bundle, **limits, note_rows=noted.append) as body:
        for refused in (replace(good, payload=good.payload + b"x"), _frame(tiny_bundle, rows=5)):
            with pytest.raises(FrameError):
                _forward(body, refused)
        assert noted == []
        body.close()
        with pytest.raises(CloudUnavailable):  # it wanted a worker
            _forward(body, good)


@pytest.mark.parametrize(("lull_ns", "alone"), [(60_000_000_000, False), (0, True)])
def test_frames_that_arrive_together_are_not_alone_unless_nothing_was_computed_lately(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, lull_ns: int, alone: bool
) -> None:
    """After a lull the first is computed at once; else those that came during the computation batch."""
    monkeypatch.setattr("cloud.body._LULL_NS", lull_ns)
    with Body(tiny_bundle, threads=1, workers=1, max_rows=4, max_batch=4, max_queue=64) as body:
        for _ in range(2):  # the first by a worker: how long it takes is not known before
            _forward(body, _frame(tiny_bundle))
        body.close()
        first, *_ = asyncio.run(_all_at_once(body, [_frame(tiny_bundle)] * 3))
    assert isinstance(first, Computed if alone else CloudUnavailable)


def test_who_goes_before_its_turn_needs_no_worker(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.body._LULL_NS", 60_000_000_000)
    faults: list[object] = []

    async def cancel(body: Body) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        now = time.perf_counter_ns()
        first, second = (body.forward(_frame(tiny_bundle), arrived_ns=now) for _ in range(2))
        first.cancel()
        with pytest.raises(CloudUnavailable):
            await second

    with Body(tiny_bundle, threads=1, workers=1, max_rows=4, max_batch=4, max_queue=64) as body:
        for _ in range(2):  # the first by a worker: how long it takes is not known before
            _forward(body, _frame(tiny_bundle))
        body.close()
        asyncio.run(cancel(body))
    assert faults == []


def test_how_long_many_rows_take_says_nothing_of_one(tiny_bundle: Bundle) -> None:
    with Body(tiny_bundle, threads=1, workers=1, max_rows=4, max_batch=4, max_queue=64) as body:
        _forward(body, _frame(tiny_bundle, rows=4))
        body.close()
        with pytest.raises(CloudUnavailable):
            _forward(body, _frame(tiny_bundle))


def test_a_frame_that_would_take_long_needs_a_worker(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.body._BRIEF_NS", 0)
    with Body(tiny_bundle, threads=1, workers=1, max_rows=4, max_batch=4, max_queue=64) as body:
        _forward(body, _frame(tiny_bundle))
        body.close()
        with pytest.raises(CloudUnavailable):
            _forward(body, _frame(tiny_bundle))


def test_drained_nothing_is_in_flight_and_closed_nothing_holds_it(tiny_bundle: Bundle) -> None:
    async def drain(body: Body) -> None:
        frames = [_frame(tiny_bundle, seed=seed) for seed in range(20)]
        flights = [body.forward(frame, arrived_ns=0) for frame in frames]
        await asyncio.sleep(0)
        await body.drain()
        assert all(flight.done() for flight in flights)
        await body.drain()  # which takes no time now
        body.close()

    body = Body(tiny_bundle, threads=1, workers=2, max_rows=4, max_batch=4, max_queue=64)
    asyncio.run(drain(body))
    gone = weakref.ref(body)
    workers = list(body._batcher._pool._threads)
    del body
    for worker in workers:
        worker.join()
    assert gone() is None, "nor does it take the garbage collector, which cannot see how large graphs are"
