"""Labelled images to train on, by name."""

from dataclasses import replace
from pathlib import Path

from splitwire.errors import ConfigError
from trainer.data import cifar10, digits, folder
from trainer.data.dataset import Dataset, Split
from trainer.data.preprocessing import PreprocessOptions, for_photos
from trainer.data.storage import Storage

__all__ = ["DATASETS", "Dataset", "Split", "load"]

#: What `load` knows. All but digits are read from a folder that the user names.
DATASETS: tuple[str, ...] = ("digits", "cifar10", "folder")

_AS_IT_IS = PreprocessOptions()
_IN_MEMORY = Storage()


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

    root: where it lies; unused by digits. download: whether cifar10 may be fetched into root if it is absent.
    preprocess: what is to differ from the data set's own; the size of all but folder cannot.
    storage: where decoded images of folder are kept.

    Raises:
        ConfigError: an unknown name, no root where one is needed, or preprocessing that cannot be.
        DatasetError: absent or malformed.
    """
    if name not in DATASETS:
        raise ConfigError(f"unknown dataset {name!r}: expected one of {', '.join(DATASETS)}")
    if name != "digits" and root is None:
        raise ConfigError(f"dataset {name} needs the folder that it is read from")
    for side in (preprocess.size, preprocess.resize):
        if name != "folder" and side not in (None, 32):
            raise ConfigError(f"images of {name} are 32 x 32; only folder takes another size, got {side}")
    match name, root:
        case "cifar10", Path():
            dataset = cifar10.load(root, download=download, progress=progress)
        case "folder", Path():
            fitted = preprocess.over(for_photos())
            return folder.load(root, preprocess=fitted, storage=storage, progress=progress)
        case _:
            dataset = digits.load()
    return replace(dataset, preprocess=preprocess.over(dataset.preprocess))
