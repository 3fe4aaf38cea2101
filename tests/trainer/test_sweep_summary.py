import math

import pytest

from tests.trainer.sweeps import make_result
from trainer.sweep.summary import Spread, format_table, summarize


def test_seeds_are_taken_together() -> None:
    results = [make_result(a / 10, seed=seed, keep=keep) for a, (seed, keep) in enumerate(
        [(0, 0.1), (0, 1), (1, 0.1), (1, 1), (2, 1)]
    )]  # fmt: skip
    low, high = summarize(results)
    assert (low.axes, high.axes) == ({"keep": 0.1}, {"keep": 1})
    assert [result.accuracy for result in low.results] == [0.0, 0.2]
    spread = high.spread("accuracy")
    assert spread.mean == pytest.approx((0.1 + 0.3 + 0.4) / 3)
    assert spread.deviation == pytest.approx(math.sqrt(((1 / 6) ** 2 + (1 / 30) ** 2 + (2 / 15) ** 2) / 2))


def test_of_one_value_there_is_no_deviation() -> None:
    assert Spread.of([1.0]) == Spread(1.0, None)
    assert Spread.of([1.0]).format(1) == "1.0"
    assert Spread.of([0.5, 0.7]).format(2, factor=100) == "60.00 ± 14.14"


def test_seeds_alone() -> None:
    (only,) = summarize([make_result(seed=0), make_result(seed=1)])
    assert (only.axes, str(only)) == ({}, "")


def test_the_table() -> None:
    results = [make_result(0.5, 1000, bits=4, seed=0), make_result(0.6, 1200, bits=4, seed=1)]
    lines = format_table(summarize([*results, make_result(0.25, 90, bits=32, seed=0)])).splitlines()
    assert " ".join(lines[0].split()) == "bits n accuracy % uplink B p95 downlink B p95 seconds"
    assert " ".join(lines[2].split()) == ("4 2 55.00 ± 7.07 1,100 ± 141 1,110 ± 141 50 ± 0 60 ± 0 12 ± 0")
    assert lines[3].split() == ["32", "1", "25.00", "90", "100", "50", "60", "12"]
    assert len({len(line) for line in lines}) == 1
