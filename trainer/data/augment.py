"""Random crops and mirror images, for a whole batch at once."""

import torch
from torch.nn.functional import pad

__all__ = ["crop_and_flip"]


def crop_and_flip(
    images: torch.Tensor, *, padding: int, flip: bool, generator: torch.Generator
) -> torch.Tensor:
    """Every image moved by up to `padding` pixels each way, and mirrored half of the time.

    images: uint8 (n, H, W, 3); returns the same shape, dtype and device. What moves in is zero. Each image
    has its own move and coin, drawn from `generator`: the same state of it gives the same batch.
    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    n, height, width, channels = images.shape
    corners = torch.randint(0, 2 * padding + 1, (2, n), generator=generator).to(images.device)
    padded = pad(images, (0, 0, padding, padding, padding, padding))
    # Every crop of every image, as a view: (n, 2p+1, 2p+1, H, W, 3); indexing copies only the chosen ones.
    image, row, column, channel = padded.stride()
    crops = padded.as_strided(
        (n, 2 * padding + 1, 2 * padding + 1, height, width, channels),
        (image, row, column, row, column, channel),
    )
    chosen = crops[torch.arange(n, device=images.device), corners[0], corners[1]]
    if not flip:
        return chosen
    mirrored = torch.randint(0, 2, (n, 1, 1, 1), generator=generator, dtype=torch.bool).to(images.device)
    return torch.where(mirrored, chosen.flip(2), chosen)
