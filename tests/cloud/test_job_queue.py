import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.job_queue import Job, JobQueue
from splitwire.errors import CloudBusy

_ROWS = st.lists(st.integers(1, 9), max_size=20)


def _jobs(rows: Sequence[int], expiries: Sequence[int | None] | None = None) -> list[Job[int, str]]:
    """Numbered in the order of their arrival. Their answers belong to a loop that never runs."""
    loop = asyncio.new_event_loop()
    try:
        return [
            Job(i, n, arrived_ns=i, expires_ns=expiries[i] if expiries else None, answer=loop.create_future())
            for i, n in enumerate(rows)
        ]
    finally:
        loop.close()


def _filled(jobs: Sequence[Job[int, str]]) -> JobQueue[int, str]:
    queue: JobQueue[int, str] = JobQueue(1000)
    for job in jobs:
        queue.put(job)
    return queue


@given(_ROWS, st.integers(1, 12))
def test_batches_take_everyone_in_order_and_as_many_as_fit(rows: list[int], most: int) -> None:
    jobs = _jobs(rows)
    queue = _filled(jobs)
    taken = []
    while batch := queue.take(most, now_ns=0)[0]:
        assert sum(job.rows for job in batch) <= most or len(batch) == 1
        taken += batch
        if len(taken) < len(jobs):  # one more would have been too many
            assert sum(job.rows for job in batch) + jobs[len(taken)].rows > most
    assert taken == jobs
    assert queue.rows == 0


@given(_ROWS, st.integers(1, 30))
def test_what_has_no_room_is_refused_and_changes_nothing(rows: list[int], limit: int) -> None:
    queue: JobQueue[int, str] = JobQueue(limit)
    held = 0
    for job in _jobs(rows):
        if held + job.rows <= limit:
            queue.put(job)
            held += job.rows
        else:
            with pytest.raises(CloudBusy, match=f"holds {limit} rows: {held} wait, {job.rows} more came"):
                queue.put(job)
        assert queue.rows == held


@given(
    st.lists(st.tuples(st.integers(1, 4), st.none() | st.integers(0, 10)), max_size=20), st.integers(0, 10)
)
def test_what_has_expired_is_never_in_a_batch(jobs_of: list[tuple[int, int | None]], now: int) -> None:
    jobs = _jobs([rows for rows, _ in jobs_of], [expiry for _, expiry in jobs_of])
    queue = _filled(jobs)
    alive, dead = [], []
    while queue.rows:
        batch, expired = queue.take(5, now)
        alive += batch
        dead += expired
    assert alive == [job for job in jobs if job.expires_ns is None or job.expires_ns > now]
    assert dead == [job for job in jobs if job not in alive]


def test_expired_jobs_behind_living_ones_can_be_taken_out() -> None:
    jobs = _jobs([1, 2, 3, 4], [None, 5, None, 5])
    queue = _filled(jobs)
    assert queue.make_room(4) == []
    assert queue.make_room(5) == [jobs[1], jobs[3]]
    assert queue.rows == 4
    assert queue.take(100, 5) == ([jobs[0], jobs[2]], [])


def test_whose_caller_has_gone_makes_room_and_has_not_expired() -> None:
    jobs = _jobs([1, 2, 4], [None, 5, None])
    queue = _filled(jobs)
    jobs[1].answer.cancel()
    assert queue.make_room(5) == []
    assert queue.rows == 5
    assert queue.take(100, 0)[0] == [jobs[0], jobs[2]]


def test_a_job_whose_caller_has_gone_is_not_taken() -> None:
    jobs = _jobs([1, 1])
    queue = _filled(jobs)
    jobs[0].answer.cancel()
    assert queue.take(100, 0) == ([jobs[1]], [])
    assert queue.rows == 0


def test_the_oldest_is_the_first() -> None:
    jobs = _jobs([1, 1])
    queue = _filled(jobs)
    queue.take(1, 0)
    assert queue.oldest_ns == jobs[1].arrived_ns


def test_an_expiry_says_how_long() -> None:
    (job,) = _jobs([1], [3_000_000])
    assert not job.has_expired(2_999_999)
    assert job.has_expired(3_000_000)
    assert "may wait 3 ms for a worker, and waited 7 ms" in str(job.expiry(7_100_000))
