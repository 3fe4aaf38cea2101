"""The command line of `trainer report`: which comparison and which seeds before `--`, a training after it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from splitwire.command_line import Parser
from splitwire.errors import ConfigError
from trainer.options import make_parser
from trainer.report.variants import COMPARISONS
from trainer.sweep.options import refuse_decided

__all__ = ["PROGRAM", "ReportOptions", "read_options"]

PROGRAM = "trainer report"

_DESCRIPTION = """\
Trains what OPTIONS say in two ways that differ in one thing, and compares them:

  layer-lr  layer-wise learning rates (--layer-lr, with its own factors unless others are given), and one rate
  scratch   from --weights, and for the same epochs from nothing: without --weights, --reset-classifier,
            --layer-lr and --freeze
  teacher   with --teacher, and without --teacher, --distill-weight and --temperature

OPTIONS   options of `trainer`; --out is the report's folder, --threads the threads of each training
          (default: all cores / J)

Every way is trained once for each seed, in a folder of its own below --out. The same command again, after an
interruption, skips the trainings that are finished and continues those that were begun; more seeds may be
added. In --out appear results.jsonl (a line a training), curves.csv and curves.png; the table has means and
deviations over the seeds, and the difference between trainings of the same seed.
"""

_EPILOG = """\
examples:
  trainer report layer-lr --seed 0 1 2 -- --edge-front 11 --edge-back 1 --dataset folder --data photos \\
      --weights imagenet --reset-classifier --lr 0.005 --batch-size 32 --epochs 6 --out runs/layer-lr
  trainer report scratch --scratch-lr 0.05 -- --edge-front 11 --edge-back 1 --dataset folder --data photos \\
      --weights imagenet --reset-classifier --lr 0.005 --batch-size 32 --epochs 6 --out runs/scratch
  trainer report teacher --seed 0 1 2 --jobs 2 -- --edge-front 3 --edge-back 1 \\
      --teacher runs/wide/checkpoint.pt --out runs/teacher
"""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """comparison: of `COMPARISONS`. scratch_rate: of the training from scratch, where it is to differ.
    common: the words for `trainer`.
    """

    comparison: str
    seeds: tuple[int, ...]
    jobs: int
    scratch_rate: float | None
    common: tuple[str, ...]


def read_options(argv: Sequence[str]) -> ReportOptions:
    """What `argv` says; an option that argparse does not know ends the program, as everywhere.

    Raises:
        ConfigError: an option is on the wrong side of `--`, or is of another comparison.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    own, common = argv[:end], tuple(argv[end + 1 :])
    parser = _make_parser()
    _refuse_misplaced(own, common, parser)
    chosen = parser.parse_args(own)
    refuse_decided("a report", common)
    _check_scratch_rate(chosen.comparison, chosen.scratch_lr)
    return ReportOptions(chosen.comparison, tuple(chosen.seed), chosen.jobs, chosen.scratch_lr, common)


def _make_parser() -> Parser:
    parser = Parser(PROGRAM, _DESCRIPTION, _EPILOG)
    parser.usage = (
        f"{PROGRAM} {{{','.join(COMPARISONS)}}} [--seed S ...] [--jobs J] [--scratch-lr LR] -- OPTIONS"
    )
    parser.add_argument("comparison", choices=COMPARISONS, help="what is compared, see above")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], metavar="S", help="one training each (default: 0)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="J", help="trainings at a time, each a process (default: 1)"
    )
    parser.add_argument(
        "--scratch-lr",
        type=float,
        metavar="LR",
        help="--lr of the trainings from scratch, which seldom suits both (default: that of OPTIONS)",
    )
    return parser


def _refuse_misplaced(own: Sequence[str], common: Sequence[str], parser: Parser) -> None:
    mine, of_training = _names(parser), _names(make_parser())
    for name in map(_name, own):
        if name in of_training - mine:
            raise ConfigError(f"{name} is an option of the trainings: it stands behind --")
    for name in map(_name, common):
        if name in ("--seed", "--jobs", "--scratch-lr"):
            raise ConfigError(f"{name} is an option of the report: it stands before --")


def _names(parser: Parser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


def _name(word: str) -> str:
    return word.partition("=")[0]


def _check_scratch_rate(comparison: str, rate: float | None) -> None:
    if rate is None:
        return
    if comparison != "scratch":
        raise ConfigError(f"--scratch-lr is of the report scratch, not of {comparison}")
    if not 0 < rate < math.inf:
        raise ConfigError(f"scratch-lr must be above 0, got {rate}")
