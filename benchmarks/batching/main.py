"""What a cloud's batches gain, next to its graph with nothing around it.

python -m benchmarks.batching
python -m benchmarks.batching --bundle runs/mine/bundle --cores 4
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.batching.measure import cloud_rate, codec_ms, graph_rate, make_requests, make_symbols
from benchmarks.batching.report import Round, ratio, report
from benchmarks.cores import divide, pinned
from benchmarks.environment import Environment
from benchmarks.processes import Service, watched_service
from benchmarks.progress import progress
from benchmarks.results import write_results
from splitwire.bundle import Bundle

__all__ = ["GRAPH_ROWS", "main", "measure"]

_ROOT = Path(__file__).parents[2]

#: Rows of one run of the graph alone; the best of them is what the clouds are compared with.
GRAPH_ROWS = (1, 2, 4, 8, 16, 32)


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.batching", arguments)
    print(f"{environment}\n", flush=True)
    rounds = measure(options)
    print(report(rounds, options.max_batch, options.limit))
    if options.out:
        write_results(options.out, environment, ({"record": "round", **asdict(r)} for r in rounds))
    return int(ratio(rounds, max(options.clients)) < options.limit)


def measure(options: argparse.Namespace) -> list[Round]:
    """Both clouds are up all the while; in each round everything is measured in turns."""
    cores, others = divide(options.cores)
    with contextlib.ExitStack() as stack:
        with pinned(cores):
            on, off = (
                stack.enter_context(_cloud(options.bundle, len(cores), rows))
                for rows in (options.max_batch, 1)
            )
        return list(progress("rounds", _rounds(options, cores, others, on, off), options.rounds))


def _rounds(
    options: argparse.Namespace, cores: Sequence[int], others: Sequence[int], on: Service, off: Service
) -> Iterator[Round]:
    bundle = Bundle.load(options.bundle)
    symbols = make_symbols(bundle, [path.read_bytes() for path in options.images])
    requests = make_requests(bundle, symbols)
    engine = bundle.engine("body")
    most_first = sorted(options.clients, reverse=True)  # what is judged is measured right after the graph
    for _ in range(options.rounds):
        with pinned(cores):
            graph = {
                rows: graph_rate(engine, symbols, rows=rows, workers=len(cores), seconds=options.seconds / 3)
                for rows in GRAPH_ROWS
            }
            codec = codec_ms(bundle, engine, symbols)
        with pinned(others):
            loads = {
                (clients, cloud): cloud_rate(cloud, requests, clients=clients, seconds=options.seconds)
                for clients in most_first
                for cloud in (on, off)
            }
        yield Round(graph, codec, *({c: loads[c, cloud] for c in options.clients} for cloud in (on, off)))


def _cloud(bundle: Path, workers: int, max_batch: int) -> contextlib.AbstractContextManager[Service]:
    limits = ("--threads", "1", "--workers", str(workers), "--max-batch", str(max_batch))
    return watched_service("cloud", "--bundle", str(bundle), *limits)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.batching",
        description="A cloud under many clients, with batches and without, next to its graph alone.",
        epilog="Exit status: 1 if the most clients get less than --limit of the graph's best rate.",
    )
    add = parser.add_argument
    shipped, images = _ROOT / "models" / "cifar10", (_ROOT / "demo" / "images").iterdir()
    samples = sorted(path for path in images if path.suffix in (".jpg", ".png", ".webp"))
    add("--bundle", type=Path, default=shipped, metavar="DIR", help="default: models/cifar10")
    add(
        "--images",
        type=Path,
        nargs="+",
        default=samples,
        metavar="FILE",
        help="default: those in demo/images",
    )
    add("--clients", type=int, nargs="+", default=[1, 8, 32], metavar="N", help="default: 1 8 32")
    add("--max-batch", type=int, default=16, metavar="N", help="of the cloud that batches (default: 16)")
    add("--cores", type=int, default=1, metavar="N", help="of the cloud, and of the graph alone (default: 1)")
    add("--rounds", type=int, default=5, metavar="N", help="of which medians are taken (default: 5)")
    add(
        "--seconds",
        type=float,
        default=4.0,
        metavar="S",
        help="of each load; a third for the graph at each number of rows (default: 4)",
    )
    add(
        "--limit",
        type=float,
        default=0.85,
        metavar="R",
        help="lowest part of the graph's best (default: 0.85)",
    )
    add("--out", type=Path, metavar="FILE", help="every round as JSON lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
