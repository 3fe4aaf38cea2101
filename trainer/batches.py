"""What an epoch is made of: batches and random numbers, both functions of (seed, epoch) alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.config import TrainConfig
from trainer.data.augment import Augmentation
from trainer.data.dataset import Dataset
from trainer.data.mixup import mixed
from trainer.data.normalize import normalized

__all__ = ["augmentation", "epoch_seed", "step_seed", "steps_per_epoch", "training_batches"]


def training_batches(
    dataset: Dataset, config: TrainConfig, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """(images (B, 3, H, W) float32, targets (B,) int64): shuffled, augmented, normalized.

    Pixels go to `device`, and all that is done to them is done there; the images stay, targets are on the
    CPU. With mixup, targets are float32 (B, classes): how much of each class is in an image.
    The rest that fills no batch is left out of this epoch.
    """
    generator = torch.Generator().manual_seed(epoch_seed(config.seed, epoch))
    split, size = dataset.train, config.batch_size
    order = torch.randperm(len(split), generator=generator)
    augment = augmentation(dataset, config)
    for chosen in order[: steps_per_epoch(dataset, config) * size].split(size):
        pixels = torch.from_numpy(split.images[chosen.numpy()]).to(device)
        images = normalized(augment(pixels, generator), dataset.preprocess)
        if config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        targets = torch.from_numpy(split.targets[chosen.numpy()])
        if config.mixup:
            labels = len(dataset.labels)
            images, targets = mixed(images, targets, classes=labels, alpha=config.mixup, generator=generator)
        yield images, targets


def augmentation(dataset: Dataset, config: TrainConfig) -> Augmentation:
    return Augmentation(dataset.preprocess.size // 8, dataset.flip, config.cutout, config.crop_area)


def steps_per_epoch(dataset: Dataset, config: TrainConfig) -> int:
    return len(dataset.train) // config.batch_size


def epoch_seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % 2**63


def step_seed(seed: int, epoch: int, step: int) -> int:
    return (epoch_seed(seed, epoch) * 1_000_003 + step) % 2**63
