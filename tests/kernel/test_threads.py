import threading
import time

import pytest

from splitwire.errors import ConfigError
from splitwire.threads import started_threads


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_all_are_there_and_work_at_the_same_time() -> None:
    pool = started_threads(5, "early")
    assert len(named("early")) == 5
    together = threading.Barrier(5)
    for future in [pool.submit(together.wait) for _ in range(5)]:
        future.result(60)
    pool.shutdown()
    assert not named("early")


def test_where_one_cannot_be_started_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(ConfigError, match="cannot start 3 threads: can't start new thread"):
        started_threads(3, "vain")
    end = time.monotonic() + 60
    while named("vain"):
        assert time.monotonic() < end
        time.sleep(0.001)
