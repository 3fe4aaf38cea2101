"""Clouds behind one name: drained, added, and not there yet."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from splitwire.bundle import Bundle
from tests.certificates import Certificates
from tests.e2e.processes import PATIENCE, Service, cloud_process, service
from tests.e2e.test_fallback import clients, until, wait_for_route

NAME = "cloud.example"


class Zone:
    """The file that an edge's resolver reads."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "zone.json"

    def say(self, *addresses: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({NAME: addresses}))
        fresh.replace(self.file)


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path)


@contextlib.contextmanager
def edge_by_name(zone: Zone, bundle: Path, port: str, *options: str) -> Iterator[Service]:
    given = ("--bundle", str(bundle), "--cloud", f"dns:///{NAME}:{port}", "--listen", "127.0.0.1:0")
    with service("tests.e2e.zone", str(zone.file), *given, *options) as edge:
        yield edge


def port_of(cloud: Service) -> str:
    return cloud.address.rpartition(":")[2]


def test_of_two_clouds_behind_a_name_one_is_drained_and_no_request_is_served_locally(
    tiny_bundle: Bundle, zone: Zone
) -> None:
    zone.say("127.0.0.1", "127.0.0.2")
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(cloud_process(tiny_bundle.path, "--log-level", "debug"))
        there = f"127.0.0.2:{port_of(one)}"
        other = stack.enter_context(cloud_process(tiny_bundle.path, "--log-level", "debug", listen=there))
        edge = stack.enter_context(edge_by_name(zone, tiny_bundle.path, port_of(one)))
        with clients(edge, 4) as routes:
            until(lambda: routes["split"] > 20)
            one.process.send_signal(signal.SIGTERM)
            status, log_of_one = one.end()
            after = routes["split"]
            until(lambda: routes["split"] > after + 20)
        other.process.send_signal(signal.SIGTERM)
        _, log_of_other = other.end()
    assert status == 0
    assert routes["local"] == 0, "and every request was answered with 200"
    assert min(log.count("cloud: OK after") for log in (log_of_one, log_of_other)) > 5


def test_a_name_may_be_unknown_at_first_and_its_clouds_be_exchanged(tiny_bundle: Bundle, zone: Zone) -> None:
    zone.say()
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(cloud_process(tiny_bundle.path))
        edge = stack.enter_context(edge_by_name(zone, tiny_bundle.path, port_of(one)))
        wait_for_route(edge, "local")
        ready = httpx.get(f"{edge.address}/readyz", timeout=PATIENCE).json()
        assert (ready["route"], ready["reason"]) == ("local", "cloud-unavailable")
        assert ready["clouds"] == [f"dns:///{NAME}:{port_of(one)}"]
        zone.say("127.0.0.1")
        wait_for_route(edge, "split")
        there = f"127.0.0.2:{port_of(one)}"
        stack.enter_context(cloud_process(tiny_bundle.path, listen=there))
        zone.say("127.0.0.2")
        one.process.send_signal(signal.SIGTERM)
        assert one.end()[0] == 0
        wait_for_route(edge, "split")


def test_the_certificate_must_name_the_name_and_not_the_address(
    tiny_bundle: Bundle, zone: Zone, certificates: Certificates
) -> None:
    zone.say("127.0.0.1")
    shows = ("--tls-cert", str(certificates["cloud.crt"]), "--tls-key", str(certificates["cloud.key"]))
    trusts = ("--cloud-ca", str(certificates["ca.crt"]))
    with (
        cloud_process(tiny_bundle.path, *shows) as cloud,
        edge_by_name(zone, tiny_bundle.path, port_of(cloud), *trusts) as edge,
    ):
        wait_for_route(edge, "split")
        other = ("--cloud-name", "other.example", "--fallback", "none")
        with edge_by_name(zone, tiny_bundle.path, port_of(cloud), *trusts, *other) as strict:
            assert httpx.get(f"{strict.address}/readyz", timeout=PATIENCE).status_code == 503
