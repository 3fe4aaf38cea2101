"""The options of `trainer` for a split without training, `--epochs 0`, and the request they make."""

import argparse
from pathlib import Path

from splitwire.errors import ConfigError
from splitwire.plan import SplitPlan
from trainer.post_training.request import SplitRequest
from trainer.preprocess_arguments import preprocess_from

__all__ = ["OPTIONS_OF_SPLIT", "add_split_without_training", "refuse_options_of_split", "request_from"]

_MAX_DROP = 1.0

#: What means something without training, beside what is only for that.
_SHARED = frozenset(
    (
        *("edge_front", "edge_back", "epochs", "weights", "data", "no_download", "seed", "threads"),
        *("image_size", "resize", "mean", "std", "out", "bundle", "overwrite", "quiet"),
    )
)

#: As arguments are called.
OPTIONS_OF_SPLIT = frozenset(("calibrate", "max_drop", "labels", "distill_steps"))

_Group = argparse._ArgumentGroup


def add_split_without_training(group: _Group) -> None:
    group.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="with --epochs 0: images, without labels, that --weights are split by; some hundred",
    )
    group.add_argument(
        "--max-drop",
        type=float,
        metavar="P",
        help=f"points of accuracy that may be lost, by the network's own beliefs (default: {_MAX_DROP:g})",
    )
    group.add_argument(
        "--labels", type=Path, metavar="FILE", help="names of the classes, one a line (default: the weights')"
    )
    group.add_argument(
        "--distill-steps",
        type=int,
        metavar="S",
        help="after the fit, S steps of training towards the unsplit network's own answers (default: 0)",
    )


def request_from(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> SplitRequest:
    """Of what `parser` made of the command line.

    Raises:
        ConfigError: something is absent, out of range, or means nothing without training.
    """
    given = _given(arguments, parser)
    wrong = given - _SHARED - OPTIONS_OF_SPLIT
    if wrong:
        names = sorted(action.option_strings[-1] for action in parser._actions if action.dest in wrong)
        raise ConfigError(f"without training, --epochs 0, these mean nothing: {', '.join(names)}")
    for name, what in (("weights", "what to split"), ("calibrate", "a folder of images")):
        if name not in given:
            raise ConfigError(f"--epochs 0 needs --{name}, {what}")
    return SplitRequest(
        plan=SplitPlan(arguments.edge_front, arguments.edge_back),
        weights=arguments.weights,
        calibrate=arguments.calibrate,
        preprocess=preprocess_from(arguments),
        labels=arguments.labels,
        max_drop=_MAX_DROP if arguments.max_drop is None else arguments.max_drop,
        distill_steps=arguments.distill_steps or 0,
        seed=arguments.seed,
    )


def refuse_options_of_split(arguments: argparse.Namespace) -> None:
    """Raises ConfigError where training is asked for, and what only a split without it can use."""
    wrong = sorted(name for name in OPTIONS_OF_SPLIT if getattr(arguments, name) is not None)
    if wrong:
        raise ConfigError(f"only with --epochs 0, which trains nothing: {_options(wrong)}")


def _given(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> set[str]:
    return {name for name, value in vars(arguments).items() if value != parser.get_default(name)}


def _options(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
