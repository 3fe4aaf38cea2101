"""Statistics taken from a sample of the training images: BatchNorm's, the boundaries' scales and tables."""

from collections.abc import Collection, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from splitwire.preprocess import Preprocess
from trainer.batches import augmentation
from trainer.batchnorm import reestimate_batch_norm
from trainer.boundary import Boundary
from trainer.config import TrainConfig
from trainer.data.augment import Augmentation
from trainer.data.dataset import Dataset, Split
from trainer.data.mixup import blended
from trainer.data.normalize import normalized
from trainer.evaluate import run_graph
from trainer.network import SplitNetwork
from trainer.rate import worth_coding

__all__ = ["Calibration"]


class Calibration:
    """A fixed sample of `images` training images, and what is estimated from it.

    Args:
        module: what to run: the pipeline around `network`, or the network itself.
        seed: which images are sampled.
        augmentation: what the training does to images; None: nothing. mixup: how it blends them, as
            TrainConfig's.
    """

    def __init__(
        self,
        module: nn.Module,
        network: SplitNetwork,
        split: Split,
        preprocess: Preprocess,
        *,
        images: int,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        mixup: float = 0.0,
    ) -> None:
        self._module, self._network = module, network
        self._split, self._preprocess, self._batch_size = split, preprocess, batch_size
        self._seed, self._augmentation, self._mixup = seed, augmentation, mixup
        count = min(images, len(split)) // batch_size * batch_size
        self._order = np.random.default_rng(seed).permutation(len(split))[: max(count, batch_size)]

    @classmethod
    def for_training(
        cls, module: nn.Module, network: SplitNetwork, dataset: Dataset, config: TrainConfig
    ) -> "Calibration":
        """As `config` says, from training images and with their augmentation."""
        return cls(
            module,
            network,
            dataset.train,
            dataset.preprocess,
            images=config.calibration_images,
            batch_size=config.batch_size,
            seed=config.seed,
            augmentation=augmentation(dataset, config),
            mixup=config.mixup,
        )

    def batch_norm(self) -> None:
        """Re-estimates all running statistics, on images as the training saw them.

        A crop's black margin is part of what batches were normalized by. Statistics without it would
        change what every layer makes of the same pixels: it costs points of accuracy.
        """
        # Estimating runs in training mode, where a boundary with a rate weight counts symbols as a step's.
        self._network.set_rate_weight(0.0)
        reestimate_batch_norm(self._module, self.images(augmented=True))

    def scales(self, stale: Collection[Boundary] | None = None) -> None:
        """Fixes the scales of all boundaries or of those in `stale`.

        The uplink's first: the downlink sees activations behind it.
        """
        for boundary in self._network.boundaries:
            if stale is None or boundary in stale:
                self._scale(boundary)

    def stage(self, stale: Collection[Boundary]) -> None:
        """As `scales`, before the first epoch and after the boundaries were configured anew.

        BatchNorm behind the uplink has yet to see what now crosses it, before the downlink is measured.
        """
        for boundary in self._network.boundaries:
            if boundary in stale:
                self.batch_norm()
                self._scale(boundary)

    @torch.no_grad()
    def _scale(self, boundary: Boundary) -> None:
        if not boundary.measured:
            return
        self._module.eval()
        boundary.calibrating = True
        for images in self.images():
            self._module(images)
        boundary.calibrate()

    @torch.no_grad()
    def tables(self) -> None:
        """Renews the tables of the boundaries whose symbols are worth coding: few enough, and narrow."""
        self._network.eval()
        graphs = self._network.graphs()
        boundaries = [b for b in self._network.boundaries if worth_coding(b.shape, b.spec.bits)]
        if not boundaries:
            return
        uplink = [run_graph(graphs["head"], images) for images in self.images()]
        downlink = [run_graph(graphs["body"], symbols) for symbols in uplink]
        for boundary, symbols in zip(self._network.boundaries, (uplink, downlink), strict=True):
            if boundary in boundaries:
                boundary.fit_tables(torch.cat(symbols))

    def images(self, *, augmented: bool = False) -> Iterator[Tensor]:
        """The sample, in batches (N, 3, H, W) float32: as served, or as trained on, the same each time.

        On the device of the head.
        """
        device = next(self._network.parameters()).device
        generator = torch.Generator().manual_seed(self._seed)
        for start in range(0, len(self._order), self._batch_size):
            chosen = self._order[start : start + self._batch_size]
            pixels = torch.from_numpy(self._split.images[chosen]).to(device)
            if augmented and self._augmentation is not None:
                pixels = self._augmentation(pixels, generator)
            images = normalized(pixels, self._preprocess)
            if augmented and self._mixup:
                images = blended(images, alpha=self._mixup, generator=generator)
            yield images
