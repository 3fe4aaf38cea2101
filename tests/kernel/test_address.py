import contextlib
import errno
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.address import Address, reason
from splitwire.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051),
        ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65535),
        ("edge.example:1", "edge.example", 1),
    ],
)
def test_an_address_reads_and_writes_the_same(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", "localhost", ":50051", "::1:50051", "[]:1", "[::1]50051"])
def test_what_is_no_address_says_what_one_is(text: str) -> None:
    with pytest.raises(ConfigError, match="an address is HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize("port", ["", "x", "-1", "65536", "1.5", " 80", "٣", "9" * 5000])
def test_what_is_no_port_says_what_one_is(port: str) -> None:
    with pytest.raises(ConfigError, match="a port is a number from 0 to 65535"):
        Address.parse(f"localhost:{port}")


@given(st.text())
def test_any_text_is_an_address_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert Address.parse(str(Address.parse(text))) == Address.parse(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_loopback_is_reached_from_this_machine_alone(host: str) -> None:
    assert Address.parse(f"{host}:1").is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "[::]", "cloud.example", "localhost.example"])
def test_what_is_not_surely_loopback_is_not(host: str) -> None:
    assert not Address.parse(f"{host}:1").is_loopback


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.EADDRINUSE, "in use (while binding on ('127.0.0.1', 8000))"),
            os.strerror(errno.EADDRINUSE),
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label empty or too long"), "label empty or too long"),
        (OSError("nothing but this"), "nothing but this"),
    ],
)
def test_a_reason_is_the_systems(error: OSError | UnicodeError, said: str) -> None:
    assert reason(error) == said
