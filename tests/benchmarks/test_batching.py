"""The batching benchmark on a tiny bundle: real processes, and no timing is judged."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from benchmarks.batching.main import GRAPH_ROWS, main
from benchmarks.batching.measure import Rate, cloud_rate, make_requests, make_symbols
from benchmarks.batching.report import Round, best_rows, ratio, report
from benchmarks.batching.symbols import differing, random_symbols
from benchmarks.batching.symbols import main as main_of_symbols
from benchmarks.cores import divide, pinned
from benchmarks.processes import watched_service
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from tests.bundles import UPLINK
from tests.e2e.processes import ROOT

_IMAGES = [ROOT / "demo" / "images" / "cat.jpg", ROOT / "demo" / "images" / "bird.png"]


def _round(images: float, best: float) -> Round:
    """As if the cloud answered that many a second under 8 clients, and the graph alone took `best`."""
    clouds = {1: Rate(100.0, 2.0, 3.0), 8: Rate(images, 9.0, 2.0)}
    return Round({1: Rate(best / 2, 1.0, 1.5), 16: Rate(best, 8.0, 1.0)}, 0.25, clouds, clouds)


def test_everything_is_measured_and_written(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ["--bundle", str(tiny_bundle.path), "--images", *map(str, _IMAGES), "--clients", "1", "3"]
    quick = ["--rounds", "2", "--seconds", "0.2", "--limit", "0", "--out", str(out)]
    assert main([*arguments, *quick]) == 0
    printed = capsys.readouterr().out
    assert all(
        text in printed for text in ("--max-batch 16", "--max-batch 1,", "3 clients", "(limit 0: met)")
    )
    environment, *rounds = (json.loads(line) for line in out.read_text().splitlines())
    assert environment["record"] == "environment"
    assert len(rounds) == 2
    for one in rounds:
        assert list(one["graph"]) == [str(rows) for rows in GRAPH_ROWS]
        assert list(one["on"]) == list(one["off"]) == ["1", "3"]
        rates = [rate for what in ("graph", "on", "off") for rate in one[what].values()]
        assert all(rate["images"] > 0 and rate["latency"] > 0 and rate["processor"] >= 0 for rate in rates)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    rounds = [_round(100, 1000), _round(900, 1000), _round(400, 800)]
    assert ratio(rounds, 8) == 0.5
    shown = report(rounds, 16, 0.5)
    assert "8 clients, of the graph's best: 0.500 (limit 0.5: met)" in shown
    assert "  the graph's best of that            0.333    0.500" in shown
    assert "(limit 0.6: missed)" in report(rounds, 16, 0.6)


def test_one_lucky_moment_is_not_the_best_that_the_graph_does() -> None:
    lucky = _round(400, 800)
    lucky = replace(lucky, graph={**lucky.graph, 1: Rate(2000.0, 1.0, 1.0)})
    rounds = [_round(400, 800), lucky, _round(400, 800)]
    assert best_rows(rounds) == 16
    assert ratio(rounds, 8) == 0.5


def test_requests_are_of_the_images(tiny_bundle: Bundle) -> None:
    symbols = make_symbols(tiny_bundle, [path.read_bytes() for path in _IMAGES])
    assert symbols.shape == (2, *UPLINK.shape)
    assert len(set(make_requests(tiny_bundle, symbols))) == 2


def test_a_refusal_is_no_answer(tiny_bundle: Bundle) -> None:
    with (
        watched_service("cloud", "--bundle", str(tiny_bundle.path)) as cloud,
        pytest.raises(OSError, match="the cloud answered 9"),
    ):
        cloud_rate(cloud, [b""], clients=1, seconds=0.1)


def test_cores_are_divided() -> None:
    for count in (1, 2, 10_000):
        cloud, others = divide(count)
        assert cloud
        assert others
        assert set(cloud).isdisjoint(others) or list(cloud) == list(others)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_pinning_ends() -> None:
    before = os.sched_getaffinity(0)
    with pinned([min(before)]):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_symbols_that_a_batch_changes_are_counted(tiny_bundle: Bundle) -> None:
    class Careless(Engine):
        def run(self, x: NDArray[Any]) -> NDArray[Any]:
            y = super().run(x)
            y[0, 0] ^= len(x) == 4  # one symbol of each batch of four
            return y

    symbols = random_symbols(UPLINK, 10)
    assert differing(Engine(tiny_bundle.graph("body")), symbols, (2, 4)) == {2: 0, 4: 0}
    assert differing(Careless(tiny_bundle.graph("body")), symbols, (2, 4)) == {2: 0, 4: 2}


def test_the_symbols_of_a_bundle_are_compared(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_of_symbols(["--bundle", str(tiny_bundle.path), "--random", "70"]) == 0
    assert "70 rows of random symbols, threads 2: " in capsys.readouterr().out
