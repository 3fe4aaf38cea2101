from typing import Any

from numpy.typing import NDArray

def read(
    state: int,
    words: bytes,
    symbols: NDArray[Any],
    frequencies: NDArray[Any],
    starts: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any],
    zero: int,
    /,
) -> tuple[int, int]: ...
def write(
    symbols: NDArray[Any],
    frequencies: NDArray[Any],
    starts: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any],
    zero: int,
    /,
) -> tuple[int, bytes]: ...
