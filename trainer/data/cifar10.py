"""CIFAR-10 (Krizhevsky, 2009) in its official python layout.

root/
├── cifar-10-batches-py/       data_batch_1 .. data_batch_5, test_batch, batches.meta: pickles of python 2
└── cifar-10-python.tar.gz     unpacked when the folder is absent, downloaded when both are
"""

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess
from trainer.data.dataset import Dataset, Split
from trainer.data.download import Archive, extract, fetch

__all__ = ["OFFICIAL", "load"]

_META = "batches.meta"
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = "test_batch"
_SIDE = 32

OFFICIAL = Archive(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    bytes=170_498_071,
    digest="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    files=MappingProxyType(
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        }
    ),
)


def load(root: Path, *, download: bool, progress: bool, source: Archive = OFFICIAL) -> Dataset:
    """50,000 training and 10,000 test images of 32x32, ten labels.

    root: the folder that holds the batches folder or the archive, or the batches folder itself.
    source: what the files must be; anything but OFFICIAL is for copies in the same layout.

    Raises:
        DatasetError: absent (and not downloaded), or a file is not the published one.
    """
    folder = _locate(root, source, download=download, progress=progress)
    meta = _read(folder, _META, source)
    labels, rows = _labels(folder / _META, meta), meta.get("num_cases_per_batch")
    batches = [_batch(folder / name, _read(folder, name, source), rows, len(labels)) for name in _TRAIN]
    return Dataset(
        name="cifar10",
        labels=labels,
        train=Split(
            np.concatenate([batch.images for batch in batches]),
            np.concatenate([batch.targets for batch in batches]),
        ),
        test=_batch(folder / _TEST, _read(folder, _TEST, source), rows, len(labels)),
        preprocess=Preprocess(
            size=_SIDE, resize=_SIDE, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
        ),
        flip=True,
    )


def _locate(root: Path, source: Archive, *, download: bool, progress: bool) -> Path:
    if (root / _META).is_file():
        return root
    if (root / source.folder).is_dir():
        return root / source.folder
    archive = root / source.filename
    if not archive.is_file():
        if not download:
            raise DatasetError(
                f"no CIFAR-10 in {root}: expected {source.folder}/ or {source.filename} there. Allow the "
                f"download, or fetch {source.url} yourself and put the file, unopened, at {archive}"
            )
        archive = fetch(source, root, progress=progress)
    return extract(archive, source, root)


def _read(folder: Path, name: str, source: Archive) -> Mapping[str, Any]:
    """The dictionary in one file, whose digest is checked before a byte of it is interpreted."""
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != source.files[name]:
        raise DatasetError(f"{path} is not the published file: MD5 {found}, expected {source.files[name]}")
    try:
        value = _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a broken pickle can raise anything
        raise DatasetError(f"{path} cannot be unpickled: {error}") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path} must hold a dictionary, got {type(value).__name__}")
    return value


def _labels(path: Path, meta: Mapping[str, Any]) -> tuple[str, ...]:
    names = meta.get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path}: label_names must be a list of strings, got {names!r}")
    return tuple(names)


def _batch(path: Path, value: Mapping[str, Any], rows: object, classes: int) -> Split:
    """Rows of 3072 bytes, each an image as (3, 32, 32)."""
    data, labels = value.get("data"), value.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (rows, 3 * _SIDE * _SIDE):
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DatasetError(f"{path}: data must be uint8 {(rows, 3 * _SIDE * _SIDE)}, got {found}")
    if not isinstance(labels, list) or len(labels) != rows:
        raise DatasetError(f"{path}: labels must be a list of {rows}")
    if any(type(label) is not int or not 0 <= label < classes for label in labels):
        raise DatasetError(f"{path}: labels must be integers from 0 to {classes - 1}")
    images = data.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), np.array(labels, dtype=np.int64))


class _ArraysOnly(pickle.Unpickler):
    """Unpickles plain containers and numpy arrays; any other global is refused, so nothing foreign runs."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def _array(_type: object, _shape: object, _typecode: object) -> NDArray[np.int8]:
    """Stands for numpy's _reconstruct: a placeholder, whose shape, dtype and bytes the pickle sets next."""
    return np.empty(0, np.int8)


def _dtype(code: str, _align: object, _copy: object) -> np.dtype[np.uint8]:
    """Stands for numpy.dtype. A copy, because the pickle then sets its state too."""
    if code not in ("u1", "|u1"):
        raise pickle.UnpicklingError(f"only arrays of uint8 are allowed, got dtype {code!r}")
    return np.dtype(np.uint8, copy=True)


def _encode(text: str, _encoding: object) -> bytes:
    """Stands for _codecs.encode, by which protocol 2 carries bytes."""
    return text.encode("latin1")


#: Nothing here allocates or runs what a pickle chooses. `ndarray` itself is only ever an argument, ignored.
_GLOBALS: Mapping[tuple[str, str], Any] = MappingProxyType(
    {
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): _dtype,
        ("numpy.core.multiarray", "_reconstruct"): _array,
        ("numpy._core.multiarray", "_reconstruct"): _array,
        ("_codecs", "encode"): _encode,
    }
)
