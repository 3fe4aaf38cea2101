"""The options of `trainer` for the images that it learns from."""

import argparse
import math
from pathlib import Path

from splitwire.errors import ConfigError
from trainer.data import DATASETS, DOWNLOADED
from trainer.data.storage import DEFAULT_MEMORY, Storage
from trainer.preprocess_arguments import add_preprocessing

__all__ = ["add_data", "storage_from"]

_GIB = 1 << 30


def add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dataset", choices=DATASETS, default="digits", help="default: digits, which is embedded"
    )
    group.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="folder of the data set (default: data)",
    )
    group.add_argument(
        "--no-download", action="store_true", help=f"do not fetch {' or '.join(DOWNLOADED)} where absent"
    )
    group.add_argument(
        "--image-memory",
        type=float,
        default=DEFAULT_MEMORY / _GIB,
        metavar="GIB",
        help="decoded images that take more lie in a file on the disk of --out while the run lasts "
        f"(default: {DEFAULT_MEMORY / _GIB:g})",
    )
    add_preprocessing(group)


def storage_from(arguments: argparse.Namespace, folder: Path | None) -> Storage:
    """folder: of the run. Raises ConfigError for a size that cannot be."""
    gib: float = arguments.image_memory
    if not 0 <= gib < math.inf:
        raise ConfigError(f"image-memory must be at least 0 GiB, got {gib}")
    return Storage(int(gib * _GIB), folder)
