import contextlib
import socket
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.config import EdgeConfig
from edge.credentials import CloudCredentials, Credentials
from splitwire import __version__
from splitwire.bundle import Bundle
from splitwire.otlp import Otlp


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    status: object = 0
    try:
        status = main(list(arguments))
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    assert isinstance(status, int)
    return status, out, err


def test_help_names_every_option_route_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    fields = {
        name
        for kind in (EdgeConfig, Credentials, CloudCredentials, Otlp)
        for name in kind.__dataclass_fields__
        if not name.endswith(("credentials", "tracing"))
    }
    for field in fields:
        assert f"--{field.replace('_', '-')}" in out
    for word in (
        "/classify",
        "/healthz",
        "/readyz",
        "/model",
        "curl -F image=@",
        "exit status",
        "SPLITWIRE_CLOUD_TOKEN",
        "SPLITWIRE_ADMIN_TOKEN",
        "SIGHUP",
    ):
        assert word in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"edge {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--bundle"),
        (["--bundle", "/nowhere"], "/nowhere"),
        (["--bundle", "b", "--listen", "8000"], "HOST:PORT"),
        (["--bundle", "b", "--metrics", "9464"], "HOST:PORT"),
        (["--bundle", "b", "--cloud", "host:0"], "--cloud"),
        (["--bundle", "b", "--cloud", "dns:///host"], "HOST:PORT"),
        (["--bundle", "b", "--threads", "many"], "--threads"),
        (["--bundle", "b", "--deadline-ms", "0"], "--deadline-ms"),
        (["--bundle", "b", "--max-connections", "0"], "--max-connections"),
        (["--bundle", "b", "--listen", "0.0.0.0:1"], "--insecure"),
        (["--bundle", "b", "--tls-key", "k"], "--tls-cert"),
        (["--bundle", "b", "--tls-cert", "no/cert", "--tls-key", "k"], "no/cert"),
        (["--bundle", "b", "--cloud-key", "k"], "--cloud-cert"),
        (["--bundle", "b", "--cloud-name", "n"], "--cloud-name needs --cloud-ca"),
        (["--bundle", "b", "--cloud-ca", "no/ca"], "no/ca"),
        (["--bundle", "b", "--cloud-token-file", "no/tokens"], "no/tokens"),
        (["--bundle", "b", "--frobnicate"], "--frobnicate"),
        (["--bundle", "b", "extra"], "extra"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("edge: error: ")
    assert named in err
    assert err.count("\n") == 1


def test_a_taken_port_and_an_unknown_host_are_mistakes_too(
    capsys: pytest.CaptureFixture[str], tiny_bundle: Bundle
) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        for address in (f"127.0.0.1:{taken.getsockname()[1]}", "no-such-host.invalid:8000"):
            for option in ("--listen", "--metrics"):
                free = ("--insecure", "--listen", "127.0.0.1:0")
                status, _, err = run(capsys, "--bundle", str(tiny_bundle.path), *free, option, address)
                assert status == 2
                assert err.startswith(f"edge: error: cannot listen on {address}: ")
                assert err.count("\n") == 1


@pytest.mark.parametrize("variable", ["SPLITWIRE_TOKEN", "SPLITWIRE_ADMIN_TOKEN", "SPLITWIRE_CLOUD_TOKEN"])
def test_the_environments_tokens_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle, variable: str
) -> None:
    monkeypatch.setenv(variable, "too short")
    status, _, err = run(capsys, "--bundle", str(tiny_bundle.path), "--listen", "127.0.0.1:0")
    assert status == 2
    assert err.startswith(f"edge: error: the token in line 1 of {variable} has 9 characters")
    assert err.count("\n") == 1


def test_a_broken_bundle_is_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    status, _, err = run(capsys, "--bundle", str(tmp_path))
    assert status == 2
    assert err.startswith("edge: error: ")
    assert err.count("\n") == 1
