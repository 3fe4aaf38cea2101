"""Data that tests use where it lies beside the checkout, and small copies of its layouts."""

import functools
import hashlib
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.data import cifar100
from trainer.data.cifar10 import OFFICIAL
from trainer.data.download import Archive

__all__ = [
    "CIFAR10_LABELS",
    "cifar10_root",
    "pack_archive",
    "require_cifar10",
    "require_data",
    "write_cifar10",
    "write_cifar100",
    "write_pickle",
]

CIFAR10_LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def require_data(relative: str) -> Path:
    """That file or folder below $SPLITWIRE_DATA or ../shared/data; skips the test where it is absent."""
    path = _find(relative)
    if path is None:
        pytest.skip(f"no {relative} in $SPLITWIRE_DATA or {_SHARED / 'data'}")
    return path


def require_cifar10() -> Path:
    """The folder that holds the official cifar-10-batches-py; skips the test where it is absent."""
    root = cifar10_root()
    if root is None:
        pytest.skip(f"no {OFFICIAL.folder} in $SPLITWIRE_DATA, and nothing to unpack in {_SHARED}")
    return root


@functools.cache
def cifar10_root() -> Path | None:
    """The folder that holds the official cifar-10-batches-py, unpacked once per machine; None if absent."""
    found = _find(OFFICIAL.folder)
    if found is not None:
        return found.parent
    tool = _SHARED / "tools" / "unpack-cifar10"
    if not tool.is_file():
        return None
    cache = Path(tempfile.gettempdir()) / f"splitwire-tests-{os.getuid()}"
    if not all((cache / OFFICIAL.folder / name).is_file() for name in OFFICIAL.files):
        subprocess.run([sys.executable, str(tool), str(cache)], check=True, capture_output=True)
    return cache


def write_cifar10(root: Path, *, rows: int = 6, seed: int = 0) -> Archive:
    """A copy of the official layout with `rows` random images a file, and the description that fits it."""
    folder = root / OFFICIAL.folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    meta = {"num_cases_per_batch": rows, "label_names": list(CIFAR10_LABELS), "num_vis": 3072}
    write_pickle(folder / "batches.meta", meta)
    for name in OFFICIAL.files:
        if name != "batches.meta":
            write_pickle(folder / name, _random_batch(rows, generator))
    return pack_archive(folder, root / "packed")


def write_cifar100(root: Path, *, rows: int = 6, seed: int = 0) -> Archive:
    """As `write_cifar10`, with five fine labels, in the layout of CIFAR-100."""
    folder = root / cifar100.OFFICIAL.folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    fine, coarse = [f"fine {i}" for i in range(5)], ["coarse 0", "coarse 1"]
    write_pickle(folder / "meta", {"fine_label_names": fine, "coarse_label_names": coarse})
    for name in ("train", "test"):
        batch = _random_batch(rows, generator)
        labels = [label % len(fine) for label in batch.pop("labels")]
        batch |= {"fine_labels": labels, "coarse_labels": [label % 2 for label in labels], "batch_label": ""}
        write_pickle(folder / name, batch)
    return pack_archive(folder, root / "packed", cifar100.OFFICIAL)


def pack_archive(folder: Path, into: Path, official: Archive = OFFICIAL) -> Archive:
    """A .tar.gz of the folder, named as the official one, and its description."""
    into.mkdir(exist_ok=True)
    path = into / official.filename
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, folder.name)
    return Archive(
        url=official.url,
        bytes=path.stat().st_size,
        digest=md5(path.read_bytes()),
        folder=folder.name,
        files={file.name: md5(file.read_bytes()) for file in folder.iterdir()},
    )


def write_pickle(path: Path, value: Mapping[str, Any]) -> None:
    """Protocol 2, as the official files."""
    path.write_bytes(pickle.dumps(dict(value), protocol=2))


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _random_batch(rows: int, generator: np.random.Generator) -> dict[str, Any]:
    data: NDArray[np.uint8] = generator.integers(0, 256, (rows, 3072), dtype=np.uint8)
    return {"data": data, "labels": generator.integers(0, 10, rows).tolist(), "filenames": ["x.png"] * rows}


def _find(relative: str) -> Path | None:
    roots = [Path(os.environ["SPLITWIRE_DATA"])] if "SPLITWIRE_DATA" in os.environ else []
    return next((root / relative for root in [*roots, _SHARED / "data"] if (root / relative).exists()), None)
