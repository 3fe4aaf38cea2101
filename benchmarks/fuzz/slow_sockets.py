"""What hundreds of slow sockets cost the others: slow headers, slow bodies, and connections that say nothing.

python -m benchmarks.fuzz.slow_sockets --bundle models/cifar10 --image demo/images/cat.jpg
"""

import argparse
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.environment import Environment
from benchmarks.processes import service
from benchmarks.reliability.load import Load, Summary, clients
from demo.child import DemoError

__all__ = ["Slow", "main", "slow_sockets"]

#: Between two bytes.
_PAUSE_SECONDS = 1.0

_DEADLINE_MS = 2000

_ROUTES = ("split", "local")

_HEAD = b"POST /classify HTTP/1.1\r\nHost: edge\r\n"

#: What is sent at once, and what one byte at a time, again and again.
_KINDS = {
    "headers": (_HEAD + b"X-Slow: ", b"a"),
    "body": (_HEAD + b"Content-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n", b"\xff"),
    "idle": (b"", b""),
}


class Slow:
    """Sockets of each kind in turn. ended: those that the edge answered or closed, and others replaced.
    longest: seconds that one of each kind was open, ended or not.
    """

    def __init__(self, host: str, port: int, count: int) -> None:
        self._address = (host, port)
        self.ended: Counter[str] = Counter()
        self.longest: dict[str, float] = {}
        self._opened: dict[socket.socket, float] = {}
        self._sockets = dict(self._open(kind) for kind in islice(cycle(_KINDS), count))

    @property
    def open(self) -> Counter[str]:
        return Counter(self._sockets.values())

    def trickle(self, done: threading.Event) -> None:
        """Until `done`, one look after another."""
        while not done.wait(_PAUSE_SECONDS):
            self.look()

    def look(self) -> None:
        """Send each its next byte, and replace those that came to an end."""
        for opened, kind in list(self._sockets.items()):
            age = time.monotonic() - self._opened[opened]
            self.longest[kind] = max(age, self.longest.get(kind, 0.0))
            if _ended(opened, _KINDS[kind][1]):
                self.ended[kind] += 1
                self._sockets.pop(opened)
                self._opened.pop(opened)
                opened.close()
                self._sockets |= dict([self._open(kind)])

    def close(self) -> None:
        for opened in self._sockets:
            opened.close()

    def _open(self, kind: str) -> tuple[socket.socket, str]:
        opened = socket.create_connection(self._address)
        opened.sendall(_KINDS[kind][0])
        opened.setblocking(False)
        self._opened[opened] = time.monotonic()
        return opened, kind


def _ended(opened: socket.socket, byte: bytes) -> bool:
    """Whether the edge has answered or closed it."""
    try:
        opened.send(byte)
        opened.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def slow_sockets(url: str, count: int) -> Iterator[Slow]:
    """`count` of them to the edge at `url`, all open when the block begins."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    slow, done = Slow(address.hostname, address.port, count), threading.Event()
    thread = threading.Thread(target=slow.trickle, args=[done], daemon=True)
    thread.start()
    try:
        yield slow
    finally:
        done.set()
        thread.join()
        slow.close()


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    print(f"{Environment.read('benchmarks.fuzz.slow_sockets', arguments)}\n", flush=True)
    bundle = ("--bundle", str(options.bundle))
    try:
        with (
            service("cloud", *bundle) as cloud,
            service("edge", *bundle, "--cloud", cloud, "--deadline-ms", str(_DEADLINE_MS)) as url,
            clients(url, options.image, options.clients) as load,
        ):
            before = _measure("alone", load, options.seconds)
            with slow_sockets(url, options.count) as slow:
                beside = _measure(f"beside {options.count}", load, options.seconds)
                print(f"open {dict(slow.open)}, answered or closed by the edge {dict(slow.ended)}")
                print(", ".join(f"{kind} at most {age:.1f} s" for kind, age in slow.longest.items()))
            _measure("afterwards", load, options.seconds)
    except (DemoError, OSError) as error:
        print(f"benchmarks.fuzz: error: {error}", file=sys.stderr)
        return 2
    print(f"p99 beside them is {beside.p99 / before.p99:.2f} of that alone (limit 2)")
    return int(beside.p99 > 2 * before.p99 or beside.lost > 0)


def _measure(what: str, load: Load, seconds: float) -> Summary:
    """Of the requests that were answered, whose times refusals would flatter."""
    began = time.monotonic()
    time.sleep(seconds)
    outcomes = load.since(began)
    found = Summary.of([outcome for outcome in outcomes if outcome.route in _ROUTES], _DEADLINE_MS)
    refused = Counter(outcome.reason for outcome in outcomes if outcome.route not in _ROUTES)
    print(f"{what:12} {found}  refused {dict(refused) or 'none'}", flush=True)
    return replace(found, lost=refused.total())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "benchmarks.fuzz.slow_sockets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR")
    add("--image", type=Path, nargs="+", required=True, metavar="FILE", help="posted in turn")
    add("--count", type=int, default=500, metavar="N", help="slow sockets (default: %(default)s)")
    add("--clients", type=int, default=2, metavar="N", help="the others (default: %(default)s)")
    add("--seconds", type=float, default=30.0, metavar="S", help="of each phase (default: %(default)g)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
