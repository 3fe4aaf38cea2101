import logging
from pathlib import Path

import pytest

from splitwire import renewal as module
from splitwire.errors import ConfigError
from splitwire.renewal import Renewed

_log = logging.getLogger(__name__)


class Pair:
    """Two files whose texts must be equal, and how often they were read. fault: why they cannot be."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / "one", folder / "other"]
        self.reads = 0
        self.fault: str | None = None

    def write(self, text: str, *which: int) -> None:
        for index in which or (0, 1):
            self.paths[index].write_text(text)

    def load(self) -> str:
        self.reads += 1
        if self.fault is not None:
            raise ConfigError(self.fault)
        one, other = (path.read_text() for path in self.paths)
        if one != other:
            raise ConfigError("they differ")
        return one


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(module, "_CHECK_SECONDS", 0.0)
    made = Pair(tmp_path)
    made.write("a")
    return made


def test_files_are_read_when_one_has_changed_and_only_then(pair: Pair) -> None:
    renewed = Renewed(pair.load, pair.paths, what="texts", log=_log)
    assert [renewed.current for _ in range(3)] == ["a"] * 3
    assert pair.reads == 1
    pair.write("long")
    assert [renewed.current for _ in range(3)] == ["long"] * 3
    assert pair.reads == 2


def test_what_cannot_be_used_is_logged_once_for_each_change(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    renewed = Renewed(pair.load, pair.paths, what="texts", log=_log)
    pair.write("long", 0)
    assert [renewed.current for _ in range(3)] == ["a"] * 3
    pair.write("long", 1)
    assert renewed.current == "long"
    assert [record.message for record in caplog.records] == [
        "they differ; the texts that were read before stay in use",
        f"texts read again from {pair.paths[0]}, {pair.paths[1]}",
    ]


def test_what_cannot_be_used_for_a_while_is_used_when_it_can(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """As a certificate that is not yet valid, or files while there is no descriptor to read them by."""
    caplog.set_level(logging.INFO)
    renewed = Renewed(pair.load, pair.paths, what="texts", log=_log)
    pair.write("long")
    for fault in ("not yet valid", "too many open files"):
        pair.fault = fault
        assert [renewed.current for _ in range(3)] == ["a"] * 3
    pair.fault = None
    reads = pair.reads
    assert [renewed.current for _ in range(3)] == ["long"] * 3
    assert pair.reads == reads + 1
    assert [record.message for record in caplog.records] == [
        "not yet valid; the texts that were read before stay in use",
        "too many open files; the texts that were read before stay in use",
        f"texts read again from {pair.paths[0]}, {pair.paths[1]}",
    ]


def test_what_cannot_be_used_is_tried_once_a_second(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHECK_SECONDS", 1.0)
    now = 100.0
    monkeypatch.setattr("splitwire.renewal.time.monotonic", lambda: now)
    renewed = Renewed(pair.load, pair.paths, what="texts", log=_log)
    pair.write("long", 0)
    for _ in range(3):
        now += 1.1
        assert [renewed.current for _ in range(5)] == ["a"] * 5
    assert pair.reads == 4


def test_what_is_back_as_it_was_is_logged_when_it_goes_again(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    renewed = Renewed(pair.load, pair.paths, what="texts", log=_log)
    away = pair.paths[0].with_suffix(".away")
    for _ in range(2):
        pair.paths[0].rename(away)
        pair.fault = "one is absent"
        assert [renewed.current for _ in range(3)] == ["a"] * 3
        away.rename(pair.paths[0])
        pair.fault = None
        assert renewed.current == "a"
    assert len(caplog.records) == 2
    assert pair.reads == 7, "and that it is back needs no reading"


def test_at_first_they_must_be_good(pair: Pair) -> None:
    pair.write("long", 0)
    with pytest.raises(ConfigError, match="they differ"):
        Renewed(pair.load, pair.paths, what="texts", log=_log)
