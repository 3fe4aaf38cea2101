"""A bad link: two network namespaces, and this process in between, which delays, drops and throttles packets.

    here 10.77.0.1 | sw0 --queue, rate, delay, loss--> sw1 | 10.77.0.2 in the namespace

Of the packets' own: TCP sees delay and loss as on a real link. (The kernel's netem does the same where there
is one.) Needs Linux, root and `ip`. As a process: reads settings as JSON lines, ends with its input.
"""

import errno
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["CLOUD_HOST", "NAMESPACE", "Link", "LinkError", "Settings", "possible"]

NAMESPACE = "splitwire-cloud"
CLOUD_HOST = "10.77.0.2"
_EDGE_HOST = "10.77.0.1"
_DEVICES = ("sw0", "sw1")

_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_MTU = 1500

#: What waits for the sender at most, as in a router: more is dropped.
_QUEUE_SECONDS = 0.5


class LinkError(Exception):
    """The link could not be made; its text is meant to be shown."""


@dataclass(frozen=True, slots=True)
class Settings:
    """mbits (per second), delay (seconds), loss (fraction of packets): each way. up: or all are lost."""

    mbits: float = 1000.0
    delay: float = 0.0
    loss: float = 0.0
    up: bool = True

    def __str__(self) -> str:
        return f"{self.mbits:g} Mbit/s, {1000 * self.delay:g} ms, {self.loss:.0%} loss"


class Link:
    """The process that is the link."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def set(self, settings: Settings) -> None:
        assert self._process.stdin is not None
        print(json.dumps(asdict(settings)), file=self._process.stdin, flush=True)

    @classmethod
    @contextmanager
    def made(cls) -> Iterator["Link"]:
        """Raises LinkError."""
        command = [sys.executable, "-m", "benchmarks.reliability.link"]
        with subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                said = process.stdout.readline().strip()
                if said != "ready":
                    raise LinkError(said or "the link's process ended")
                yield cls(process)
            finally:
                process.stdin.close()
                process.wait()


def possible() -> bool:
    """Whether a link can be made here."""
    return os.name == "posix" and os.geteuid() == 0 and Path("/dev/net/tun").exists()


class _Direction:
    """From one device to the other: a queue that sends at a rate, then a delay."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self._target = source, target
        self._free = 0.0
        self._flying: list[tuple[float, int, bytes]] = []
        self._count = 0

    def receive(self, settings: Settings) -> None:
        packet = os.read(self.source, _MTU)
        now = time.monotonic()
        sent = max(self._free, now) + len(packet) * 8 / (settings.mbits * 1e6)
        lost = random.random() < settings.loss
        if not settings.up or lost or sent - now > _QUEUE_SECONDS + len(packet) * 8 / (settings.mbits * 1e6):
            return
        self._free = sent
        self._count += 1
        heapq.heappush(self._flying, (sent + settings.delay, self._count, packet))

    def deliver(self) -> float | None:
        """Writes what has arrived; seconds until the next does."""
        while self._flying:
            wait = self._flying[0][0] - time.monotonic()
            if wait > 0:
                return wait
            os.write(self._target, heapq.heappop(self._flying)[2])
        return None


def _run() -> None:
    near, far = map(_open, _DEVICES)
    with _namespace():
        _configure()
        print("ready", flush=True)
        _carry(near, far)


def _carry(near: int, far: int) -> None:
    """Until there is no more input."""
    directions = (_Direction(near, far), _Direction(far, near))
    settings, stdin = Settings(), sys.stdin.fileno()
    while True:
        waits = [wait for direction in directions if (wait := direction.deliver()) is not None]
        readable, _, _ = select.select([near, far, stdin], [], [], min(waits, default=None))
        for direction in directions:
            if direction.source in readable:
                direction.receive(settings)
        if stdin in readable:
            lines = os.read(stdin, 1 << 16).splitlines()
            if not lines:
                return
            settings = Settings(**json.loads(lines[-1]))


def _open(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN_NO_PI))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise LinkError(f"the device {name} is in use: a machine has one link at a time") from None
        raise
    return device


@contextmanager
def _namespace() -> Iterator[None]:
    # One may be left over from a link that was killed. Nobody else uses it while the devices are ours.
    _remove_namespace()
    try:
        _ip("netns", "add", NAMESPACE)
        yield
    finally:
        _remove_namespace()


def _remove_namespace() -> None:
    subprocess.run(["ip", "netns", "del", NAMESPACE], capture_output=True, check=False)


def _configure() -> None:
    near, far = _DEVICES
    _ip("link", "set", far, "netns", NAMESPACE)
    _ip("addr", "add", _EDGE_HOST, "peer", CLOUD_HOST, "dev", near)
    _ip("link", "set", near, "up")
    inside = ("-n", NAMESPACE)
    _ip(*inside, "addr", "add", CLOUD_HOST, "peer", _EDGE_HOST, "dev", far)
    _ip(*inside, "link", "set", far, "up")
    _ip(*inside, "link", "set", "lo", "up")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LinkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _main() -> int:
    try:
        _run()
    except (LinkError, OSError) as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
