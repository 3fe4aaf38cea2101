"""The options of `trainer` that say what crosses the boundaries, and the values they make."""

import argparse

from splitwire.errors import ConfigError
from splitwire.plan import FLOAT_BITS
from trainer.config import RANGES, Bottleneck, BoundaryOptions

__all__ = ["add_boundaries", "boundary_from", "refuse_downlink"]

_Group = argparse._ArgumentGroup

#: What can be said of one boundary alone, as arguments are called behind its name.
_OF_ONE = ("keep", "bits", "clip", "dead_zone", "bottleneck")


def add_boundaries(group: _Group) -> None:
    """Keep, bits, clip and the like, for both boundaries or one; what training pays for them, and when."""
    _add_codec(group)
    _add_training(group)
    _add_schedule(group)


def _add_codec(group: _Group) -> None:
    group.add_argument(
        "--keep",
        type=float,
        default=1.0,
        metavar="F",
        help="fraction of each activation kept, the largest; 1: no pruning (default: 1)",
    )
    group.add_argument(
        "--bits",
        type=int,
        default=4,
        metavar="B",
        help=f"bits per symbol, 2 to 8; {FLOAT_BITS}: no quantization (default: 4)",
    )
    group.add_argument(
        "--clip",
        type=float,
        metavar="R",
        help="largest magnitude of the grid, in root mean squares of the channel (default: by bits)",
    )
    group.add_argument(
        "--dead-zone",
        type=float,
        default=0.0,
        metavar="T",
        help="instead of --keep: what lies below T root mean squares of the channel becomes zero, so plain "
        "images cost fewer bytes (default: 0)",
    )
    for which in ("uplink", "downlink"):
        group.add_argument(f"--{which}-keep", type=float, metavar="F", help=f"--keep for the {which} alone")
        group.add_argument(f"--{which}-bits", type=int, metavar="B", help=f"--bits for the {which} alone")
        group.add_argument(f"--{which}-clip", type=float, metavar="R", help=f"--clip for the {which} alone")
        group.add_argument(
            f"--{which}-dead-zone", type=float, metavar="T", help=f"--dead-zone for the {which} alone"
        )
        group.add_argument(
            f"--{which}-bottleneck",
            metavar="C[/S[/D[/E]]]",
            help=f"learned reduction of the {which} to C channels, each side divided by S, whose decoder "
            "has D blocks more, and whose encoder E (default: none)",
        )


def _add_training(group: _Group) -> None:
    group.add_argument(
        "--rate-weight",
        type=float,
        default=0.0,
        metavar="L",
        help="what 1,000 bytes of an image's symbols add to the loss (default: 0)",
    )
    group.add_argument(
        "--rate-target",
        type=float,
        metavar="BYTES",
        help="mean bytes of an image's symbols, as training estimates them and of all quantized boundaries "
        "together, that --rate-weight is adjusted to reach",
    )
    group.add_argument(
        "--ranges",
        choices=RANGES,
        default="calibrated",
        help="scales of quantization: calibrated, or from there on learned with the weights "
        "(default: calibrated)",
    )
    group.add_argument(
        "--gradient-bits",
        type=int,
        metavar="B",
        help="width of the gradients that cross back in training, 2 to 8; rounded at random, and right on "
        "average (default: float32)",
    )


def _add_schedule(group: _Group) -> None:
    group.add_argument(
        "--uncompressed-epochs",
        type=int,
        default=0,
        metavar="E",
        help="for the first E epochs activations cross as they are (default: 0)",
    )
    group.add_argument(
        "--anneal-epochs",
        type=int,
        default=0,
        metavar="E",
        help="then for E epochs keep falls from 1 by equal ratios, bits from 8 one by one, and a dead zone "
        "grows (default: 0)",
    )
    group.add_argument(
        "--calibration-epochs",
        type=int,
        metavar="E",
        help="scales are renewed before each of the first E epochs, and when annealing changes what crosses, "
        "then frozen (default: half)",
    )


def refuse_downlink(arguments: argparse.Namespace) -> None:
    """Raises ConfigError where the downlink carries logits, and an option is for the downlink alone."""
    given = [name for name in _OF_ONE if getattr(arguments, f"downlink_{name}") is not None]
    if arguments.edge_back == 0 and given:
        names = ", ".join(f"--downlink-{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"with --edge-back 0, whose downlink carries logits as they are, no {names}")


def boundary_from(arguments: argparse.Namespace, which: str) -> BoundaryOptions:
    """Of `which`, "uplink" or "downlink". Raises ConfigError where an option is out of range."""

    def chosen(name: str) -> float | None:
        own: float | None = getattr(arguments, f"{which}_{name}")
        both: float | None = getattr(arguments, name)
        return both if own is None else own

    keep, bits, dead_zone = chosen("keep"), chosen("bits"), chosen("dead_zone")
    assert keep is not None
    assert bits is not None
    assert dead_zone is not None
    bottleneck = getattr(arguments, f"{which}_bottleneck")
    return BoundaryOptions(
        keep=keep,
        bits=int(bits),
        clip=chosen("clip"),
        bottleneck=None if bottleneck is None else Bottleneck.parse(bottleneck),
        dead_zone=dead_zone,
        ranges=arguments.ranges,
        gradient_bits=arguments.gradient_bits,
    )
