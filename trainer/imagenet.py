"""`--weights imagenet`: what torchvision publishes as mobilenet_v2, IMAGENET1K_V1. Imports no torch."""

from pathlib import Path

from splitwire.errors import DatasetError, WeightsError
from trainer.data.download import Published, fetch

__all__ = ["IMAGENET", "OFFICIAL", "published_weights"]

#: What the user says instead of a file.
IMAGENET = "imagenet"

#: torchvision names its files by the first digits of their SHA-256.
OFFICIAL = Published(
    url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
    bytes=14_212_972,
    digest="b0353104",
    algorithm="sha256",
)


def published_weights(root: Path, *, download: bool, progress: bool, source: Published = OFFICIAL) -> Path:
    """The file in `root`, fetched if it is absent.

    Raises:
        WeightsError: absent, and not to be fetched or not reachable, or not the published bytes.
    """
    path = root / source.filename
    if path.exists():
        return path
    if not download:
        raise WeightsError(f"no file {path}: download {source.url} to there, or go without --no-download")
    try:
        return fetch(source, root, progress=progress)
    except DatasetError as error:
        raise WeightsError(str(error)) from error
