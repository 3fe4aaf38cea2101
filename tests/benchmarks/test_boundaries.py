from pathlib import Path

import pytest

from benchmarks.boundaries.base import Bases, TrainingFailed, run_trainings
from benchmarks.boundaries.placements import ORIGINAL, beside_original, sweep_command
from benchmarks.boundaries.variants import VARIANTS, Measured, format_variants, variant_command
from trainer.config import TrainConfig
from trainer.options import config_from, make_parser
from trainer.sweep.grid import grid_from
from trainer.sweep.results import Result
from trainer.sweep.summary import summarize


@pytest.fixture
def bases(tmp_path: Path) -> Bases:
    return Bases(data=tmp_path, runs=tmp_path / "runs", width=0.25, epochs=4, jobs=2)


def config(arguments: list[str]) -> TrainConfig:
    return config_from(make_parser().parse_args(arguments))


def crossing(config: TrainConfig) -> set[tuple[float, int]]:
    return {(link.keep, link.bits) for link in (config.uplink, config.downlink)}


def test_a_base_has_no_boundaries(bases: Bases) -> None:
    base = config(bases.command(1))
    assert (base.seed, base.epochs, base.width) == (1, 4, 0.25)
    assert crossing(base) == {(1.0, 32)}


def test_what_was_begun_is_resumed(bases: Bases) -> None:
    bases.folder(0).mkdir(parents=True)
    assert "--resume" not in bases.command(0)
    (bases.folder(0) / "checkpoint.pt").touch()
    assert bases.command(0)[-1] == "--resume"
    assert "--resume" not in bases.command(1)


def test_a_training_that_fails_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainingFailed, match="the same command again continues"):
        run_trainings([["--edge-front", "0", "--edge-back", "1"], ["--version"]], 2)
    assert "error" in capfd.readouterr().err


def test_nine_cuts_differ_in_their_plan_alone(bases: Bases) -> None:
    weights = bases.folder(1) / "checkpoint.pt"
    grid = grid_from(sweep_command(bases, 1, epochs=2)[1:])
    assert {(cell.config.plan.front, cell.config.plan.back) for cell in grid.cells} == ORIGINAL.keys()
    for cell in grid.cells:
        assert (cell.config.seed, cell.config.epochs, cell.config.width) == (1, 2, 0.25)
        assert crossing(cell.config) == {(0.1, 8)}
        assert cell.sources["weights"] == str(weights)


def test_variants_of_a_group_are_one_training_but_for_what_they_are_called_by(bases: Bases) -> None:
    found = {
        (group, variant): config(variant_command(bases, group, variant, 1, epochs=2))
        for group, names in VARIANTS.items()
        for variant in names
    }
    assert len({str(config) for config in found.values()}) == len(found)
    for (group, variant), each in found.items():
        assert f"keep {each.uplink.keep:g}, bits {each.uplink.bits}" == group
        assert (each.seed, each.epochs, len(crossing(each))) == (1, 2, 1)
        assert ("learned" in variant) == (each.uplink.ranges == "learned")
        assert (each.uplink.gradient_bits or "float32") in (8, 4, "float32")


def test_what_crosses_a_cut_by_default_is_trained_once(bases: Bases) -> None:
    grid = grid_from(sweep_command(bases, 1, epochs=2)[1:])
    cell = next(cell for cell in grid.cells if (cell.config.plan.front, cell.config.plan.back) == (3, 1))
    again = variant_command(bases, "keep 0.1, bits 8", "gradients of float32", 1, epochs=2)
    assert config(again) == cell.config
    cut = bases.runs / "seed-1" / cell.name
    assert again[again.index("--out") + 1] != str(cut)
    (cut / "bundle").mkdir(parents=True)
    (cut / "bundle" / "manifest.json").touch()
    again = variant_command(bases, "keep 0.1, bits 8", "gradients of float32", 1, epochs=2)
    assert again[again.index("--out") + 1] == str(cut)


def result(front: int, back: int, seed: int) -> Result:
    return Result(
        cell="",
        axes={"edge-front": front, "edge-back": back, "seed": seed},
        accuracy=0.7 + front / 100 + back / 1000 + seed / 50,
        uplink_bytes=1000.0 / front,
        uplink_bytes_p95=0,
        downlink_bytes=50.0 * back,
        downlink_bytes_p95=0,
        seconds=0,
        config={},
    )


def test_the_table_has_every_cut_beside_the_original() -> None:
    table = beside_original(summarize(result(*cut, seed) for seed in (0, 1) for cut in reversed(ORIGINAL)))
    lines = table.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["front 1", "front 2", "front 3"]
    assert lines[3].split("|")[4].strip() == "73.30 ± 1.41, 500 + 150 B (91.72)"


def test_variants_are_compared_with_their_groups_first() -> None:
    measured = [
        Measured(group, name, seed, 0.8 + 0.01 * i + 0.02 * seed, 300.0)
        for group, names in VARIANTS.items()
        for i, name in enumerate(names)
        for seed in (0, 1)
    ]
    rows = [line.split() for line in format_variants(measured).splitlines() if "±" in line]
    assert rows[0] == ["gradients", "of", "float32", "81.00", "±", "1.41", "+0.00", "300", "±", "0"]
    differences = [row[-4] for row in rows]
    assert differences == ["+0.00", "+1.00", "+2.00", "+0.00", "+1.00"]
