"""Random crops, mirror images and blots, for a whole batch at once."""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from trainer.data.resized_crop import resized_crop

__all__ = ["Augmentation", "crop_and_flip", "cut_out"]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What becomes of training images: moved by up to `padding` pixels, mirrored if `flip`, a square black.

    crop_area: below 1, instead of being moved they are cropped to a part of at least that share, and scaled.

    A call takes uint8 (n, H, W, 3), returns the same shape and dtype, and draws from `generator` alone.
    """

    padding: int
    flip: bool
    cutout: int = 0
    crop_area: float = 1.0

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if self.crop_area < 1.0:
            crops = resized_crop(images, crop_area=self.crop_area, flip=self.flip, generator=generator)
        else:
            crops = crop_and_flip(images, padding=self.padding, flip=self.flip, generator=generator)
        return cut_out(crops, size=self.cutout, generator=generator) if self.cutout else crops


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


def cut_out(images: torch.Tensor, *, size: int, generator: torch.Generator) -> torch.Tensor:
    """Every image with one square of `size` pixels made zero, whose center is anywhere in it.

    images: uint8 (n, H, W, 3); returns the same shape, dtype and device. A square may reach over the rim.
    Source: DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """
    n, height, width, _ = images.shape
    inside = []
    for side in (height, width):
        first = torch.randint(0, side, (n, 1), generator=generator) - size // 2
        place = torch.arange(side)
        inside.append(((first <= place) & (place < first + size)).to(images.device))
    blot = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    return images.masked_fill(blot, 0)
