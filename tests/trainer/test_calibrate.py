import numpy as np
import pytest
import torch
from torch import Tensor, nn

from splitwire.plan import SplitPlan
from splitwire.tables import SymbolTables
from tests.trainer.networks import OFF, make_config, make_dataset, make_model, same_bits
from trainer.batchnorm import reestimate_batch_norm
from trainer.calibrate import Calibration
from trainer.config import BoundaryOptions
from trainer.data.augment import Augmentation
from trainer.network import SplitNetwork
from trainer.pipeline import build_pipeline

DATASET = make_dataset(train=20)
COARSE = BoundaryOptions(bits=3)


def uncalibrated(uplink: BoundaryOptions = COARSE, downlink: BoundaryOptions = COARSE) -> SplitNetwork:
    return SplitNetwork(make_model(), SplitPlan(3, 1), uplink, downlink).eval()


def calibration(
    network: SplitNetwork,
    module: nn.Module | None = None,
    *,
    images: int = 12,
    seed: int = 0,
    augmentation: Augmentation | None = None,
    mixup: float = 0.0,
) -> Calibration:
    return Calibration(
        network if module is None else module,
        network,
        DATASET.train,
        DATASET.preprocess,
        images=images,
        batch_size=4,
        seed=seed,
        augmentation=augmentation,
        mixup=mixup,
    )


class Witness(nn.Module):
    """The network, and which images it was shown."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network = network
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        logits: Tensor = self.network(images)
        return logits

    def indices(self) -> list[int]:
        everything = torch.from_numpy(DATASET.preprocess.normalize(DATASET.train.images))
        return [int((everything == image).flatten(1).all(1).nonzero()) for image in torch.cat(self.seen)]


@pytest.mark.parametrize(("images", "seen"), [(12, 12), (11, 8), (2, 4), (1000, 20)])
def test_the_sample_is_whole_batches_of_different_images(images: int, seen: int) -> None:
    witness = Witness(uncalibrated())
    calibration(witness.network, witness, images=images).batch_norm()
    assert [len(batch) for batch in witness.seen] == [4] * (seen // 4)
    assert len(set(witness.indices())) == seen


def test_the_sample_is_the_seeds() -> None:
    samples = []
    for seed in (0, 0, 1):
        witness = Witness(uncalibrated())
        made = calibration(witness.network, witness, seed=seed)
        made.batch_norm()
        samples.append(witness.indices())
    assert samples[0] == samples[1] != samples[2]


def test_scales_are_those_of_the_activations_that_cross() -> None:
    network = uncalibrated()
    made = calibration(network, images=1000)
    made.scales()
    images = torch.from_numpy(DATASET.preprocess.normalize(DATASET.train.images))
    with torch.no_grad():
        up = network.head[:-1](images)
        # What the body sees is what the uplink leaves of it: the downlink's scales must know.
        down = network.body[:-1](network.uplink(up))
    for boundary, x in ((network.uplink, up), (network.downlink, down)):
        rms = x.square().movedim(1, -1).flatten(0, -2).mean(0).sqrt()
        audible = torch.where(rms > 1e-3 * rms.max(), rms, rms.max())
        assert torch.allclose(boundary.scale, audible * boundary.clip / boundary.steps, rtol=1e-4)
        assert not boundary.calibrating


def test_what_is_not_quantized_needs_no_scale() -> None:
    network = uncalibrated(uplink=OFF, downlink=BoundaryOptions(keep=0.5))
    calibration(network).scales()
    assert bool((network.uplink.scale == 1).all())
    assert bool((network.downlink.scale == 1).all())


def test_tables_are_of_the_symbols_that_cross() -> None:
    network = uncalibrated(downlink=BoundaryOptions(bits=8))
    made = calibration(network, images=1000)
    made.scales()
    made.tables()
    images = torch.from_numpy(DATASET.preprocess.normalize(DATASET.train.images))
    with torch.no_grad():
        symbols = network.graphs()["head"](images).numpy()
    assert network.uplink.spec.tables == SymbolTables.fit_predicted(symbols, bits=3, zero=4)
    assert network.downlink.spec.tables is None, "too wide"


def test_no_tables_for_what_takes_long_to_code(monkeypatch: pytest.MonkeyPatch) -> None:
    network = uncalibrated()
    monkeypatch.setattr("trainer.rate._MOST_CODED", network.uplink.spec.elements - 1)
    calibration(network).tables()
    assert network.uplink.spec.tables is None
    assert (network.downlink.spec.tables is None) == (
        network.downlink.spec.elements >= network.uplink.spec.elements
    )


def test_statistics_are_of_images_as_trained_all_else_of_images_as_served() -> None:
    """Training normalized by the margins of crops too; no image that is served has one."""
    witness = Witness(uncalibrated())
    made = calibration(witness.network, witness, augmentation=Augmentation(2, flip=True, cutout=3))
    plain = list(made.images())
    made.batch_norm()
    trained, witness.seen = witness.seen, []
    made.scales()
    assert all(map(torch.equal, witness.seen, plain * 2))
    assert not any(map(torch.equal, trained, plain))
    black = torch.from_numpy(DATASET.preprocess.normalize(np.zeros((1, 16, 16, 3), np.uint8)))
    assert all((images == black).all(1).any() for images in trained)
    witness.seen = []
    made.batch_norm()
    assert all(map(torch.equal, witness.seen, trained)), "the same each time"


def test_statistics_are_of_blended_images_where_training_blends() -> None:
    witness = Witness(uncalibrated())
    made = calibration(witness.network, witness, mixup=1.0)
    plain = list(made.images())
    made.batch_norm()
    trained, witness.seen = witness.seen, []
    assert not any(map(torch.equal, trained, plain))
    for images, as_they_are in zip(trained, plain, strict=True):
        assert float(images.var(0).mean()) < float(as_they_are.var(0).mean())
    made.batch_norm()
    assert all(map(torch.equal, witness.seen, trained)), "the same each time"
    witness.seen = []
    made.scales()
    assert all(map(torch.equal, witness.seen, plain * 2)), "nothing that is served is blended"


def test_a_trainings_own_way_to_blend_is_taken() -> None:
    network, config = uncalibrated(), make_config(mixup=0.5)
    made = Calibration.for_training(network, network, DATASET, config)
    unblended = Calibration.for_training(network, network, DATASET, make_config())
    pairs = zip(made.images(augmented=True), unblended.images(augmented=True), strict=True)
    assert not any(torch.equal(*pair) for pair in pairs)


def test_statistics_are_re_estimated() -> None:
    network, expected = uncalibrated(), uncalibrated()
    calibration(network, images=1000).batch_norm()
    order = np.random.default_rng(0).permutation(20)
    images = torch.from_numpy(DATASET.preprocess.normalize(DATASET.train.images[order]))
    reestimate_batch_norm(expected, images.split(4))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_through_the_pipeline_as_without() -> None:
    """Except that BatchNorm sees micro-batches: here one."""
    network, piped = uncalibrated(), uncalibrated()
    pipeline = build_pipeline(piped, edge_device="cpu", cloud_device="cpu", chunks=1, checkpoint="never")
    for made in (calibration(network), calibration(piped, pipeline)):
        made.batch_norm()
        made.scales()
    for name, tensor in network.state_dict().items():
        assert torch.allclose(piped.state_dict()[name].float(), tensor.float(), rtol=1e-3, atol=1e-5), name


def test_calibrating_twice_is_calibrating_once() -> None:
    network = uncalibrated()
    made = calibration(network)
    made.scales()
    before = [boundary.scale.clone() for boundary in network.boundaries]
    made.scales()
    assert all(same_bits(b.scale, s) for b, s in zip(network.boundaries, before, strict=True))
