"""The options of `trainer` for how images become the network's input, and the value they make."""

import argparse

from splitwire.errors import ConfigError
from trainer.data.preprocessing import PreprocessOptions

__all__ = ["add_preprocessing", "preprocess_from"]

_Group = argparse._ArgumentGroup


def add_preprocessing(group: _Group) -> None:
    group.add_argument(
        "--image-size", type=int, metavar="PX", help="side of the network's input, for photos (default: 224)"
    )
    group.add_argument(
        "--resize",
        type=int,
        metavar="PX",
        help="what an image's shorter side is scaled to before the central square is cut, for photos "
        "(default: 256/224 of its size)",
    )
    for name, what in (("mean", "subtracted from"), ("std", "then dividing")):
        group.add_argument(
            f"--{name}",
            type=float,
            nargs="+",
            metavar="X",
            help=f"{what} pixels of 0..1: one number, or those of R, G and B (default: the data set's)",
        )


def preprocess_from(arguments: argparse.Namespace) -> PreprocessOptions:
    """Raises ConfigError for neither one number nor three."""
    mean, std = _triple(arguments, "mean"), _triple(arguments, "std")
    return PreprocessOptions(arguments.image_size, arguments.resize, mean, std)


def _triple(arguments: argparse.Namespace, name: str) -> tuple[float, float, float] | None:
    match getattr(arguments, name):
        case None:
            return None
        case [x]:
            return (x, x, x)
        case [r, g, b]:
            return (r, g, b)
        case values:
            raise ConfigError(f"{name} must be one number or three, got {len(values)}")
