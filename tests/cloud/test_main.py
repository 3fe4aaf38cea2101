import contextlib
import socket
from pathlib import Path

import pytest

from cloud.__main__ import main
from cloud.config import CloudConfig
from cloud.credentials import Credentials
from splitwire import __version__
from splitwire.bundle import Bundle
from splitwire.otlp import Otlp
from tests.e2e.processes import ROOT

SHIPPED = ROOT / "models" / "cifar10"


def test_help_names_every_option_and_fits_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    page = capsys.readouterr().out
    kinds = (CloudConfig, Credentials, Otlp)
    options = {name for kind in kinds for name in kind.__dataclass_fields__} - {"credentials", "tracing"}
    for option in options:
        assert f"--{option.replace('_', '-')}" in page
    assert "SPLITWIRE_TOKEN" in page
    assert max(len(line) for line in page.splitlines()) <= 100


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"cloud {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--bundle"),
        (["--bundle", "x", "--threads", "many"], "--threads"),
        (["--bundle", "x", "--nonsense"], "--nonsense"),
        (["--bundle", "x", "--log-level", "loud"], "--log-level"),
    ],
)
def test_what_argparse_refuses_is_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    _assert_one_line(capsys, named)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--bundle", "nothing/here"], "nothing/here"),
        (["--bundle", str(SHIPPED), "--also", "nor/here"], "nor/here"),
        (["--bundle", "x", "--listen", "localhost"], "HOST:PORT"),
        (["--bundle", "x", "--threads", "0"], "--threads"),
        (["--bundle", "x", "--max-rows", "32", "--max-queue", "31"], "--max-queue"),
        (["--bundle", "x", "--listen", "0.0.0.0:1"], "--insecure"),
        (["--bundle", "x", "--tls-cert", "c"], "--tls-key"),
        (["--bundle", "x", "--tls-client-ca", "c"], "--tls-client-ca needs --tls-cert"),
        (["--bundle", "x", "--token-file", "no/tokens"], "no/tokens"),
        (["--bundle", "x", "--tls-cert", "no/cert", "--tls-key", "k"], "no/cert"),
        (["--bundle", "x", "--metrics", "9465"], "HOST:PORT"),
        (["--bundle", "x", "--drain-seconds", "nan"], "--drain-seconds"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    _assert_one_line(capsys, named)


def test_the_environments_token_counts_where_there_is_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWIRE_TOKEN", "too short")
    assert main(["--bundle", "x"]) == 2
    _assert_one_line(capsys, "line 1 of SPLITWIRE_TOKEN has 9 characters")
    file = tmp_path / "tokens"
    file.write_text("one-that-is-long-enough")
    assert main(["--bundle", "nothing/here", "--token-file", str(file)]) == 2
    _assert_one_line(capsys, "no bundle at nothing/here")


def test_a_taken_port_for_metrics_is_one_line(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["--bundle", str(tiny_bundle.path), "--listen", "127.0.0.1:0", "--metrics", address]) == 2
    _assert_one_line(capsys, f"cannot listen on {address}: ")


def test_a_damaged_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert main(["--bundle", str(tmp_path)]) == 2
    _assert_one_line(capsys, "manifest")


def _assert_one_line(capsys: pytest.CaptureFixture[str], named: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cloud: error: ")
    assert err.count("\n") == 1
    assert named in err
