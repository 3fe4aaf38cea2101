"""A rolling change under load: clouds first, then edges. No error, no wrong label."""

import contextlib
import itertools
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from edge.classification import Prediction, top
from protos import splitwire_pb2 as pb
from protos.splitwire_pb2_grpc import SplitInferenceStub
from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_bundle
from tests.e2e.processes import PATIENCE, Service, cloud_process, edge_process
from tests.edge.images import image_file

#: What a busy machine does not pass.
DEADLINE = ("--deadline-ms", "60000")

IMAGES = [image_file(seed=seed) for seed in range(4)]
TOKEN = "admin-admin-admin-1"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Three of other weights and other labels."""
    folder = tmp_path_factory.mktemp("bundles")
    return [
        make_bundle(folder / f"{seed}", seed=seed, labels=tuple(f"{seed}.{i}" for i in range(10)))
        for seed in range(3)
    ]


@pytest.fixture
def folder(tmp_path: Path, bundles: list[Bundle]) -> Path:
    folder = tmp_path / "bundle"
    folder.symlink_to(bundles[0].path)
    return folder


def put(folder: Path, bundle: Bundle) -> None:
    """At no moment is there none."""
    fresh = folder.with_name("fresh")
    fresh.symlink_to(bundle.path)
    fresh.replace(folder)


def unsplit(bundle: Bundle, image: bytes) -> tuple[Prediction, ...]:
    """What the bundle's graphs say, one after another in this process."""
    x = bundle.manifest.preprocess(image)
    for role in bundle.manifest.roles:
        x = bundle.engine(role).run(x)
    return top(x[0], bundle.manifest.labels, 5)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def described(cloud: Service) -> bytes:
    """The digest of the bundle that it has now."""
    with grpc.insecure_channel(cloud.address) as channel:
        return SplitInferenceStub(channel).Describe(pb.DescribeRequest(), timeout=PATIENCE).bundle_digest


def reload_cloud(cloud: Service, bundle: Bundle) -> None:
    cloud.process.send_signal(signal.SIGHUP)
    until(lambda: described(cloud) == bundle.digest)


def reload_edge(edge: Service) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.post(f"{edge.address}/admin/reload", headers=headers, timeout=PATIENCE)


@contextlib.contextmanager
def clients(edge: Service, count: int, bundles: list[Bundle]) -> Iterator[Counter[tuple[str, str]]]:
    """So many post images all the while: each is answered as by the bundle that the answer names.

    How many were, by bundle and route.
    """
    expected = {bundle.digest.hex(): [unsplit(bundle, image) for image in IMAGES] for bundle in bundles}
    answered: Counter[tuple[str, str]] = Counter()
    done = threading.Event()

    def post() -> None:
        with httpx.Client(base_url=edge.address, timeout=PATIENCE) as client:
            while not done.is_set():
                for number, image in enumerate(IMAGES):
                    response = client.post("/classify", content=image)
                    assert response.status_code == 200, response.text
                    answer: dict[str, Any] = response.json()
                    found = [(p["label"], p["index"]) for p in answer["predictions"]]
                    wanted = expected[answer["bundle"]][number]
                    assert found == [(p.label, p.index) for p in wanted]
                    answered[answer["bundle"], answer["route"]] += 1

    def look() -> None:
        while not done.is_set():
            ready = httpx.get(f"{edge.address}/readyz", timeout=PATIENCE)
            assert ready.status_code == 200, ready.text
            time.sleep(0.02)

    with ThreadPoolExecutor(count + 1) as threads:
        working = [*(threads.submit(post) for _ in range(count)), threads.submit(look)]
        try:
            yield answered
        finally:
            done.set()
        for client in working:
            client.result(PATIENCE)


def until_more(answered: Counter[tuple[str, str]], bundle: Bundle, count: int = 20) -> None:
    """So many answers by `bundle`, split."""
    key = bundle.digest.hex(), "split"
    before = answered[key]
    until(lambda: answered[key] >= before + count)


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWIRE_ADMIN_TOKEN", TOKEN)


@pytest.mark.parametrize("ask", ["signal", "request"])
@pytest.mark.usefixtures("admin")
def test_a_rolling_change_loses_nothing_and_mixes_nothing(
    folder: Path, bundles: list[Bundle], ask: str
) -> None:
    with (
        cloud_process(folder) as one,
        cloud_process(folder) as other,
        edge_process(
            folder, one.address, "--cloud", one.address, other.address, "--fallback", "none", *DEADLINE
        ) as edge,
        clients(edge, 3, bundles) as answered,
    ):
        until_more(answered, bundles[0])
        for before, bundle in itertools.pairwise(bundles):
            put(folder, bundle)
            for cloud in (one, other):
                reload_cloud(cloud, bundle)
                until_more(answered, before)
            if ask == "signal":
                edge.process.send_signal(signal.SIGHUP)
            else:
                assert reload_edge(edge).json()["bundle"] == bundle.digest.hex()
            until_more(answered, bundle)
    assert {route for _, route in answered} == {"split"}
    assert {digest for digest, _ in answered} == {bundle.digest.hex() for bundle in bundles}


@pytest.mark.usefixtures("admin")
def test_what_cannot_be_served_changes_nothing_and_says_why(folder: Path, bundles: list[Bundle]) -> None:
    with (
        cloud_process(folder) as cloud,
        edge_process(folder, cloud.address, "--fallback", "none", *DEADLINE) as edge,
    ):
        with clients(edge, 2, bundles) as answered:
            until_more(answered, bundles[0])
            folder.unlink()
            for service in (cloud, edge):
                service.process.send_signal(signal.SIGHUP)
            assert reload_edge(edge).status_code == 422
            until_more(answered, bundles[0])
        for service in (cloud, edge):
            service.process.send_signal(signal.SIGTERM)
            status, log = service.end()
            assert status == 0
            refusals = re.findall(r"^\w+: not reloaded: (.*)$", log, re.MULTILINE)
            assert refusals
            assert all("there is no manifest.json" in refusal for refusal in refusals)
            assert all(f"{bundles[0].digest.hex()} goes on being served" in refusal for refusal in refusals)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc here")
@pytest.mark.usefixtures("admin")
def test_twenty_reloads_leave_no_thread_and_no_descriptor(folder: Path, bundles: list[Bundle]) -> None:
    with (
        cloud_process(folder, "--workers", "1") as cloud,
        edge_process(folder, cloud.address, "--max-concurrency", "2", *DEADLINE) as edge,
        clients(edge, 2, bundles) as answered,
    ):

        def change(number: int) -> None:
            bundle = bundles[number % 3]
            put(folder, bundle)
            reload_cloud(cloud, bundle)
            assert reload_edge(edge).status_code == 200
            until_more(answered, bundle, 4)

        for number in range(1, 7):  # every thread that loads has begun by then
            change(number)
        before = [most(service) for service in (cloud, edge)]
        for number in range(7, 27):
            change(number)
        for service, limits in zip((cloud, edge), before, strict=True):
            until(lambda service=service, limits=limits: fits(held(service), limits))  # type: ignore[misc]
    assert {route for _, route in answered} == {"split"}


def held(service: Service) -> tuple[int, int]:
    """Threads, but for those by which gRPC follows the load, and file descriptors."""
    process = Path(f"/proc/{service.process.pid}")
    names = [name_of(task) for task in (process / "task").iterdir()]
    threads = [name for name in names if name and not name.startswith("event_engine")]
    return len(threads), len(list((process / "fd").iterdir()))


def name_of(task: Path) -> str:
    """Empty where it has just ended."""
    try:
        return (task / "comm").read_text()
    except OSError:
        return ""


def most(service: Service) -> tuple[int, int]:
    """Over a while, since connections come and go."""
    seen = []
    for _ in range(50):
        seen.append(held(service))
        time.sleep(0.02)
    threads, descriptors = zip(*seen, strict=True)
    return max(threads), max(descriptors)


def fits(found: tuple[int, int], before: tuple[int, int]) -> bool:
    """A pool may still have grown by a thread, and a client be connecting; a leak would be twenty."""
    return all(now <= then + 3 for now, then in zip(found, before, strict=True))
