"""Labelled photos: some to calibrate on, the others to measure with.

root/
├── images/<file>
└── labels.csv       file,class_index
"""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess, decode_image
from trainer.data.dataset import Split

__all__ = ["Photos"]


@dataclass(frozen=True, slots=True)
class Photos:
    """Paths, and the labels of those to measure with."""

    calibration: tuple[Path, ...]
    test: tuple[Path, ...]
    targets: tuple[int, ...]

    @classmethod
    def read(cls, root: Path, *, calibration: int, seed: int) -> "Photos":
        """Dealt at random. Raises DatasetError where there are no photos, or too few."""
        try:
            with (root / "labels.csv").open(newline="") as file:
                rows = [
                    (root / "images" / row["file"], int(row["class_index"])) for row in csv.DictReader(file)
                ]
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{root} needs images/ and labels.csv (file,class_index): {error!r}") from None
        if not 1 <= calibration < len(rows):
            raise DatasetError(f"{root} has {len(rows)} photos, of which {calibration} cannot be set aside")
        order = np.random.default_rng(seed).permutation(len(rows))
        chosen, others = set(order[:calibration].tolist()), np.sort(order[calibration:]).tolist()
        return cls(
            calibration=tuple(rows[i][0] for i in sorted(chosen)),
            test=tuple(rows[i][0] for i in others),
            targets=tuple(rows[i][1] for i in others),
        )

    def copy_calibration(self, folder: Path) -> Path:
        """A folder with nothing but the photos to calibrate on."""
        folder.mkdir()
        for path in self.calibration:
            shutil.copyfile(path, folder / path.name)
        return folder

    def split(self, preprocess: Preprocess) -> Split:
        """Those to measure with, scaled and cropped."""
        images = np.stack([preprocess.fit(decode_image(path.read_bytes())) for path in self.test])
        return Split(images, np.array(self.targets, np.int64))
