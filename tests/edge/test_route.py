import time

import numpy as np
import pytest

from edge.classification import Stopwatch
from edge.client import CloudTimings, Reply
from edge.route import LocalRoute, Routes, SplitRoute
from splitwire.bundle import Bundle
from splitwire.errors import (
    BundleMismatch,
    CloudBusy,
    CloudError,
    CloudRejected,
    CloudUnavailable,
    CorruptPayload,
    DeadlineExceeded,
    SplitwireError,
)
from splitwire.frame import Frame, decode, encode
from tests.cloud.serving import make_symbols


class Scripted:
    """A cloud in this process: computes, or raises what it is told; remembers what it was asked."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._body = bundle, bundle.engine("body")
        self.error: SplitwireError | None = None
        self.fault: CloudError | None = None
        self.deadlines: list[float] = []

    def forward(self, frame: Frame, deadline: float) -> Reply:
        self.deadlines.append(deadline)
        if self.error is not None:
            raise self.error
        manifest = self._bundle.manifest
        returned = self._body.run(decode(frame, manifest.uplink, max_rows=1))
        return Reply(encode(returned, manifest.downlink), CloudTimings(0, 0, 0, 0), uplink=1, downlink=1)

    def check(self, deadline: float) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def cloud(tiny_bundle: Bundle) -> Scripted:
    return Scripted(tiny_bundle)


@pytest.fixture(scope="module")
def local(tiny_bundle: Bundle) -> LocalRoute:
    return LocalRoute(tiny_bundle, threads=1)


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def test_both_routes_give_the_same_symbols(tiny_bundle: Bundle, cloud: Scripted, local: LocalRoute) -> None:
    split = SplitRoute(tiny_bundle, cloud)
    for seed in range(5):
        symbols = make_symbols(tiny_bundle, seed=seed)
        one, other = split.answer(symbols, soon(), Stopwatch()), local.answer(symbols, "why", Stopwatch())
        assert np.array_equal(one.symbols, other.symbols)
        assert one.symbols.dtype == other.symbols.dtype
        assert (one.route, one.reason) == ("split", None)
        assert (other.route, other.reason, other.reply) == ("local", "why", None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CloudUnavailable("gone"), "cloud-unavailable"),
        (DeadlineExceeded("late"), "deadline-exceeded"),
        (CloudBusy("full"), "cloud-busy"),
        (BundleMismatch("other"), "bundle-mismatch"),
        (CloudRejected("no"), "bad-cloud-reply"),
        (CorruptPayload("garbled"), "bad-cloud-reply"),
    ],
)
def test_whatever_the_cloud_does_there_is_an_answer(
    tiny_bundle: Bundle, cloud: Scripted, local: LocalRoute, error: SplitwireError, reason: str
) -> None:
    symbols = make_symbols(tiny_bundle)
    routes, alone = (Routes(SplitRoute(tiny_bundle, cloud), here) for here in (local, None))
    expected = routes.answer(symbols, soon(), Stopwatch())
    cloud.error = error
    found = routes.answer(symbols, soon(), Stopwatch())
    assert np.array_equal(found.symbols, expected.symbols)
    assert (expected.route, found.route, found.reason) == ("split", "local", reason)
    with pytest.raises(type(error)):
        alone.answer(symbols, soon(), Stopwatch())


def test_the_cloud_gets_what_leaves_time_to_do_without(
    tiny_bundle: Bundle, cloud: Scripted, local: LocalRoute
) -> None:
    deadline = soon()
    Routes(SplitRoute(tiny_bundle, cloud), local).answer(make_symbols(tiny_bundle), deadline, Stopwatch())
    Routes(SplitRoute(tiny_bundle, cloud), None).answer(make_symbols(tiny_bundle), deadline, Stopwatch())
    with_local, without = cloud.deadlines
    assert without == deadline
    assert deadline - 1.0 < with_local < deadline


def test_an_edge_that_takes_too_long_by_itself_leaves_the_cloud_half_of_the_time(
    tiny_bundle: Bundle, cloud: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalRoute(tiny_bundle, threads=1)
    monkeypatch.setattr(local, "_seconds", 30.0)  # a very weak edge
    before = time.monotonic()
    answer = Routes(SplitRoute(tiny_bundle, cloud), local).answer(
        make_symbols(tiny_bundle), before + 10.0, Stopwatch()
    )
    assert answer.route == "split"
    (given,) = cloud.deadlines
    assert before + 5.0 <= given < before + 10.0


def test_a_cloud_that_is_known_to_be_gone_is_not_asked(
    tiny_bundle: Bundle, cloud: Scripted, local: LocalRoute
) -> None:
    cloud.fault = CloudUnavailable("gone")
    symbols = make_symbols(tiny_bundle)
    answer = Routes(SplitRoute(tiny_bundle, cloud), local).answer(symbols, soon(), Stopwatch())
    assert (answer.route, answer.reason) == ("local", "cloud-unavailable")
    assert not cloud.deadlines
    assert cloud.fault.__traceback__ is None, "raised by every request, it would remember them all"
    Routes(SplitRoute(tiny_bundle, cloud), None).answer(symbols, soon(), Stopwatch())
    assert cloud.deadlines, "without a local route there is nothing to lose"


def test_nothing_is_computed_for_a_dead_request(
    tiny_bundle: Bundle, cloud: Scripted, local: LocalRoute
) -> None:
    with pytest.raises(DeadlineExceeded, match="before the image's turn"):
        Routes(SplitRoute(tiny_bundle, cloud), local).answer(
            make_symbols(tiny_bundle), time.monotonic(), Stopwatch()
        )
    assert not cloud.deadlines
