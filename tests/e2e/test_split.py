"""Cloud and edge as two processes, and what happens when one of them goes."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.e2e.processes import PATIENCE, ROOT, Service, cloud_process, edge_process
from tests.edge.images import image_file

#: The bundle that ships.
SHIPPED = ROOT / "models" / "cifar10"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def cloud(tiny_bundle: Bundle) -> Iterator[Service]:
    with cloud_process(tiny_bundle.path) as service:
        yield service


@pytest.fixture
def edge(tiny_bundle: Bundle, cloud: Service) -> Iterator[Service]:
    with edge_process(tiny_bundle.path, cloud.address, "--fallback", "none") as service:
        yield service


def post(edge: Service, seed: int = 0) -> httpx.Response:
    return httpx.post(f"{edge.address}/classify", content=image_file(seed=seed), timeout=PATIENCE)


def predictions(response: httpx.Response) -> object:
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def assert_unavailable(response: httpx.Response, cloud: Service) -> None:
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    problem = response.json()
    assert problem["type"] == "urn:splitwire:problem:cloud-unavailable"
    assert cloud.address in problem["detail"]


def test_a_killed_cloud_is_503_and_the_next_request_after_its_return_works(
    tiny_bundle: Bundle, cloud: Service, edge: Service
) -> None:
    before = predictions(post(edge))
    cloud.kill()
    for _ in range(3):
        assert_unavailable(post(edge), cloud)
    assert httpx.get(f"{edge.address}/healthz").status_code == 200
    assert httpx.get(f"{edge.address}/readyz").status_code == 503
    with cloud_process(tiny_bundle.path, listen=cloud.address):
        assert predictions(post(edge)) == before


def test_a_cloud_restarted_between_two_requests_is_not_noticed(
    tiny_bundle: Bundle, cloud: Service, edge: Service
) -> None:
    before = predictions(post(edge))
    cloud.process.send_signal(signal.SIGTERM)
    assert cloud.end()[0] == 0
    with cloud_process(tiny_bundle.path, listen=cloud.address):
        assert predictions(post(edge)) == before


def test_a_cloud_killed_under_requests_fails_them_as_unavailable(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "slow", body_repeats=400_000)
    patience = ("--fallback", "none", "--deadline-ms", str(int(PATIENCE * 1000)))
    with (
        cloud_process(bundle.path) as cloud,
        edge_process(bundle.path, cloud.address, *patience) as edge,
        ThreadPoolExecutor(4) as clients,
    ):
        answers = [clients.submit(post, edge, seed) for seed in range(4)]
        time.sleep(0.5)
        cloud.kill()
        for answer in answers:
            assert_unavailable(answer.result(PATIENCE), cloud)


def test_a_frozen_cloud_is_504_and_its_late_answers_reach_nobody(tiny_bundle: Bundle, cloud: Service) -> None:
    with edge_process(tiny_bundle.path, cloud.address, "--fallback", "none", "--deadline-ms", "1500") as edge:
        expected = [predictions(post(edge, seed)) for seed in range(4)]
        os.kill(cloud.process.pid, signal.SIGSTOP)
        for seed in range(2):
            response = post(edge, seed)
            assert response.status_code == 504
            assert response.json()["type"] == "urn:splitwire:problem:deadline-exceeded"
        os.kill(cloud.process.pid, signal.SIGCONT)
        for seed in (3, 2, 1, 0):
            assert predictions(post(edge, seed)) == expected[seed]


def test_32_clients_each_get_their_own_images_answer(edge: Service) -> None:
    expected = [predictions(post(edge, seed)) for seed in range(32)]
    assert len(set(map(str, expected))) == 32
    with ThreadPoolExecutor(32) as clients:
        for _ in range(3):
            assert list(clients.map(lambda seed: predictions(post(edge, seed)), range(32))) == expected


@on_linux
@pytest.mark.parametrize("shipped", [False, True], ids=["tiny", "shipped"])
def test_neither_process_holds_torch_or_300_megabytes(tiny_bundle: Bundle, shipped: bool) -> None:
    if shipped and not SHIPPED.exists():
        pytest.skip(f"there is no {SHIPPED}")
    bundle = SHIPPED if shipped else tiny_bundle.path
    with cloud_process(bundle) as cloud, edge_process(bundle, cloud.address) as edge:
        with ThreadPoolExecutor(8) as clients:
            for response in clients.map(lambda seed: post(edge, seed), range(64)):
                assert response.status_code == 200
        for service in (cloud, edge):
            assert "onnxruntime" in service.mapped_files()
            assert "torch" not in service.mapped_files()
            assert service.resident_bytes() < 300_000_000
