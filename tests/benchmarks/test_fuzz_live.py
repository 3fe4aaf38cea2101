"""Attacks on live services, small ones; no timing is judged."""

import socket

import grpc
import pytest

from benchmarks.fuzz import hostile_frames, slow_sockets
from benchmarks.fuzz.hostile import Hostile
from benchmarks.fuzz.slow_sockets import Slow
from benchmarks.fuzz.tally import Tally
from protos import splitwire_pb2 as pb
from splitwire.bundle import Bundle
from tests.bundles import UPLINK
from tests.cloud.serving import make_request
from tests.e2e.processes import ROOT


def test_the_same_seed_makes_the_same_hostile_requests(tiny_bundle: Bundle) -> None:
    one, same, other = (Hostile([make_request(tiny_bundle)], UPLINK, seed) for seed in (0, 0, 1))
    made = [[hostile.message() for _ in range(300)] for hostile in (one, same, other)]
    assert made[0] == made[1] != made[2]
    assert {kind for kind, _ in made[0]} == set(one.messages)
    garbled = [one.garbled() for _ in range(300)]
    assert {kind for kind, _ in garbled} >= set(one.garbage)


def test_a_failure_of_the_servers_is_counted_as_one() -> None:
    tally = Tally()
    tally.answered("flip")
    tally.refused("flip", grpc.StatusCode.INVALID_ARGUMENT, "as it should")
    tally.refused("flip", grpc.StatusCode.FAILED_PRECONDITION.value[0], "as it should")
    assert (tally.requests, tally.failures) == (3, [])
    for status in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN.value[0]):
        tally.refused("flip", status, "broken")
    assert tally.failures == ["flip: INTERNAL: broken", "flip: UNKNOWN: broken"]
    assert "INTERNAL 1" in str(tally)


def test_a_cloud_withstands_hostile_requests(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert hostile_frames.main(["--bundle", str(tiny_bundle.path), "--count", "400"]) == 0
    out = capsys.readouterr().out
    assert "400 hostile requests, 2 good ones in between" in out
    assert "failures: 0" in out


def test_slow_sockets_are_counted_and_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        slow = Slow("127.0.0.1", server.getsockname()[1], 6)
        assert slow.open == {"headers": 2, "body": 2, "idle": 2}
        accepted, _ = server.accept()
        accepted.close()
        while not slow.ended:
            slow.look()
        assert slow.ended == {"headers": 1}
        assert slow.open == {"headers": 2, "body": 2, "idle": 2}
        slow.close()


def test_the_others_are_measured_beside_slow_sockets(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    image = ROOT / "demo" / "images" / "cat.jpg"
    options = ["--bundle", str(tiny_bundle.path), "--image", str(image), "--count", "6", "--seconds", "0.3"]
    slow_sockets.main(options)
    out = capsys.readouterr().out
    assert "open {'headers': 2, 'body': 2, 'idle': 2}, answered or closed by the edge {}" in out


def test_a_hostile_message_is_still_a_message(tiny_bundle: Bundle) -> None:
    hostile = Hostile([make_request(tiny_bundle)], UPLINK, 3)
    for _ in range(200):
        _, request = hostile.message()
        assert pb.ForwardRequest.FromString(request.SerializeToString()) == request
