"""Food-101 (Bossard et al., "Food-101: Mining Discriminative Components with Random Forests", ECCV 2014).

root/food-101/, or root itself
├── meta/classes.txt           a class a line
├── meta/train.txt, test.txt   <class>/<id> a line
└── images/<class>/<id>.jpg
"""

from pathlib import Path

from splitwire.preprocess import Preprocess
from trainer.data.dataset import Dataset
from trainer.data.decoding import LabelledFiles, decode_dataset
from trainer.data.layout import Layout, malformed, rows
from trainer.data.storage import Storage

__all__ = ["LAYOUT", "load"]

LAYOUT = Layout(
    title="Food-101",
    folder="food-101",
    page="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    parts=("meta/classes.txt", "meta/train.txt", "meta/test.txt", "images"),
)


def load(root: Path, *, preprocess: Preprocess, storage: Storage, progress: bool) -> Dataset:
    """75,750 training and 25,250 test images, 101 labels.

    Raises:
        DatasetError: a file is absent, a line malformed, images cannot be read, or there is no room for them.
    """
    folder = LAYOUT.find(root)
    labels = tuple(name for _, (name,) in rows(folder / "meta" / "classes.txt", "a class"))
    return decode_dataset(
        "food101",
        labels,
        train=_listed(folder, "train.txt", labels),
        test=_listed(folder, "test.txt", labels),
        preprocess=preprocess,
        storage=storage,
        progress=progress,
    )


def _listed(folder: Path, name: str, labels: tuple[str, ...]) -> LabelledFiles:
    path, target_of = folder / "meta" / name, {label: i for i, label in enumerate(labels)}
    paths, targets = [], []
    for number, (word,) in rows(path, "<class>/<number>"):
        label, _, image = word.partition("/")
        if label not in target_of or not image.isdecimal():
            raise malformed(path, number, "<class>/<number> of a class in classes.txt", word)
        paths.append(folder / "images" / label / f"{image}.jpg")
        targets.append(target_of[label])
    return LabelledFiles(paths, targets)
