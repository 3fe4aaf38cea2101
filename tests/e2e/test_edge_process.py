"""The edge as its user runs it: a process, HTTP over a socket, signals, exit status."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from splitwire.bundle import Bundle
from tests.cloud.serving import Serving, serving
from tests.e2e.processes import PATIENCE, ROOT, Service, edge_process
from tests.edge.images import image_file


@pytest.fixture(scope="module")
def cloud(tiny_bundle: Bundle) -> Iterator[Serving]:
    with serving(tiny_bundle.path) as running:
        yield running


@pytest.fixture(scope="module")
def edge(tiny_bundle: Bundle, cloud: Serving) -> Iterator[Service]:
    limits = ("--max-image-bytes", "1000000", "--max-concurrency", "4")
    with edge_process(tiny_bundle.path, str(cloud.server.address), *limits) as service:
        yield service


def post(edge: Service, image: bytes) -> httpx.Response:
    return httpx.post(f"{edge.address}/classify", content=image, timeout=PATIENCE)


def host_and_port(edge: Service) -> tuple[str, int]:
    host, _, port = edge.address.removeprefix("http://").rpartition(":")
    return host, int(port)


def test_it_announces_itself(edge: Service, tiny_bundle: Bundle) -> None:
    port = edge.address.rpartition(":")[2]
    assert edge.announced == f"edge: serving tiny {tiny_bundle.digest.hex()} on http://127.0.0.1:{port}"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_classifies_in_both_forms(edge: Service, tmp_path: Path) -> None:
    image = tmp_path / "cat.jpg"
    image.write_bytes(image_file())

    def curl(*arguments: str) -> list[object]:
        ran = subprocess.run(["curl", "-sSf", *arguments], capture_output=True, text=True, check=True)
        predictions: list[object] = json.loads(ran.stdout)["predictions"]
        return predictions

    url = f"{edge.address}/classify"
    multipart = curl("-F", f"image=@{image}", url)
    raw = curl("--data-binary", f"@{image}", "-H", "Content-Type: image/jpeg", f"{url}?top_k=3")
    assert len(multipart) == 5
    assert raw == multipart[:3]


@pytest.mark.parametrize("declared", [True, False], ids=["declared length", "chunked"])
def test_a_client_that_sends_too_much_gets_to_see_413(edge: Service, declared: bool) -> None:
    content = bytes(20_000_000)
    chunks = (content[i : i + 65_536] for i in range(0, len(content), 65_536))
    response = httpx.post(
        f"{edge.address}/classify", content=content if declared else chunks, timeout=PATIENCE
    )
    assert response.status_code == 413
    assert response.json()["type"] == "urn:splitwire:problem:body-too-large"
    assert post(edge, image_file()).status_code == 200


def test_more_clients_than_threads_are_all_answered(edge: Service) -> None:
    images = [image_file(seed=seed) for seed in range(32)]
    expected = [post(edge, image).json()["predictions"] for image in images]
    with ThreadPoolExecutor(len(images)) as clients:
        responses = list(clients.map(lambda image: post(edge, image), images))
    assert [response.json()["predictions"] for response in responses] == expected


def test_it_starts_without_a_cloud_and_finds_it_when_it_comes(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.path) as gone:
        address = gone.server.address
    with edge_process(tiny_bundle.path, str(address), "--fallback", "none") as edge:
        assert httpx.get(f"{edge.address}/healthz").status_code == 200
        assert httpx.get(f"{edge.address}/readyz").status_code == 503
        assert post(edge, image_file()).status_code == 503
        with serving(tiny_bundle.path, port=address.port):
            assert post(edge, image_file()).status_code == 200
            end = time.monotonic() + PATIENCE
            while httpx.get(f"{edge.address}/readyz").status_code != 200:  # it remembers for a second
                assert time.monotonic() < end
                time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("idle_connection", [True, False])
def test_a_signal_ends_it_with_status_0(
    tiny_bundle: Bundle, cloud: Serving, number: signal.Signals, idle_connection: bool
) -> None:
    with (
        edge_process(tiny_bundle.path, str(cloud.server.address)) as edge,
        httpx.Client(base_url=edge.address) as client,
    ):
        if idle_connection:
            assert client.post("/classify", content=image_file()).status_code == 200
        edge.process.send_signal(number)
        status, rest = edge.end()
    assert (status, rest) == (0, "")


def test_a_signal_lets_the_request_in_flight_finish(tiny_bundle: Bundle, cloud: Serving) -> None:
    image = image_file()
    fields = f"Host: edge\r\nContent-Length: {len(image)}\r\nExpect: 100-continue"
    head = f"POST /classify HTTP/1.1\r\n{fields}\r\n\r\n"
    with (
        edge_process(tiny_bundle.path, str(cloud.server.address)) as edge,
        socket.create_connection(host_and_port(edge), timeout=PATIENCE) as client,
        client.makefile("rb") as answers,
    ):
        client.sendall(head.encode())
        assert answers.readline() == b"HTTP/1.1 100 Continue\r\n"  # the route is reading the body
        edge.process.send_signal(signal.SIGTERM)
        client.sendall(image)
        assert answers.readline() == b"\r\n"
        assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
        assert b"predictions" in answers.read()
        assert edge.end()[0] == 0


def test_a_stopped_edge_refuses_new_connections(tiny_bundle: Bundle, cloud: Serving) -> None:
    with edge_process(tiny_bundle.path, str(cloud.server.address)) as edge:
        edge.process.send_signal(signal.SIGTERM)
        assert edge.end()[0] == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(host_and_port(edge))


def test_importing_the_edge_never_imports_torch() -> None:
    code = "import edge.__main__, sys; print(sorted(m for m in sys.modules if m.startswith('torch')))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
