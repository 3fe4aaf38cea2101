from pathlib import Path

import pytest

from benchmarks.boundaries.grids import VARIANTS, Recipe, bases, placements, train, variants
from benchmarks.boundaries.tables import ORIGINAL, beside_original, format_variants
from trainer.config import TrainConfig
from trainer.sweep.cell import Cell, Value
from trainer.sweep.grid import Training, make_grid
from trainer.sweep.results import Result


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(data=tmp_path, runs=tmp_path / "runs", width=0.25, base_epochs=4, epochs=2, seeds=(0, 1))


def cells(trainings: list[Training]) -> tuple[Cell, ...]:
    return make_grid("test", trainings, 1).cells


def crossing(config: TrainConfig) -> set[tuple[float, int]]:
    return {(link.keep, link.bits) for link in (config.uplink, config.downlink)}


def test_a_base_has_no_boundaries(recipe: Recipe) -> None:
    found = [cell.config for cell in cells(bases(recipe))]
    assert [(config.seed, config.epochs, config.width) for config in found] == [(0, 4, 0.25), (1, 4, 0.25)]
    assert [crossing(config) for config in found] == [{(1.0, 32)}] * 2


def test_whatever_has_boundaries_begins_with_the_base_of_its_seed(recipe: Recipe) -> None:
    out = make_grid("test", bases(recipe), 1).out
    weights = {cell.config.seed: str(out / cell.name / "checkpoint.pt") for cell in cells(bases(recipe))}
    for cell in (*cells(placements(recipe)), *cells(variants(recipe))):
        assert cell.sources["weights"] == weights[cell.config.seed]
        assert (cell.config.epochs, cell.config.width) == (2, 0.25)


def test_nine_cuts_of_each_seed_differ_in_their_plan_alone(recipe: Recipe) -> None:
    found = [cell.config for cell in cells(placements(recipe))]
    plans = {(config.seed, config.plan.front, config.plan.back) for config in found}
    assert plans == {(seed, *cut) for seed in recipe.seeds for cut in ORIGINAL}
    assert len(found) == 18
    assert {frozenset(crossing(config)) for config in found} == {frozenset({(0.1, 8)})}


def test_variants_are_one_cut_and_what_they_are_called(recipe: Recipe) -> None:
    for cell in cells(variants(recipe)):
        config, name = cell.config, str(cell.values["variant"])
        assert cell.values["crossing"] == f"--keep {config.uplink.keep:g} --bits {config.uplink.bits}"
        assert (config.plan.front, config.plan.back, len(crossing(config))) == (3, 1, 1)
        assert (config.uplink.ranges == "learned") == ("learned" in name)
        bits = config.uplink.gradient_bits
        assert name.startswith("gradients of") == (config.uplink.keep == 0.1)
        assert bits is None or name == f"gradients of {bits} bits"


def test_a_training_that_cannot_be_is_said(recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        train([({"seed": 0}, ("--edge-front=20", "--edge-back=1"))], 1)
    assert ended.value.code == 2
    assert "benchmarks.boundaries: error: seed 0: " in capsys.readouterr().err
    assert not recipe.runs.exists()


def result(axes: dict[str, Value], accuracy: float, uplink: float = 0.0, downlink: float = 0.0) -> Result:
    return Result("", axes, accuracy, uplink, uplink, downlink, downlink, seconds=0.0, config={})


def test_the_table_has_every_cut_beside_the_original() -> None:
    results = [
        result(
            {"edge-front": front, "edge-back": back, "seed": seed},
            0.7 + front / 100 + back / 1000 + seed / 50,
            1000.0 / front,
            50.0 * back,
        )
        for seed in (0, 1)
        for front, back in reversed(ORIGINAL)
    ]
    lines = beside_original(results).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["front 1", "front 2", "front 3"]
    assert lines[3].split("|")[4].strip() == "73.30 ± 1.41, 500 + 150 B (91.72)"


def test_variants_are_compared_with_the_first_of_the_same_crossing() -> None:
    results = [
        result({"crossing": " ".join(words), "variant": name, "seed": seed}, 0.8 + 0.01 * i + 0.02 * seed)
        for words, ways in VARIANTS.items()
        for i, name in enumerate(ways)
        for seed in (0, 1)
    ]
    last = format_variants(results).splitlines()[-3:]
    assert last[0].startswith("gradients of 8 bits - gradients of float32: +1.00 ± 0.00 points")
    assert last[1].startswith("gradients of 4 bits - gradients of float32: +2.00 ± 0.00 points")
    assert last[2].startswith("learned scales - calibrated scales: +1.00 ± 0.00 points")
