"""What is compared: the two variants of one training that a report is of."""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from splitwire.errors import ConfigError
from trainer.imagenet import IMAGENET

__all__ = ["COMPARISONS", "Comparison", "Variant", "without"]


@dataclass(frozen=True, slots=True)
class Variant:
    """arguments: words for `trainer`."""

    name: str
    arguments: tuple[str, ...]


#: From the words for `trainer`, what `trainer` makes of them, and the learning rate from scratch: what is
#: asked about, and what it is held against. Raises ConfigError where they leave nothing to compare.
_Split = Callable[[tuple[str, ...], argparse.Namespace, float | None], tuple[Variant, Variant]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """title: of pictures. loss: what the training loss of its curves is."""

    title: str
    split: _Split
    loss: str = "training loss"


def without(words: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    """The words without these options, --dashed, and their values.

    `trainer` takes nothing but options: what follows one, up to the next, is its own.
    """
    kept, dropped = [], False
    for word in words:
        if word.startswith("--"):
            dropped = word.partition("=")[0] in names
        if not dropped:
            kept.append(word)
    return tuple(kept)


def _layer_rates(
    words: tuple[str, ...], given: argparse.Namespace, _: float | None
) -> tuple[Variant, Variant]:
    if given.layer_rates is not None and given.layer_rates and set(given.layer_rates) == {1.0}:
        raise ConfigError("layer-lr 1 1 1 is one rate already: give other factors, or none")
    layered = words if given.layer_rates is not None else (*words, "--layer-lr")
    return Variant("layer-wise", layered), Variant("one-rate", without(words, ["--layer-lr"]))


def _scratch(
    words: tuple[str, ...], given: argparse.Namespace, rate: float | None
) -> tuple[Variant, Variant]:
    if given.weights is None:
        raise ConfigError("the report scratch needs --weights behind --, to fine-tune from")
    if str(given.weights) != IMAGENET:
        _require_there("weights", given.weights)
    bare = without(words, ["--weights", "--reset-classifier", "--layer-lr", "--freeze"])
    own_rate = () if rate is None else (f"--lr={rate}",)
    return Variant("fine-tuned", words), Variant("from-scratch", (*bare, *own_rate))


def _teacher(words: tuple[str, ...], given: argparse.Namespace, _: float | None) -> tuple[Variant, Variant]:
    if given.teacher is None:
        raise ConfigError("the report teacher needs --teacher behind --, to learn from")
    _require_there("teacher", given.teacher)
    alone = without(words, ["--teacher", "--distill-weight", "--temperature"])
    return Variant("with-teacher", words), Variant("without-teacher", alone)


def _require_there(option: str, path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"--{option} {path}: there is no such file or folder")


COMPARISONS: Mapping[str, Comparison] = MappingProxyType(
    {
        "layer-lr": Comparison("Layer-wise learning rates against one rate", _layer_rates),
        "scratch": Comparison("Fine-tuning against training from scratch", _scratch),
        "teacher": Comparison(
            "Student with and without a teacher",
            _teacher,
            loss="training loss (the teacher's share included)",
        ),
    }
)
