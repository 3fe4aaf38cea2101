"""Cloud and edge as docs/security.md has them, with the certificates that its commands make."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from splitwire.bundle import Bundle
from tests.certificates import Certificates
from tests.e2e.processes import PATIENCE, ROOT, Service, cloud_process, edge_process, service
from tests.edge.images import image_file

OTHER_TOKEN = "another-token-of-20-characters"


@pytest.fixture(scope="module")
def cloud_options(certificates: Certificates) -> list[str]:
    """Of the document's cloud."""
    return [
        *("--tls-cert", str(certificates["cloud.crt"]), "--tls-key", str(certificates["cloud.key"])),
        *("--tls-client-ca", str(certificates["ca.crt"]), "--token-file", str(certificates["cloud-tokens"])),
    ]


@pytest.fixture(scope="module")
def edge_options(certificates: Certificates) -> dict[str, str]:
    """Of the document's edge, for its calls of the cloud, which is here called by its address."""
    return {
        "--cloud-ca": str(certificates["ca.crt"]),
        "--cloud-cert": str(certificates["edge.crt"]),
        "--cloud-key": str(certificates["edge.key"]),
        "--cloud-token-file": str(certificates["cloud-tokens"]),
        "--cloud-name": "cloud.example",
    }


@pytest.fixture(scope="module")
def cloud(tiny_bundle: Bundle, cloud_options: list[str]) -> Iterator[Service]:
    with cloud_process(tiny_bundle.path, *cloud_options) as running:
        yield running


#: So that it shows what the cloud said.
ALONE = ("--fallback", "none")


def flat(options: dict[str, str]) -> list[str]:
    return [text for pair in options.items() for text in pair]


def post(edge: Service, **rest: object) -> httpx.Response:
    return httpx.post(f"{edge.address}/classify", content=image_file(), timeout=PATIENCE, **rest)  # type: ignore[arg-type]


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rpartition(":")[2]


def rest_of(running: Service) -> str:
    """Stop it; what it logged."""
    running.process.send_signal(signal.SIGTERM)
    status, logged = running.end()
    assert status == 0
    return logged


def test_the_documented_pair_answers_over_https_to_whom_it_should(
    tiny_bundle: Bundle, certificates: Certificates, cloud: Service, edge_options: dict[str, str]
) -> None:
    rest = {"--tls-cert": "rest.crt", "--tls-key": "rest.key", "--token-file": "tokens"}
    options = edge_options | {option: str(certificates[name]) for option, name in rest.items()}
    trust = ssl.create_default_context(cafile=certificates["ca.crt"])
    right = {"Authorization": f"Bearer {certificates['tokens'].read_text().strip()}"}
    with edge_process(tiny_bundle.path, cloud.address, *flat(options)) as edge:
        assert edge.address.startswith("https://127.0.0.1:")
        trust.check_hostname = False  # it is called by its address
        assert post(edge, verify=trust, headers=right).status_code == 200
        for _ in range(3):
            assert problem(post(edge, verify=trust)) == (401, "unauthenticated")
        for path, status in (("healthz", 200), ("readyz", 200), ("model", 401), ("docs", 200)):
            assert httpx.get(f"{edge.address}/{path}", verify=trust).status_code == status
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            post(edge)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{edge.address}/healthz".replace("https", "http"))
        logged = rest_of(edge)
    assert logged.count(" 401 unauthenticated after ") == logged.count(": a valid token is needed") == 4
    assert right["Authorization"][7:] not in logged


def test_the_certificate_names_the_host(
    tiny_bundle: Bundle, certificates: Certificates, cloud: Service, edge_options: dict[str, str]
) -> None:
    options = edge_options | {
        "--tls-cert": str(certificates["rest.crt"]),
        "--tls-key": str(certificates["rest.key"]),
    }
    trust = ssl.create_default_context(cafile=certificates["ca.crt"])
    with edge_process(tiny_bundle.path, cloud.address, *flat(options)) as edge:
        host, _, port = edge.address.removeprefix("https://").rpartition(":")
        for name, expected in (("edge.example", True), ("other.example", False)):
            assert _names(trust, (host, int(port)), name) is expected


def _names(trust: ssl.SSLContext, address: tuple[str, int], name: str) -> bool:
    with socket.create_connection(address, timeout=PATIENCE) as plain:
        try:
            trust.wrap_socket(plain, server_hostname=name).close()
        except ssl.SSLCertVerificationError:
            return False
        return True


def test_a_certificate_is_exchanged_without_a_restart(
    tiny_bundle: Bundle, certificates: Certificates, other_certificates: Certificates, tmp_path: Path
) -> None:
    for name in ("rest.crt", "rest.key"):
        shutil.copy(certificates[name], tmp_path)
    options = ("--tls-cert", str(tmp_path / "rest.crt"), "--tls-key", str(tmp_path / "rest.key"))
    with edge_process(tiny_bundle.path, "127.0.0.1:1", *options) as edge:

        def shows(holder: Certificates) -> bool:
            trust = ssl.create_default_context(cafile=holder["ca.crt"])
            trust.check_hostname = False  # and without a name in its greeting
            try:
                return httpx.get(f"{edge.address}/healthz", verify=trust, timeout=PATIENCE).is_success
            except httpx.ConnectError:
                return False

        assert shows(certificates)
        assert not shows(other_certificates)
        for name in ("rest.crt", "rest.key"):
            shutil.copy(other_certificates[name], tmp_path)
        end = time.monotonic() + PATIENCE
        while not shows(other_certificates):
            assert time.monotonic() < end
            time.sleep(0.1)
        (tmp_path / "rest.key").write_text("broken")
        for _ in range(3):
            time.sleep(1.1)  # longer than it does without looking
            assert shows(other_certificates)
        logged = rest_of(edge)
    assert logged.count("rest.key holds no private key, expected one in PEM; the certificates that were") == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("another authority", (503, "cloud-unavailable")),
        ("a certificate of another authority", (503, "cloud-unavailable")),
        ("another name", (503, "cloud-unavailable")),
        ("no certificate", (503, "cloud-unavailable")),
        ("no encryption", (503, "cloud-unavailable")),
        ("no token", (502, "cloud-refused")),
        ("another token", (502, "cloud-refused")),
    ],
)
def test_an_edge_that_lacks_something_gets_no_answer_from_the_cloud(
    tiny_bundle: Bundle,
    cloud: Service,
    edge_options: dict[str, str],
    other_certificates: Certificates,
    tmp_path: Path,
    change: str,
    expected: tuple[int, str],
) -> None:
    options = dict(edge_options)
    _CHANGES[change](options, other_certificates, tmp_path)
    with edge_process(tiny_bundle.path, cloud.address, *flat(options)) as edge:
        answer = post(edge).json()
        assert (answer["route"], answer["reason"]) == ("local", expected[1])
    with edge_process(tiny_bundle.path, cloud.address, *flat(options), *ALONE) as edge:
        assert problem(post(edge)) == expected
        assert problem(httpx.get(f"{edge.address}/readyz", timeout=PATIENCE)) == expected
        logged = rest_of(edge)
    assert logged.count(f" {expected[1]} after ") == 2
    assert OTHER_TOKEN not in logged


Change = Callable[[dict[str, str], Certificates, Path], None]


def _other_authority(options: dict[str, str], other: Certificates, _: Path) -> None:
    options["--cloud-ca"] = str(other["ca.crt"])


def _other_certificate(options: dict[str, str], other: Certificates, _: Path) -> None:
    options |= {"--cloud-cert": str(other["edge.crt"]), "--cloud-key": str(other["edge.key"])}


def _other_name(options: dict[str, str], _: Certificates, __: Path) -> None:
    options["--cloud-name"] = "other.example"


def _no_certificate(options: dict[str, str], _: Certificates, __: Path) -> None:
    del options["--cloud-cert"], options["--cloud-key"]


def _no_encryption(options: dict[str, str], _: Certificates, __: Path) -> None:
    for name in ("ca", "cert", "key", "name"):
        del options[f"--cloud-{name}"]


def _no_token(options: dict[str, str], _: Certificates, __: Path) -> None:
    del options["--cloud-token-file"]


def _other_token(options: dict[str, str], _: Certificates, folder: Path) -> None:
    (folder / "tokens").write_text(OTHER_TOKEN)
    options["--cloud-token-file"] = str(folder / "tokens")


_CHANGES: dict[str, Change] = {
    "another authority": _other_authority,
    "a certificate of another authority": _other_certificate,
    "another name": _other_name,
    "no certificate": _no_certificate,
    "no encryption": _no_encryption,
    "no token": _no_token,
    "another token": _other_token,
}


def test_tokens_rotate_without_a_restart(tiny_bundle: Bundle, tmp_path: Path) -> None:
    receives, sends = tmp_path / "receives", tmp_path / "sends"
    old, new = "the-old-token-of-the-cloud", "the-new-token-of-the-cloud"
    receives.write_text(old)
    sends.write_text(old)
    with (
        cloud_process(tiny_bundle.path, "--token-file", str(receives)) as cloud,
        edge_process(tiny_bundle.path, cloud.address, *ALONE, "--cloud-token-file", str(sends)) as edge,
    ):

        def settles(status: int) -> None:
            end = time.monotonic() + PATIENCE
            while httpx.get(f"{edge.address}/readyz", timeout=PATIENCE).status_code != status:
                assert time.monotonic() < end
                time.sleep(0.1)

        settles(200)
        receives.write_text(f"{old}\n{new}\n")
        sends.write_text(f"{new}\n")
        settles(200)
        receives.write_text(f"{new}\n# no longer {old}\n")
        time.sleep(2.5)  # longer than the cloud, the edge and its readiness take to notice
        settles(200)
        assert post(edge).status_code == 200
        sends.write_text(f"{old}\n")
        settles(502)
        receives.write_text("broken")
        settles(502)
        sends.write_text(f"{new}\n")
        settles(200)
        logged = rest_of(cloud)
    assert logged.count("ipv4:127.0.0.1 was refused: a valid token is needed") == 1
    assert logged.count("has 6 characters, expected 16 or more; the tokens that were read before") == 1
    assert old not in logged
    assert new not in logged


def test_the_environments_tokens_are_those_of_either_side(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWIRE_TOKEN", OTHER_TOKEN)
    with (
        cloud_process(tiny_bundle.path) as cloud,
        edge_process(tiny_bundle.path, cloud.address, *ALONE) as edge,
    ):
        right = {"Authorization": f"Bearer {OTHER_TOKEN}"}
        assert problem(post(edge)) == (401, "unauthenticated")
        assert problem(post(edge, headers=right)) == (502, "cloud-refused")
        monkeypatch.setenv("SPLITWIRE_CLOUD_TOKEN", OTHER_TOKEN)
        with edge_process(tiny_bundle.path, cloud.address, *ALONE) as second:
            assert post(second, headers=right).status_code == 200


def test_files_that_cannot_be_used_are_one_line_and_status_2(
    tiny_bundle: Bundle, certificates: Certificates, tmp_path: Path
) -> None:
    expired = certificates.sign("cloud", days=-1, as_name="cloud-expired.crt")
    mine = certificates.sign("edge", days=-1, as_name="edge-expired.crt")
    key, ca = str(certificates["cloud.key"]), str(certificates["ca.crt"])
    edge_key = str(certificates["edge.key"])
    for module, options, said in (
        ("cloud", ["--tls-cert", str(expired), "--tls-key", key], "certificate has expired"),
        (
            "cloud",
            ["--tls-cert", str(certificates["cloud.crt"]), "--tls-key", edge_key],
            "key values mismatch",
        ),
        ("edge", ["--tls-cert", str(expired), "--tls-key", key], "certificate has expired"),
        ("edge", ["--cloud-ca", ca, "--cloud-cert", str(mine), "--cloud-key", edge_key], "has expired"),
        ("edge", ["--token-file", str(tmp_path / "absent")], "No such file or directory"),
        ("cloud", ["--listen", "0.0.0.0:0"], "--insecure"),
        ("edge", ["--listen", "0.0.0.0:0"], "--insecure"),
    ):
        status, said_all = _run(module, "--bundle", str(tiny_bundle.path), *options)
        assert status == 2
        assert said_all.startswith(f"{module}: error: ")
        assert said in said_all
        assert said_all.count("\n") == 1


def test_insecure_listens_everywhere_without_credentials(tiny_bundle: Bundle) -> None:
    everywhere = ("--listen", "0.0.0.0:0", "--insecure")
    with service("cloud", "--bundle", str(tiny_bundle.path), *everywhere) as cloud:
        target = cloud.address.replace("0.0.0.0", "127.0.0.1")
        options = ("--bundle", str(tiny_bundle.path), "--cloud", target, *everywhere)
        with service("edge", *options) as edge:
            url = edge.address.replace("0.0.0.0", "127.0.0.1")
            response = httpx.post(f"{url}/classify", content=image_file(), timeout=PATIENCE)
            assert response.status_code == 200


def test_connections_beyond_the_limit_are_closed(tiny_bundle: Bundle) -> None:
    with edge_process(tiny_bundle.path, "127.0.0.1:1", "--max-connections", "2") as edge:
        host, _, port = edge.address.removeprefix("http://").rpartition(":")
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
            third = stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
            with contextlib.suppress(ConnectionError):
                assert third.recv(1) == b""
        end = time.monotonic() + PATIENCE
        while not _is_alive(edge):
            assert time.monotonic() < end
            time.sleep(0.1)


def _is_alive(edge: Service) -> bool:
    try:
        return httpx.get(f"{edge.address}/healthz", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def _run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPLITWIRE_")}
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    return ran.returncode, ran.stderr
