from pathlib import Path
from typing import Any

import grpc
import pytest

from cloud.credentials import Credentials
from splitwire.bundle import Bundle
from splitwire.errors import ConfigError
from tests.certificates import Certificates
from tests.cloud.serving import PATIENCE, make_request, serving


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tls_cert": Path("c")}, "--tls-cert and --tls-key go together"),
        ({"tls_key": Path("k")}, "--tls-cert and --tls-key go together"),
        ({"tls_client_ca": Path("a")}, "--tls-client-ca needs --tls-cert and --tls-key"),
    ],
)
def test_options_that_lack_another_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Credentials(**options)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Credentials(token="a secret of the environment"))


def test_none_are_needed() -> None:
    assert Credentials().transport() is None
    assert Credentials().gates() == []


def test_files_that_cannot_be_used_are_named(certificates: Certificates, tmp_path: Path) -> None:
    pair = certificates["cloud.crt"], certificates["cloud.key"]
    for credentials, said in (
        (Credentials(certificates["cloud.crt"], certificates["rest.key"]), "key values mismatch"),
        (Credentials(certificates["edge.crt"], certificates["edge.key"]), "unsuitable certificate purpose"),
        (Credentials(*pair, tls_client_ca=tmp_path / "absent"), "cannot read .*absent"),
    ):
        with pytest.raises(ConfigError, match=said):
            credentials.transport()
    with pytest.raises(ConfigError, match=r"cannot read tokens from .*absent"):
        Credentials(token_file=tmp_path / "absent").gates()


def test_a_client_that_trusts_it_is_answered(tiny_bundle: Bundle, certificates: Certificates) -> None:
    trust = grpc.ssl_channel_credentials(certificates["ca.crt"].read_bytes())
    credentials = Credentials(certificates["cloud.crt"], certificates["cloud.key"])
    with serving(tiny_bundle.path, credentials=credentials, client=trust) as cloud:
        assert cloud.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE).HasField("frame")


@pytest.mark.parametrize("who", ["ours", "nobody", "theirs", "expired"])
def test_a_client_must_show_a_certificate_of_the_authority(
    tiny_bundle: Bundle, certificates: Certificates, other_certificates: Certificates, who: str
) -> None:
    credentials = Credentials(
        certificates["cloud.crt"], certificates["cloud.key"], tls_client_ca=certificates["ca.crt"]
    )
    client = _client(certificates, other_certificates, who)
    with serving(tiny_bundle.path, credentials=credentials, client=client) as cloud:
        call = cloud.stub.Forward.future(make_request(tiny_bundle), timeout=PATIENCE)
        expected = grpc.StatusCode.OK if who == "ours" else grpc.StatusCode.UNAVAILABLE
        assert call.code() is expected, call.details()


def _client(ours: Certificates, theirs: Certificates, who: str) -> grpc.ChannelCredentials:
    trust = ours["ca.crt"].read_bytes()
    if who == "nobody":
        return grpc.ssl_channel_credentials(trust)
    holder = theirs if who == "theirs" else ours
    certificate = holder["edge.crt"]
    if who == "expired":
        certificate = ours.sign("edge", days=-1, as_name="expired-edge.crt")
    return grpc.ssl_channel_credentials(trust, holder["edge.key"].read_bytes(), certificate.read_bytes())
