import logging

import pytest

from splitwire import refusals as module
from splitwire.refusals import Refusals


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("splitwire.refusals.time.monotonic", clock)
    return clock


def test_a_peer_is_named_once_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(logging.getLogger("here"))
    for seconds in (0.0, 1.0, 58.0):
        clock.now += seconds
        refusals.note("10.0.0.1", "no token")
    refusals.note("10.0.0.2", "no token")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "10.0.0.1 was refused: no token (said once a minute)"),
        ("WARNING", "10.0.0.2 was refused: no token (said once a minute)"),
    ]
    clock.now += 2.0
    refusals.note("10.0.0.1", "no token")
    assert len(caplog.records) == 3


def test_many_peers_fill_neither_memory_nor_log(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_PEERS", 8)
    refusals = Refusals(logging.getLogger("here"))
    for i in range(100):
        refusals.note(f"10.0.0.{i}", "no token")
    assert len(caplog.records) == len(refusals._warned) == 8
    clock.now += 61.0
    refusals.note("10.0.0.200", "no token")
    assert len(caplog.records) == 9
    assert set(refusals._warned) == {"10.0.0.200"}


def test_the_rest_is_for_level_debug(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(logging.getLogger("here"))
    with caplog.at_level(logging.DEBUG, "here"):
        for _ in range(3):
            refusals.note("10.0.0.1", "no token")
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG"]
    assert not refusals.due("10.0.0.1")
    assert refusals.due("10.0.0.2")
