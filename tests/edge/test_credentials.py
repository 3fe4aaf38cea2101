from pathlib import Path
from typing import Any

import pytest

from edge.credentials import CloudCredentials, Credentials
from splitwire.errors import ConfigError
from tests.certificates import Certificates


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (Credentials, {"tls_cert": Path("c")}, "--tls-cert and --tls-key go together"),
        (Credentials, {"tls_key": Path("k")}, "--tls-cert and --tls-key go together"),
        (CloudCredentials, {"cloud_cert": Path("c")}, "--cloud-cert and --cloud-key go together"),
        (
            CloudCredentials,
            {"cloud_cert": Path("c"), "cloud_key": Path("k")},
            "--cloud-cert needs --cloud-ca",
        ),
        (CloudCredentials, {"cloud_name": "n"}, "--cloud-name needs --cloud-ca"),
    ],
)
def test_options_that_lack_another_are_named(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        kind(**options)


def test_tokens_are_not_shown() -> None:
    assert "secret" not in repr((Credentials(token="a secret"), CloudCredentials(cloud_token="a secret")))


def test_none_are_needed() -> None:
    assert Credentials().certificate() is None
    assert Credentials().tokens() is None
    access = CloudCredentials().load()
    assert (access.transport, access.metadata()) == (None, ())


def test_a_certificate_of_its_own_must_be_a_servers(certificates: Certificates) -> None:
    Credentials(certificates["rest.crt"], certificates["rest.key"]).certificate()
    with pytest.raises(ConfigError, match=r"edge\.crt cannot be used: unsuitable certificate purpose"):
        Credentials(certificates["edge.crt"], certificates["edge.key"]).certificate()


def test_what_the_cloud_is_shown_must_be_a_clients(certificates: Certificates) -> None:
    ca = certificates["ca.crt"]
    CloudCredentials(ca, certificates["edge.crt"], certificates["edge.key"]).load()
    with pytest.raises(ConfigError, match=r"cloud\.crt cannot be used: unsuitable certificate purpose"):
        CloudCredentials(ca, certificates["cloud.crt"], certificates["cloud.key"]).load()
    with pytest.raises(ConfigError, match=r"cloud\.crt holds no certificate of an authority"):
        CloudCredentials(certificates["cloud.crt"]).load()


def test_the_first_token_is_shown(certificates: Certificates) -> None:
    token = certificates["cloud-tokens"].read_text().strip()
    access = CloudCredentials(cloud_token_file=certificates["cloud-tokens"]).load()
    assert access.metadata() == (("authorization", f"Bearer {token}"),)
