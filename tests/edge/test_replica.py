import threading
import time

import pytest

from edge import replica as module
from edge.client import CloudClient, CloudTimings, Reply
from edge.replica import Replica
from splitwire.errors import (
    BundleMismatch,
    CloudError,
    CloudRefused,
    CloudRejected,
    CloudUnavailable,
    CloudUnreached,
    DeadlineExceeded,
)
from splitwire.frame import Frame
from splitwire.packing import Packing
from splitwire.plan import BoundarySpec

BOUNDARY = BoundarySpec((4,), keep=1.0, bits=8, zero=0)
FRAME = Frame((1, 4), Packing.DENSE, 8, bytes(4))
PATIENCE = 60.0


class Fickle(CloudClient):
    """Does as it is told, and counts."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", b"12345678", uplink=BOUNDARY, downlink=BOUNDARY)
        self.error: CloudError | None = None
        self.asked = self.probed = self.retired = 0
        self.finished = self.closed = False
        self.probe = threading.Event()

    def forward(self, frame: Frame, deadline: float) -> Reply:  # noqa: ARG002
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Reply(frame, CloudTimings(0, 0, 0, 0), uplink=9, downlink=9)

    def check(self, deadline: float) -> None:  # noqa: ARG002
        self.probed += 1
        self.probe.set()
        if self.error is not None:
            raise self.error

    def retire(self) -> None:
        self.retired += 1

    def finish(self) -> None:
        self.finished = True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Fickle:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", (0.001, 0.01))
    return Fickle()


def ask(replica: Replica, seconds: float = PATIENCE) -> None:
    replica.forward(FRAME, time.monotonic() + seconds)


def fail(replica: Replica, client: Fickle, error: CloudError, *, seconds: float = PATIENCE) -> None:
    client.error = error
    with pytest.raises(type(error)):
        ask(replica, seconds)


def wait_until_closed(replica: Replica) -> None:
    end = time.monotonic() + PATIENCE
    while replica.fault is not None:
        assert time.monotonic() < end
        time.sleep(0.001)


def same(fault: CloudError | None, error: CloudError) -> bool:
    """It says the same, and does not remember who raised it."""
    return fault is not None and repr(fault) == repr(error) and fault.__traceback__ is None


@pytest.mark.parametrize("error", [CloudUnavailable("gone"), CloudRefused("who?"), BundleMismatch("other")])
def test_opens_at_once_and_closes_when_a_probe_succeeds(client: Fickle, error: CloudError) -> None:
    replica = Replica(client)
    ask(replica)
    assert replica.fault is None
    fail(replica, client, error)
    assert same(replica.fault, error)
    assert client.retired >= 1, "probes do not go over the link that failed"
    assert client.probe.wait(PATIENCE)
    assert same(replica.fault, error), "the probe failed too"
    client.error = None
    wait_until_closed(replica)
    ask(replica)
    replica.close()


def test_a_probe_has_time_for_a_satellites_link(client: Fickle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a round trip takes 0.6 s, connecting and asking take three of them: a second was too little."""
    given: list[float] = []
    monkeypatch.setattr(client, "check", lambda deadline: given.append(deadline - time.monotonic()))
    replica = Replica(client)
    fail(replica, client, CloudUnavailable("gone"))
    wait_until_closed(replica)
    assert min(given) > 3 * 0.6
    replica.close()


def test_opens_at_the_second_timeout_in_a_row(client: Fickle) -> None:
    replica = Replica(client)
    late = DeadlineExceeded("late")
    fail(replica, client, late)
    client.error = None
    ask(replica)
    fail(replica, client, late)
    assert replica.fault is None
    fail(replica, client, late)
    assert same(replica.fault, late)
    replica.close()


def test_what_is_the_requests_fault_is_not_the_clouds(client: Fickle) -> None:
    replica = Replica(client)
    for _ in range(5):
        fail(replica, client, CloudRejected("no"))
        fail(replica, client, DeadlineExceeded("late"), seconds=0.01)
        fail(replica, client, CloudUnreached("not reached in time"), seconds=0.01)
    assert replica.fault is None
    assert client.probed == 0


def test_opens_for_requests_in_haste_where_it_is_no_matter_of_time(client: Fickle) -> None:
    replica = Replica(client)
    fail(replica, client, CloudUnavailable("connection refused"), seconds=0.01)
    assert replica.fault is not None
    replica.close()


def test_a_request_that_insists_closes_it_too(client: Fickle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", (PATIENCE, PATIENCE))
    replica = Replica(client)
    fail(replica, client, CloudUnavailable("gone"))
    client.error = None
    ask(replica)
    assert replica.fault is None
    replica.close()


def test_it_counts_its_openings_and_measures_the_link(client: Fickle) -> None:
    replica = Replica(client)
    assert (replica.target, replica.opened, replica.link.round_trip) == ("127.0.0.1:1", 0, None)
    ask(replica)
    assert replica.link.round_trip is not None
    for opened in (1, 2):
        fail(replica, client, CloudUnavailable("gone"))
        assert replica.opened == opened
        client.error = None
        ask(replica)
    replica.close()


def test_whoever_wants_to_know_is_told_of_each_opening(client: Fickle) -> None:
    told: list[int] = []
    replica = Replica(client, lambda: told.append(replica.opened))
    ask(replica)
    assert told == []
    fail(replica, client, CloudUnavailable("gone"))
    fail(replica, client, CloudUnavailable("gone"))
    assert told == [1]
    replica.close()


def test_a_probe_that_fails_as_nobody_expected_goes_on_and_says_so_once(
    client: Fickle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    probes: list[float] = []

    def check(deadline: float) -> None:
        probes.append(deadline)
        if len(probes) < 3:
            raise OSError("too many open files")

    monkeypatch.setattr(client, "check", check)
    replica = Replica(client)
    fail(replica, client, CloudUnavailable("gone"))
    wait_until_closed(replica)
    assert len(probes) == 3
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    replica.close()


def test_where_no_thread_can_probe_it_does_not_open(client: Fickle, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    replica = Replica(client)
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", no_more)
        fail(replica, client, CloudUnavailable("gone"))
    assert replica.fault is None
    fail(replica, client, CloudUnavailable("gone"))
    assert replica.fault is not None, "once there are threads again it opens as ever"
    client.error = None
    wait_until_closed(replica)
    replica.close()


def test_a_retired_one_ends_its_probing_and_lets_its_client_finish(client: Fickle) -> None:
    others = set(threading.enumerate())
    replica = Replica(client)
    fail(replica, client, CloudUnavailable("gone"))
    (probing,) = set(threading.enumerate()) - others
    replica.retire()
    assert (client.finished, client.closed) == (True, False)
    probing.join(PATIENCE)
    assert not probing.is_alive()


def test_only_one_thread_probes_and_it_ends_with_the_replica(client: Fickle) -> None:
    others = set(threading.enumerate())
    replica = Replica(client)
    for _ in range(20):
        fail(replica, client, CloudUnavailable("gone"))
        client.error = None
        ask(replica)
        fail(replica, client, CloudUnavailable("gone"))
    probing = set(threading.enumerate()) - others
    assert {thread.name for thread in probing} == {"cloud-probe"}
    assert len(probing) == 1
    replica.close()
    probing.pop().join(PATIENCE)
    assert set(threading.enumerate()) <= others
