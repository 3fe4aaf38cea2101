"""Pickles of plain containers and uint8 arrays, read so that nothing foreign runs: CIFAR's official files."""

import io
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["unpickle"]


def unpickle(data: bytes) -> Any:
    """The value in a pickle of python 2 or 3, whose strings are taken as Latin-1.

    Raises:
        UnpicklingError: a global that is not allowed.
        Exception: whatever else a broken pickle makes of it.
    """
    return _ArraysOnly(io.BytesIO(data), encoding="latin1").load()


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
