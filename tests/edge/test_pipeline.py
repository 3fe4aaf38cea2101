import time
from pathlib import Path

import onnx
import pytest

from edge.classification import Classification
from edge.client import CloudClient
from edge.pipeline import Pipeline
from edge.replica import Replica
from splitwire.bundle import Bundle, save_bundle
from splitwire.errors import CloudUnavailable, UnsupportedImage
from splitwire.plan import FLOAT_BITS, BoundarySpec, SplitPlan
from tests.cloud.serving import Serving, serving
from tests.edge.images import image_file


def classify(bundle: Bundle, cloud: Serving, image: bytes) -> Classification:
    uplink, downlink = bundle.manifest.uplink, bundle.manifest.downlink
    client = CloudClient(str(cloud.server.address), bundle.digest, uplink=uplink, downlink=downlink)
    try:
        return Pipeline(bundle, Replica(client)).classify(image, top_k=3, deadline=time.monotonic() + 60)
    finally:
        client.close()


@pytest.fixture(scope="module")
def tailless_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """`tiny_bundle` with its tail moved into the body: the downlink is the logits."""
    manifest = tiny_bundle.manifest
    return save_bundle(
        tmp_path_factory.mktemp("bundles") / "tailless",
        name="tailless",
        model=manifest.model,
        labels=manifest.labels,
        preprocess=manifest.preprocess,
        plan=SplitPlan(front=3, back=0),
        uplink=manifest.uplink,
        downlink=BoundarySpec((len(manifest.labels),), keep=1.0, bits=FLOAT_BITS, zero=0),
        graphs={"head": tiny_bundle.graph("head").read_bytes(), "body": body_and_tail(tiny_bundle)},
        metrics={},
        versions={},
    )


def body_and_tail(bundle: Bundle) -> bytes:
    body = onnx.load(bundle.graph("body"))
    tail = onnx.compose.add_prefix(onnx.load(bundle.graph("tail")), "tail_")
    rename_output(body, "returned")
    merged = onnx.compose.merge_models(body, tail, io_map=[("returned", "tail_input")])
    rename_output(merged, "output")
    return merged.SerializeToString()


def rename_output(model: onnx.ModelProto, name: str) -> None:
    model.graph.node[-1].output[:] = [name]
    model.graph.output[0].name = name


def test_without_a_tail_the_clouds_logits_are_the_answer(
    tiny_bundle: Bundle, tailless_bundle: Bundle
) -> None:
    image = image_file()
    with serving(tiny_bundle.path) as cloud:
        expected = classify(tiny_bundle, cloud, image)
    with serving(tailless_bundle.path) as cloud:
        found = classify(tailless_bundle, cloud, image)
    assert [p.index for p in found.predictions] == [p.index for p in expected.predictions]
    assert [p.probability for p in found.predictions] == pytest.approx(
        [p.probability for p in expected.predictions]
    )
    assert found.bytes.uplink_payload == expected.bytes.uplink_payload
    assert found.bundle == tailless_bundle.digest.hex() != expected.bundle


def test_only_head_and_tail_are_needed(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.path) as cloud:
        body = tiny_bundle.graph("body")
        content = body.read_bytes()
        moved = Path(f"{body}.moved")
        try:
            moved.write_bytes(content)
            body.unlink()
            assert len(classify(tiny_bundle, cloud, image_file()).predictions) == 3
        finally:
            moved.rename(body)


def test_errors_keep_their_types(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.path) as cloud, pytest.raises(UnsupportedImage):
        classify(tiny_bundle, cloud, b"not an image")
    with pytest.raises(CloudUnavailable):
        classify(tiny_bundle, cloud, image_file())
