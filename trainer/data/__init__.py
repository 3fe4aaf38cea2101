"""Labelled images to train on, by name."""

from pathlib import Path

from splitwire.errors import ConfigError
from trainer.data import cifar10, digits, folder
from trainer.data.dataset import Dataset, Split

__all__ = ["DATASETS", "Dataset", "Split", "load"]

#: What `load` knows. All but digits are read from a folder that the user names.
DATASETS: tuple[str, ...] = ("digits", "cifar10", "folder")


def load(name: str, *, root: Path | None, download: bool, image_size: int | None, progress: bool) -> Dataset:
    """The dataset of that name.

    root: where it lies; unused by digits. download: whether cifar10 may be fetched into root if it is absent.
    image_size: side of the network's input for folder (224 if None); the others have theirs.

    Raises:
        ConfigError: an unknown name, no root where one is needed, or an image size that cannot be had.
        DatasetError: absent or malformed.
    """
    if name not in DATASETS:
        raise ConfigError(f"unknown dataset {name!r}: expected one of {', '.join(DATASETS)}")
    if name != "digits" and root is None:
        raise ConfigError(f"dataset {name} needs the folder that it is read from")
    if name != "folder" and image_size not in (None, 32):
        raise ConfigError(f"images of {name} are 32 x 32; only folder takes another size, got {image_size}")
    match name, root:
        case "cifar10", Path():
            return cifar10.load(root, download=download, progress=progress)
        case "folder", Path():
            size = folder.IMAGE_SIZE if image_size is None else image_size
            return folder.load(root, image_size=size, progress=progress)
        case _:
            return digits.load()
