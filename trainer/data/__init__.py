"""Labelled images to train on, by name."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from splitwire.errors import ConfigError
from splitwire.preprocess import Preprocess
from trainer.data import cars196, cifar10, cifar100, cub200, digits, folder, food101
from trainer.data.dataset import Dataset, Split
from trainer.data.preprocessing import PreprocessOptions, for_photos
from trainer.data.storage import Storage

__all__ = ["DATASETS", "DOWNLOADED", "PHOTOS", "Dataset", "Split", "load", "own_preprocess"]

_SMALL: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {"cifar10": cifar10.load, "cifar100": cifar100.load}
)
_LARGE: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {"folder": folder.load, "cub200": cub200.load, "cars196": cars196.load, "food101": food101.load}
)

#: Of these, images of 32x32, a copy is downloaded where it is absent.
DOWNLOADED: tuple[str, ...] = tuple(_SMALL)

#: Files of any size, which are scaled and cropped to one that can be chosen.
PHOTOS: tuple[str, ...] = tuple(_LARGE)

#: What `load` knows. All but digits are read from a folder that the user names.
DATASETS: tuple[str, ...] = ("digits", *DOWNLOADED, *PHOTOS)

_AS_IT_IS = PreprocessOptions()
_IN_MEMORY = Storage()


def own_preprocess(name: str) -> Preprocess | None:
    """That of the data set of this name, where nothing else is chosen; None for no name of DATASETS."""
    own = {"digits": digits.PREPROCESS, "cifar10": cifar10.PREPROCESS, "cifar100": cifar100.PREPROCESS}
    return for_photos() if name in PHOTOS else own.get(name)


def load(
    name: str,
    *,
    root: Path | None,
    download: bool,
    preprocess: PreprocessOptions = _AS_IT_IS,
    storage: Storage = _IN_MEMORY,
    progress: bool,
) -> Dataset:
    """The dataset of that name.

    root: where it lies; unused by digits. download: whether one of DOWNLOADED may be fetched into root if it
    is absent. preprocess: what is to differ from the data set's own; the size only of PHOTOS can. storage:
    where decoded images of PHOTOS are kept.

    Raises:
        ConfigError: an unknown name, no root where one is needed, or preprocessing that cannot be.
        DatasetError: absent or malformed.
    """
    if name not in DATASETS:
        raise ConfigError(f"unknown dataset {name!r}: expected one of {', '.join(DATASETS)}")
    if name != "digits" and root is None:
        raise ConfigError(f"dataset {name} needs the folder that it is read from")
    if name in PHOTOS:
        fitted = preprocess.over(for_photos())
        return _LARGE[name](root, preprocess=fitted, storage=storage, progress=progress)
    for side in (preprocess.size, preprocess.resize):
        if side not in (None, 32):
            raise ConfigError(
                f"images of {name} are 32 x 32; only {', '.join(PHOTOS)} take another size, got {side}"
            )
    dataset = digits.load() if name == "digits" else _SMALL[name](root, download=download, progress=progress)
    return replace(dataset, preprocess=preprocess.over(dataset.preprocess))
