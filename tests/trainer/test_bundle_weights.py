import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from splitwire.bundle import Bundle
from splitwire.errors import WeightsError
from splitwire.plan import SplitPlan
from tests.bundles import tiny_bundle
from tests.trainer.networks import make_config, make_dataset, make_images
from trainer.bundle_weights import network_of_bundle
from trainer.config import Bottleneck, BoundaryOptions
from trainer.run import run

OFF = BoundaryOptions()
REDUCED = {
    "uplink": BoundaryOptions(bottleneck=Bottleneck(4, 2, blocks=1, encoder_blocks=2)),
    "downlink": BoundaryOptions(bottleneck=Bottleneck(6)),
}
LINEAR = {"uplink": BoundaryOptions(bottleneck=Bottleneck(4, 2, linear=True))}


def train(folder: Path, **changes: Any) -> Path:
    options = {"uplink": OFF, "downlink": OFF, "epochs": 1} | changes
    config = make_config(**options)
    run(config, make_dataset(), folder=folder, bundle=folder / "bundle", progress=False)
    return folder / "bundle"


def through_graphs(bundle: Path, images: Tensor) -> Tensor:
    loaded = Bundle.load(bundle)
    x = images.numpy()
    for role in loaded.manifest.roles:
        x = loaded.engine(role).run(x)
    return torch.from_numpy(x)


@pytest.mark.parametrize(
    "changes",
    [{}, {"plan": SplitPlan(5, 0)}, REDUCED, LINEAR],
    ids=["with a tail", "without a tail", "bottlenecks", "a linear bottleneck"],
)
def test_computes_what_the_bundle_does(tmp_path: Path, changes: dict[str, Any]) -> None:
    bundle = train(tmp_path, **changes)
    network = network_of_bundle(bundle, [make_images(16)])
    with torch.no_grad():
        found, expected = network(make_images(5, seed=7)), through_graphs(bundle, make_images(5, seed=7))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_training_mode_sees_nearly_the_same(tmp_path: Path) -> None:
    """By the statistics of the batch: those that BatchNorm was given, if it is the same batch."""
    network = network_of_bundle(train(tmp_path), [make_images(64)])
    with torch.no_grad():
        evaluated = network(make_images(64))
        for dropout in (m for m in network.modules() if isinstance(m, nn.Dropout)):
            dropout.p = 0.0
        trained = network.train()(make_images(64))
    torch.testing.assert_close(trained, evaluated, rtol=1e-2, atol=1e-2)


def test_starts_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standing still, it ends where it began, but for what rounding does to statistics.

    All images in one batch: those of small batches say little, and training normalizes by them.
    """
    whole: dict[str, Any] = {"batch_size": 32, "calibration_images": 32, "chunks": 1}
    first = train(tmp_path / "first", epochs=4, **whole)
    still: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-9, "warmup_epochs": 0}
    config = make_config(plan=SplitPlan(5, 1), uplink=OFF, downlink=OFF, **still, **whole)
    second = tmp_path / "second" / "bundle"
    run(config, make_dataset(), folder=second.parent, bundle=second, weights=first, progress=False)
    assert f"from {first}" in capsys.readouterr().out
    logits = [through_graphs(bundle, make_images(40, seed=9)).flatten() for bundle in (first, second)]
    assert float(torch.corrcoef(torch.stack(logits))[0, 1]) > 0.97


def test_what_is_no_bundle_of_ours(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read weights from the bundle"):
        network_of_bundle(tmp_path, [make_images(4)])
    tiny_bundle(tmp_path / "tiny")
    with pytest.raises(WeightsError, match="cannot read weights from the bundle"):
        network_of_bundle(tmp_path / "tiny", [make_images(4)])


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    bundle = train(tmp_path)
    shutil.copy(bundle / "head.onnx", bundle / "body.onnx")
    with pytest.raises(WeightsError, match=r"body\.onnx"):
        network_of_bundle(bundle, [make_images(4)])
