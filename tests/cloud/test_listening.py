import re
import socket

import pytest

from cloud.listening import check_free
from splitwire.address import Address
from splitwire.errors import ConfigError


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = Address("127.0.0.1", other.getsockname()[1])
        with pytest.raises(ConfigError, match=f"cannot listen on {address}: Address already in use"):
            check_free(address)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0"):
        check_free(Address("192.0.2.1", 0))


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "x" * 70 + ".invalid"])
def test_an_unknown_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"cannot listen on {re.escape(host)}:1: \w+"):
        check_free(Address(host, 1))


def test_a_free_port_is_free_and_stays_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    for _ in range(2):
        check_free(Address("127.0.0.1", port))
