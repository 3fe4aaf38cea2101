"""`trainer`: parse, build, run."""

import argparse
import sys
from importlib import import_module

from splitwire.errors import ConfigError, SplitwireError
from trainer.config import default_run
from trainer.data import load
from trainer.options import config_from, make_parser

__all__ = ["main"]

#: What a first word that is no option runs: the module and its function of the words behind it. A module is
#: imported when it is asked for.
_COMMANDS = {"sweep": ("trainer.sweep.main", "main")}


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 the user's mistake, 130 interrupted; of a subcommand, its own."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in _COMMANDS:
        return _command(words[0], words[1:])
    arguments = make_parser().parse_args(words)
    try:
        return _run(arguments)
    except SplitwireError as error:
        print(f"trainer: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntrainer: interrupted; --resume continues after the last finished epoch", file=sys.stderr)
        return 130


def _command(name: str, words: list[str]) -> int:
    module, function = _COMMANDS[name]
    status: int = getattr(import_module(module), function)(words)
    return status


def _run(arguments: argparse.Namespace) -> int:
    config = config_from(arguments)
    if arguments.threads is not None and arguments.threads < 1:
        raise ConfigError(f"threads must be at least 1, got {arguments.threads}")
    if arguments.dataset == "digits":
        print("data set: the embedded handwritten digits; name another with --dataset cifar10 or folder")
    dataset = load(
        arguments.dataset,
        root=arguments.data,
        download=not arguments.no_download,
        image_size=arguments.image_size,
        progress=not arguments.quiet,
    )
    folder = arguments.out or default_run(config)
    from trainer.run import run  # torch takes seconds to import; --help and mistakes should not wait for it

    run(
        config,
        dataset,
        folder=folder,
        bundle=arguments.bundle or folder / "bundle",
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        weights=arguments.weights,
        reset_classifier=arguments.reset_classifier,
        threads=arguments.threads,
        progress=not arguments.quiet,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
