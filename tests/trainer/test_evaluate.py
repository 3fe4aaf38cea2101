import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from splitwire.frame import encode
from splitwire.plan import SplitPlan
from tests.trainer.networks import OFF, make_dataset, make_network
from trainer.config import BoundaryOptions
from trainer.evaluate import evaluate, image_batches

DATASET = make_dataset(test=13)
COARSE, PRUNED = BoundaryOptions(bits=3), BoundaryOptions(keep=0.2, bits=8)


def test_counts_every_image_and_its_real_bytes() -> None:
    network = make_network(uplink=PRUNED, downlink=COARSE)
    images = torch.from_numpy(DATASET.preprocess.normalize(DATASET.test.images))
    targets = torch.from_numpy(DATASET.test.targets)
    with torch.no_grad():
        logits = network(images)
        up = network.uplink.quantize(network.head[:-1](images)).numpy()
    sizes = [len(encode(up[i : i + 1], network.uplink.spec).payload) for i in range(13)]
    found = evaluate(network, DATASET.test, DATASET.preprocess)
    assert found.images == 13
    assert found.accuracy == int((logits.argmax(1) == targets).sum()) / 13
    assert found.loss == pytest.approx(float(cross_entropy(logits, targets)), rel=1e-5)
    assert found.uplink_bytes == pytest.approx(np.mean(sizes))
    assert found.uplink_bytes_p95 == pytest.approx(np.percentile(sizes, 95))
    assert 0 < found.downlink_bytes < network.downlink.spec.raw_bytes / 4


@pytest.mark.parametrize("plan", [SplitPlan(3, 1), SplitPlan(3, 0)])
@pytest.mark.parametrize("batch_size", [1, 5, 13])
def test_the_batch_size_does_not_matter(plan: SplitPlan, batch_size: int) -> None:
    network = make_network(plan, uplink=COARSE, downlink=COARSE)
    whole = evaluate(network, DATASET.test, DATASET.preprocess)
    parts = evaluate(network, DATASET.test, DATASET.preprocess, batch_size)
    assert parts.to_json() == pytest.approx(whole.to_json(), rel=1e-5)


def test_off_costs_about_what_float32_does() -> None:
    network = make_network(uplink=OFF, downlink=OFF)
    found = evaluate(network, DATASET.test, DATASET.preprocess)
    assert found.uplink_bytes > 0.5 * network.uplink.spec.raw_bytes


def test_evaluates_in_evaluation_mode() -> None:
    network = make_network(dropout=0.9).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = evaluate(network, DATASET.test, DATASET.preprocess)
    assert evaluate(network, DATASET.test, DATASET.preprocess) == first
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_batches_are_normalized_and_in_order() -> None:
    order = np.array([5, 0, 7, 7, 2])
    batches = list(image_batches(DATASET.test, DATASET.preprocess, 2, order))
    assert [len(targets) for _, targets in batches] == [2, 2, 1]
    assert torch.cat([targets for _, targets in batches]).tolist() == DATASET.test.targets[order].tolist()
    expected = torch.from_numpy(DATASET.preprocess.normalize(DATASET.test.images[order]))
    assert torch.equal(torch.cat([images for images, _ in batches]), expected)
    whole = torch.cat([targets for _, targets in image_batches(DATASET.test, DATASET.preprocess, 4)])
    assert whole.tolist() == DATASET.test.targets.tolist()
