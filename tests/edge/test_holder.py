"""A reload changes what the next request is answered with; one that cannot be served changes nothing."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.credentials import Credentials
from splitwire.bundle import Bundle
from splitwire.errors import CloudUnavailable, FileDigestMismatch, ReloadRefused
from tests.bundles import tiny_bundle as make_bundle
from tests.cloud.serving import PATIENCE, Serving, serving
from tests.edge.calling import Caller, calling, problem_name
from tests.edge.images import image_file

ADMIN, CLIENT = "admin-admin-admin-1", "client-client-client-2"
IMAGE = image_file()


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Three that answer differently, and with other labels."""
    folder = tmp_path_factory.mktemp("bundles")
    return [
        make_bundle(
            folder / f"{seed}", name=f"seed-{seed}", seed=seed, labels=tuple(f"{seed}.{i}" for i in range(10))
        )
        for seed in range(3)
    ]


@pytest.fixture(scope="module")
def clouds(bundles: list[Bundle]) -> Iterator[Serving]:
    """One that holds the first two."""
    with serving(bundles[0].path, also=bundles[1].path) as cloud:
        yield cloud


@pytest.fixture
def folder(tmp_path: Path, bundles: list[Bundle]) -> Path:
    """A link to the first."""
    folder = tmp_path / "bundle"
    folder.symlink_to(bundles[0].path)
    return folder


@pytest.fixture
def edge(folder: Path, clouds: Serving) -> Iterator[Caller]:
    """Without a local route."""
    with calling(folder, str(clouds.server.address), credentials=Credentials(admin_token=ADMIN)) as caller:
        yield caller


def put(folder: Path, bundle: Bundle) -> None:
    folder.unlink()
    folder.symlink_to(bundle.path)


def classified(edge: Caller) -> dict[str, Any]:
    response = edge.classify(IMAGE)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def post_reload(edge: Caller, token: str | None = ADMIN) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return edge("POST", "/admin/reload", headers=headers)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_next_request_has_the_new_bundle_from_head_to_tail(
    edge: Caller, folder: Path, bundles: list[Bundle], clouds: Serving
) -> None:
    before = classified(edge)
    put(folder, bundles[1])
    assert post_reload(edge).json() == {
        "result": "swapped",
        "before": bundles[0].digest.hex(),
        "bundle": bundles[1].digest.hex(),
    }
    after = classified(edge)
    assert (before["route"], after["route"]) == ("split", "split")
    assert (before["bundle"], after["bundle"]) == (bundles[0].digest.hex(), bundles[1].digest.hex())
    with calling(bundles[1].path, str(clouds.server.address)) as fresh:
        assert after["predictions"] == classified(fresh)["predictions"]
    assert {prediction["label"][0] for prediction in after["predictions"]} == {"1"}
    assert edge("GET", "/model").json()["digest"] == bundles[1].digest.hex()


def test_it_is_ready_all_the_while(edge: Caller, folder: Path, bundles: list[Bundle]) -> None:
    for bundle in (bundles[1], bundles[0]):
        put(folder, bundle)
        edge.reload()
        ready = edge("GET", "/readyz").json()
        assert (ready["bundle"], ready["route"]) == (bundle.digest.hex(), "split")


def test_the_same_bundle_is_no_change(edge: Caller, bundles: list[Bundle]) -> None:
    held, digest = edge.holder.current, bundles[0].digest.hex()
    assert post_reload(edge).json() == {"result": "unchanged", "before": digest, "bundle": digest}
    assert edge.holder.current is held


def test_a_bundle_that_cannot_be_served_is_422_and_changes_nothing(
    edge: Caller, folder: Path, bundles: list[Bundle], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt = make_bundle(tmp_path / "spoilt", seed=9)
    spoilt.graph("body").write_bytes(bundles[1].graph("body").read_bytes())
    put(folder, spoilt)
    refused = post_reload(edge)
    assert (refused.status_code, problem_name(refused)) == (422, "bundle-refused")
    assert "body.onnx" in refused.json()["detail"]
    assert "spoilt" not in refused.text, "where the link leads is nobody's business"
    assert f"seed-0 {bundles[0].digest.hex()} goes on being served" in caplog.text
    assert classified(edge)["bundle"] == bundles[0].digest.hex()
    with pytest.raises(FileDigestMismatch):
        edge.reload()


def test_without_a_local_route_a_cloud_must_hold_it(
    edge: Caller, folder: Path, bundles: list[Bundle]
) -> None:
    put(folder, bundles[2])
    refused = post_reload(edge)
    assert (refused.status_code, problem_name(refused)) == (409, "reload-refused")
    assert bundles[2].digest.hex() in refused.json()["detail"]
    assert classified(edge)["bundle"] == bundles[0].digest.hex()


def test_with_a_local_route_it_answers_by_itself_until_then(
    folder: Path, bundles: list[Bundle], clouds: Serving
) -> None:
    with calling(folder, str(clouds.server.address), fallback="local") as edge:
        assert classified(edge)["route"] == "split"
        put(folder, bundles[2])
        assert edge.reload().now == Bundle.load(folder)
        answer = classified(edge)
        assert (answer["bundle"], answer["route"]) == (bundles[2].digest.hex(), "local")
        assert answer["reason"] == "bundle-mismatch"


def test_an_edge_without_a_cloud_can_reload(folder: Path, bundles: list[Bundle]) -> None:
    with calling(folder, "127.0.0.1:1", fallback="local") as edge:
        put(folder, bundles[1])
        assert edge.reload().result == "swapped"
        assert classified(edge)["bundle"] == bundles[1].digest.hex()


def test_a_request_ends_with_the_bundle_it_began_with(tmp_path: Path) -> None:
    slow, next_ = (make_bundle(tmp_path / f"{seed}", seed=seed, body_repeats=3000) for seed in range(2))
    folder = tmp_path / "bundle"
    folder.symlink_to(slow.path)
    with (
        serving(slow.path, also=next_.path) as cloud,
        calling(folder, str(cloud.server.address), deadline_ms=60_000) as edge,
    ):
        alone = classified(edge)

        async def turn_over() -> list[httpx.Response]:
            flights = [asyncio.create_task(edge._client.post("/classify", content=IMAGE)) for _ in range(8)]
            while edge.holder.current._users < len(flights):
                await asyncio.sleep(0)
            put(folder, next_)
            await edge.holder.reload()
            return await asyncio.gather(*flights)

        answers = [response.json() for response in edge._runner.run(turn_over())]
        assert {answer["bundle"] for answer in answers} == {slow.digest.hex()}
        assert all(answer["predictions"] == alone["predictions"] for answer in answers)
        assert {answer["route"] for answer in answers} == {"split"}
        assert classified(edge)["bundle"] == next_.digest.hex()


def test_what_was_replaced_is_freed(edge: Caller, folder: Path, bundles: list[Bundle]) -> None:
    classified(edge)
    gone = weakref.ref(edge.pipeline)
    readers = [thread for thread in threading.enumerate() if thread.name == "cloud-reader"]
    put(folder, bundles[1])
    edge.reload()
    classified(edge)
    until(lambda: gone() is None)  # without the garbage collector, which cannot see how large graphs are
    until(lambda: any(not reader.is_alive() for reader in readers))


def test_so_is_one_whose_cloud_had_failed(folder: Path, bundles: list[Bundle]) -> None:
    """Errors have traces, and traces hold all that was at work."""
    with calling(folder, "127.0.0.1:1", fallback="local") as edge:
        assert [classified(edge)["route"] for _ in range(5)] == ["local"] * 5
        gone = weakref.ref(edge.pipeline)
        put(folder, bundles[1])
        edge.reload()
        classified(edge)
        until(lambda: gone() is None)


def test_of_two_reloads_at_once_the_second_waits(edge: Caller, folder: Path, bundles: list[Bundle]) -> None:
    put(folder, bundles[1])
    query = {"method": "POST", "url": "/admin/reload", "headers": {"Authorization": f"Bearer {ADMIN}"}}
    assert [response.json()["result"] for response in edge.all([query] * 2)] == ["swapped", "unchanged"]


def test_closed_it_reloads_no_more(edge: Caller, folder: Path, bundles: list[Bundle]) -> None:
    edge.holder.close()
    put(folder, bundles[1])
    with pytest.raises(ReloadRefused, match="shutting down"):
        edge.reload()


def test_closed_nobody_waits_for_the_cloud_of_the_one_before(
    edge: Caller, folder: Path, bundles: list[Bundle]
) -> None:
    before = edge.holder.current
    with before.use():
        put(folder, bundles[1])
        edge._runner.run(edge.holder.reload())
        before.pipeline.cloud.check(time.monotonic() + 60)
        edge.holder.close()
        with pytest.raises(CloudUnavailable, match="not asked any more"):
            before.pipeline.cloud.check(time.monotonic() + 60)


def test_without_admin_tokens_there_is_no_such_path(tiny_bundle: Bundle) -> None:
    with calling(tiny_bundle.path, "127.0.0.1:1") as edge:
        assert edge("POST", "/admin/reload").status_code == 404
        assert "/admin/reload" not in edge("GET", "/openapi.json").json()["paths"]


@pytest.mark.parametrize("token", [None, CLIENT, ADMIN[:-1]])
def test_other_tokens_do_not_reload(tiny_bundle: Bundle, token: str | None) -> None:
    credentials = Credentials(token=CLIENT, admin_token=ADMIN)
    with calling(tiny_bundle.path, "127.0.0.1:1", credentials=credentials) as edge:
        refused = post_reload(edge, token)
        assert (refused.status_code, problem_name(refused)) == (401, "unauthenticated")
        assert post_reload(edge).json()["result"] == "unchanged"


def test_an_admin_token_opens_nothing_else(tiny_bundle: Bundle) -> None:
    credentials = Credentials(token=CLIENT, admin_token=ADMIN)
    with calling(tiny_bundle.path, "127.0.0.1:1", credentials=credentials) as edge:
        assert edge("GET", "/model", headers={"Authorization": f"Bearer {ADMIN}"}).status_code == 401


def test_admin_tokens_alone_leave_the_rest_open(edge: Caller) -> None:
    assert edge("GET", "/model").status_code == 200
    assert post_reload(edge, None).status_code == 401


def test_reloads_and_the_bundle_are_metrics(
    edge: Caller, folder: Path, bundles: list[Bundle], tmp_path: Path
) -> None:
    value = edge.metrics.registry.get_sample_value
    put(folder, bundles[1])
    edge.reload()
    edge.reload()
    folder.unlink()
    assert post_reload(edge).status_code == 422
    found = [
        value("splitwire_edge_reloads_total", {"result": r}) for r in ("swapped", "unchanged", "refused")
    ]
    assert found == [1, 1, 1]
    served = {"digest": bundles[1].digest.hex(), "name": "seed-1"}
    assert value("splitwire_edge_bundle_info", served) == 1
    before = {"digest": bundles[0].digest.hex(), "name": "seed-0"}
    assert value("splitwire_edge_bundle_info", before) is None
