"""What clients see of a cloud that dies and of a link that is thin, slow, lossy, or gone.

python -m benchmarks.reliability --bundle models/cifar10 --image demo/images/cat.jpg
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.reliability.link import LinkError, possible
from benchmarks.reliability.scenarios import Plan, Row, flap, hole, links, restarts
from benchmarks.results import write_results
from demo.child import DemoError

__all__ = ["main"]

_SCENARIOS: Mapping[str, Callable[[Plan], Iterator[Row]]] = {
    "kill": partial(restarts, graceful=False),
    "drain": partial(restarts, graceful=True),
    "links": links,
    "flap": flap,
    "hole": hole,
}

#: These need a link that only root can make.
_LINKS = ("links", "flap", "hole")


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.reliability", arguments)
    print(f"{environment}\n", flush=True)
    plan = Plan(options.bundle, options.image, options.deadline_ms, options.cycles, options.seconds)
    rows = []
    try:
        for name in options.scenarios or _SCENARIOS:
            if name in _LINKS and not possible():
                print(f"{name}: left out: a link needs Linux, root and /dev/net/tun")
                continue
            print(name, flush=True)
            for row in _SCENARIOS[name](plan):
                print(row, flush=True)
                rows.append(row)
    except (DemoError, LinkError, OSError) as error:
        print(f"benchmarks.reliability: error: {error}", file=sys.stderr)
        return 2
    if options.out:
        write_results(options.out, environment, ({"record": "row", **asdict(row)} for row in rows))
    return int(any(row.summary.lost or row.summary.wrong for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "benchmarks.reliability", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("scenarios", nargs="*", choices=[*_SCENARIOS, []], metavar="SCENARIO", help=", ".join(_SCENARIOS))
    add("--bundle", type=Path, required=True, metavar="DIR")
    add("--image", type=Path, nargs="+", required=True, metavar="FILE", help="posted in turn")
    add("--deadline-ms", type=int, default=2000, metavar="MS", help="of the edge (default: %(default)s)")
    add("--cycles", type=int, default=100, metavar="N", help="of kill and drain (default: %(default)s)")
    add(
        "--seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="of each link, of flap, of hole (default: %(default)g)",
    )
    add("--out", type=Path, metavar="FILE", help="JSON lines")
    return parser
