"""What CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) share: published files, pickles, images of 32x32."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from splitwire.errors import DatasetError
from trainer.data.dataset import Split
from trainer.data.download import Archive, extract, fetch
from trainer.data.files import reading
from trainer.data.unpickling import unpickle

__all__ = ["SIDE", "label_names", "locate", "read_pickle", "to_split"]

SIDE = 32


def locate(root: Path, source: Archive, title: str, meta: str, *, download: bool, progress: bool) -> Path:
    """The folder with the official files: root, where it has the file `meta`, or source.folder in it.

    From the archive in root where there is no such folder, and that from its address where it is absent.

    Raises:
        DatasetError: there is neither, and nothing may be downloaded, or it cannot be read or unpacked.
    """
    archive = root / source.filename
    with reading(root):
        if (root / meta).is_file():
            return root
        if (root / source.folder).is_dir():
            return root / source.folder
        is_there = archive.is_file()
    if not is_there:
        if not download:
            raise DatasetError(
                f"no {title} in {root}: expected {source.folder}/ or {source.filename} there. Allow the "
                f"download, or fetch {source.url} yourself and put the file, unopened, at {archive}"
            )
        archive = fetch(source, root, progress=progress)
    return extract(archive, source, root)


def read_pickle(folder: Path, name: str, source: Archive) -> Mapping[str, Any]:
    """The dictionary in one file, whose digest is checked before a byte of it is interpreted.

    Raises:
        DatasetError: absent, not the published file, or no dictionary.
    """
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != source.files[name]:
        raise DatasetError(f"{path} is not the published file: MD5 {found}, expected {source.files[name]}")
    try:
        value = unpickle(data)
    except Exception as error:  # a broken pickle can raise anything
        raise DatasetError(f"{path} cannot be unpickled: {error}") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path} must hold a dictionary, got {type(value).__name__}")
    return value


def label_names(path: Path, meta: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Of what `path` held. Raises DatasetError where there are none."""
    names = meta.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path}: {key} must be a list of strings, got {names!r}")
    return tuple(names)


def to_split(path: Path, value: Mapping[str, Any], key: str, *, rows: object, classes: int) -> Split:
    """Rows of 3072 bytes, each an image as (3, 32, 32), with labels under `key`.

    Raises:
        DatasetError: what `path` held has another shape, or a label that is none of `classes`.
    """
    data, labels = value.get("data"), value.get(key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (rows, 3 * SIDE * SIDE):
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DatasetError(f"{path}: data must be uint8 {(rows, 3 * SIDE * SIDE)}, got {found}")
    if not isinstance(labels, list) or len(labels) != rows:
        raise DatasetError(f"{path}: {key} must be a list of {rows}")
    if any(type(label) is not int or not 0 <= label < classes for label in labels):
        raise DatasetError(f"{path}: {key} must be integers from 0 to {classes - 1}")
    images = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), np.array(labels, dtype=np.int64))
