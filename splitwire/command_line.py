"""What the command lines of all programs have in common."""

import argparse
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

from splitwire import __version__

__all__ = ["LOG_LEVELS", "Parser", "take"]

_T = TypeVar("_T")

LOG_LEVELS = ("debug", "info", "warning", "error")


class Parser(argparse.ArgumentParser):
    """Keeps the line breaks of its texts, knows --version, takes no abbreviated option (a later one could
    make it ambiguous), and answers a mistake with one line on stderr and exit status 2."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action="version", version=f"{prog} {__version__}")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def take(kind: type[_T], options: dict[str, Any]) -> _T:
    """The dataclass `kind`, of the options that its fields name; they are removed from `options`."""
    return kind(**{field.name: options.pop(field.name) for field in fields(kind)})  # type: ignore[arg-type]
