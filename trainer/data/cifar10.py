"""CIFAR-10 (Krizhevsky, 2009) in its official python layout.

root/
├── cifar-10-batches-py/       data_batch_1 .. data_batch_5, test_batch, batches.meta: pickles of python 2
└── cifar-10-python.tar.gz     unpacked when the folder is absent, downloaded when both are
"""

from pathlib import Path
from types import MappingProxyType

import numpy as np

from splitwire.preprocess import Preprocess
from trainer.data.cifar import SIDE, label_names, locate, read_pickle, to_split
from trainer.data.dataset import Dataset, Split
from trainer.data.download import Archive

__all__ = ["OFFICIAL", "PREPROCESS", "load"]

PREPROCESS = Preprocess(size=SIDE, resize=SIDE, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))

_META = "batches.meta"
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = "test_batch"

OFFICIAL = Archive(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    bytes=170_498_071,
    digest="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    files=MappingProxyType(
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        }
    ),
)


def load(root: Path, *, download: bool, progress: bool, source: Archive = OFFICIAL) -> Dataset:
    """50,000 training and 10,000 test images of 32x32, ten labels.

    root: the folder that holds the batches folder or the archive, or the batches folder itself.
    source: what the files must be; anything but OFFICIAL is for copies in the same layout.

    Raises:
        DatasetError: absent (and not downloaded), or a file is not the published one.
    """
    folder = locate(root, source, "CIFAR-10", _META, download=download, progress=progress)
    meta = read_pickle(folder, _META, source)
    labels, rows = label_names(folder / _META, meta, "label_names"), meta.get("num_cases_per_batch")

    def batch(name: str) -> Split:
        value = read_pickle(folder, name, source)
        return to_split(folder / name, value, "labels", rows=rows, classes=len(labels))

    batches = [batch(name) for name in _TRAIN]
    return Dataset(
        name="cifar10",
        labels=labels,
        train=Split(
            np.concatenate([batch.images for batch in batches]),
            np.concatenate([batch.targets for batch in batches]),
        ),
        test=batch(_TEST),
        preprocess=PREPROCESS,
        flip=True,
    )
