"""A training that is killed at any moment, or whose disk is full, ends with the same bits once it may."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import PATIENCE, ROOT
from tests.e2e.training import ENVIRONMENT, GRAPHS, command, finish, make_photos, metrics
from tests.trainer.networks import same_bits, tensors
from trainer.checkpoint import load_checkpoint

KILLS, EPOCHS = 20, 8

#: What to wait for before a random delay: the process alone, its first output, or a file that it writes.
MOMENTS = ("start", "training", "training", "checkpoint.pt.new", "checkpoint.pt.new", ".bundle.*")

Process = subprocess.Popen[str]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    photos = make_photos(tmp_path_factory.mktemp("photos"))
    return (*photos, "--epochs", str(EPOCHS), "--threads", "1")


@pytest.fixture(scope="module")
def whole(options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    done = finish(*options, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def resumed(out: Path) -> tuple[str, ...]:
    return ("--resume",) if (out / "checkpoint.pt").exists() else ()


def kill_at(moment: str, delay: float, out: Path, *arguments: str) -> bool:
    """Starts or resumes the run in `out` and kills it then; whether it still ran."""
    log = out.with_name("log")
    with (
        log.open("w") as file,
        subprocess.Popen(
            command(*arguments, "--out", out, *resumed(out)),
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        wait_for(moment, out, log, process)
        time.sleep(delay)
        process.kill()
        status = process.wait(PATIENCE)
    assert status in (0, -signal.SIGKILL), log.read_text()
    return status != 0


def wait_for(moment: str, out: Path, log: Path, process: Process) -> None:
    """Until the moment, or the end of the process where there is none."""
    deadline = time.monotonic() + 5 * PATIENCE
    while moment != "start" and process.poll() is None:
        assert time.monotonic() < deadline
        if "downlink" in log.read_text() if moment == "training" else any(out.glob(moment)):
            break
        time.sleep(0.001)


def epoch_seconds(out: Path) -> float:
    """Of the last epoch: on this machine, as busy as it is now."""
    return float(json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["seconds"])


def assert_same_end(out: Path, whole: Path) -> None:
    assert metrics(out) == metrics(whole)
    for graph in GRAPHS:
        assert (out / "bundle" / graph).read_bytes() == (whole / "bundle" / graph).read_bytes()
    found, expected = (tensors(load_checkpoint(folder / "checkpoint.pt")) for folder in (out, whole))
    assert found.keys() == expected.keys()
    assert all(same_bits(found[name].float(), expected[name].float()) for name in found)


def test_killed_at_random_moments_it_ends_with_the_same_bits(
    tmp_path: Path, options: tuple[str, ...], whole: Path
) -> None:
    generator, out, killed, epochs = random.Random(0), tmp_path / "out", 0, 0
    for _ in range(KILLS):
        moment = generator.choice(MOMENTS)
        epoch = epoch_seconds(out if (out / "metrics.jsonl").exists() else whole)
        longest = {"start": 6 * epoch, "training": 3 * epoch}.get(moment, epoch / 20)
        killed += kill_at(moment, generator.uniform(0, longest), out, *options)
        if resumed(out):
            saved = len(load_checkpoint(out / "checkpoint.pt")["metrics"])
            assert saved >= epochs, "an epoch that was saved stays"
            epochs = saved
    assert killed >= KILLS // 2
    done = finish(*options, "--out", out, *resumed(out))
    assert done.returncode == 0, done.stderr
    assert_same_end(out, whole)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of `size` bytes at `folder`; skips where none can be mounted."""
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "splitwire-test", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(mounting, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_stopped_by(done: "subprocess.CompletedProcess[str]", out: Path) -> None:
    """With one line, and the checkpoint of some epoch intact."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"trainer: error: cannot write the checkpoint {out / 'checkpoint.pt'}")
    assert done.stderr.endswith("; the one before is intact\n")
    assert done.stderr.count("\n") == 1
    rows = [json.loads(row) for row in load_checkpoint(out / "checkpoint.pt")["metrics"]]
    assert 1 <= len(rows) < EPOCHS
    assert not (out / "checkpoint.pt.new").exists()


def test_a_disk_that_fills_up(tmp_path: Path, options: tuple[str, ...], whole: Path) -> None:
    """There is room for one checkpoint, and not for the next beside it."""
    disk, rescued = tmp_path / "disk", tmp_path / "rescued"
    disk.mkdir()
    with small_disk(disk, (whole / "checkpoint.pt").stat().st_size * 3 // 2):
        done = finish(*options, "--out", disk)
        assert_stopped_by(done, disk)
        shutil.copytree(disk, rescued)
    done = finish(*options, "--out", rescued, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_end(rescued, whole)


LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "


def test_a_file_that_may_not_grow(tmp_path: Path, options: tuple[str, ...], whole: Path) -> None:
    """As on a full disk, but anyone can set such a limit: here, after the first epochs."""
    out = tmp_path / "out"
    assert kill_at("metrics.jsonl", 0.0, out, *options)
    size = (whole / "checkpoint.pt").stat().st_size // 2
    code = f"{LIMITED}from trainer.__main__ import main; sys.exit(main(sys.argv[2:]))"
    arguments = [*command(*options, "--out", out, "--resume")[3:]]
    limited = [sys.executable, "-c", code, str(size), *arguments]
    done = subprocess.run(limited, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert_stopped_by(done, out)
    done = finish(*options, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_end(out, whole)
