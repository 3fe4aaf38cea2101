import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar

import pytest

from edge.admission import Admission
from edge.problems import BUSY, Problem


def soon() -> float:
    return time.monotonic() + 60.0


@asynccontextmanager
async def admission_of(concurrency: int) -> AsyncIterator[Admission]:
    admission = Admission(concurrency)
    try:
        yield admission
    finally:
        admission.close()


def test_no_more_jobs_run_than_allowed_and_all_finish() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def job() -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return 1

    async def scenario() -> int:
        async with admission_of(3) as admission:
            return sum(await asyncio.gather(*(admission.run(job, soon()) for _ in range(20))))

    assert asyncio.run(scenario()) == 20
    assert most == 3


def test_it_tells_how_many_are_inside_and_how_many_wait() -> None:
    async def scenario() -> None:
        release = threading.Event()
        async with admission_of(1) as admission, AsyncExitStack() as inside:
            for _ in range(3):
                inside.enter_context(admission.enter(soon()))
            jobs = [asyncio.create_task(admission.run(release.wait, soon())) for _ in range(3)]
            await asyncio.sleep(0.01)
            assert (admission.inside, admission.waiting) == (3, 2)
            release.set()
            assert all(await asyncio.gather(*jobs))
            assert (admission.inside, admission.waiting) == (3, 0)
        assert admission.inside == 0

    asyncio.run(scenario())


def test_a_job_runs_in_its_callers_context() -> None:
    variable: ContextVar[str] = ContextVar("variable")

    async def scenario() -> str:
        async with admission_of(1) as admission:
            variable.set("here")
            return await admission.run(variable.get, soon())

    assert asyncio.run(scenario()) == "here"


def test_a_job_that_gets_no_turn_in_time_is_sent_away() -> None:
    async def scenario() -> None:
        release = threading.Event()
        async with admission_of(1) as admission:
            busy = asyncio.create_task(admission.run(release.wait, soon()))
            await asyncio.sleep(0)
            with pytest.raises(Problem) as refusal:
                await admission.run(threading.Event().wait, time.monotonic() + 0.05)
            assert refusal.value.kind is BUSY
            release.set()
            assert await busy
            assert await admission.run(release.is_set, soon())

    asyncio.run(scenario())


def test_a_job_that_fails_frees_its_turn() -> None:
    async def scenario() -> None:
        async with admission_of(1) as admission:
            for _ in range(3):
                with pytest.raises(KeyError):
                    await admission.run({}.popitem, soon())

    asyncio.run(scenario())


def test_beyond_the_waiting_room_requests_are_sent_away_at_once() -> None:
    async def scenario() -> None:
        async with admission_of(2) as admission, AsyncExitStack() as inside:
            for _ in range(admission.places):
                inside.enter_context(admission.enter(soon()))
            with pytest.raises(Problem) as refusal:
                inside.enter_context(admission.enter(soon()))
            assert refusal.value.kind is BUSY
            await inside.aclose()
            with admission.enter(soon()):
                pass

    asyncio.run(scenario())


def test_what_would_be_answered_too_late_is_sent_away_before_it_waits() -> None:
    async def scenario() -> None:
        async with admission_of(1) as admission, AsyncExitStack() as inside:
            await admission.run(lambda: time.sleep(0.1), soon())  # so it knows that jobs take time
            assert admission.refusal(seconds=0.001) is None, "its turn would be now"
            inside.enter_context(admission.enter(soon()))
            assert admission.refusal(seconds=60.0) is None
            problem = admission.refusal(seconds=0.001)
            assert problem is not None
            assert problem.kind is BUSY
            assert "1 requests are before" in problem.detail

    asyncio.run(scenario())
