"""The edge answers whatever the cloud does: processes that are killed, frozen, drained and restarted."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from splitwire.bundle import Bundle
from tests.e2e.processes import PATIENCE, Service, cloud_process, edge_process
from tests.edge.images import image_file

IMAGES = [image_file(seed=seed) for seed in range(4)]


def classify(edge: Service, image: bytes) -> dict[str, Any]:
    response = httpx.post(f"{edge.address}/classify", content=image, timeout=PATIENCE)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def wait_for_route(edge: Service, route: str) -> None:
    end = time.monotonic() + PATIENCE
    while classify(edge, IMAGES[0])["route"] != route:
        assert time.monotonic() < end
        time.sleep(0.05)


@contextlib.contextmanager
def clients(edge: Service, count: int) -> Iterator[Counter[str]]:
    """So many post images all the while, and check the labels; how many were answered by which route."""
    expected = [classify(edge, image)["predictions"] for image in IMAGES]
    routes: Counter[str] = Counter()
    done = threading.Event()

    def post() -> None:
        while not done.is_set():
            for image, predictions in zip(IMAGES, expected, strict=True):
                answer = classify(edge, image)
                assert answer["predictions"] == predictions
                routes[answer["route"]] += 1

    with ThreadPoolExecutor(count) as threads:
        posting = [threads.submit(post) for _ in range(count)]
        try:
            yield routes
        finally:
            done.set()
        for client in posting:
            client.result(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_starts_and_answers_without_a_cloud_and_finds_it(tiny_bundle: Bundle) -> None:
    with cloud_process(tiny_bundle.path) as gone:
        address = gone.address
    with edge_process(tiny_bundle.path, address) as edge:
        alone = classify(edge, IMAGES[0])
        assert alone["route"] == "local"
        with cloud_process(tiny_bundle.path, listen=address):
            wait_for_route(edge, "split")
            assert classify(edge, IMAGES[0])["predictions"] == alone["predictions"]
    assert edge.process.returncode is not None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_request_is_lost_while_the_cloud_is_restarted(tiny_bundle: Bundle, number: signal.Signals) -> None:
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(cloud_process(tiny_bundle.path))
        edge = stack.enter_context(edge_process(tiny_bundle.path, cloud.address))
        wait_for_route(edge, "split")
        with clients(edge, 4) as routes:
            for _ in range(3):
                cloud.process.send_signal(number)
                cloud.process.wait(PATIENCE)
                local = routes["local"]
                until(lambda before=local: routes["local"] > before)  # type: ignore[misc]
                cloud = stack.enter_context(cloud_process(tiny_bundle.path, listen=cloud.address))
                split = routes["split"]
                until(lambda before=split: routes["split"] > before)  # type: ignore[misc]
        assert set(routes) == {"split", "local"}, "and each of them had its image's predictions"


def test_a_frozen_cloud_costs_two_requests_their_patience_and_no_more(tiny_bundle: Bundle) -> None:
    with (
        cloud_process(tiny_bundle.path) as cloud,
        edge_process(tiny_bundle.path, cloud.address, "--deadline-ms", "1000") as edge,
    ):
        wait_for_route(edge, "split")
        os.kill(cloud.process.pid, signal.SIGSTOP)
        answers = [classify(edge, image) for image in IMAGES]
        os.kill(cloud.process.pid, signal.SIGCONT)
        assert [answer["reason"] for answer in answers] == ["deadline-exceeded"] * 4
        waited = [answer["timings_ms"]["waited"] for answer in answers]
        assert all(ms > 100 for ms in waited[:2])
        assert all(ms < 100 for ms in waited[2:]), "nothing was sent"
        wait_for_route(edge, "split")


def test_of_two_clouds_one_may_be_drained_without_a_local_answer(tiny_bundle: Bundle) -> None:
    with (
        cloud_process(tiny_bundle.path) as one,
        cloud_process(tiny_bundle.path) as other,
        edge_process(
            tiny_bundle.path, one.address, "--cloud", one.address, other.address, "--fallback", "none"
        ) as edge,
        clients(edge, 4) as routes,
    ):
        until(lambda: routes["split"] > 20)
        one.process.send_signal(signal.SIGTERM)
        assert one.end()[0] == 0
        before = routes["split"]
        until(lambda: routes["split"] > before + 20)
