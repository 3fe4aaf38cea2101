"""The trainer as its user runs it: processes, signals, and tiny pictures that it learns in no time."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.e2e.processes import PATIENCE, ROOT

__all__ = ["ENVIRONMENT", "GRAPHS", "command", "finish", "make_photos", "metrics", "run_to_end", "wait_until"]

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

GRAPHS = ("head.onnx", "body.onnx", "tail.onnx")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "trainer", "--edge-front", "3", "--edge-back", "1", *map(str, arguments)]


def finish(*arguments: str | Path, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return run_to_end(command(*arguments), cwd=cwd)


def run_to_end(
    words: Sequence[str], *, trainings: int = 1, cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """trainings: how many it does one after another, for each of which there is time."""
    return subprocess.run(
        words, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=5 * PATIENCE * trainings
    )


def make_photos(root: Path) -> tuple[str, ...]:
    """The options of a run on two classes of tiny pictures: a quarter of a second an epoch."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 4)):
        for shade, name in ((60, "dark"), (200, "light")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(shade - 50, shade + 50, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    data = ("--dataset", "folder", "--data", str(root), "--image-size", "16", "--quiet")
    return (*data, "--epochs", "4", "--batch-size", "8", "--width", "0.1")


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 5 * PATIENCE
    while not holds():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def metrics(out: Path) -> list[dict[str, Any]]:
    """Of every finished epoch, without what no two runs share."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
