import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from protos import splitwire_pb2 as pb
from splitwire.bundle import Bundle
from splitwire.frame import encode
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.cloud.serving import Serving, serving
from tests.edge.calling import Caller, calling, problem_name
from tests.edge.images import FORMATS, image_file
from tests.edge.scripted import echo, scripted_cloud


def labels_of(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [prediction["label"] for prediction in response.json()["predictions"]]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_raw_body_and_a_multipart_body_give_the_same_answer(edge: Caller, file_format: str) -> None:
    image = image_file(file_format)
    raw = edge.classify(image, FORMATS[file_format]).json()
    multipart = edge.upload(image).json()
    assert raw["predictions"] == multipart["predictions"]
    for counted in ("image", "raw_activation", "uplink_payload", "downlink_payload"):
        assert raw["bytes"][counted] == multipart["bytes"][counted]


def test_the_answer_equals_the_graphs_in_sequence(edge: Caller, tiny_bundle: Bundle) -> None:
    image, manifest = image_file(), tiny_bundle.manifest
    x = manifest.preprocess(image)
    symbols = tiny_bundle.engine("head").run(x)
    logits = tiny_bundle.engine("tail").run(tiny_bundle.engine("body").run(symbols))[0]
    probabilities = np.exp(logits) / np.exp(logits).sum()

    answer = edge.classify(image, params={"top_k": 10}).json()
    predictions = answer["predictions"]
    assert [p["index"] for p in predictions] == list(np.argsort(-probabilities))
    assert [p["label"] for p in predictions] == [manifest.labels[p["index"]] for p in predictions]
    assert [p["probability"] for p in predictions] == pytest.approx(sorted(probabilities, reverse=True))
    assert answer["bundle"] == tiny_bundle.digest.hex()
    assert answer["route"] == "split"


def test_the_answer_says_where_time_and_bytes_went(edge: Caller, tiny_bundle: Bundle) -> None:
    image, manifest = image_file(), tiny_bundle.manifest
    answer = edge.classify(image).json()
    timings, counts = answer["timings_ms"], answer["bytes"]
    assert list(timings) == [
        "image_decode", "head", "encode", "cloud", "network", "decode", "waited", "body", "tail", "total",
    ]  # fmt: skip
    assert timings.pop("waited") is timings.pop("body") is None, "of the local route"
    cloud = timings.pop("cloud")
    assert list(cloud) == ["queue", "decode", "compute", "encode"]
    stages = sum(timings.values()) - timings["total"] + sum(cloud.values())
    assert stages <= timings["total"] + 0.01  # each is rounded to a microsecond
    payload = encode(tiny_bundle.engine("head").run(manifest.preprocess(image)), manifest.uplink).payload
    assert counts["image"] == len(image)
    assert counts["raw_activation"] == 4 * 8 * 8 * 8
    assert counts["uplink_payload"] == len(payload) < counts["uplink"] < len(payload) + 60
    assert counts["downlink_payload"] < counts["downlink"] < counts["downlink_payload"] + 60


@pytest.mark.parametrize("media_type", ["application/octet-stream", "image/png", "IMAGE/JPEG; a=b"])
def test_the_content_decides_its_type(edge: Caller, media_type: str) -> None:
    assert edge.classify(image_file("JPEG"), media_type).status_code == 200


def test_no_content_type_is_taken_for_bytes(edge: Caller) -> None:
    assert edge("POST", "/classify", content=image_file()).status_code == 200


@pytest.mark.parametrize(("asked", "expected"), [(None, 5), (1, 1), (10, 10)])
def test_top_k(edge: Caller, asked: int | None, expected: int) -> None:
    response = edge.classify(image_file(), params={} if asked is None else {"top_k": asked})
    assert len(labels_of(response)) == expected
    probabilities = [p["probability"] for p in response.json()["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("top_k", ["0", "11", "-1", "1.5", "many", ""])
def test_an_impossible_top_k_is_a_problem(edge: Caller, top_k: str) -> None:
    response = edge.classify(image_file(), params={"top_k": top_k})
    assert (response.status_code, problem_name(response)) == (422, "bad-parameter")
    assert response.json()["detail"].startswith("top_k: ")


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(40), b"%PDF-1.7", b"hello", b"\x00" * 100])
def test_other_content_is_unsupported(edge: Caller, content: bytes) -> None:
    for response in (edge.classify(content), edge.upload(content)):
        assert (response.status_code, problem_name(response)) == (415, "unsupported-image-type")


def test_another_declared_type_is_unsupported(edge: Caller) -> None:
    response = edge.classify(image_file(), "application/x-www-form-urlencoded")
    assert (response.status_code, problem_name(response)) == (415, "unsupported-image-type")
    assert "image/jpeg" in response.json()["detail"]


def test_a_broken_image_is_undecodable(edge: Caller) -> None:
    response = edge.classify(image_file()[:60])
    assert (response.status_code, problem_name(response)) == (422, "undecodable-image")


def test_a_bomb_is_refused_by_its_dimensions(edge: Caller) -> None:
    out = BytesIO()
    Image.new("1", (30_000, 20_000)).save(out, "PNG")
    assert len(out.getvalue()) < 100_000
    response = edge.classify(out.getvalue(), "image/png")
    assert (response.status_code, problem_name(response)) == (422, "too-many-pixels")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/nothing", 404), ("GET", "/classify", 405), ("POST", "/model", 405)],
)
def test_what_is_not_there_is_a_problem_too(edge: Caller, method: str, path: str, status: int) -> None:
    response = edge(method, path)
    assert (response.status_code, problem_name(response)) == (status, "about:blank")
    assert ("allow" in response.headers) == (status == 405)


def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_nobody_in_the_cloud_is_503(tiny_bundle: Bundle) -> None:
    with calling(tiny_bundle.path, nobody()) as edge:
        for response in (edge.classify(image_file()), edge("GET", "/readyz")):
            assert (response.status_code, problem_name(response)) == (503, "cloud-unavailable")
            assert int(response.headers["retry-after"]) > 0
        assert edge("GET", "/healthz").status_code == 200


def test_a_silent_cloud_is_504(tiny_bundle: Bundle) -> None:
    def silent(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        yield from (echo(request) for request in requests if request.id < 0)  # reads on

    with (
        scripted_cloud(silent, digest=tiny_bundle.digest) as cloud,
        calling(tiny_bundle.path, cloud.target, deadline_ms=300) as edge,
    ):
        assert edge("GET", "/readyz").status_code == 200
        response = edge.classify(image_file())
        assert (response.status_code, problem_name(response)) == (504, "deadline-exceeded")


def test_without_a_cloud_the_edge_answers_alike(edge: Caller, tiny_bundle: Bundle) -> None:
    with calling(tiny_bundle.path, nobody(), fallback="local") as alone:
        found, expected = (caller.classify(image_file()).json() for caller in (alone, edge))
        assert alone("GET", "/readyz").json()["route"] == "local"
        again = alone.classify(image_file()).json()
    assert found["predictions"] == expected["predictions"] == again["predictions"]
    assert (found["route"], found["reason"]) == (again["route"], again["reason"])
    assert (found["route"], found["reason"]) == ("local", "cloud-unavailable")
    timings, counts = found["timings_ms"], found["bytes"]
    absent = {name for name, value in (timings | counts).items() if value is None}
    assert absent == {
        "encode", "cloud", "network", "decode", "uplink", "downlink", "uplink_payload", "downlink_payload",
    }  # fmt: skip
    stages = sum(value for name, value in timings.items() if value is not None and name != "total")
    assert stages <= timings["total"] + 0.01


def test_a_silent_cloud_leaves_time_for_the_edge(tiny_bundle: Bundle) -> None:
    def silent(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        yield from (echo(request) for request in requests if request.id < 0)  # reads on

    with (
        scripted_cloud(silent, digest=tiny_bundle.digest) as cloud,
        calling(tiny_bundle.path, cloud.target, fallback="local") as edge,
    ):
        response = edge.classify(image_file(), deadline_ms=500)
        assert (response.json()["route"], response.json()["reason"]) == ("local", "deadline-exceeded")
        assert response.json()["timings_ms"]["waited"] < 500


def test_a_request_may_have_a_deadline_of_its_own(tiny_bundle: Bundle) -> None:
    def silent(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        yield from (echo(request) for request in requests if request.id < 0)  # reads on

    with (
        scripted_cloud(silent, digest=tiny_bundle.digest) as cloud,
        calling(tiny_bundle.path, cloud.target, deadline_ms=600_000) as edge,
    ):
        response = edge.classify(image_file(), deadline_ms=300)
        assert (response.status_code, problem_name(response)) == (504, "deadline-exceeded")


@pytest.mark.parametrize("deadline", ["0", "-5", "600001", "soon", "1.5"])
def test_an_impossible_deadline_is_a_problem(edge: Caller, deadline: str) -> None:
    response = edge.classify(image_file(), deadline_ms=deadline)
    assert (response.status_code, problem_name(response)) == (422, "bad-parameter")
    assert response.json()["detail"].startswith("x-deadline-ms: ")


def test_a_reply_that_is_no_downlink_is_502(tiny_bundle: Bundle) -> None:
    def confused(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        return map(echo, requests)  # an uplink frame, returned

    with scripted_cloud(confused) as cloud, calling(tiny_bundle.path, cloud.target) as edge:
        response = edge.classify(image_file())
        assert (response.status_code, problem_name(response)) == (502, "bad-cloud-reply")


def test_a_cloud_with_another_bundle_is_503(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = make_tiny_bundle(tmp_path / "other", seed=1)
    with serving(other.path) as cloud, calling(tiny_bundle.path, str(cloud.server.address)) as edge:
        for response in (edge.classify(image_file()), edge("GET", "/readyz")):
            assert (response.status_code, problem_name(response)) == (503, "bundle-mismatch")


def test_what_nobody_expected_is_500_and_reveals_nothing(
    tiny_bundle: Bundle, cloud: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("the secret path /etc/passwd")

    with calling(tiny_bundle.path, str(cloud.server.address)) as edge:
        monkeypatch.setattr(edge.pipeline, "classify", fails)
        response = edge.classify(image_file())
    assert (response.status_code, problem_name(response)) == (500, "internal-error")
    assert "secret" not in response.text
    assert "secret" in caplog.text
    assert response.json()["instance"] in caplog.text


def test_readiness_names_bundle_and_cloud(edge: Caller, tiny_bundle: Bundle, cloud: Serving) -> None:
    assert edge("GET", "/readyz").json() == {
        "status": "ready",
        "bundle": tiny_bundle.digest.hex(),
        "clouds": [str(cloud.server.address)],
        "route": "split",
        "reason": None,
    }


def test_the_model_is_described(edge: Caller, tiny_bundle: Bundle) -> None:
    model = edge("GET", "/model").json()
    manifest = tiny_bundle.manifest
    assert model["name"] == manifest.name
    assert model["digest"] == tiny_bundle.digest.hex()
    assert model["labels"] == list(manifest.labels)
    assert model["plan"]["head"] == ["stem", "block1", "block2"]
    assert model["plan"]["tail"] == ["classifier"]
    assert model["uplink"] == manifest.uplink.to_json()
    assert model["downlink"] == manifest.downlink.to_json()
    assert model["preprocess"] == manifest.preprocess.to_json()


def test_32_clients_each_get_their_own_images_answer(edge: Caller) -> None:
    images = [image_file(seed=seed) for seed in range(32)]
    alone = [edge.classify(image, params={"top_k": 10}).json()["predictions"] for image in images]
    assert len({str(predictions) for predictions in alone}) == len(images)
    patient = {"x-deadline-ms": "60000"}
    query = {"method": "POST", "url": "/classify", "params": {"top_k": 10}, "headers": patient}
    together = edge.all({**query, "content": image} for image in images * 3)
    assert [response.json()["predictions"] for response in together] == alone * 3


def test_openapi_describes_bodies_and_problems(edge: Caller) -> None:
    document = edge("GET", "/openapi.json").json()
    operation = document["paths"]["/classify"]["post"]
    bodies = operation["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "application/octet-stream", *FORMATS.values()}
    assert bodies["multipart/form-data"]["schema"]["required"] == ["image"]
    problems = {status: set(r["content"]) for status, r in operation["responses"].items() if status != "200"}
    assert set(problems) == {"401", "408", "413", "415", "422", "500", "502", "503", "504"}
    assert all(media_types == {"application/problem+json"} for media_types in problems.values())
    assert edge("GET", "/docs").status_code == 200
