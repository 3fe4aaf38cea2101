"""The loopback benchmark on a network that takes a moment to make and less to run; no timing is judged."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.loopback.bundle import make
from benchmarks.loopback.main import measure, measure_rest, ratio, report
from benchmarks.loopback.measure import STAGES
from benchmarks.processes import service
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.plan import SplitPlan
from tests.e2e.processes import ROOT
from trainer.config import BoundaryOptions
from trainer.model import ModelSpec

_IMAGES = (ROOT / "demo" / "images" / "cat.jpg", ROOT / "demo" / "images" / "bird.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The bundle and the unsplit graph."""
    folder = tmp_path_factory.mktemp("loopback")
    spec = ModelSpec(num_classes=10, input_size=32, width=0.1)
    paths = folder / "bundle", folder / "unsplit.onnx"
    make(*paths, spec, SplitPlan(11, 1), BoundaryOptions(bits=4), _IMAGES)
    return paths


def test_both_halves_of_the_comparison_are_the_same_network(made: tuple[Path, Path]) -> None:
    bundle, unsplit = Bundle.load(made[0]), Engine(made[1])
    assert bundle.manifest.plan == SplitPlan(11, 1)
    assert bundle.manifest.uplink.bits == bundle.manifest.downlink.bits == 4
    assert (unsplit.input_shape, unsplit.output_shape) == ((3, 32, 32), (10,))


def test_every_stage_is_measured(made: tuple[Path, Path]) -> None:
    images = [path.read_bytes() for path in _IMAGES]
    with service("cloud", "--bundle", str(made[0])) as cloud:
        measured = measure(*made, cloud, images, count=4, warm_up=1)
        rest = measure_rest(made[0], cloud, images, count=4, warm_up=1)
    assert len(measured) == len(rest) == 4
    for round_ in measured:
        assert tuple(round_.stages) == STAGES
        assert sum(round_.stages.values()) == pytest.approx(round_.split)
        assert min(round_.unsplit, round_.split, round_.uplink, round_.downlink) > 0
    assert all(r.client > 0 and r.edge > 0 for r in rest)
    assert f"{ratio(measured):.3f} (limit 9e+09: met)" in report(measured, rest, 9e9)
    assert "(limit 0: missed)" in report(measured, rest, 0)


def test_what_is_timed_shares_no_process_with_torch() -> None:
    code = "import benchmarks.loopback.main, sys; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
