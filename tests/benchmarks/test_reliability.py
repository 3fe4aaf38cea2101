"""The reliability benchmark with few cycles; no timing is judged."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.reliability.link import CLOUD_HOST, NAMESPACE, Link, LinkError, Settings, possible
from benchmarks.reliability.load import Outcome, Summary
from benchmarks.reliability.main import main
from splitwire.bundle import Bundle
from tests.e2e.processes import ROOT

IMAGES = [str(ROOT / "demo" / "images" / name) for name in ("cat.jpg", "bird.png")]
ECHO = f"""
import socket
with socket.create_server(({CLOUD_HOST!r}, 5000)) as server:
    while True:
        client, _ = server.accept()
        while data := client.recv(65536):
            client.sendall(data)
"""


def test_outcomes_are_summed_up() -> None:
    outcomes = [
        Outcome(0.0, 0.01, "split", None, right=True),
        Outcome(0.0, 0.02, "local", "cloud-unavailable", right=True),
        Outcome(0.0, 0.03, "local", "cloud-unavailable", right=False),
        Outcome(0.0, 3.0, "504", "deadline-exceeded", right=False),
    ]
    found = Summary.of(outcomes, deadline_ms=2000)
    assert (found.requests, found.split, found.local, found.lost) == (4, 1, 2, 1)
    assert (found.wrong, found.late, found.worst) == (1, 1, 3000.0)
    assert found.reasons == {"cloud-unavailable": 2, "deadline-exceeded": 1}
    assert Summary.of([], deadline_ms=2000).requests == 0


def test_a_cloud_that_dies_costs_no_request(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.jsonl"
    options = ["--bundle", str(tiny_bundle.path), "--image", *IMAGES, "--cycles", "1", "--out", str(out)]
    assert main(["kill", "drain", *options]) == 0
    assert "back on the split route" in capsys.readouterr().out
    _, *rows = map(json.loads, out.read_text().splitlines())
    assert [row["setting"] for row in rows] == ["1 x SIGKILL and restart", "1 x SIGTERM and restart"]
    for row in rows:
        assert row["summary"]["split"] > 0
        assert row["summary"]["lost"] == row["summary"]["wrong"] == 0


@pytest.mark.skipif(not possible(), reason="a link needs Linux, root and /dev/net/tun")
def test_a_link_delays_and_loses() -> None:
    with Link.made() as link:
        command = ["ip", "netns", "exec", NAMESPACE, sys.executable, "-c", ECHO]
        with subprocess.Popen(command) as server:
            try:
                link.set(Settings(mbits=10.0, delay=0.05))
                assert round_trip() > 0.1
                link.set(Settings(up=False))
                with pytest.raises(TimeoutError):
                    round_trip(timeout=0.5)
            finally:
                server.kill()


@pytest.mark.skipif(not possible(), reason="a link needs Linux, root and /dev/net/tun")
def test_a_second_link_is_refused_and_leaves_the_first_alone() -> None:
    with Link.made():
        with (
            pytest.raises(LinkError, match="the device sw0 is in use: a machine has one link at a time"),
            Link.made(),
        ):
            pass
        assert NAMESPACE in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout


def round_trip(timeout: float = 60.0) -> float:
    """Seconds that an echo takes, once somebody listens."""
    end = time.monotonic() + timeout
    while True:
        try:
            connection = socket.create_connection((CLOUD_HOST, 5000), timeout)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)
    with connection:
        began = time.monotonic()
        connection.sendall(b"there and back")
        assert connection.recv(100) == b"there and back"
        return time.monotonic() - began
