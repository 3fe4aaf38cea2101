from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud.batch import each, run_rows, together

_POISON = 255

_PARTS = st.lists(st.lists(st.integers(0, 3) | st.just(_POISON), min_size=1, max_size=4), max_size=8)


def _inverse(value: object) -> float:
    assert isinstance(value, int)
    return 1 / value


class _Poisoned(Exception): ...


class _Engine:
    """Adds 1000 to every row; raises for what holds poison, or at the runs that `fails` names."""

    def __init__(self, fails: frozenset[int] = frozenset()) -> None:
        self.fails = fails
        self.runs: list[int] = []

    def run(self, rows: NDArray[Any]) -> NDArray[Any]:
        self.runs.append(len(rows))
        if (rows == _POISON).any() or len(self.runs) - 1 in self.fails:
            raise _Poisoned
        return rows + 1000


def _arrays(parts: list[list[int]]) -> list[NDArray[Any] | Exception]:
    return [np.array(part)[:, None] for part in parts]


@given(_PARTS)
def test_only_what_cannot_be_run_fails(parts: list[list[int]]) -> None:
    engine = _Engine()
    results = together(engine.run, _arrays(parts))
    assert len(results) == len(parts)
    for part, result in zip(parts, results, strict=True):
        if _POISON in part:
            assert isinstance(result, _Poisoned)
        else:
            assert isinstance(result, np.ndarray)
            assert result[:, 0].tolist() == [value + 1000 for value in part]


@given(_PARTS, st.frozensets(st.integers(1, 8)))
def test_an_engine_that_fails_once_fails_one_part(parts: list[list[int]], fails: frozenset[int]) -> None:
    engine = _Engine(fails | {0})
    results = together(engine.run, _arrays(parts))
    assert len(results) == len(parts)
    if len(parts) > 1:  # the run of the batch fails, then each has one of its own
        assert len(engine.runs) == 1 + len(parts)
        sound = [i + 1 not in fails and _POISON not in part for i, part in enumerate(parts)]
        assert [isinstance(result, np.ndarray) for result in results] == sound


@given(_PARTS)
def test_what_has_failed_before_is_passed_on_and_not_run(parts: list[list[int]]) -> None:
    before = ValueError("refused")
    mixed = [value for part in _arrays(parts) for value in (before, part)]
    engine = _Engine()
    results = together(engine.run, mixed)
    assert results[::2] == [before] * len(parts)
    assert len(engine.runs) <= 1 + len(parts)


def test_a_batch_is_one_run() -> None:
    engine = _Engine()
    together(engine.run, _arrays([[1, 2], [3], [0, 0, 0]]))
    assert engine.runs == [6]


@given(st.integers(1, 40), st.integers(1, 16))
def test_no_run_has_more_rows_than_the_most(count: int, most: int) -> None:
    engine = _Engine()
    rows = np.arange(count)[:, None] % 100
    np.testing.assert_array_equal(run_rows(engine.run, rows, most), rows + 1000)
    assert max(engine.runs) <= most
    assert len(engine.runs) == -(-count // most)


def test_each_keeps_order_and_failures() -> None:
    before = KeyError("before")
    results = each(_inverse, [2, before, 0, 4])
    assert results[:2] == [0.5, before]
    assert isinstance(results[2], ZeroDivisionError)
    assert results[3] == 0.25


def test_what_is_no_failure_of_the_graph_ends_the_batch() -> None:
    def interrupted(_: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(interrupted, [1])
