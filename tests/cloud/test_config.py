from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from cloud.config import CloudConfig
from cloud.credentials import Credentials
from splitwire.address import Address
from splitwire.errors import ConfigError


def test_the_default_listens_on_loopback_only() -> None:
    assert str(CloudConfig(Path("b")).listen) == "127.0.0.1:50051"


def test_a_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        CloudConfig(Path("b")).threads = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("threads", 0),
        ("threads", 1025),
        ("workers", 0),
        ("workers", -1),
        ("max_rows", 0),
        ("max_rows", 65537),
        ("max_batch", 0),
        ("max_batch", 1025),
        ("max_delay_us", -1),
        ("max_delay_us", 1_000_001),
        ("max_queue", 63),
        ("max_queue", 65537),
        ("max_connections", 0),
        ("max_connections", 65537),
        ("drain_seconds", -0.1),
        ("drain_seconds", float("nan")),
        ("drain_seconds", float("inf")),
        ("log_level", "loud"),
        ("log_format", "xml"),
    ],
)
def test_a_value_out_of_range_names_its_option(option: str, value: object) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} must be .*, got"):
        CloudConfig(Path("b"), **options)


_PAIR = Path("cert"), Path("key")


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(),
        Credentials(token="t"),
        Credentials(token_file=Path("t")),
        Credentials(*_PAIR),
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "cloud.example"])
def test_beyond_loopback_it_wants_encryption_and_credentials(credentials: Credentials, host: str) -> None:
    listen = Address(host, 50051)
    with pytest.raises(ConfigError) as caught:
        CloudConfig(Path("b"), listen, credentials=credentials)
    assert str(caught.value).startswith(f"--listen {listen} can be reached from other machines")
    for option in ("--tls-cert", "--tls-key", "--token-file", "--tls-client-ca", "--insecure"):
        assert option in str(caught.value)
    assert CloudConfig(Path("b"), listen, credentials=credentials, insecure=True).insecure
    CloudConfig(Path("b"), Address("localhost", 1), credentials=credentials)


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(*_PAIR, token="t"),
        Credentials(*_PAIR, token_file=Path("t")),
        Credentials(*_PAIR, tls_client_ca=Path("a")),
    ],
)
def test_encryption_and_one_of_the_credentials_suffice(credentials: Credentials) -> None:
    config = CloudConfig(Path("b"), Address("0.0.0.0", 50051), credentials=credentials)
    assert config.credentials.suffice
    assert not config.insecure
