"""`make demo`: cloud and edge as two processes, and images classified over REST."""

import argparse
import contextlib
import http.client
import json
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from demo.child import Child, DemoError
from demo.table import classify, format_table
from splitwire.command_line import Parser

__all__ = ["main"]

_ROOT = Path(__file__).parents[1]
_IMAGES = Path(__file__).parent / "images"

#: Where README's commands look for the edge.
_USUAL_PORT = 8000

_READY_SECONDS = 60.0
_WATCH_SECONDS = 0.3

_DESCRIPTION = """\
Show the whole of Splitwire on this machine: start a cloud and an edge, each in its own process,
classify images over REST, print what travelled and how long it took, and stay up to be tried."""

_CAPTION = """\
uplink, downlink: bytes of the gRPC messages between edge and cloud. Times are of the edge's own clock,
after one image to warm up; cloud is what the cloud reports, network the rest of the round trip."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _services(options) as (url, children):
            failed = _show(url, options.images)
            if not options.once:
                _stay(url, options.images[0], children)
    except DemoError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0
    return 1 if failed else 0


def _usual_address() -> str:
    """On loopback, at the usual port or, where that is taken, at a free one."""
    try:
        socket.create_server(("127.0.0.1", _USUAL_PORT)).close()
    except OSError:
        return "127.0.0.1:0"
    return f"127.0.0.1:{_USUAL_PORT}"


@contextlib.contextmanager
def _services(options: argparse.Namespace) -> Iterator[tuple[str, list[Child]]]:
    """Run both; the edge's URL, once it is ready, and the processes. Stops them at the end."""
    children: list[Child] = []
    common = ["--bundle", str(options.bundle.resolve()), *(["--insecure"] if options.insecure else [])]
    try:
        children.append(Child("cloud", [*common, "--listen", options.cloud]))
        address = children[0].wait_ready()
        listen = options.edge or _usual_address()
        children.append(Child("edge", [*common, "--cloud", address, "--listen", listen]))
        url = children[1].wait_ready()
        _wait_until_ready(url, children)
        yield url, children
    finally:
        for child in reversed(children):
            child.stop()


def _wait_until_ready(url: str, children: list[Child]) -> None:
    end = time.monotonic() + _READY_SECONDS
    reason = ""
    while time.monotonic() < end:
        for child in children:
            child.check()
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=_READY_SECONDS) as response:  # noqa: S310
                if (ready := json.load(response))["route"] == "split":
                    return
            reason = ready["reason"]
        except (OSError, http.client.HTTPException) as e:
            if isinstance(e, urllib.error.HTTPError):
                e.close()
            reason = str(e)
        time.sleep(_WATCH_SECONDS)
    raise DemoError(f"the edge was not ready after {_READY_SECONDS:g} s: {reason}")


def _show(url: str, images: list[Path]) -> bool:
    """Classify and print; whether anything failed."""
    classify(url, images[0])
    outcomes = [classify(url, image) for image in images]
    print(f"{format_table(outcomes)}\n\n{_CAPTION}", flush=True)
    return any(isinstance(answer, str) for _, answer in outcomes)


def _stay(url: str, image: Path, children: list[Child]) -> None:
    shown = image.relative_to(Path.cwd()) if image.is_relative_to(Path.cwd()) else image
    print(
        f"\nThe edge listens on {url} (to read and try in a browser: {url}/docs).\n"
        f"Try: curl -F image=@{shown} {url}/classify\nCtrl-C stops both.",
        flush=True,
    )
    while True:
        for child in children:
            child.check()
        time.sleep(_WATCH_SECONDS)


def _parser() -> Parser:
    parser = Parser("demo", _DESCRIPTION)
    add = parser.add_argument
    samples = sorted(path for path in _IMAGES.iterdir() if path.suffix in (".jpg", ".png", ".webp"))
    add("images", nargs="*", type=Path, default=samples, help="image files (default: those in demo/images)")
    add("--once", action="store_true", help="exit after the table, with status 1 if anything failed")
    add(
        "--bundle",
        type=Path,
        default=_ROOT / "models" / "cifar10",
        metavar="DIR",
        help="the bundle to serve (default: models/cifar10)",
    )
    add(
        "--cloud",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="where the cloud listens (default: a free port)",
    )
    add(
        "--edge",
        metavar="HOST:PORT",
        help=f"where the edge listens (default: port {_USUAL_PORT}, or a free one where that is taken)",
    )
    add("--insecure", action="store_true", help="let both listen beyond loopback, without any credentials")
    return parser


if __name__ == "__main__":
    sys.exit(main())
