import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitwire.errors import DatasetError
from tests.data import md5, require_data, write_cifar100
from trainer.data import Dataset, cifar100, load
from trainer.data.download import Archive


def read(root: Path, source: Archive) -> Dataset:
    return cifar100.load(root, download=False, progress=False, source=source)


def edit(root: Path, source: Archive, name: str, **changes: Any) -> Archive:
    path = root / source.folder / name
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | changes, protocol=2))
    return replace(source, files={**source.files, name: md5(path.read_bytes())})


def test_official_files() -> None:
    root = require_data(cifar100.OFFICIAL.folder).parent
    dataset = load("cifar100", root=root, download=False, progress=False)
    assert len(dataset.labels) == 100
    assert np.bincount(dataset.train.targets).tolist() == [500] * 100
    assert np.bincount(dataset.test.targets).tolist() == [100] * 100
    pixels = dataset.train.images[::10].reshape(-1, 3) / 255
    np.testing.assert_allclose(pixels.mean(0), dataset.preprocess.mean, atol=1e-2)
    np.testing.assert_allclose(pixels.std(0), dataset.preprocess.std, atol=1e-2)


def test_fine_labels_and_rows_in_order(tmp_path: Path) -> None:
    source = write_cifar100(tmp_path, rows=7)
    dataset = read(tmp_path, source)
    assert (dataset.name, dataset.flip, dataset.preprocess.size) == ("cifar100", True, 32)
    assert dataset.labels == tuple(f"fine {i}" for i in range(5))
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        batch = pickle.loads((tmp_path / source.folder / name).read_bytes())
        assert split.targets.tolist() == batch["fine_labels"]
        assert split.images.shape == (7, 32, 32, 3)
        red = batch["data"][3, :1024].reshape(32, 32)
        np.testing.assert_array_equal(split.images[3, :, :, 0], red)


def test_the_folder_itself_and_the_archive(tmp_path: Path) -> None:
    source = write_cifar100(tmp_path)
    assert len(read(tmp_path / source.folder, source).test) == 6
    assert len(read(tmp_path / "packed", source).test) == 6
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {source.folder, source.filename}


def test_absent_data_comes_with_instructions(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no CIFAR-100 in") as caught:
        load("cifar100", root=tmp_path, download=False, progress=False)
    assert "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz" in str(caught.value)
    assert str(tmp_path / "cifar-100-python.tar.gz") in str(caught.value)


@pytest.mark.parametrize("name", list(cifar100.OFFICIAL.files))
def test_a_changed_or_absent_file_is_named(tmp_path: Path, name: str) -> None:
    source = write_cifar100(tmp_path)
    path = tmp_path / source.folder / name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DatasetError, match=f"{name} is not the published file: MD5"):
        read(tmp_path, source)
    path.unlink()
    with pytest.raises(
        DatasetError, match=f"{name}: No such file" if name != "meta" else "cannot read .*meta"
    ):
        read(tmp_path, source)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("train", {"data": np.zeros((5, 3072), np.uint8)}, r"train: data must be uint8 \(6, 3072\), got"),
        ("test", {"fine_labels": [0, 1, 2, 3, 4, 5]}, "test: fine_labels must be integers from 0 to 4"),
        ("test", {"fine_labels": [0]}, "test: fine_labels must be a list of 6"),
        ("meta", {"fine_label_names": []}, "meta: fine_label_names must be a list of strings"),
    ],
)
def test_a_file_that_says_something_else(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    source = write_cifar100(tmp_path)
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, edit(tmp_path, source, name, **changes))
