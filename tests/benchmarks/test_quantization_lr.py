import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.quantization_lr import main as benchmark
from benchmarks.quantization_lr.batch_range import BatchRange, use_batch_ranges
from benchmarks.quantization_lr.picture import draw_study
from benchmarks.quantization_lr.study import WAYS, Epoch, Study, study_config
from splitwire.errors import CheckpointError, ConfigError
from tests.trainer.networks import make_dataset, make_network
from trainer.boundary import Boundary
from trainer.config import BoundaryOptions, TrainConfig


def config(**changes: float) -> TrainConfig:
    options = {"epochs": 2, "batch_size": 8, "width": 0.1} | changes
    return study_config(0.1, 4, **options)  # type: ignore[arg-type]


def test_a_batch_range_makes_the_grid_of_all_that_crosses() -> None:
    grid = BatchRange(Boundary((2, 3, 3), BoundaryOptions(bits=2), signed=True))
    x = torch.randn(4, 2, 3, 3, requires_grad=True)
    y = grid(x)
    low, high = x.detach().aminmax()
    levels = torch.linspace(float(low), float(high), 4)
    off = (y.detach().flatten()[:, None] - levels).abs().amin(1)
    assert off.max() < 1e-6
    assert y.detach().sub(x.detach()).abs().max() > 0.1
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


def test_what_is_pruned_gets_no_gradient() -> None:
    grid = BatchRange(Boundary((8,), BoundaryOptions(bits=8, keep=0.25), signed=True))
    x = torch.randn(5, 8, requires_grad=True)
    grid(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad.sum(1), torch.full((5,), 2.0))


def test_an_image_depends_on_those_beside_it_until_frozen() -> None:
    boundary = Boundary((4,), BoundaryOptions(bits=2), signed=True)
    boundary.scale.fill_(0.5)
    grid, x = BatchRange(boundary), torch.randn(2, 4)
    beside = torch.cat((x, 9 * torch.ones(1, 4)))
    assert not torch.equal(grid(x), grid(beside)[:2])
    grid.frozen = True
    assert torch.equal(grid(x), grid(beside)[:2])
    assert torch.equal(grid(x), boundary(x))


def test_both_boundaries_are_replaced() -> None:
    network = make_network(uplink=BoundaryOptions(bits=4), downlink=BoundaryOptions(bits=4))
    assert len(use_batch_ranges(network)) == 2
    assert [type(partition[-1]) for partition in (network.head, network.body)] == [BatchRange] * 2


def test_there_must_be_something_to_replace() -> None:
    with pytest.raises(ConfigError, match="needs boundaries that quantize"):
        use_batch_ranges(make_network())


def test_evaluating_changes_nothing(tmp_path: Path) -> None:
    """A run that is evaluated, and one that is not, train on to the same network."""
    study = Study(config(), make_dataset(), tmp_path / "run.pt")
    study._train(0)
    before = {name: value.clone() for name, value in study._network.state_dict().items()}
    results = [study._evaluate(*way) for way in WAYS.values()]
    assert all(0 <= accuracy <= 1 for accuracy in results)
    after = study._network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_resumes_to_the_same(tmp_path: Path) -> None:
    dataset = make_dataset()
    whole = list(Study(config(), dataset, tmp_path / "whole.pt").run())
    begun = Study(config(), dataset, tmp_path / "run.pt").run()
    next(begun)
    assert list(Study(config(), dataset, tmp_path / "run.pt").run()) == whole
    assert [epoch.epoch for epoch in whole] == [1, 2]


def test_a_checkpoint_of_other_options_is_refused(tmp_path: Path) -> None:
    dataset, path = make_dataset(), tmp_path / "run.pt"
    next(Study(config(), dataset, path).run())
    with pytest.raises(CheckpointError, match="other options: --width"):
        Study(config(width=0.2), dataset, path)


def epochs(*test: float) -> list[Epoch]:
    return [Epoch(0.4, 4, i + 1, 0.5, dict.fromkeys(WAYS, accuracy)) for i, accuracy in enumerate(test)]


def test_reports_the_last_the_worst_and_the_swing() -> None:
    lines = benchmark.report([epochs(0.1, 0.4, 0.2, 0.5)]).splitlines()
    line = next(line for line in lines if line.strip().startswith("as trained"))
    assert line.split()[2:] == ["50.0", "20.0", "25.0"]


def test_draws_a_panel_for_each_run() -> None:
    assert draw_study([epochs(0.1, 0.4), epochs(0.2, 0.3)]).startswith(b"\x89PNG")


def test_the_module_is_this_benchmark() -> None:
    command = [sys.executable, "-m", "benchmarks.quantization_lr", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "usage: benchmarks.quantization_lr" in told
