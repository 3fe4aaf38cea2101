from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.tally import SECONDS, Distributions, Tally


def test_a_tally_sums_by_key() -> None:
    tally = Tally()
    tally.add("a", "b")
    tally.add("a", "b")
    tally.add_all([("a", "b"), ("c",)], [4, 0])
    assert tally.sums() == {("a", "b"): 6, ("c",): 0}


def test_what_is_known_beforehand_is_zero() -> None:
    tally = Tally([("a", "b"), ("c",)])
    tally.add("c")
    assert tally.sums() == {("a", "b"): 0, ("c",): 1}


def test_a_reading_does_not_change_afterwards() -> None:
    tally = Tally()
    before = tally.sums()
    tally.add("a")
    assert before == {}


@given(st.lists(st.floats(0, 10)))
def test_a_distribution_is_cumulative(values: list[float]) -> None:
    distributions = Distributions(["a", "b"], SECONDS)
    for value in values:
        distributions.observe({"a": value})
    found = distributions.cumulative()
    buckets, total = found["a"]
    assert [bound for bound, _ in buckets] == [*map(str, SECONDS), "+Inf"]
    for bound, count in buckets:
        assert count == sum(value <= float(bound) for value in values)
    assert total == pytest.approx(sum(values))
    assert {count for _, count in found["b"][0]} == {0}


def test_threads_lose_nothing() -> None:
    tally, distributions = Tally(), Distributions(["a"], [1.0])

    def count(_: int) -> None:
        for _ in range(5000):
            tally.add("a")
            distributions.observe({"a": 0.5})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(4)))
    assert tally.sums() == {("a",): 20_000}
    assert distributions.cumulative() == {"a": ([("1.0", 20_000), ("+Inf", 20_000)], 10_000.0)}
