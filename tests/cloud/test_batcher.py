"""Every request gets its own answer, once, whatever happens to those beside it."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud.batch import each, together
from cloud.batcher import Batcher
from cloud.job_queue import Job
from splitwire.errors import CloudBusy, CloudUnavailable, CorruptPayload, DeadlineExceeded, GraphError

_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True)
class _Request:
    """refused: by the decoder. poisoned: every run that holds it fails."""

    number: int
    rows: int = 1
    refused: bool = False
    poisoned: bool = False


_Job: TypeAlias = Job[_Request, int]


class _Engine:
    """Computes batches of tagged rows: a request's answer is its number. Each batch waits at the gate.

    failing: the runs that fail whatever they hold, counted from 0. failed: who was alone in a failed run.
    """

    def __init__(self, failing: frozenset[int] = frozenset()) -> None:
        self.batches: list[list[_Request]] = []
        self.passed: list[None] = []
        self.failed: set[int] = set()
        self._failing = failing
        self._runs = itertools.count()
        self._gate = threading.Semaphore(0)

    @property
    def started(self) -> list[int]:
        return [request.number for batch in self.batches for request in batch]

    @property
    def at_the_gate(self) -> int:
        return len(self.batches) - len(self.passed)

    def open(self, batches: int) -> None:
        self._gate.release(batches)

    def compute(self, jobs: Sequence[_Job]) -> list[int | Exception]:
        self.batches.append([job.request for job in jobs])
        self._gate.acquire()
        self.passed.append(None)
        rows = each(self._decode, [job.request for job in jobs])
        return each(self._encode, together(self._run, rows))

    def _decode(self, request: _Request) -> NDArray[Any]:
        if request.refused:
            raise CorruptPayload("refused")
        return np.full((request.rows, 2), (request.number, request.poisoned))

    def _run(self, rows: NDArray[Any]) -> NDArray[Any]:
        if next(self._runs) in self._failing or rows[:, 1].any():
            numbers = np.unique(rows[:, 0]).tolist()
            if len(numbers) == 1:
                self.failed.add(numbers[0])
            raise GraphError("failed")
        return rows

    def _encode(self, rows: NDArray[Any]) -> int:
        (number,) = np.unique(rows[:, 0])
        return int(number)


@contextmanager
def _batching(
    engine: _Engine, *, workers: int = 1, max_batch: int = 4, max_queue: int = 100, max_delay_ns: int = 0
) -> Iterator[Batcher[_Request, int]]:
    batcher = Batcher(
        engine.compute, workers=workers, max_batch=max_batch, max_queue=max_queue, max_delay_ns=max_delay_ns
    )
    try:
        yield batcher
    finally:
        engine.open(1000)
        batcher.close()


def _job(request: _Request, expires_ns: int | None = None) -> _Job:
    return Job(request, request.rows, time.perf_counter_ns(), expires_ns)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.0001)


@dataclass(frozen=True)
class _Submit:
    rows: int
    refused: bool
    poisoned: bool
    expired: bool


@dataclass(frozen=True)
class _Cancel:
    """The request of that number, if it is there and unanswered."""

    number: int


@dataclass(frozen=True)
class _Finish:
    """One batch, if one is being computed."""


@dataclass
class _Play:
    """Requests come, go and are computed, one thing after another, and what became of each is remembered."""

    engine: _Engine
    batcher: Batcher[_Request, int]
    max_queue: int
    jobs: list[_Job] = field(default_factory=list)
    tasks: "list[asyncio.Future[int]]" = field(default_factory=list)
    left_in_time: set[int] = field(default_factory=set)

    async def act(self, action: _Submit | _Cancel | _Finish) -> None:
        if isinstance(action, _Submit):
            await self._submit(action)
        elif isinstance(action, _Finish):
            await self._finish()
        elif action.number < len(self.tasks) and not self.tasks[action.number].done():
            if self._waits(action.number):
                self.left_in_time.add(action.number)
            self.tasks[action.number].cancel()
        await asyncio.sleep(0)
        await _until(lambda: self.batcher._busy == self.engine.at_the_gate)
        await asyncio.sleep(0)

    async def outcomes(self) -> list[int | BaseException]:
        self.engine.open(1000)
        return await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _submit(self, action: _Submit) -> None:
        request = _Request(len(self.jobs), action.rows, action.refused, action.poisoned)
        living = sum(job.rows for i, job in enumerate(self.jobs) if self._waits(i) and job.expires_ns != 0)
        self.jobs.append(_job(request, expires_ns=0 if action.expired else None))
        self.tasks.append(self.batcher.submit(self.jobs[-1]))
        await asyncio.sleep(0)
        full = living + request.rows > self.max_queue
        assert full == (self.tasks[-1].done() and isinstance(self.tasks[-1].exception(), CloudBusy))
        assert self.batcher._queue.rows <= self.max_queue

    async def _finish(self) -> None:
        if self.engine.at_the_gate:
            passed = len(self.engine.passed)
            self.engine.open(1)
            await _until(lambda: len(self.engine.passed) > passed)

    def _waits(self, number: int) -> bool:
        return not self.tasks[number].done() and number not in self.engine.started


_RARELY = st.sampled_from([False] * 5 + [True])

_ACTIONS = st.lists(
    st.builds(_Submit, st.integers(1, 6), _RARELY, _RARELY, _RARELY)
    | st.builds(_Cancel, st.integers(0, 15))
    | st.builds(_Finish),
    max_size=40,
)


def _explains(play: _Play, number: int, outcome: int | BaseException) -> bool:
    """Whether that is what must have become of the request."""
    engine, request = play.engine, play.jobs[number].request
    if isinstance(outcome, asyncio.CancelledError):
        return number in play.left_in_time or number in engine.started
    if number not in engine.started:
        expired = play.jobs[number].expires_ns == 0
        return isinstance(outcome, CloudBusy) or (expired and isinstance(outcome, DeadlineExceeded))
    if request.refused:
        return isinstance(outcome, CorruptPayload)
    if number in engine.failed:
        return isinstance(outcome, GraphError)
    return not request.poisoned and outcome == number


@given(
    actions=_ACTIONS,
    workers=st.integers(1, 3),
    max_batch=st.integers(1, 8),
    max_queue=st.integers(6, 12),
    failing=st.frozensets(st.integers(0, 20), max_size=4),
)
def test_each_request_gets_its_own_answer_once(
    actions: list[_Submit | _Cancel | _Finish],
    workers: int,
    max_batch: int,
    max_queue: int,
    failing: frozenset[int],
) -> None:
    engine = _Engine(failing)

    async def run() -> tuple[_Play, list[int | BaseException]]:
        play = _Play(engine, batcher, max_queue)
        for action in actions:
            await play.act(action)
        return play, await play.outcomes()

    with _batching(engine, workers=workers, max_batch=max_batch, max_queue=max_queue) as batcher:
        play, outcomes = asyncio.run(run())
    assert len(outcomes) == len(play.jobs)
    for number, outcome in enumerate(outcomes):
        assert _explains(play, number, outcome), (number, outcome)
    assert play.left_in_time.isdisjoint(engine.started)
    assert not any(play.jobs[number].expires_ns == 0 for number in engine.started)
    for batch in engine.batches:
        assert len(batch) == 1 or sum(request.rows for request in batch) <= max_batch


@given(actions=_ACTIONS, workers=st.integers(1, 3), max_batch=st.integers(1, 8))
def test_who_came_first_is_computed_first_and_only_once(
    actions: list[_Submit | _Cancel | _Finish], workers: int, max_batch: int
) -> None:
    engine = _Engine()

    async def run() -> list[int]:
        play = _Play(engine, batcher, 1000)
        for action in actions:
            await play.act(action)
        begun = engine.started
        await play.outcomes()
        return begun

    with _batching(engine, workers=workers, max_batch=max_batch, max_queue=1000) as batcher:
        begun = asyncio.run(run())
    assert begun == sorted(set(begun))
    assert len(set(engine.started)) == len(engine.started)


async def _submit(batcher: Batcher[_Request, int], *jobs: _Job) -> "list[asyncio.Future[int]]":
    tasks = [batcher.submit(job) for job in jobs]
    await asyncio.sleep(0)
    return tasks


def test_a_free_worker_waits_for_nobody() -> None:
    async def run() -> None:
        first = await _submit(batcher, _job(_Request(0)))
        await _until(lambda: engine.started == [0])
        second = await _submit(batcher, _job(_Request(1)))
        await _until(lambda: engine.started == [0, 1])
        engine.open(2)
        assert await asyncio.gather(*first, *second) == [0, 1]

    engine = _Engine()
    with _batching(engine, workers=2) as batcher:
        asyncio.run(run())


def test_what_queued_meanwhile_is_one_batch() -> None:
    async def run() -> None:
        first = await _submit(batcher, _job(_Request(0)))
        await _until(lambda: engine.started == [0])
        others = await _submit(batcher, *(_job(_Request(i)) for i in range(1, 7)))
        engine.open(3)
        assert await asyncio.gather(*first, *others) == list(range(7))

    engine = _Engine()
    with _batching(engine, max_batch=4) as batcher:
        asyncio.run(run())
    assert [[request.number for request in batch] for batch in engine.batches] == [[0], [1, 2, 3, 4], [5, 6]]


def test_a_batch_that_is_held_back_goes_when_it_is_full() -> None:
    async def run() -> list[int]:
        engine.open(1)
        return await asyncio.gather(*await _submit(batcher, *(_job(_Request(i)) for i in range(4))))

    engine = _Engine()
    with _batching(engine, workers=2, max_batch=4, max_delay_ns=_HOUR_NS) as batcher:
        assert asyncio.run(run()) == [0, 1, 2, 3]
    assert [len(batch) for batch in engine.batches] == [4]


def test_a_batch_that_is_held_back_goes_when_its_first_has_waited_long_enough() -> None:
    async def run() -> list[int]:
        engine.open(1)
        return await asyncio.gather(*await _submit(batcher, _job(_Request(0))))

    engine = _Engine()
    with _batching(engine, max_delay_ns=1_000_000) as batcher:
        assert asyncio.run(run()) == [0]


def test_who_has_gone_neither_fills_a_batch_that_is_held_back_nor_says_how_long() -> None:
    async def run() -> list[int]:
        long_ago = time.perf_counter_ns() - _HOUR_NS
        gone: list[_Job] = [Job(request, 1, long_ago) for request in map(_Request, range(2))]
        for job in gone:
            job.answer.cancel()  # before a worker sees it, or it might be computed
        staying = (await _submit(batcher, *gone, _job(_Request(3)), _job(_Request(4))))[2:]
        await asyncio.sleep(0.02)
        assert engine.started == []
        staying += await _submit(batcher, _job(_Request(5)), _job(_Request(6)))
        engine.open(2)
        return await asyncio.gather(*staying)

    engine = _Engine()
    with _batching(engine, max_batch=4, max_delay_ns=_HOUR_NS) as batcher:
        assert asyncio.run(run()) == [3, 4, 5, 6]
    assert [[request.number for request in batch] for batch in engine.batches] == [[3, 4, 5, 6]]


def test_what_cannot_be_explained_is_the_outcome_of_its_batch_and_ends_no_worker() -> None:
    def compute(jobs: Sequence[_Job]) -> list[int | Exception]:
        if jobs[0].request.poisoned:
            raise MemoryError("too much")
        return [job.request.number for job in jobs]

    async def run() -> None:
        with pytest.raises(MemoryError, match="too much"):
            await batcher.submit(_job(_Request(0, poisoned=True)))
        assert await batcher.submit(_job(_Request(1))) == 1

    with contextlib.closing(Batcher(compute, workers=1, max_batch=4, max_queue=8, max_delay_ns=0)) as batcher:
        asyncio.run(run())


def test_what_has_expired_makes_room_in_a_full_queue() -> None:
    async def run() -> None:
        tasks = await _submit(batcher, _job(_Request(0)))
        await _until(lambda: engine.started == [0])
        tasks += await _submit(batcher, _job(_Request(1)), _job(_Request(2, rows=2), expires_ns=0))
        with pytest.raises(CloudBusy):
            await batcher.submit(_job(_Request(3, rows=3)))
        with pytest.raises(DeadlineExceeded):
            await tasks[2]
        tasks += await _submit(batcher, _job(_Request(4, rows=2)))
        engine.open(2)
        assert [await tasks[i] for i in (0, 1, 3)] == [0, 1, 4]

    engine = _Engine()
    with _batching(engine, max_queue=3) as batcher:
        asyncio.run(run())


def test_closing_drops_what_waits_and_answers_what_is_computed() -> None:
    async def run() -> None:
        tasks = await _submit(batcher, _job(_Request(0)))
        await _until(lambda: engine.started == [0])
        tasks += await _submit(batcher, _job(_Request(1)))
        batcher.close()
        with pytest.raises(CloudUnavailable):
            await tasks[1]
        with pytest.raises(CloudUnavailable):
            await batcher.submit(_job(_Request(2)))
        engine.open(1)
        assert await tasks[0] == 0

    engine = _Engine()
    with _batching(engine) as batcher:
        asyncio.run(run())
    assert engine.started == [0]


def test_closing_ends_a_batch_that_is_held_back() -> None:
    async def run() -> None:
        (task,) = await _submit(batcher, _job(_Request(0)))
        await _until(lambda: bool(vars(batcher._changed)["_waiters"]))
        batcher.close()
        with pytest.raises(CloudUnavailable):
            await task
        await _until(lambda: batcher.idle)

    engine = _Engine()
    with _batching(engine, max_delay_ns=_HOUR_NS) as batcher:
        asyncio.run(run())
    assert engine.started == []


def test_an_answer_that_comes_after_the_end_of_the_loop_is_dropped() -> None:
    async def leave() -> None:
        await _submit(batcher, _job(_Request(0)))
        await _until(lambda: engine.started == [0])

    async def run() -> int:
        return await batcher.submit(_job(_Request(1)))

    engine = _Engine()
    with _batching(engine) as batcher:
        asyncio.run(leave())
        engine.open(2)
        assert asyncio.run(run()) == 1
