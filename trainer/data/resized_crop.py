"""Random parts of images, scaled to the size of the whole: things look larger or smaller, wider or higher."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

__all__ = ["resized_crop"]

#: How much wider than high a part may be, or higher than wide.
_MOST_STRETCHED = 4 / 3


def resized_crop(images: Tensor, *, crop_area: float, flip: bool, generator: torch.Generator) -> Tensor:
    """Of every image a part of its own, bilinearly scaled to the image's size, and mirrored half of the time.

    images: uint8 (n, H, W, 3); returns the same shape, dtype and device. The part's share of the area is
    uniform from `crop_area` to 1, the logarithm of its aspect ratio from that of 3:4 to that of 4:3; what
    would reach over the rim ends there. All is drawn from `generator`.
    Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.
    """
    n = images.size(0)
    area = torch.empty(n).uniform_(crop_area, 1.0, generator=generator)
    stretch = math.log(_MOST_STRETCHED)
    aspect = torch.empty(n).uniform_(-stretch, stretch, generator=generator).exp()
    sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1).clamp(max=1.0)
    # In affine_grid's coordinates an image goes from -1 to 1, so a centre is free within what is left over.
    centers = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - sides)
    signs = torch.ones(n, 2)
    if flip:
        signs[:, 0] -= 2 * torch.randint(0, 2, (n,), generator=generator)
    where = torch.cat([torch.diag_embed(sides * signs), centers[:, :, None]], dim=2).to(images.device)
    planes = images.movedim(3, 1).float()
    grid = affine_grid(where, list(planes.shape), align_corners=False)
    sampled = grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.round_().to(torch.uint8).movedim(1, 3).contiguous()
