from pathlib import Path
from typing import Any

import pytest

from edge.config import EdgeConfig
from edge.credentials import CloudCredentials, Credentials
from edge.names import CloudName
from splitwire.address import Address
from splitwire.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threads": 0}, "--threads"),
        ({"deadline_ms": 0}, "--deadline-ms"),
        ({"deadline_ms": 10**9}, "--deadline-ms"),
        ({"max_image_bytes": -1}, "--max-image-bytes"),
        ({"max_concurrency": 0}, "--max-concurrency"),
        ({"max_connections": 0}, "--max-connections"),
        ({"cloud": (Address("localhost", 0),)}, "--cloud"),
        ({"cloud": ()}, "--cloud"),
        ({"cloud": (CloudName("a", 0),)}, "--cloud"),
        ({"cloud": (CloudName("a", 1), Address("a", 1), CloudName("a", 1))}, "--cloud names dns:///a:1"),
        ({"cloud": (Address("a", 1), Address("b", 1), Address("a", 1))}, "--cloud"),
        ({"fallback": "edge"}, "--fallback"),
        ({"log_level": "loud"}, "--log-level"),
        ({"log_format": "xml"}, "--log-format"),
    ],
)
def test_values_out_of_range_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        EdgeConfig(Path("bundle"), **options)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "edge.example"])
def test_beyond_loopback_it_wants_tokens(host: str) -> None:
    listen = Address(host, 8000)
    encrypted = Credentials(Path("c"), Path("k"))
    for credentials in (Credentials(), encrypted):
        with pytest.raises(ConfigError, match="can be reached from other machines: it needs --token-file"):
            EdgeConfig(Path("b"), listen=listen, credentials=credentials)
        EdgeConfig(Path("b"), listen=listen, credentials=credentials, insecure=True)
    for credentials in (Credentials(token="t"), Credentials(token_file=Path("t"))):
        EdgeConfig(Path("b"), listen=listen, credentials=credentials)


@pytest.mark.parametrize(
    "shown", [CloudCredentials(cloud_token="t"), CloudCredentials(cloud_token_file=Path("t"))]
)
def test_a_token_is_not_sent_in_the_clear_beyond_loopback(shown: CloudCredentials) -> None:
    cloud = Address("cloud.example", 50051)
    with pytest.raises(
        ConfigError, match=r"a token would be sent to --cloud cloud\.example:50051 in the clear"
    ):
        EdgeConfig(Path("b"), (cloud,), cloud_credentials=shown)
    named = CloudName("cloud.example", 50051)
    with pytest.raises(ConfigError, match=r"would be sent to --cloud dns:///cloud\.example:50051"):
        EdgeConfig(Path("b"), (named,), cloud_credentials=shown)
    EdgeConfig(Path("b"), (cloud, named), cloud_credentials=shown, insecure=True)
    EdgeConfig(Path("b"), cloud_credentials=shown)
    EdgeConfig(Path("b"), (cloud,), cloud_credentials=CloudCredentials(Path("ca"), cloud_token="t"))
