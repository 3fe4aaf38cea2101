"""Files that `torch.save` wrote, read only where they are whole: torch takes a weight as it finds it."""

import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

__all__ = ["read_torch_file"]

#: How files of torch begin since 1.6. What is older, as some published weights, has no checksums.
_ZIP = b"PK\x03\x04"

_DAMAGED = "it was cut off, or is damaged"


def read_torch_file(path: Path) -> Any:
    """Tensors, numbers, strings, and lists and dicts of these.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no file of torch's, not as it was written, or holds other objects; the text says
            which in one line, without the path.
    """
    with path.open("rb") as file:
        start = file.read(len(_ZIP))
        if not start:
            raise ValueError("it is empty")
        if start == _ZIP:
            _check_sums(file)
        file.seek(0)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken or hostile file can raise anything
            raise ValueError(_reason(start, error)) from error


def _check_sums(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except Exception as error:  # as above
        raise ValueError(_DAMAGED) from error
    if damaged is not None:
        raise ValueError(f"it is damaged: {damaged} in it is not what was written")


def _reason(start: bytes, error: Exception) -> str:
    """torch's own texts are of many lines, or of none."""
    if start != _ZIP:
        return f"torch did not write it, or {_DAMAGED}"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds other objects than tensors, numbers and strings"
    return "it is a zip file that torch did not write"
