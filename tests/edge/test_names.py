import socket

import pytest

from edge.names import CloudName, parse_cloud
from splitwire.address import Address
from splitwire.errors import CloudUnavailable, ConfigError


def test_an_address_is_one_and_a_name_says_so() -> None:
    assert parse_cloud("clouds.example:50051") == Address("clouds.example", 50051)
    name = parse_cloud("dns:///clouds.example:50051")
    assert name == CloudName("clouds.example", 50051)
    assert str(name) == "dns:///clouds.example:50051"
    assert not name.is_loopback
    assert parse_cloud("dns:///localhost:1").is_loopback


@pytest.mark.parametrize(
    "text", ["dns:///clouds.example", "dns:///", "dns:///a:x", "dns://10.0.0.1/a:1", "dns:a:1", "xds:///a:1"]
)
def test_anything_else_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_cloud(text)


def test_every_address_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 7)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.2", 7)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 7)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 7, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    addresses = CloudName("clouds.example", 7).resolve()
    assert list(map(str, addresses)) == ["10.0.0.1:7", "10.0.0.2:7", "[2001:db8::1]:7"]


def test_the_systems_resolver_is_asked() -> None:
    assert Address("127.0.0.1", 7) in CloudName("localhost", 7).resolve()
    assert CloudName("127.0.0.3", 7).resolve() == (Address("127.0.0.3", 7),)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".example"])
def test_a_name_without_addresses_is_unavailable(host: str) -> None:
    with pytest.raises(CloudUnavailable, match=r"dns:///.* does not resolve: "):
        CloudName(host, 7).resolve()
