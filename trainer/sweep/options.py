"""The command line of `trainer sweep`: axes before `--`, what all trainings have in common after it."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from splitwire.command_line import Parser
from splitwire.errors import ConfigError
from trainer.options import make_parser
from trainer.split_arguments import OPTIONS_OF_SPLIT

__all__ = ["DEFAULT", "SweepOptions", "read_options", "refuse_decided"]

#: The value of an axis that leaves its option out.
DEFAULT = "default"

#: Where a training writes and how fast it runs say nothing of what it is; a split without training is none;
#: and layer-wise rates are three numbers.
_NO_AXES = {"out", "bundle", "threads", "image_memory", *OPTIONS_OF_SPLIT, "layer_rates"}

#: What a sweep decides for each of its trainings.
_DECIDED = ("--resume", "--overwrite", "--bundle")

_DESCRIPTION = """\
Trains a grid: every combination of the values of its axes, each in a folder of its own below --out.

AXES     options of `trainer` with the values that each takes in turn; default leaves the option out
OPTIONS  options of `trainer` that all trainings have in common; --out is the sweep's folder
         (default: runs/sweep), --threads the threads of each training (default: all cores / J)

The same command again, after an interruption, skips the trainings that are finished and continues those
that were begun. More values may be added to an axis; another grid needs another --out. In --out appear
results.jsonl (a line a training) and sweep.png; the table has means and deviations over the seeds.
"""


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """axes: for each option, without its dashes, its values as written. common: the words for `trainer`."""

    axes: dict[str, list[str]]
    common: tuple[str, ...]
    jobs: int


def read_options(argv: Sequence[str]) -> SweepOptions:
    """What `argv` says; an option that argparse does not know ends the program, as everywhere.

    Raises:
        ConfigError: an option is on the wrong side of `--`, or there is no axis.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    own, common = argv[:end], tuple(argv[end + 1 :])
    training = make_parser()
    _refuse_misplaced(own, training)
    axes = vars(_make_parser(training).parse_args(own))
    jobs = axes.pop("jobs")
    if not axes:
        raise ConfigError("a sweep needs an axis before --, say --seed 0 1 2")
    refuse_decided("a sweep", common)
    _refuse_axes(common, axes)
    return SweepOptions(axes, common, jobs)


def _make_parser(training: Parser) -> Parser:
    names = _axis_names(training)
    parser = Parser("trainer sweep", _DESCRIPTION, _epilog(names))
    parser.usage = "trainer sweep AXES [--jobs J] -- OPTIONS"
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="J", help="trainings at a time, each a process (default: 1)"
    )
    for name in names:
        # SUPPRESS as default keeps the axes that are given alone, in their order.
        parser.add_argument(
            name,
            dest=name.removeprefix("--"),
            nargs="+",
            action="extend",
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
        )
    return parser


def _axis_names(training: Parser) -> list[str]:
    """Options with one value; flags have none to choose from."""
    return [
        name
        for action in training._actions
        if isinstance(action, argparse._StoreAction) and action.dest not in _NO_AXES
        for name in action.option_strings
    ]


def _epilog(names: Sequence[str]) -> str:
    rows = [", ".join(names[i : i + 5]) for i in range(0, len(names), 5)]
    return (
        "axes (see trainer --help):\n  "
        + ",\n  ".join(rows)
        + """

examples:
  trainer sweep --edge-front 1 2 3 --edge-back 1 2 3 --seed 0 1 --jobs 2 -- --epochs 3 --out runs/placements
      where to cut: 18 trainings on the embedded digits, two at a time
  trainer sweep --uplink-bottleneck default 12 12/2 -- --edge-front 3 --edge-back 1 --dataset cifar10
      without a bottleneck, and with two
"""
    )


def _refuse_misplaced(own: Sequence[str], training: Parser) -> None:
    others = {name for action in training._actions for name in action.option_strings}
    others -= {*_axis_names(training), "-h", "--help", "--version"}
    for name in (word.partition("=")[0] for word in own):
        if name in others:
            raise ConfigError(f"{name} is no axis: options common to all trainings stand behind --")


def refuse_decided(command: str, common: Sequence[str]) -> None:
    """Raises ConfigError where `common` has what the command, "a sweep", decides for each training."""
    for name in (word.partition("=")[0] for word in common):
        if name in _DECIDED:
            raise ConfigError(f"{name} cannot be given: {command} decides it for each training")


def _refuse_axes(common: Sequence[str], axes: dict[str, list[str]]) -> None:
    for name in (word.partition("=")[0] for word in common):
        if name.removeprefix("--") in axes and name.startswith("--"):
            raise ConfigError(f"{name} is an axis, and also behind --")
