"""The overload, its arrivals and how they are summed up; no timing is judged."""

import asyncio
import json
import socket
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.main import main
from benchmarks.reliability.open_loop import Arrival, Client, request_bytes, schedule
from benchmarks.reliability.overload import recovery
from benchmarks.reliability.phase import Phase
from splitwire.bundle import Bundle
from tests.e2e.processes import ROOT


def arrival(planned: float, milliseconds: float, status: int = 200, *, retries: bool = False) -> Arrival:
    return Arrival(planned, planned + 0.001, planned + milliseconds / 1000, status, retries)


def test_requests_are_sent_evenly_at_their_rate() -> None:
    assert schedule(4.0, 1.0) == [0.0, 0.25, 0.5, 0.75]
    assert schedule(0.1, 1.0) == []


def test_a_phase_counts_from_when_a_request_was_to_be_sent() -> None:
    arrivals = [
        arrival(0.0, 100.0),
        arrival(0.5, 3000.0),
        arrival(1.0, 5.0, 503, retries=True),
        arrival(1.0, 5.0, 503),
        arrival(1.0, 5.0, 0),
    ]
    phase = Phase.of("a test", arrivals, seconds=2.0, deadline_ms=2000, processor_seconds=0.5)
    assert (phase.rate, phase.goodput) == (2.5, 0.5)
    assert (phase.accepted, phase.rejected, phase.failed) == (2, 1, 2)
    assert phase.accepted_ms[0] == 1550.0
    assert phase.rejected_ms == (5.0, 5.0)
    assert (phase.late_ms, phase.processor_ms) == (1.0, 250.0)
    nothing = Phase.of("nothing", [], seconds=1.0, deadline_ms=2000, processor_seconds=0.0)
    assert nothing.accepted_ms == (0.0, 0.0)


def test_an_answer_after_the_phase_is_no_goodput_of_it() -> None:
    arrivals = [arrival(5.0, 100.0), arrival(5.5, 400.0), arrival(5.9, 150.0)]
    phase = Phase.of("a test", arrivals, seconds=1.0, deadline_ms=2000, processor_seconds=0.0)
    assert (phase.accepted, phase.goodput) == (3, 2.0)


@pytest.mark.parametrize(
    ("second", "third", "expected"),
    [
        (arrival(1.2, 50.0), arrival(2.2, 50.0), 0),
        (arrival(1.2, 50.0, 503, retries=True), arrival(2.2, 50.0), 2),
        (arrival(1.2, 50.0), arrival(2.2, 101.0), 3),
    ],
)
def test_recovery_is_the_end_of_the_last_second_that_was_not_normal(
    second: Arrival, third: Arrival, expected: int
) -> None:
    assert recovery([arrival(0.0, 50.0), second, third], normal_ms=100.0) == expected


def test_whoever_waits_for_a_connection_gets_the_place_of_one_that_was_lost() -> None:
    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"image")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()
        await writer.wait_closed()

    async def scenario() -> list[int]:
        async with await asyncio.start_server(answer_and_close, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            client = Client(host, port, [request_bytes("edge", b"image")], connections=1)
            return [arrival.status for arrival in await client.open_loop(1000.0, 0.005)]

    assert asyncio.run(scenario()) == [200] * 5


def test_who_cannot_be_reached_answers_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    client = Client("127.0.0.1", port, [b""], connections=1)
    arrivals = asyncio.run(client.open_loop(1000.0, 0.005))
    assert [arrival.status for arrival in arrivals] == [0] * 5


@pytest.mark.parametrize("shared", [[], ["--overload-shared"]])
def test_every_request_is_answered_or_sent_away_in_order(
    tiny_bundle: Bundle, tmp_path: Path, shared: list[str]
) -> None:
    out, image = tmp_path / "rows.jsonl", ROOT / "demo" / "images" / "cat.jpg"
    options = ["--bundle", str(tiny_bundle.path), "--image", str(image), "--out", str(out)]
    assert main(["--overload-seconds", "1", "--overload-rounds", "1", *shared, *options]) == 0
    _, *rows = map(json.loads, out.read_text().splitlines())
    phases, verdict = rows[:-1], rows[-1]
    assert len(phases) == 1 + 4
    for phase in phases:
        assert phase["failed"] == 0, "neither 200 nor 503 with Retry-After"
        assert phase["requests"] == phase["accepted"] + phase["rejected"] > 0
    assert verdict["setting"] == "verdict"
    if sys.platform == "linux":
        assert all(phase["processor_ms"] > 0 for phase in phases)
        assert verdict["processor"] > 0
