import time

import pytest

from edge.replica import Replica
from edge.replicas import Replicas
from splitwire.errors import (
    BundleMismatch,
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudRejected,
    CloudUnavailable,
    DeadlineExceeded,
)
from tests.edge.test_replica import FRAME, PATIENCE, Fickle


def make(count: int) -> tuple[list[Fickle], Replicas]:
    clients = [Fickle() for _ in range(count)]
    return clients, Replicas([Replica(client) for client in clients])


def ask(replicas: Replicas, times: int = 1) -> None:
    for _ in range(times):
        replicas.forward(FRAME, time.monotonic() + PATIENCE)


def test_each_has_its_turn() -> None:
    clients, replicas = make(3)
    ask(replicas, 12)
    assert [client.asked for client in clients] == [4, 4, 4]


@pytest.mark.parametrize(
    "error", [CloudUnavailable("draining"), CloudRefused("who?"), BundleMismatch("other")]
)
def test_one_that_goes_away_costs_no_request(error: CloudError) -> None:
    clients, replicas = make(3)
    clients[1].error = error
    ask(replicas, 12)
    assert clients[1].asked == 1
    assert clients[0].asked + clients[2].asked == 12
    assert replicas.fault is None
    replicas.close()


def test_errors_that_another_would_repeat_are_raised() -> None:
    for error in (CloudRejected("no"), DeadlineExceeded("late")):
        clients, replicas = make(2)
        for client in clients:
            client.error = error
        with pytest.raises(type(error)):
            ask(replicas)
        assert sum(client.asked for client in clients) == 1


def test_with_none_left_the_fault_is_told_and_who_insists_is_served() -> None:
    clients, replicas = make(2)
    for client in clients:
        client.error = CloudUnavailable("gone")
    with pytest.raises(CloudUnavailable):
        ask(replicas)
    assert isinstance(replicas.fault, CloudUnavailable)
    clients[1].error = None
    ask(replicas)
    assert replicas.fault is None
    replicas.close()


def test_one_that_is_well_is_enough() -> None:
    clients, replicas = make(2)
    clients[0].error = CloudUnavailable("gone")
    replicas.check(time.monotonic() + PATIENCE)
    clients[1].error = BundleMismatch("other")
    with pytest.raises((CloudUnavailable, BundleMismatch)):
        replicas.check(time.monotonic() + PATIENCE)


def test_a_busy_one_passes_the_request_on_and_keeps_its_turn() -> None:
    clients, replicas = make(2)
    clients[0].error = CloudBusy("full")
    ask(replicas, 6)
    assert [client.asked for client in clients] == [3, 6]
    clients[1].error = CloudBusy("full")
    with pytest.raises(CloudBusy):
        ask(replicas)
    assert replicas.fault is None, "it is there, and may have room for the next"
