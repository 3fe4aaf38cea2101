import contextlib
import socket
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.config import EdgeConfig
from splitwire import __version__
from splitwire.bundle import Bundle


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
    for field in EdgeConfig.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in out
    for word in ("/classify", "/healthz", "/readyz", "/model", "curl -F image=@", "exit status"):
        assert word in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"edge {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--bundle"),
        (["--bundle", "/nowhere"], "/nowhere"),
        (["--bundle", "b", "--listen", "8000"], "HOST:PORT"),
        (["--bundle", "b", "--cloud", "host:0"], "--cloud"),
        (["--bundle", "b", "--threads", "many"], "--threads"),
        (["--bundle", "b", "--deadline-ms", "0"], "--deadline-ms"),
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
            status, _, err = run(capsys, "--bundle", str(tiny_bundle.path), "--listen", address)
            assert status == 2
            assert err.startswith(f"edge: error: cannot listen on {address}: ")
            assert err.count("\n") == 1


def test_a_broken_bundle_is_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    status, _, err = run(capsys, "--bundle", str(tmp_path))
    assert status == 2
    assert err.startswith("edge: error: ")
    assert err.count("\n") == 1
