from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from splitwire.errors import DatasetError
from splitwire.preprocess import decode_image
from tests.photos import as_jpeg, photo
from trainer.data.dataset import Dataset
from trainer.data.decoding import LabelledFiles, decode_dataset, decode_files
from trainer.data.preprocessing import for_photos
from trainer.data.storage import Storage

PREPROCESS = for_photos(32)
IN_MEMORY = Storage()


def shades(folder: Path, count: int, *, first: int = 0) -> list[Path]:
    paths = [folder / f"{i:02}.png" for i in range(first, first + count)]
    for i, path in enumerate(paths, first):
        Image.new("RGB", (40, 30), (i * 8, 0, 0)).save(path)
    return paths


def files(paths: list[Path]) -> LabelledFiles:
    return LabelledFiles(paths, [i % 2 for i in range(len(paths))])


def decode(train: list[Path], test: list[Path], storage: Storage = IN_MEMORY) -> Dataset:
    return decode_dataset(
        "shades",
        ("even", "odd"),
        train=files(train),
        test=files(test),
        preprocess=PREPROCESS,
        storage=storage,
        progress=False,
    )


@pytest.mark.parametrize("workers", [None, 1, 7])
def test_in_order_and_counted(tmp_path: Path, workers: int | None) -> None:
    paths = shades(tmp_path, 9)
    images: NDArray[np.uint8] = np.zeros((9, 32, 32, 3), np.uint8)
    with tqdm(total=9, file=StringIO()) as bar:
        assert decode_files(paths, PREPROCESS, images, bar, workers=workers) == []
        assert bar.n == 9
    assert images[:, 0, 0, 0].tolist() == [i * 8 for i in range(9)]


def test_a_data_set(tmp_path: Path) -> None:
    paths = shades(tmp_path, 8)
    dataset = decode(paths[:5], paths[5:])
    assert (dataset.name, dataset.labels, dataset.flip) == ("shades", ("even", "odd"), True)
    assert dataset.preprocess == PREPROCESS
    assert dataset.train.targets.tolist() == [0, 1, 0, 1, 0]
    assert dataset.test.targets.tolist() == [0, 1, 0]
    assert dataset.train.images[:, 9, 9, 0].tolist() == [0, 8, 16, 24, 32]
    assert dataset.test.images[:, 9, 9, 0].tolist() == [40, 48, 56]


def test_drafts_are_for_training_alone(tmp_path: Path) -> None:
    data, path = as_jpeg(photo(640, 480)), tmp_path / "large.jpg"
    path.write_bytes(data)
    dataset = decode([path], [path])
    served = PREPROCESS.fit(decode_image(data))
    np.testing.assert_array_equal(dataset.test.images[0], served)
    difference = np.abs(dataset.train.images[0].astype(int) - served)
    assert 0 < difference.mean() < 1.5


def test_unreadable_images_of_both_splits_are_named_at_once(tmp_path: Path) -> None:
    paths = shades(tmp_path, 12)
    for path in paths[3:9]:
        path.write_bytes(b"nothing")
    paths[10].unlink()
    with pytest.raises(DatasetError) as caught:
        decode(paths[:6], paths[6:])
    lines = str(caught.value).splitlines()
    assert lines[0] == "cannot read 7 of 12 images:"
    assert lines[1:6] == [f"  {path}: not a JPEG, PNG or WebP image" for path in paths[3:8]]
    assert lines[6:] == ["  and 2 more"]


def test_a_few_unreadable_images_are_all_named(tmp_path: Path) -> None:
    paths = shades(tmp_path, 6)
    paths[1].unlink()
    with pytest.raises(DatasetError, match=rf"^cannot read {paths[1]}: No such file or directory$"):
        decode(paths[:4], paths[4:])
    paths[4].write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        decode(paths[:4], paths[4:])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("which", ["training", "test"])
def test_a_split_without_images(tmp_path: Path, which: str) -> None:
    paths = shades(tmp_path, 2)
    with pytest.raises(DatasetError, match=f"^shades has no {which} images$"):
        decode([] if which == "training" else paths, [] if which == "test" else paths)


def test_the_limit_is_of_both_splits_together(tmp_path: Path) -> None:
    paths, image = shades(tmp_path, 6), 32 * 32 * 3
    for images, mapped in ((6, False), (5, True)):
        dataset = decode(paths[:3], paths[3:], Storage(images * image, tmp_path))
        both = dataset.train.images.base
        assert both is not None
        assert both is dataset.test.images.base
        assert isinstance(both.base, np.memmap) == mapped
    assert set(tmp_path.iterdir()) == set(paths)
