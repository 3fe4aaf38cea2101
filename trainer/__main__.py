"""`trainer`: parse, build, run."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

try:  # for Ctrl-C in the tenths of a second that these take
    from splitwire.errors import ConfigError, SplitwireError
    from splitwire.memory import keep_freed_memory
    from trainer.claim import check_run
    from trainer.config import CHECKPOINT, TrainConfig, default_run
    from trainer.data import load
    from trainer.data_arguments import storage_from
    from trainer.imagenet import IMAGENET, published_weights
    from trainer.lock import locked
    from trainer.options import check_threads, config_from, make_parser
    from trainer.split_arguments import refuse_options_of_split, request_from
except KeyboardInterrupt:
    print("\ntrainer: interrupted", file=sys.stderr)
    sys.exit(130)

__all__ = ["main"]

#: What `trainer` does besides training: first argument -> module and function, imported when asked for.
#: A function takes the arguments that follow, and returns the exit status.
_COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "average": ("trainer.average", "average"),
        "evaluate": ("trainer.evaluate_command", "evaluate"),
        "sweep": ("trainer.sweep.main", "main"),
        "report": ("trainer.report.main", "main"),
    }
)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 the user's mistake, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in _COMMANDS:
        module, name = _COMMANDS[argv[0]]
        return _guarded(lambda: getattr(import_module(module), name)(argv[1:]), f"trainer {argv[0]}")
    arguments = make_parser().parse_args(argv)
    return _guarded(lambda: _train(arguments), "trainer")


def _guarded(run: Callable[[], int], prog: str) -> int:
    try:
        return run()
    except SplitwireError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\n{prog}: interrupted{interrupt}", file=sys.stderr)  # which `_telling` may have told more
        return 130


@contextmanager
def _telling(kept: Callable[[], str]) -> Iterator[None]:
    """An interrupt tells, too, what it left."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; {kept()}") from None


def _version(file: Path) -> tuple[int, int] | None:
    """Another for each that is written there; None for none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _kept(checkpoint: Path, before: tuple[int, int] | None, *, resumed: bool) -> str:
    """Of a run that was interrupted. before: the version of its checkpoint when it began."""
    now = _version(checkpoint)
    if now is None:
        return "no epoch was finished, so there is nothing to resume"
    if now == before and not resumed:
        return "no epoch was finished, and the run that was there still is"
    return "--resume continues after the last finished epoch"


def _train(arguments: argparse.Namespace) -> int:
    check_threads(arguments.threads)
    if arguments.resume and arguments.overwrite:
        raise ConfigError(
            "--resume continues the run that is there, --overwrite starts anew: name one of them"
        )
    keep_freed_memory()
    if arguments.epochs == 0:
        with _telling(lambda: "nothing was written"):
            return _split(arguments)
    refuse_options_of_split(arguments)
    config = config_from(arguments)
    if arguments.dataset == "digits":
        print("data set: the embedded handwritten digits; name another with --dataset cifar10 or folder")
    folder: Path = arguments.out or default_run(config)
    bundle = arguments.bundle or folder / "bundle"
    with locked(folder, "trainer"):
        check_run(folder, bundle, resume=arguments.resume, overwrite=arguments.overwrite)
        checkpoint = folder / CHECKPOINT
        before = _version(checkpoint)
        with _telling(lambda: _kept(checkpoint, before, resumed=arguments.resume)):
            _load_and_run(arguments, config, folder, bundle)
    return 0


def _load_and_run(arguments: argparse.Namespace, config: TrainConfig, folder: Path, bundle: Path) -> None:
    dataset = load(
        arguments.dataset,
        root=arguments.data,
        download=not arguments.no_download,
        preprocess=config.preprocess,
        storage=storage_from(arguments, folder),
        progress=not arguments.quiet,
    )
    from trainer.run import run  # torch takes seconds to import; --help and mistakes should not wait for it

    run(
        config,
        dataset,
        folder=folder,
        bundle=bundle,
        resume=arguments.resume,
        weights=_weights(arguments),
        teacher=arguments.teacher,
        reset_classifier=arguments.reset_classifier,
        threads=arguments.threads,
        progress=not arguments.quiet,
    )


def _split(arguments: argparse.Namespace) -> int:
    request = request_from(arguments, make_parser())
    folder = arguments.out or Path("runs") / request.name
    weights = _weights(arguments)
    assert weights is not None
    from trainer.post_training.command import run_split  # torch, see above

    run_split(
        replace(request, weights=weights),
        arguments.bundle or folder / "bundle",
        overwrite=arguments.overwrite,
        threads=arguments.threads,
        progress=not arguments.quiet,
    )
    return 0


def _weights(arguments: argparse.Namespace) -> Path | None:
    if arguments.weights is None or str(arguments.weights) != IMAGENET:
        path: Path | None = arguments.weights
        return path
    return published_weights(arguments.data, download=not arguments.no_download, progress=not arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
