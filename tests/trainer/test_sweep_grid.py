from pathlib import Path

import pytest

from splitwire.errors import ConfigError
from splitwire.plan import SplitPlan
from trainer.config import Bottleneck
from trainer.options import config_from, make_parser
from trainer.sweep.grid import Grid, grid_from


def grid(line: str) -> Grid:
    return grid_from(line.split())


def test_every_combination_the_first_axis_slowest() -> None:
    made = grid("--edge-front 1 2 --seed 0 1 2 -- --edge-back 1 --epochs 3 --out runs/x")
    assert [(cell.values["edge-front"], cell.values["seed"]) for cell in made.cells] == [
        *((1, 0), (1, 1), (1, 2)),
        *((2, 0), (2, 1), (2, 2)),
    ]
    assert [cell.config.plan for cell in made.cells[2:4]] == [SplitPlan(1, 1), SplitPlan(2, 1)]
    assert {cell.config.epochs for cell in made.cells} == {3}
    assert made.out == Path("runs/x")
    assert [cell.name for cell in made.cells][:2] == ["edge-front-1_seed-0", "edge-front-1_seed-1"]
    assert str(made.cells[-1]) == "edge-front 2, seed 2"


def test_the_arguments_of_a_cell_make_its_configuration() -> None:
    for cell in grid("--lr 0.1 1e-2 --keep 0.5 1 -- --edge-front 3 --edge-back 1 --bits 8").cells:
        assert config_from(make_parser().parse_args(cell.arguments)) == cell.config


def test_the_order_of_the_axes_is_that_of_the_command() -> None:
    made = grid("--seed 0 1 --bits 4 8 -- --edge-front 3 --edge-back 1")
    assert list(made.cells[0].values) == ["seed", "bits"]
    assert [cell.config.seed for cell in made.cells] == [0, 0, 1, 1]


def test_default_leaves_an_option_out() -> None:
    made = grid("--uplink-bottleneck default 12/2 -- --edge-front 3 --edge-back 1")
    assert [cell.config.uplink.bottleneck for cell in made.cells] == [None, Bottleneck(12, 2)]
    assert [cell.name for cell in made.cells] == ["uplink-bottleneck-default", "uplink-bottleneck-12-2"]


def test_an_axis_given_twice_has_all_its_values() -> None:
    assert len(grid("--seed 0 1 --seed 2 -- --edge-front 3 --edge-back 1").cells) == 3


def test_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.sweep.grid.usable_cores", lambda: 8)
    line = "--seed 0 1 --jobs {} -- --edge-front 3 --edge-back 1"
    assert grid(line.format(1)).threads == 8
    assert grid(line.format(3)).threads == 2
    assert grid(line.format(20)).threads == 1
    assert grid(f"{line.format(4)} --threads 5").threads == 5


def test_weights_and_photos_are_part_of_what_a_cell_is() -> None:
    made = grid("--weights default a.pth -- --edge-front 3 --edge-back 1")
    assert made.cells[0].config == made.cells[1].config
    assert made.cells[0].differences(made.cells[1].to_json()) == ["--weights a.pth (now none)"]
    assert len(grid("--data a b -- --edge-front 3 --edge-back 1 --dataset folder").cells) == 2
    with pytest.raises(ConfigError, match="same training"):
        grid("--data a b -- --edge-front 3 --edge-back 1 --dataset cifar10")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-- --edge-front 3 --edge-back 1", "needs an axis before --"),
        ("--seed 0 --jobs 0 -- --edge-front 3 --edge-back 1", "jobs must be at least 1"),
        ("--seed 0 -- --edge-front 3 --edge-back 1 --threads 0", "threads must be from 1 to 1024, got 0"),
        (
            "--seed 0 -- --edge-front 3 --edge-back 1 --threads 1025",
            "threads must be from 1 to 1024, got 1025",
        ),
        ("--edge-front 3 19 --edge-back 1 -- --epochs 1", r"^edge-front 19, edge-back 1: .*no layer"),
        ("--bits 4 9 -- --edge-front 3 --edge-back 1", r"^bits 9: bits must be 2 to 8"),
        ("--width 0.5 9 -- --edge-front 3 --edge-back 1", r"^width 9: width must be from 0.1 to 4"),
        ("--uplink-bottleneck x -- --edge-front 3 --edge-back 1", "a bottleneck is CHANNELS"),
        ("--seed 0 -1 -- --edge-front 3 --edge-back 1", "seed must be from 0"),
        ("--keep 0.1 0.10 -- --edge-front 3 --edge-back 1", "same training"),
        ("--keep default 1 -- --edge-front 3 --edge-back 1", "same training: keep default; and keep 1"),
        ("--weights a/b a-b -- --edge-front 3 --edge-back 1", "share a folder"),
        ("--seed 0 1 --threads 2 -- --edge-front 3 --edge-back 1", "--threads is no axis"),
        ("--seed 0 1 --out=x -- --edge-front 3 --edge-back 1", "--out is no axis"),
        ("--seed 0 1 -- --edge-front 3 --edge-back 1 --seed=3", "--seed is an axis, and also behind --"),
        ("--seed 0 1 -- --edge-front 3 --edge-back 1 --resume", "--resume cannot be given"),
        ("--seed 0 1 -- --edge-front 3 --edge-back 1 --bundle=x", "--bundle cannot be given"),
        ("--seed 0 -- --edge-front 3 --edge-back 1 --calibrate x", "^seed 0: only with --epochs 0"),
    ],
)
def test_mistakes(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        grid(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--seed 0 one -- --edge-front 3 --edge-back 1", "argument --seed: invalid int value: 'one'"),
        ("--seed 0 1 -- --edge-front 3", "the following arguments are required: --edge-back"),
        ("--seeds 0 1 -- --edge-front 3 --edge-back 1", "unrecognized arguments: --seeds 0 1"),
        ("--seed -- --edge-front 3 --edge-back 1", "argument --seed: expected at least one argument"),
        (
            "--optimizer sgd adam -- --edge-front 3 --edge-back 1",
            "argument --optimizer: invalid choice: 'adam'",
        ),
    ],
)
def test_mistakes_that_the_parser_finds(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        grid(line)
    assert ended.value.code == 2
    assert f"trainer sweep: error: {message}" in capsys.readouterr().err


def test_help_says_what_can_be_an_axis(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        grid("--help")
    assert ended.value.code == 0
    page = capsys.readouterr().out
    assert "usage: trainer sweep AXES [--jobs J] -- OPTIONS" in page
    assert all(name in page for name in ("--edge-front", "--keep", "--lr", "--downlink-bottleneck", "--seed"))
    assert not any(name in page for name in ("--calibrate", "--max-drop", "--labels", "--distill-steps"))
    assert "--layer-lr" not in page
    assert all(len(line) <= 110 for line in page.splitlines())
