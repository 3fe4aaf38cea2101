"""CIFAR-100 (Krizhevsky, 2009) in its official python layout, by its fine labels.

root/
├── cifar-100-python/          train, test, meta: pickles of python 2
└── cifar-100-python.tar.gz    unpacked when the folder is absent, downloaded when both are
"""

from pathlib import Path
from types import MappingProxyType

from splitwire.preprocess import Preprocess
from trainer.data.cifar import SIDE, label_names, locate, read_pickle, to_split
from trainer.data.dataset import Dataset, Split
from trainer.data.download import Archive

__all__ = ["OFFICIAL", "PREPROCESS", "load"]

PREPROCESS = Preprocess(size=SIDE, resize=SIDE, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762))

_META = "meta"

OFFICIAL = Archive(
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    bytes=169_001_437,
    digest="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
    files=MappingProxyType(
        {
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "meta": "7973b15100ade9c7d40fb424638fde48",
        }
    ),
)


def load(root: Path, *, download: bool, progress: bool, source: Archive = OFFICIAL) -> Dataset:
    """50,000 training and 10,000 test images of 32x32, a hundred labels.

    root: the folder that holds the folder of pickles or the archive, or the folder of pickles itself.
    source: what the files must be; anything but OFFICIAL is for copies in the same layout.

    Raises:
        DatasetError: absent (and not downloaded), or a file is not the published one.
    """
    folder = locate(root, source, "CIFAR-100", _META, download=download, progress=progress)
    labels = label_names(folder / _META, read_pickle(folder, _META, source), "fine_label_names")

    def split(name: str) -> Split:
        value = read_pickle(folder, name, source)
        filenames = value.get("filenames")  # the one thing that says how many there must be
        rows = len(filenames) if isinstance(filenames, list) else None
        return to_split(folder / name, value, "fine_labels", rows=rows, classes=len(labels))

    return Dataset(
        name="cifar100",
        labels=labels,
        train=split("train"),
        test=split("test"),
        preprocess=PREPROCESS,
        flip=True,
    )
