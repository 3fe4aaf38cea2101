"""The trainer as its user runs it: a process, signals, exit status, and a bundle that serves."""

import signal
import subprocess
from pathlib import Path

import pytest

from splitwire.bundle import Bundle
from tests.e2e.processes import PATIENCE, ROOT
from tests.e2e.training import ENVIRONMENT, GRAPHS, command, finish, make_photos, metrics, wait_until
from trainer.data import Dataset, load


def correct(bundle: Bundle, dataset: Dataset) -> int:
    """Test images that ONNX Runtime classifies right, each alone."""
    engines = [bundle.engine(role) for role in bundle.manifest.roles]
    hits = 0
    for image, target in zip(dataset.test.images, dataset.test.targets, strict=True):
        x = bundle.manifest.preprocess.normalize(image[None])
        for engine in engines:
            x = engine.run(x)
        hits += int(x.argmax() == target)
    return hits


def test_digits_end_with_a_bundle_that_serves(tmp_path: Path) -> None:
    """With nothing but where to cut: the embedded data set, a folder that says what it is."""
    done = finish("--epochs", "2", "--width", "0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "name another with --dataset cifar10 or folder" in done.stdout
    run = tmp_path / "runs" / "digits-front3-back1"
    bundle = Bundle.load(run / "bundle")
    assert f"digest {bundle.digest.hex()}" in done.stdout
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert (run / "curves.png").stat().st_size > 1000
    dataset = load("digits", root=None, download=False, progress=False)
    accuracy = bundle.manifest.metrics["accuracy"]
    assert accuracy > 0.2, "twice as good as guessing, after two epochs"
    assert abs(correct(bundle, dataset) - accuracy * len(dataset.test)) <= 1


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def whole(photos: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    done = finish(*photos, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def end_by(number: signal.Signals, out: Path, *arguments: str) -> tuple[int, str]:
    """Starts a run, sends it a signal in its second epoch, and waits for its status and stderr."""
    with subprocess.Popen(
        command(*arguments, "--out", out), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until((out / "metrics.jsonl").exists, process)
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE)
    return process.returncode, error


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)], ids=["killed", "Ctrl-C"]
)
def test_what_was_cut_off_continues_to_the_same_end(
    tmp_path: Path, photos: tuple[str, ...], whole: Path, number: signal.Signals, status: int
) -> None:
    cut = tmp_path / "cut"
    returncode, error = end_by(number, cut, *photos)
    assert returncode == status
    assert "Traceback" not in error
    if number == signal.SIGINT:
        assert "trainer: interrupted; --resume continues" in error
    assert 1 <= len(metrics(cut)) < 4
    assert not (cut / "bundle").exists()
    done = finish(*photos, "--out", cut, "--resume")
    assert done.returncode == 0, done.stderr
    assert metrics(cut) == metrics(whole)
    for graph in GRAPHS:
        assert (cut / "bundle" / graph).read_bytes() == (whole / "bundle" / graph).read_bytes()


def test_mistakes_are_one_line_and_status_2(tmp_path: Path) -> None:
    done = finish("--bits", "9", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "trainer: error: bits must be 2 to 8, or 32 for none, got 9\n"
    assert list(tmp_path.iterdir()) == []
