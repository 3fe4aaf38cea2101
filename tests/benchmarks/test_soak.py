"""What a soak makes of its samples; the soak itself takes minutes."""

import os

import pytest

from benchmarks.reliability.picture import draw_soak
from benchmarks.reliability.soak import Every, trends_of
from benchmarks.reliability.usage import Sample, Trend


def samples(process: str, memory: float, growth: float) -> list[Sample]:
    """One a minute for an hour; growth: MiB an hour."""
    return [Sample(process, 1, 60.0 * i, memory + growth * i / 60, 10, 4) for i in range(61)]


def test_a_process_tells_what_it_holds() -> None:
    sample = Sample.read("test", os.getpid(), 1.25)
    assert sample.memory > 1
    assert sample.descriptors >= 3
    assert sample.threads >= 1


def test_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Sample.read("test", 2**30, 0.0)


def test_a_trend_has_ends_that_single_samples_do_not_move() -> None:
    hour = [360.0 * i for i in range(11)]
    trend = Trend.of(hour, [100.0 + i for i in range(11)])
    assert (trend.first, trend.last, trend.least, trend.most) == (100.0, 110.0, 100.0, 110.0)
    assert trend.slope == pytest.approx(10.0)
    assert trend.grows_by == 10.0
    assert Trend.of([5.0], [3.0]) == Trend(3.0, 3.0, 3.0, 3.0, 0.0)


def test_trends_leave_out_the_warm_up_and_whoever_is_killed() -> None:
    taken = samples("edge", 100.0, 60.0) + samples("cloud", 90.0, 0.0) + samples("victim", 1.0, 0.0)
    found = trends_of(taken, warm_up=600.0)
    assert set(found) == {"edge", "cloud"}
    assert found["edge"]["memory"].least == 110.0
    assert found["edge"]["memory"].slope == pytest.approx(60.0)
    assert found["cloud"]["descriptors"].slope == pytest.approx(0.0, abs=1e-6)
    assert found["cloud"]["descriptors"].grows_by == 0.0


def test_what_is_due_is_due_once_a_period_and_what_was_missed_is_left_out() -> None:
    every = Every(10.0, began=100.0)
    assert [every.due(now) for now in (105.0, 110.0, 111.0, 135.0, 136.0, 140.0)] == [
        False, True, False, True, False, True,
    ]  # fmt: skip
    assert every.times == 3
    assert not Every(None, began=0.0).due(1e9)


def test_the_picture_is_a_png() -> None:
    picture = draw_soak(samples("edge", 100.0, 1.0) + samples("cloud", 90.0, 0.0), warm_up=600.0)
    assert picture.startswith(b"\x89PNG")
