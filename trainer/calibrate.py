"""Statistics taken from a sample of the training images: BatchNorm's, and the boundaries' scales."""

from collections.abc import Collection, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from splitwire.preprocess import Preprocess
from trainer.batchnorm import reestimate_batch_norm
from trainer.boundary import Boundary
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

    def scales(self, stale: Collection[Boundary] | None = None) -> None:
        """Fixes the scales of all boundaries or of those in `stale`.

        The uplink's first: the downlink sees activations behind it.
        """
        for boundary in self._network.boundaries:
            if stale is None or boundary in stale:
                self._scale(boundary)

    def stage(self, stale: Collection[Boundary]) -> None:
        """As `scales`, after the boundaries were configured anew.

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
        for images in self._batches():
            self._module(images)
        boundary.calibrate()

    def _batches(self) -> Iterator[Tensor]:
        for images, _ in image_batches(self._split, self._preprocess, self._batch_size, self._order):
            yield images
