import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edge import discovery as module
from edge import replica as replica_module
from edge.discovery import Discovered, Found, make_replicas
from edge.names import CloudName
from edge.replica import Replica
from edge.replicas import Replicas
from edge.retry_budget import RetryBudget
from splitwire.address import Address
from splitwire.errors import CloudUnavailable
from tests.edge.test_replica import FRAME, PATIENCE, Fickle

NAME = CloudName("clouds.example", 7)
OTHER = CloudName("more.example", 7)


class Zone:
    """What names resolve to, and the clients of replicas that were made of it."""

    def __init__(self) -> None:
        self.addresses: dict[CloudName, list[str]] = {}
        self.lookups = 0
        self.gate = threading.Event()
        self.gate.set()
        self.clients: dict[str, Fickle] = {}
        self.found_by: dict[str, str | None] = {}

    def resolve(self, name: CloudName) -> tuple[Address, ...]:
        assert self.gate.wait(PATIENCE)
        self.lookups += 1
        if not self.addresses.get(name):
            raise CloudUnavailable(f"{name} does not resolve: nobody knows it")
        return tuple(Address(host, name.port) for host in self.addresses[name])

    def make(self, address: Address, name: str | None, on_fault: Callable[[], None]) -> Replica:
        self.found_by[address.host] = name
        self.clients[address.host] = Fickle()
        return Replica(self.clients[address.host], on_fault)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Zone:
    made = Zone()
    monkeypatch.setattr(CloudName, "resolve", lambda name: made.resolve(name))
    monkeypatch.setattr(module, "_TROUBLED_SECONDS", 0.01)
    monkeypatch.setattr(module, "_CALM_SECONDS", 0.02)
    monkeypatch.setattr(replica_module, "_PAUSE_SECONDS", (0.001, 0.01))
    return made


@pytest.fixture
def discover(zone: Zone) -> Iterator[Callable[..., Discovered]]:
    made: list[Discovered] = []

    def make(*clouds: Address | CloudName, found: Found | None = None) -> Discovered:
        made.append(Discovered(clouds, zone.make, found=found))
        return made[-1]

    yield make
    zone.gate.set()
    for replicas in made:
        replicas.close()
    until(lambda: not any(thread.name == "cloud-names" for thread in threading.enumerate()))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def ask(replicas: Replicas, times: int = 1) -> None:
    for _ in range(times):
        replicas.forward(FRAME, time.monotonic() + PATIENCE)


def test_addresses_alone_need_no_thread(zone: Zone) -> None:
    replicas = make_replicas([Address("10.0.0.1", 7), Address("10.0.0.2", 7)], zone.make, RetryBudget())
    assert type(replicas) is Replicas
    assert zone.found_by == {"10.0.0.1": None, "10.0.0.2": None}
    named = make_replicas([NAME], zone.make, RetryBudget())
    assert isinstance(named, Discovered)
    named.close()


def test_each_address_of_each_name_has_its_turn(zone: Zone, discover: Callable[..., Discovered]) -> None:
    zone.addresses = {NAME: ["10.0.0.1", "10.0.0.2"], OTHER: ["10.0.0.3", "10.0.0.1"]}
    replicas = discover(NAME, OTHER, Address("10.0.0.4", 7))
    until(lambda: len(replicas.replicas) == 4)
    ask(replicas, 12)
    assert {host: client.asked for host, client in zone.clients.items()} == {
        f"10.0.0.{i}": 3 for i in range(1, 5)
    }
    assert zone.found_by["10.0.0.2"] == "clouds.example"
    assert zone.found_by["10.0.0.3"] == "more.example"
    assert zone.found_by["10.0.0.4"] is None


def test_the_first_request_waits_for_the_first_resolution(
    zone: Zone, discover: Callable[..., Discovered]
) -> None:
    zone.addresses = {NAME: ["10.0.0.1"]}
    zone.gate.clear()
    replicas = discover(NAME)
    assert replicas.fault is None, "nobody knows yet"
    with pytest.raises(CloudUnavailable, match="no name has been resolved yet"):
        replicas.forward(FRAME, time.monotonic() + 0.01)
    asking = threading.Thread(target=ask, args=(replicas,))
    asking.start()
    zone.gate.set()
    asking.join(PATIENCE)
    assert zone.clients["10.0.0.1"].asked == 1


def test_a_plain_address_does_not_wait_for_names(zone: Zone, discover: Callable[..., Discovered]) -> None:
    zone.addresses = {NAME: ["10.0.0.1", "10.0.0.2"]}
    zone.gate.clear()
    replicas = discover(Address("10.0.0.1", 7), NAME)
    assert len(replicas.replicas) == 1
    ask(replicas)
    replicas.check(time.monotonic() + 0.1)
    assert (zone.clients["10.0.0.1"].asked, zone.clients["10.0.0.1"].probed) == (1, 1)
    assert zone.found_by == {"10.0.0.1": None}
    zone.gate.set()
    until(lambda: len(replicas.replicas) == 2)
    assert zone.found_by["10.0.0.1"] == "clouds.example", "which its certificate may have"


def test_what_others_found_before_is_asked_until_the_names_resolve(
    zone: Zone, discover: Callable[..., Discovered], caplog: pytest.LogCaptureFixture
) -> None:
    found: Found = {}
    zone.addresses = {NAME: ["10.0.0.1"]}
    ask(discover(NAME, found=found))
    zone.addresses = {}
    after = discover(NAME, found=found)
    until(lambda: "does not resolve" in caplog.text)
    ask(after)
    zone.gate.clear()
    later = discover(NAME, found=found)
    ask(later)
    assert zone.clients["10.0.0.1"].asked == 1
    before = later.replicas
    zone.addresses = {NAME: ["10.0.0.2"]}
    zone.gate.set()
    until(lambda: later.replicas != before)


def test_before_anybody_is_checked_names_have_time_to_resolve(
    zone: Zone, discover: Callable[..., Discovered]
) -> None:
    """Or a reload would be refused for the bundle of a cloud that has just been replaced."""
    zone.addresses = {NAME: ["10.0.0.2"]}
    zone.gate.clear()
    replicas = discover(NAME, found={NAME: (Address("10.0.0.1", 7),)})
    checking = threading.Thread(target=replicas.check, args=(time.monotonic() + PATIENCE,))
    checking.start()
    zone.gate.set()
    checking.join(PATIENCE)
    assert (zone.clients["10.0.0.1"].probed, zone.clients["10.0.0.2"].probed) == (0, 1)


def test_a_name_that_nobody_knows_is_a_fault_until_somebody_does(
    zone: Zone, discover: Callable[..., Discovered], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    replicas = discover(NAME)
    until(lambda: zone.lookups > 3)
    assert isinstance(replicas.fault, CloudUnavailable)
    with pytest.raises(CloudUnavailable, match=r"dns:///clouds\.example:7 does not resolve: nobody"):
        ask(replicas)
    with pytest.raises(CloudUnavailable, match="does not resolve"):
        replicas.check(time.monotonic() + PATIENCE)
    zone.addresses = {NAME: ["10.0.0.1"]}
    until(lambda: replicas.fault is None)
    ask(replicas)
    said = [record.message for record in caplog.records]
    assert said == [
        "dns:///clouds.example:7 does not resolve: nobody knows it",
        "dns:///clouds.example:7 resolves to 10.0.0.1:7",
    ]


def test_replicas_come_and_go_and_those_that_stay_stay_the_same(
    zone: Zone, discover: Callable[..., Discovered]
) -> None:
    zone.addresses = {NAME: ["10.0.0.1", "10.0.0.2"]}
    replicas = discover(NAME)
    ask(replicas)
    stays = replicas.replicas[0]
    zone.addresses = {NAME: ["10.0.0.1", "10.0.0.3"]}
    until(lambda: "10.0.0.3" in zone.clients)
    until(lambda: zone.clients["10.0.0.2"].finished)
    before = zone.clients["10.0.0.2"].asked
    ask(replicas, 10)
    assert zone.clients["10.0.0.2"].asked == before
    assert zone.clients["10.0.0.3"].asked >= 5
    assert not zone.clients["10.0.0.1"].finished
    assert stays in replicas.replicas
    zone.addresses = {}
    lookups = zone.lookups
    until(lambda: zone.lookups > lookups + 3)
    ask(replicas, 2)
    assert not zone.clients["10.0.0.1"].finished, "a name that is unknown now keeps what it had"


def test_one_that_goes_is_finished_only_when_nobody_is_about_to_ask_it(
    zone: Zone, discover: Callable[..., Discovered]
) -> None:
    zone.addresses = {NAME: ["10.0.0.1", "10.0.0.2"]}
    replicas = discover(NAME)
    ask(replicas)
    zone.gate.clear()
    zone.addresses = {NAME: ["10.0.0.1"]}
    replicas._take({Address("10.0.0.1", 7): NAME.host})
    assert not zone.clients["10.0.0.2"].finished
    replicas._take({Address("10.0.0.1", 7): NAME.host, Address("10.0.0.2", 7): NAME.host})
    replicas._take({Address("10.0.0.1", 7): NAME.host})
    assert not zone.clients["10.0.0.2"].finished, "it was back meanwhile"
    replicas._take({Address("10.0.0.1", 7): NAME.host})
    assert zone.clients["10.0.0.2"].finished
    zone.gate.set()


def test_a_replica_at_fault_has_its_name_resolved_again(
    zone: Zone, discover: Callable[..., Discovered], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CALM_SECONDS", 10 * PATIENCE)
    zone.addresses = {NAME: ["10.0.0.1", "10.0.0.2"]}
    replicas = discover(NAME)
    ask(replicas)
    zone.addresses = {NAME: ["10.0.0.2", "10.0.0.3"]}
    time.sleep(0.1)  # by now it waits for a failure, or for ever
    assert "10.0.0.3" not in zone.clients
    zone.clients["10.0.0.1"].error = CloudUnavailable("draining")
    ask(replicas, 2)
    until(lambda: "10.0.0.3" in zone.clients)


def test_closing_closes_those_too_that_leave(zone: Zone, discover: Callable[..., Discovered]) -> None:
    zone.addresses = {NAME: ["10.0.0.1", "10.0.0.2"]}
    replicas = discover(NAME)
    ask(replicas)
    zone.gate.clear()
    replicas._take({Address("10.0.0.1", 7): NAME.host})
    replicas.close()
    zone.gate.set()
    assert all(client.closed for client in zone.clients.values())
