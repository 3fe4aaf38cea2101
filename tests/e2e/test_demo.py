"""`make demo`, as its user runs it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from splitwire.bundle import Bundle
from splitwire.preprocess import decode_image
from tests.e2e.processes import PATIENCE, ROOT

IMAGES = ROOT / "demo" / "images"
SAMPLES = sorted(path for path in IMAGES.iterdir() if path.suffix != ".md")


@contextmanager
def demo(bundle: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "demo", "--bundle", str(bundle), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()  # killed, it could not stop its services, of which one may hold port 8000
            process.wait(PATIENCE)


def run(bundle: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    with demo(bundle, "--once", *arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err


def children_of(process: "subprocess.Popen[str]") -> list[int]:
    """Process ids: the cloud's, the edge's."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_once_prints_a_row_for_every_sample(tiny_bundle: Bundle) -> None:
    status, out, err = run(tiny_bundle.path)
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    for image in SAMPLES:
        assert str(image.stat().st_size) in rows[image.name]
    assert rows["image"] == [
        "image", "label", "probability", "file", "uplink", "downlink",
        "decode", "head", "encode", "network", "cloud", "decode", "tail", "total",
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["a-token-of-the-users-own-services", "short"])
def test_tokens_of_services_of_the_users_own_are_none_of_the_demos(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    for name in ("SPLITWIRE_TOKEN", "SPLITWIRE_ADMIN_TOKEN", "SPLITWIRE_CLOUD_TOKEN"):
        monkeypatch.setenv(name, value)
    status, out, err = run(tiny_bundle.path, str(SAMPLES[0]))
    assert (status, err) == (0, "")
    assert SAMPLES[0].name in out


def test_an_image_that_fails_is_named_and_fails_the_whole(tiny_bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    status, out, _ = run(tiny_bundle.path, str(SAMPLES[0]), str(broken), str(tmp_path / "absent.jpg"))
    assert status == 1
    assert f"{broken}: 415: not a JPEG, PNG or WebP image" in out
    assert f"{tmp_path / 'absent.jpg'}: " in out
    assert SAMPLES[0].name in out


def test_a_service_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    status, _, err = run(tmp_path / "nothing")
    assert status == 1
    assert err.startswith("demo: error: the cloud ended with status 2; the last lines of its log:\n")
    assert "cloud: error: no bundle at" in err


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_until_it_is_stopped_and_leaves_nothing_behind(
    tiny_bundle: Bundle, number: signal.Signals
) -> None:
    with demo(tiny_bundle.path) as process:
        url = url_of(process)
        pids = children_of(process)
        assert len(pids) == 2
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("stopped\n")
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_second_one_takes_a_free_port(tiny_bundle: Bundle) -> None:
    """The first has the port of README's commands, unless something else on this machine does."""
    with demo(tiny_bundle.path) as first:
        usual = url_of(first)
        with demo(tiny_bundle.path) as second:
            other = url_of(second)
            assert other not in (usual, "http://127.0.0.1:8000")
            assert httpx.get(f"{other}/readyz").status_code == 200


def test_it_listens_where_readme_says(tiny_bundle: Bundle) -> None:
    try:
        socket.create_server(("127.0.0.1", 8000)).close()
    except OSError:
        pytest.skip("port 8000 is taken")
    with demo(tiny_bundle.path) as process:
        assert url_of(process) == "http://127.0.0.1:8000"
    assert "curl -F image=@demo/images/cat.jpg localhost:8000/classify" in (ROOT / "README.md").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("which", [0, 1], ids=["cloud", "edge"])
def test_a_service_that_dies_ends_it(tiny_bundle: Bundle, which: int) -> None:
    with demo(tiny_bundle.path) as process:
        url_of(process)
        os.kill(children_of(process)[which], signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert err.startswith(f"demo: error: the {('cloud', 'edge')[which]} ended with status -9; the last lines")


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("The edge listens on "):
            return line.split()[4]
    raise AssertionError("it named no address")


@pytest.mark.parametrize("image", SAMPLES, ids=lambda path: path.name)
def test_samples_are_small_photographs_of_known_origin(image: Path) -> None:
    assert image.stat().st_size <= 200_000
    assert min(decode_image(image.read_bytes()).shape[:2]) >= 200
    assert f"| `{image.name}` |" in (IMAGES / "SOURCES.md").read_text()
