"""The difference between two variants, seed by seed."""

from collections.abc import Iterable

from trainer.sweep.results import Result
from trainer.sweep.summary import Spread

__all__ = ["describe_difference", "paired_differences"]


def paired_differences(results: Iterable[Result], first: str, second: str) -> list[float]:
    """How much higher the accuracy of the first variant is, -1 to 1, for each seed that both have.

    Trainings of one seed see the same images in the same order, so their difference varies less than theirs.
    """
    accuracy = {(result.axes["variant"], result.axes["seed"]): result.accuracy for result in results}
    return [
        value - accuracy[second, seed]
        for (variant, seed), value in accuracy.items()
        if variant == first and (second, seed) in accuracy
    ]


def describe_difference(results: Iterable[Result], first: str, second: str) -> str:
    """By how many points the first is better, with the deviation over the pairs; empty without a pair."""
    differences = paired_differences(results, first, second)
    if not differences:
        return ""
    spread = Spread.of(differences).format(2, factor=100)
    sign = "" if spread.startswith("-") else "+"
    of = "one seed, so by how much chance moves it is unknown"
    if len(differences) > 1:
        of = f"mean and deviation over {len(differences)} seeds in pairs"
    return f"{first} - {second}: {sign}{spread} points of accuracy ({of})"
