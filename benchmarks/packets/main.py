"""What an image costs on the link besides its messages: packets, and bytes with all headers.

python -m benchmarks.packets
"""

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.packets.socket_statistics import Traffic, traffic_to
from benchmarks.processes import service
from benchmarks.progress import progress
from benchmarks.rest import EdgeConnection
from benchmarks.results import write_results

__all__ = ["Cost", "main", "measure", "report"]

_ROOT = Path(__file__).parents[2]

_WARM_UP_IMAGES = 10


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one image, means. pause: seconds before the next one. uplink, downlink: bytes of its messages.
    traffic: of the connection to the cloud."""

    pause: float
    uplink: float
    downlink: float
    traffic: Traffic


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.packets", arguments)
    print(f"{environment}\n", flush=True)
    images = [path.read_bytes() for path in options.images]
    bundle = ("--bundle", str(options.bundle))
    with (
        service("cloud", *bundle) as cloud,
        service("edge", *bundle, "--cloud", cloud, "--fallback", "none") as url,
        EdgeConnection(url) as edge,
    ):
        measure(edge, cloud, images, 0.0, _WARM_UP_IMAGES)
        found = [measure(edge, cloud, images, pause, options.count) for pause in options.pauses]
    print(report(found))
    if options.out:
        write_results(options.out, environment, [{"record": "cost", **asdict(cost)} for cost in found])
    return 0


def measure(edge: EdgeConnection, cloud: str, images: Sequence[bytes], pause: float, count: int) -> Cost:
    """`count` images, one after the other, by way of the cloud at HOST:PORT."""
    before = traffic_to(cloud)
    sizes = []
    for image in progress(f"{pause:g} s between", itertools.islice(itertools.cycle(images), count), count):
        sizes.append(edge.classify(image, top_k=1)["bytes"])
        time.sleep(pause)
    uplink, downlink = (sum(size[way] for size in sizes) / count for way in ("uplink", "downlink"))
    return Cost(pause, uplink, downlink, (traffic_to(cloud) - before) / count)


def report(found: Sequence[Cost]) -> str:
    lines = [f"{'an image':<24}{'uplink':>33}{'downlink':>33}"]
    lines.append(f"{'seconds to the next':<24}" + f"{'message':>11}{'packets':>11}{'bytes':>11}" * 2)
    for cost in found:
        ways = (
            (cost.uplink, cost.traffic.packets_sent, cost.traffic.bytes_sent),
            (cost.downlink, cost.traffic.packets_received, cost.traffic.bytes_received),
        )
        numbers = (f"{message:11.0f}{packets:11.2f}{size:11.0f}" for message, packets, size in ways)
        lines.append(f"{cost.pause:<24g}" + "".join(numbers))
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.packets",
        description="Packets and bytes on the connection between a real edge and a real cloud.",
        epilog="Bytes are those of the messages, of HTTP/2, and of TCP's and IPv4's headers.",
    )
    add = parser.add_argument
    images = sorted(path for path in (_ROOT / "demo" / "images").iterdir() if path.suffix != ".md")
    add(
        "--bundle", type=Path, default=_ROOT / "models" / "cifar10", metavar="DIR", help="default: what ships"
    )
    add(
        "--images", type=Path, nargs="+", default=images, metavar="FILE", help="default: those in demo/images"
    )
    add("--count", type=int, default=50, metavar="N", help="images a row (default: %(default)s)")
    add(
        "--pauses",
        type=float,
        nargs="+",
        default=[0.0, 0.05, 0.2, 1.0],
        metavar="S",
        help="seconds between two images, a row each (default: 0, 0.05, 0.2 and 1)",
    )
    add("--out", type=Path, metavar="FILE", help="every row as JSON lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
