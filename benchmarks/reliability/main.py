"""What clients see of a cloud that dies and of a link that is thin, slow, lossy, or gone.

python -m benchmarks.reliability --bundle models/cifar10 --image demo/images/cat.jpg
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.reliability.link import LinkError, possible
from benchmarks.reliability.overload import Overload, overload
from benchmarks.reliability.phase import Phase
from benchmarks.reliability.picture import draw_soak
from benchmarks.reliability.scenarios import Plan, Row, flap, hole, links, restarts
from benchmarks.reliability.soak import Soak, soak
from benchmarks.reliability.usage import Sample
from benchmarks.results import results, write_results
from demo.child import DemoError

__all__ = ["main"]

_SECONDS_PER_MINUTE = 60.0

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
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.soak_minutes is not None and options.soak_minutes < 1:
        parser.error(f"--soak-minutes must be at least 1, got {options.soak_minutes:g}")
    if options.overload_seconds is not None and options.overload_seconds < 1:
        parser.error(f"--overload-seconds must be at least 1, got {options.overload_seconds:g}")
    if options.overload_rounds < 1:
        parser.error(f"--overload-rounds must be at least 1, got {options.overload_rounds}")
    environment = Environment.read("benchmarks.reliability", arguments)
    print(f"{environment}\n", flush=True)
    run = _soak if options.soak_minutes else _overload if options.overload_seconds else _run
    try:
        return run(options, environment)
    except (DemoError, LinkError, OSError) as error:
        print(f"benchmarks.reliability: error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, environment: Environment) -> int:
    plan = Plan(options.bundle, options.image, options.deadline_ms, options.cycles, options.seconds)
    rows = []
    for name in options.scenarios or _SCENARIOS:
        if name in _LINKS and not possible():
            print(f"{name}: left out: a link needs Linux, root and /dev/net/tun")
            continue
        print(name, flush=True)
        for row in _SCENARIOS[name](plan):
            print(row, flush=True)
            rows.append(row)
    if options.out:
        write_results(options.out, environment, ({"record": "row", **asdict(row)} for row in rows))
    return int(any(row.summary.lost or row.summary.wrong for row in rows))


def _overload(options: argparse.Namespace, environment: Environment) -> int:
    """A goal that is missed is no failure: the machine may be busy with other work."""
    rows, failed = [], 0
    for row in overload(
        Overload(
            options.bundle,
            options.image,
            options.deadline_ms,
            options.overload_seconds,
            options.overload_rounds,
            options.overload_shared,
        )
    ):
        print(row, flush=True)
        rows.append(row)
        failed += row.failed if isinstance(row, Phase) else 0
    if options.out:
        write_results(options.out, environment, ({"record": "row", **asdict(row)} for row in rows))
    return int(failed > 0)


def _soak(options: argparse.Namespace, environment: Environment) -> int:
    seconds = options.soak_minutes * _SECONDS_PER_MINUTE
    plan = Soak(options.bundle, options.image, options.deadline_ms, seconds, options.soak_reloads)
    samples: list[Sample] = []
    print(f"soak, {options.soak_minutes:g} minutes", flush=True)
    with results(options.out or Path(os.devnull), environment) as write:

        def note(sample: Sample) -> None:
            samples.append(sample)
            write({"record": "sample", **asdict(sample)})

        report = soak(plan, note)
        write({"record": "soak", **asdict(report)})
    print(report)
    if options.out:
        options.out.with_suffix(".png").write_bytes(draw_soak(samples, report.warm_up))
    return int(report.failed)


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
    add(
        "--overload-seconds", type=float, metavar="S", help="instead: 3 x what can be answered, for S seconds"
    )
    add("--overload-rounds", type=int, default=5, metavar="N", help="of it (default: %(default)s)")
    add("--overload-shared", action="store_true", help="its generator has no core of its own")
    add("--soak-minutes", type=float, metavar="M", help="instead of any scenario, a steady load for so long")
    add("--soak-reloads", type=float, metavar="S", help="every S seconds SIGHUP to all services")
    add("--out", type=Path, metavar="FILE", help="JSON lines; of a soak also a picture, FILE with .png")
    return parser
