import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest

from cloud.credentials import Credentials
from protos.splitwire_pb2_grpc import SplitInferenceStub
from splitwire import renewal as renewal_module
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


def answers(bundle: Bundle, target: str, trust: grpc.ChannelCredentials) -> bool:
    """Whether a new connection is served."""
    # Of its own sockets, as another program would have.
    options = [("grpc.ssl_target_name_override", "cloud.example"), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(target, trust, options) as channel:
        try:
            SplitInferenceStub(channel).Forward(make_request(bundle), timeout=PATIENCE)
        except grpc.RpcError:
            return False
        return True


def test_exchanged_certificates_are_those_of_the_next_connections(
    tiny_bundle: Bundle,
    certificates: Certificates,
    other_certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(renewal_module, "_CHECK_SECONDS", 0.0)
    for name in ("cloud.crt", "cloud.key", "ca.crt"):
        shutil.copy(certificates[name], tmp_path)

    def client(holder: Certificates, trusted: Certificates) -> grpc.ChannelCredentials:
        pair = holder["edge.key"].read_bytes(), holder["edge.crt"].read_bytes()
        return grpc.ssl_channel_credentials(trusted["ca.crt"].read_bytes(), *pair)

    credentials = Credentials(tmp_path / "cloud.crt", tmp_path / "cloud.key", tmp_path / "ca.crt")
    with serving(
        tiny_bundle.path, credentials=credentials, client=client(certificates, certificates)
    ) as cloud:
        target = str(cloud.server.address)
        first = client(certificates, certificates)
        assert answers(tiny_bundle, target, first)
        assert cloud.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE).HasField("frame")
        shutil.copy(other_certificates["ca.crt"], tmp_path)  # of clients alone
        assert not answers(tiny_bundle, target, first)
        assert answers(tiny_bundle, target, client(other_certificates, certificates))
        for name in ("cloud.key", "cloud.crt"):  # between the two they do not belong together
            shutil.copy(other_certificates[name], tmp_path)
            assert answers(tiny_bundle, target, client(other_certificates, other_certificates)) is (
                name == "cloud.crt"
            )
        (tmp_path / "cloud.crt").write_text("broken")
        for _ in range(3):
            assert answers(tiny_bundle, target, client(other_certificates, other_certificates))
        assert cloud.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE).HasField("frame")
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 2
    assert "key values mismatch; the certificates that were read before stay in use" in said[0]
    assert "holds no certificate, expected one in PEM; the certificates that were read before" in said[1]
