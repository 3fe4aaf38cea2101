"""Connections to clouds that show certificates and want tokens."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from cloud.credentials import Credentials
from edge.access import CloudAccess
from edge.client import CloudClient
from edge.credentials import CloudCredentials
from protos import splitwire_pb2 as pb
from splitwire import renewal as renewal_module
from splitwire.bundle import Bundle
from splitwire.errors import CloudRefused, CloudUnavailable
from splitwire.frame import encode
from splitwire.tokens import Tokens
from tests.certificates import Certificates
from tests.cloud.serving import PATIENCE, make_symbols, serving
from tests.edge.scripted import scripted_cloud

Call = Callable[[CloudClient, Bundle], None]

TOKEN, OTHER = "first-first-first-1", "second-second-second-2"


@contextlib.contextmanager
def client_of(bundle: Bundle, target: str, access: CloudAccess) -> Iterator[CloudClient]:
    uplink, downlink = bundle.manifest.uplink, bundle.manifest.downlink
    client = CloudClient(target, bundle.digest, uplink=uplink, downlink=downlink, access=access)
    try:
        yield client
    finally:
        client.close()


def forward(client: CloudClient, bundle: Bundle) -> None:
    client.forward(encode(make_symbols(bundle), bundle.manifest.uplink), time.monotonic() + PATIENCE)


def check(client: CloudClient, _: Bundle) -> None:
    client.check(time.monotonic() + PATIENCE)


def test_certificates_of_both_sides_and_a_token_open_it(
    tiny_bundle: Bundle, certificates: Certificates
) -> None:
    pair, ca = (certificates["cloud.crt"], certificates["cloud.key"]), certificates["ca.crt"]
    shown = CloudCredentials(
        ca, certificates["edge.crt"], certificates["edge.key"], "cloud.example", cloud_token=TOKEN
    )
    with (
        serving(tiny_bundle.path, credentials=Credentials(*pair, ca, token=TOKEN)) as cloud,
        client_of(tiny_bundle, str(cloud.server.address), shown.load()) as client,
    ):
        check(client, tiny_bundle)
        forward(client, tiny_bundle)


def test_the_certificate_names_the_name_that_was_resolved_unless_told_otherwise() -> None:
    assert CloudAccess().found_by("cloud.example").name == "cloud.example"
    assert CloudAccess(name="other.example").found_by("cloud.example").name == "other.example"
    assert CloudAccess().found_by(None).name is None


@pytest.mark.parametrize("fault", ["another authority", "another name", "expired", "unencrypted"])
def test_a_cloud_that_is_not_the_one_meant_is_unavailable(
    tiny_bundle: Bundle, certificates: Certificates, other_certificates: Certificates, fault: str
) -> None:
    holder = other_certificates if fault == "another authority" else certificates
    certificate = holder["cloud.crt"]
    if fault == "expired":
        certificate = holder.sign("cloud", days=-1, as_name="expired-cloud.crt")
    shows = grpc.ssl_server_credentials([(holder["cloud.key"].read_bytes(), certificate.read_bytes())])
    name = "127.0.0.1" if fault == "another name" else "cloud.example"
    access = CloudCredentials(certificates["ca.crt"], cloud_name=name, cloud_token=TOKEN).load()
    seen: list[pb.ForwardRequest] = []

    def script(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        seen.extend(requests)
        yield from ()

    with (
        scripted_cloud(script, credentials=None if fault == "unencrypted" else shows) as cloud,
        client_of(tiny_bundle, cloud.target, access) as client,
        pytest.raises(CloudUnavailable),
    ):
        forward(client, tiny_bundle)
    assert seen == []


@pytest.mark.parametrize("token", [None, OTHER])
@pytest.mark.parametrize("call", [forward, check])
def test_a_cloud_that_wants_another_token_refuses(tiny_bundle: Bundle, token: str | None, call: Call) -> None:
    access = CloudAccess(tokens=None if token is None else Tokens(token, "here"))
    with (
        serving(tiny_bundle.path, credentials=Credentials(token=TOKEN)) as cloud,
        client_of(tiny_bundle, str(cloud.server.address), access) as client,
    ):
        for _ in range(3):
            with pytest.raises(CloudRefused, match="does not accept the edge's credentials"):
                call(client, tiny_bundle)


def test_a_token_that_was_exchanged_is_shown_by_the_next_connection(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal_module, "_CHECK_SECONDS", 0.0)
    file = tmp_path / "tokens"
    file.write_text(OTHER)
    with (
        serving(tiny_bundle.path, credentials=Credentials(token=TOKEN)) as cloud,
        client_of(tiny_bundle, str(cloud.server.address), CloudAccess(tokens=Tokens.read(file))) as client,
    ):
        with pytest.raises(CloudRefused):
            forward(client, tiny_bundle)
        file.write_text(TOKEN)
        forward(client, tiny_bundle)
        check(client, tiny_bundle)


def test_a_certificate_that_was_exchanged_is_shown_by_the_next_connection(
    tiny_bundle: Bundle,
    certificates: Certificates,
    other_certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewal_module, "_CHECK_SECONDS", 0.0)
    names = ("ca.crt", "edge.crt", "edge.key")
    for name in names:
        shutil.copy(other_certificates[name], tmp_path)
    ca, certificate, key = (tmp_path / name for name in names)
    access = CloudCredentials(ca, certificate, key, "cloud.example").load()
    accepts = Credentials(certificates["cloud.crt"], certificates["cloud.key"], certificates["ca.crt"])
    with (
        serving(tiny_bundle.path, credentials=accepts) as cloud,
        client_of(tiny_bundle, str(cloud.server.address), access) as client,
    ):
        with pytest.raises(CloudUnavailable):
            forward(client, tiny_bundle)
        for name in names:
            shutil.copy(certificates[name], tmp_path)
        forward(client, tiny_bundle)
