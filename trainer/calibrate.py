"""Statistics taken from a sample of the training images: BatchNorm's, and the boundaries' scales."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from splitwire.preprocess import Preprocess
from trainer.batchnorm import reestimate_batch_norm
from trainer.data.dataset import Split
from trainer.evaluate import image_batches
from trainer.network import SplitNetwork

__all__ = ["Calibration"]


class Calibration:
    """A fixed sample of `images` training images, and what is estimated from it.

    Args:
        module: what to run: the pipeline around `network`, or the network itself.
        seed: which images are sampled.
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
    ) -> None:
        self._module, self._network = module, network
        self._split, self._preprocess, self._batch_size = split, preprocess, batch_size
        count = min(images, len(split)) // batch_size * batch_size
        self._order = np.random.default_rng(seed).permutation(len(split))[: max(count, batch_size)]

    def batch_norm(self) -> None:
        """Re-estimates all running statistics."""
        # Estimating runs in training mode, where a boundary with a rate weight counts symbols as a step's.
        self._network.set_rate_weight(0.0)
        reestimate_batch_norm(self._module, self._batches())

    @torch.no_grad()
    def scales(self) -> None:
        """Fixes the boundaries' scales, the uplink's first: the downlink sees activations behind it."""
        self._module.eval()
        for boundary in self._network.boundaries:
            if boundary.spec.quantized:
                boundary.calibrating = True
                for images in self._batches():
                    self._module(images)
                boundary.calibrate()

    def _batches(self) -> Iterator[Tensor]:
        for images, _ in image_batches(self._split, self._preprocess, self._batch_size, self._order):
            yield images
