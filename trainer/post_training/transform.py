"""The linear bottleneck that loses least for its bytes, in closed form.

Blocks of s x s positions are vectors of C s^2 numbers. In the metric of the network's sensitivity, where all
errors of a size are equally bad, their principal components are uncorrelated, so one step for all of them is
the best that scalar quantizers can do, and components that hardly reach half a step need not be sent.
Source: Goyal, "Theoretical foundations of transform coding", 2001, for the transform and the common step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pixel_shuffle, pixel_unshuffle

from trainer.post_training.sensitivity import Sensitivity

__all__ = ["Transform", "fit_transform"]


@dataclass(frozen=True, slots=True)
class Transform:
    """analysis: (k, C s^2), of a block less its mean; its rows are orthogonal in the sensitivity's metric.
    synthesis: (C s^2, k). mean: (C,). gain: (H/s, W/s). All float32.

    An error of size d in one output costs d^2 / 2 nats of the network's answer.
    """

    analysis: Tensor
    synthesis: Tensor
    mean: Tensor
    gain: Tensor
    stride: int

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, k, H/s, W/s)."""
        blocks = pixel_unshuffle(x - self.mean[:, None, None], self.stride)
        return torch.einsum("kd,ndhw->nkhw", self.analysis, blocks) * self.gain

    def inverse(self, y: Tensor) -> Tensor:
        """(N, k, H/s, W/s) -> (N, C, H, W): what `forward` was given, where k is C s^2."""
        blocks = torch.einsum("dk,nkhw->ndhw", self.synthesis, y / self.gain)
        return pixel_shuffle(blocks, self.stride) + self.mean[:, None, None]

    def only(self, components: Tensor) -> "Transform":
        """Of the components at these indices alone."""
        analysis, synthesis = self.analysis[components], self.synthesis[:, components]
        return Transform(analysis, synthesis, self.mean, self.gain, self.stride)


def fit_transform(activations: Tensor, sensitivity: Sensitivity, stride: int) -> Transform:
    """Of all components, the one of most variance first, from activations (N, C, H, W) float32."""
    root, inverse = _square_roots(sensitivity.channels)
    gain = _gain(sensitivity.positions, stride)
    mean = activations.mean((0, 2, 3))
    whitened = torch.einsum("ij,njhw->nihw", root.float(), activations - mean[:, None, None])
    blocks = pixel_unshuffle(whitened, stride) * gain
    vectors = blocks.movedim(1, -1).flatten(0, 2).double()
    _, axes = torch.linalg.eigh(vectors.T @ vectors / len(vectors))
    axes = axes.flip(1)
    # A block's numbers are ordered as pixel_unshuffle has them: by channel, then by place in the block.
    places = torch.eye(stride**2, dtype=torch.float64)
    return Transform(
        analysis=(axes.T @ torch.kron(root, places)).float(),
        synthesis=(torch.kron(inverse, places) @ axes).float(),
        mean=mean,
        gain=gain,
        stride=stride,
    )


def _gain(positions: Tensor, stride: int) -> Tensor:
    """(H, W) -> (H/s, W/s): roots of the weights, so that an error counts alike wherever it is."""
    return avg_pool2d(positions[None, None], stride)[0, 0].clamp_min(1e-4).sqrt().float()


def _square_roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Of a symmetric positive matrix: S with S S = matrix, and S's inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    roots = values.clamp_min(values.max() * 1e-12).sqrt()
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
