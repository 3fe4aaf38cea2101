import pytest

from tests.trainer.reports import VARIANTS, make_pair
from trainer.report.difference import describe_difference, paired_differences


def test_seeds_are_paired() -> None:
    results = [*make_pair(0, 0.5, 0.25), *make_pair(1, 0.75, 1.0), *make_pair(2, 0.5, 0.5)[:1]]
    assert paired_differences(results, *VARIANTS) == [0.25, -0.25]
    assert paired_differences(reversed(results), *reversed(VARIANTS)) == [0.25, -0.25]


def test_the_spread_is_of_differences_not_of_trainings() -> None:
    """Seeds that move both variants alike move the difference not at all."""
    results = [*make_pair(0, 0.50, 0.25), *make_pair(1, 0.75, 0.5)]
    line = describe_difference(results, *VARIANTS)
    assert line == (
        "layer-wise - one-rate: +25.00 ± 0.00 points of accuracy (mean and deviation over 2 seeds in pairs)"
    )


@pytest.mark.parametrize(("second", "text"), [(0.25, "+25.00 points"), (0.75, "-25.00 points")])
def test_one_seed_says_that_it_is_one(second: float, text: str) -> None:
    line = describe_difference(make_pair(0, 0.5, second), *VARIANTS)
    assert text in line
    assert "one seed" in line


def test_without_a_pair_there_is_nothing_to_say() -> None:
    assert describe_difference(make_pair(0, 0.5, 0.5)[:1], *VARIANTS) == ""
