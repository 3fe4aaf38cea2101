"""A real bundle of the trainer's, measured as it is served and by the trainer itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from splitwire.bundle import Bundle
from splitwire.errors import GraphError
from splitwire.frame import encode
from splitwire.plan import SplitPlan
from tests.trainer.networks import SIZE, make_dataset, make_network
from trainer.config import BoundaryOptions
from trainer.data import Dataset, Split
from trainer.evaluate import evaluate
from trainer.export import export_bundle
from trainer.measurement import measure
from trainer.network import SplitNetwork

PRUNED, COARSE = BoundaryOptions(keep=0.5, bits=4), BoundaryOptions(bits=3)


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset(test=41)


def exported(path: Path, dataset: Dataset, plan: SplitPlan) -> tuple[SplitNetwork, Bundle]:
    network = make_network(plan, uplink=PRUNED, downlink=COARSE if plan.back else BoundaryOptions())
    return network, export_bundle(
        path / "bundle",
        network,
        labels=dataset.labels,
        preprocess=dataset.preprocess,
        metrics={},
        name="tints",
    )


@pytest.mark.parametrize("plan", [SplitPlan(3, 1), SplitPlan(3, 0)])
def test_agrees_with_the_trainers_own_evaluation(tmp_path: Path, dataset: Dataset, plan: SplitPlan) -> None:
    network, bundle = exported(tmp_path, dataset, plan)
    found = measure(bundle, dataset.test, progress=False)
    with torch.no_grad():
        expected = evaluate(network, dataset.test, dataset.preprocess)
    assert found.images == expected.images == 41
    assert found.accuracy == pytest.approx(expected.accuracy, abs=1.5 / 41)  # a tie may fall the other way
    # The two sum in other orders: a few activations of one image round to another symbol.
    assert found.uplink.bytes.mean == pytest.approx(expected.uplink_bytes, rel=0.01)
    assert found.downlink.bytes.mean == pytest.approx(expected.downlink_bytes, rel=0.01)
    assert found.uplink.bytes.p95 == pytest.approx(expected.uplink_bytes_p95, rel=0.02)


def test_bytes_are_those_of_frames_of_one_image(tmp_path: Path, dataset: Dataset) -> None:
    _, bundle = exported(tmp_path, dataset, SplitPlan(3, 1))
    found = measure(bundle, dataset.test, progress=False)
    head, uplink = bundle.engine("head"), bundle.manifest.uplink
    images = bundle.manifest.preprocess.normalize(dataset.test.images)
    sizes = [len(encode(head.run(image[None]), uplink).payload) for image in images]
    assert found.uplink.bytes.mean == np.mean(sizes)
    assert found.uplink.bytes.p95 == np.percentile(sizes, 95)
    assert found.uplink.bits_per_element == 8 * np.mean(sizes) / uplink.elements
    assert found.uplink.ratio == 4 * uplink.elements / np.mean(sizes)
    assert found.both.mean == pytest.approx(found.uplink.bytes.mean + found.downlink.bytes.mean)


def test_images_do_not_depend_on_their_neighbours(tmp_path: Path, dataset: Dataset) -> None:
    _, bundle = exported(tmp_path, dataset, SplitPlan(3, 1))
    share = measure(bundle, dataset.test, progress=False).accuracy
    right = [measure(bundle, one(dataset.test, i), progress=False).accuracy for i in range(41)]
    assert set(right) <= {0.0, 1.0}
    assert np.mean(right) == pytest.approx(share)


def one(split: Split, i: int) -> Split:
    return Split(split.images[i : i + 1], split.targets[i : i + 1])


def test_images_of_another_size(tiny_bundle: Bundle) -> None:
    images = np.zeros((1, SIZE + 1, SIZE + 1, 3), np.uint8)
    with pytest.raises(GraphError, match="takes float32"):
        measure(tiny_bundle, Split(images, np.zeros(1, np.int64)), progress=False)
