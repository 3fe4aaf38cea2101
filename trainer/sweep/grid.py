"""The grid of a sweep: every combination of its axes' values, checked before the first training begins."""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from splitwire.cores import usable_cores
from splitwire.errors import ConfigError, SplitwireError
from trainer.data import Dataset, load
from trainer.data.preprocessing import PreprocessOptions
from trainer.data.storage import Storage
from trainer.data_arguments import storage_from
from trainer.imagenet import IMAGENET, published_weights
from trainer.options import MAX_THREADS, check_threads, config_from, make_parser
from trainer.preprocess_arguments import preprocess_from
from trainer.split_arguments import refuse_options_of_split
from trainer.sweep.cell import Cell, Value, describe
from trainer.sweep.options import DEFAULT, SweepOptions, read_options

__all__ = ["DataSource", "Grid", "Training", "WeightsSource", "grid_from", "make_grid", "parse_training"]

_DEFAULT_OUT = Path("runs") / "sweep"

#: The values of a cell, and the words for `trainer` that they stand for.
Training = tuple[Mapping[str, Value], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class DataSource:
    """The arguments of `trainer.data.load`."""

    name: str
    root: Path
    download: bool
    preprocess: PreprocessOptions
    storage: Storage
    progress: bool

    def load(self) -> Dataset:
        """Raises what `trainer.data.load` does."""
        return load(
            self.name,
            root=self.root,
            download=self.download,
            preprocess=self.preprocess,
            storage=self.storage,
            progress=self.progress,
        )


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """The arguments of `trainer.imagenet.published_weights`."""

    root: Path
    download: bool
    progress: bool

    def fetch(self) -> Path:
        """Raises what `published_weights` does."""
        return published_weights(self.root, download=self.download, progress=self.progress)


@dataclass(frozen=True, slots=True)
class Grid:
    """cells: the first axis slowest. threads: of each training. data: what the cells are trained on.
    weights: published ones, that cells start from.
    """

    cells: tuple[Cell, ...]
    out: Path
    jobs: int
    threads: int
    data: frozenset[DataSource]
    weights: frozenset[WeightsSource]


def grid_from(argv: Sequence[str]) -> Grid:
    """The grid that the words behind `trainer sweep` ask for.

    Raises:
        ConfigError: a cell that cannot be trained, or two that are the same training.
    """
    options = read_options(argv)
    return make_grid("trainer sweep", _combinations(options), options.jobs)


def make_grid(program: str, trainings: Sequence[Training], jobs: int) -> Grid:
    """The grid of these trainings, whose --out and --threads are those of the first.

    program: what the user called.

    Raises:
        ConfigError: a cell that cannot be trained, or two that are the same training.
    """
    if jobs < 1:
        raise ConfigError(f"jobs must be at least 1, got {jobs}")
    parsed = [parse_training(program, arguments) for _, arguments in trainings]
    cells = [
        _cell(values, arguments, namespace)
        for (values, arguments), namespace in zip(trainings, parsed, strict=True)
    ]
    _refuse_twins(cells)
    threads = parsed[0].threads
    if threads is None:
        threads = min(MAX_THREADS, max(1, usable_cores() // jobs))
    check_threads(threads)
    out = parsed[0].out or _DEFAULT_OUT
    data, weights = frozenset(map(_data_source, parsed)), frozenset(_published(parsed))
    return Grid(tuple(cells), out, jobs, threads, data, weights)


def _combinations(options: SweepOptions) -> list[Training]:
    trainings: list[Training] = []
    for words in product(*options.axes.values()):
        chosen = dict(zip(options.axes, words, strict=True))
        values = {axis: _value(word) for axis, word in chosen.items()}
        trainings.append((values, _arguments(options, chosen)))
    return trainings


def _arguments(options: SweepOptions, chosen: Mapping[str, str]) -> tuple[str, ...]:
    own = (f"--{axis}={word}" for axis, word in chosen.items() if word != DEFAULT)
    return (*options.common, *own)


def parse_training(program: str, arguments: Sequence[str]) -> argparse.Namespace:
    """What `trainer` makes of them; a mistake ends `program`, where the user looks for it."""
    parser = make_parser()
    parser.prog = program
    return parser.parse_args(arguments)


def _cell(values: Mapping[str, Value], arguments: tuple[str, ...], namespace: argparse.Namespace) -> Cell:
    try:
        config = config_from(namespace)
        refuse_options_of_split(namespace)
    except SplitwireError as error:
        raise ConfigError(f"{describe(values)}: {error}") from error
    sources = {
        "weights": None if namespace.weights is None else str(namespace.weights),
        "teacher": None if namespace.teacher is None else str(namespace.teacher),
        "reset-classifier": str(namespace.reset_classifier),
        # The other data sets are the same ones wherever they lie.
        "data": str(namespace.data) if config.dataset == "folder" else None,
    }
    return Cell(values, arguments, config, sources)


def _data_source(namespace: argparse.Namespace) -> DataSource:
    return DataSource(
        name=namespace.dataset,
        root=namespace.data,
        download=not namespace.no_download,
        preprocess=preprocess_from(namespace),
        storage=storage_from(namespace, namespace.out or _DEFAULT_OUT),
        progress=not namespace.quiet,
    )


def _published(parsed: Sequence[argparse.Namespace]) -> Iterator[WeightsSource]:
    for namespace in parsed:
        if str(namespace.weights) == IMAGENET:
            yield WeightsSource(namespace.data, not namespace.no_download, not namespace.quiet)


def _value(word: str) -> Value:
    """The number that it is, or the word."""
    for number in (int, float):
        try:
            value = number(word)
        except ValueError:
            continue
        if math.isfinite(value):
            return value
    return word


def _refuse_twins(cells: Sequence[Cell]) -> None:
    trainings: dict[object, Cell] = {}
    folders: dict[str, Cell] = {}
    for cell in cells:
        twin = trainings.setdefault(cell.identity, cell)
        if twin is not cell:
            raise ConfigError(f"these are the same training: {twin}; and {cell}")
        twin = folders.setdefault(cell.name, cell)
        if twin is not cell:
            raise ConfigError(f"these would share a folder: {twin}; and {cell}")
