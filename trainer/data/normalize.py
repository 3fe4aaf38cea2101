"""Pixels -> what the network sees, wherever the pixels are."""

import functools

import numpy as np
import torch
from torch import Tensor

from splitwire.preprocess import Preprocess

__all__ = ["look_up", "normalized"]


def normalized(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 (n, H, W, 3) -> float32 (n, 3, H, W), contiguous, on the same device.

    To the bit what serving makes of them: elsewhere than on a CPU, by a table of what it makes of each value.
    """
    if pixels.device.type == "cpu":
        return torch.from_numpy(preprocess.normalize(pixels.numpy()))
    return look_up(pixels, preprocess)


def look_up(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """As `normalized`, by the table, which on a CPU takes longer than computing."""
    channel = torch.arange(3, device=pixels.device)
    return _values(preprocess, pixels.device)[channel, pixels.long()].movedim(3, 1).contiguous()


@functools.lru_cache(maxsize=4)
def _values(preprocess: Preprocess, device: torch.device) -> Tensor:
    """float32 (3, 256): of each channel, what becomes of each value."""
    greys = np.arange(256, dtype=np.uint8)[None, :, None, None].repeat(3, axis=3)
    return torch.from_numpy(preprocess.normalize(greys)).reshape(3, 256).to(device)
