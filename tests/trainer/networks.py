"""Small networks and data sets that behave as trained ones: normalized activations, calibrated scales."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from splitwire.plan import LAYERS, SplitPlan
from splitwire.preprocess import Preprocess
from trainer.batchnorm import reestimate_batch_norm
from trainer.config import BoundaryOptions, TrainConfig
from trainer.data import Dataset, Split
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork

__all__ = [
    "CLASSES",
    "OFF",
    "SIZE",
    "all_plans",
    "generator",
    "make_config",
    "make_dataset",
    "make_images",
    "make_model",
    "make_network",
    "same_bits",
    "tensors",
]

SIZE, CLASSES = 16, 4
OFF = BoundaryOptions()


def all_plans() -> Iterator[SplitPlan]:
    for front in range(1, len(LAYERS)):
        for back in range(len(LAYERS) - front):
            yield SplitPlan(front, back)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_images(rows: int, *, size: int = SIZE, seed: int = 1) -> Tensor:
    return torch.randn((rows, 3, size, size), generator=generator(seed))


def make_model(*, width: float = 0.1, size: int = SIZE, seed: int = 0, dropout: float = 0.0) -> MobileNetV2:
    """In evaluation mode, with BatchNorm weights and statistics that differ between channels."""
    torch.manual_seed(seed)
    model = MobileNetV2(ModelSpec(CLASSES, size, width, dropout))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "classifier" not in name:
            torch.nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.3)
    torch.nn.init.normal_(model.get_parameter("layers.classifier.1.weight"), 0.0, 0.2)
    reestimate_batch_norm(model, [make_images(16, size=size, seed=2)])
    return model.eval()


def make_network(
    plan: SplitPlan | None = None,
    *,
    uplink: BoundaryOptions = OFF,
    downlink: BoundaryOptions = OFF,
    model: MobileNetV2 | None = None,
    **of_model: Any,
) -> SplitNetwork:
    """In evaluation mode, its boundaries calibrated."""
    model = make_model(**of_model) if model is None else model
    network = SplitNetwork(model, plan or SplitPlan(3, 1), uplink, downlink).eval()
    for boundary in network.boundaries:
        if boundary.spec.quantized:
            boundary.calibrating = True
            with torch.no_grad():
                network(make_images(16, size=model.spec.input_size, seed=2))
            boundary.calibrate()
    return network


def make_dataset(*, train: int = 32, test: int = 13, seed: int = 0, name: str = "tints") -> Dataset:
    """Noise with a tint and a brighter half, which together tell the class."""
    generator = np.random.default_rng(seed)

    def split(count: int) -> Split:
        targets = generator.permutation(np.arange(count, dtype=np.int64) % CLASSES)
        images = generator.integers(0, 120, (count, SIZE, SIZE, 3))
        for image, target in zip(images, targets, strict=True):
            image[..., target % 3] += 60
            image[: SIZE // 2 if target < 2 else SIZE] += 60
        return Split(images.astype(np.uint8), targets)

    return Dataset(
        name=name,
        labels=tuple(f"class {i}" for i in range(CLASSES)),
        train=split(train),
        test=split(test),
        preprocess=Preprocess(size=SIZE, resize=SIZE, mean=(0.4,) * 3, std=(0.2,) * 3),
        flip=True,
    )


def make_config(**changes: Any) -> TrainConfig:
    """For `make_dataset`: 4 steps of 8 images an epoch."""
    fields: dict[str, Any] = {
        "plan": SplitPlan(3, 1),
        "dataset": "tints",
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.05,
        "warmup_epochs": 1,
        "width": 0.1,
        "uplink": BoundaryOptions(keep=0.5, bits=4),
        "downlink": BoundaryOptions(bits=4),
        "calibration_images": 16,
        "chunks": 2,
    }
    return TrainConfig(**fields | changes)


def tensors(state: Any, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of a checkpoint or state dict, by where it lies."""
    if isinstance(state, Tensor):
        return {prefix: state}
    items: Any = state.items() if isinstance(state, dict) else enumerate(state) if _is_list(state) else ()
    return {name: t for key, value in items for name, t in tensors(value, f"{prefix}/{key}").items()}


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two float32 or uint8 tensors are equal in every bit: -0.0 is not 0.0."""
    one, other = a.detach().contiguous().numpy(), b.detach().contiguous().numpy()
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
