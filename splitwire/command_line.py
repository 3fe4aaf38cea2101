"""What the command lines of all programs have in common."""

import argparse
import gc
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

from splitwire import __version__
from splitwire.address import Address
from splitwire.logs import LOG_FORMATS

__all__ = ["LOG_LEVELS", "Parser", "add_tracing", "add_watching", "spare_imports", "take"]

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


def spare_imports() -> None:
    """For a service, before it makes anything that will go again: what is there now stays for ever.

    The collector would walk through it all the same, some 70,000 objects of libraries, and nobody is answered
    in the 60 to 100 milliseconds that takes.
    """
    gc.collect()
    gc.freeze()


def add_watching(parser: Parser, loopback: Address) -> None:
    """How a service is watched: --metrics, which by itself means `loopback`, and --log-format."""
    parser.add_argument(
        "--metrics",
        nargs="?",
        const=str(loopback),
        metavar="HOST:PORT",
        help="where to answer what monitoring asks; the option alone means %(const)s (default: nowhere)",
    )
    parser.add_argument(
        "--log-format",
        choices=LOG_FORMATS,
        default=LOG_FORMATS[0],
        help="json is one object a line (default: %(default)s)",
    )


def add_tracing(parser: Parser) -> None:
    """Where spans go: --otlp and --otlp-sample."""
    parser.add_argument(
        "--otlp",
        metavar="URL",
        help="export spans to the OpenTelemetry collector at http(s)://HOST:PORT; needs the extra otel",
    )
    parser.add_argument(
        "--otlp-sample",
        type=float,
        default=1.0,
        metavar="F",
        help="share that is exported of the requests whose traceparent does not say (default: %(default)g)",
    )
