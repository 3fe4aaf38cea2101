import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.errors import DatasetError
from tests.data import CIFAR10_LABELS, md5, require_cifar10, write_cifar10
from tests.trainer.folders import forbid
from trainer.data import Dataset, cifar10
from trainer.data.download import Archive


def load(root: Path, source: Archive) -> Dataset:
    return cifar10.load(root, download=False, progress=False, source=source)


def rewrite(root: Path, source: Archive, name: str, data: bytes) -> Archive:
    """Replace one file, and describe it as if it had been published so."""
    (root / source.folder / name).write_bytes(data)
    return replace(source, files={**source.files, name: md5(data)})


def edit(root: Path, source: Archive, name: str, **changes: Any) -> Archive:
    value = pickle.loads((root / source.folder / name).read_bytes())
    return rewrite(root, source, name, pickle.dumps(value | changes, protocol=2))


def test_official_files() -> None:
    dataset = cifar10.load(require_cifar10(), download=False, progress=False)
    assert dataset.labels == CIFAR10_LABELS
    assert (len(dataset.train), len(dataset.test)) == (50_000, 10_000)
    assert np.bincount(dataset.train.targets).tolist() == [5000] * 10
    assert np.bincount(dataset.test.targets).tolist() == [1000] * 10
    pixels = dataset.train.images[::10].reshape(-1, 3) / 255
    np.testing.assert_allclose(pixels.mean(0), dataset.preprocess.mean, atol=1e-2)
    np.testing.assert_allclose(pixels.std(0), dataset.preprocess.std, atol=1e-2)


def test_rows_become_images_in_order(tmp_path: Path) -> None:
    source = write_cifar10(tmp_path, rows=4)
    dataset = load(tmp_path, source)
    assert dataset.train.images.shape == (20, 32, 32, 3)
    assert dataset.train.images.flags.c_contiguous
    assert len(dataset.test) == 4
    assert (dataset.name, dataset.flip, dataset.preprocess.size) == ("cifar10", True, 32)
    third = pickle.loads((tmp_path / source.folder / "data_batch_3").read_bytes())
    image = dataset.train.images[9]
    assert dataset.train.targets[9] == third["labels"][1]
    for channel in range(3):
        expected = third["data"][1, channel * 1024 : (channel + 1) * 1024].reshape(32, 32)
        np.testing.assert_array_equal(image[:, :, channel], expected)


@pytest.mark.parametrize("method", ["is_dir", "is_file"])
def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    source = write_cifar10(tmp_path)
    forbid(monkeypatch, method, tmp_path)
    with pytest.raises(DatasetError, match=r"^cannot read .*: Permission denied$"):
        load(tmp_path, source)


def test_the_batches_folder_itself_is_accepted(tmp_path: Path) -> None:
    source = write_cifar10(tmp_path)
    assert len(load(tmp_path / source.folder, source).test) == 6


def test_the_archive_is_unpacked_beside_itself(tmp_path: Path) -> None:
    source = write_cifar10(tmp_path)
    packed = tmp_path / "packed"
    assert len(load(packed, source).test) == 6
    assert {path.name for path in packed.iterdir()} == {source.folder, source.filename}


def test_absent_data_comes_with_instructions(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no CIFAR-10 in") as caught:
        cifar10.load(tmp_path, download=False, progress=False)
    for part in (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        str(tmp_path / "cifar-10-python.tar.gz"),
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", list(cifar10.OFFICIAL.files))
def test_a_changed_or_absent_file_is_named(tmp_path: Path, name: str) -> None:
    source = write_cifar10(tmp_path)
    path = tmp_path / source.folder / name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DatasetError, match=f"{name} is not the published file: MD5 .*{source.files[name]}"):
        load(tmp_path, source)
    path.unlink()
    if name == "batches.meta":
        path.mkdir()
    with pytest.raises(DatasetError, match=f"cannot read .*{name}"):
        load(tmp_path, source)


class _Command:
    """Unpickling it would create a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    source, mark = write_cifar10(tmp_path), tmp_path / "mark"
    hostile = pickle.dumps({"label_names": _Command(mark)}, protocol=2)
    with pytest.raises(DatasetError, match=r"batches\.meta cannot be unpickled: .* is not allowed"):
        load(tmp_path, rewrite(tmp_path, source, "batches.meta", hostile))
    assert not mark.exists()


@pytest.mark.parametrize(
    "attack",
    [
        b"cnumpy\nndarray\n((I1000000000000\nttR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
        b"c_codecs\nencode\n(V\\u4e2d\nS'zip'\ntR.",
        b"I1\n.",
        b"",
    ],
    ids=["huge-array", "other-global", "eval", "object-dtype", "not-latin1", "no-dictionary", "empty"],
)
def test_hostile_pickles(tmp_path: Path, attack: bytes) -> None:
    source = write_cifar10(tmp_path)
    with pytest.raises(DatasetError, match="test_batch"):
        load(tmp_path, rewrite(tmp_path, source, "test_batch", attack))


@given(st.data())
def test_every_truncation_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("truncated")
    source = write_cifar10(root, rows=1)
    whole = (root / source.folder / "data_batch_1").read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DatasetError, match="data_batch_1"):
        load(root, rewrite(root, source, "data_batch_1", whole[:cut]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.zeros((5, 3072), np.uint8)}, r"data must be uint8 \(6, 3072\), got uint8 \(5, 3072\)"),
        ({"data": np.zeros((6, 1024), np.uint8)}, r"data must be uint8 \(6, 3072\), got uint8 \(6, 1024\)"),
        ({"data": [0] * 6}, r"data must be uint8 \(6, 3072\), got list"),
        ({"labels": [0] * 5}, "labels must be a list of 6"),
        ({"labels": [0, 1, 2, 3, 4, 10]}, "labels must be integers from 0 to 9"),
        ({"labels": [0, 1, 2, 3, 4, -1]}, "labels must be integers from 0 to 9"),
        ({"labels": [0, 1, 2, 3, 4, True]}, "labels must be integers from 0 to 9"),
        ({"labels": None}, "labels must be a list of 6"),
    ],
)
def test_a_batch_that_says_something_else(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    source = write_cifar10(tmp_path, rows=6)
    with pytest.raises(DatasetError, match=f"data_batch_2: {message}"):
        load(tmp_path, edit(tmp_path, source, "data_batch_2", **changes))


@pytest.mark.parametrize("names", [None, [], ["cat", 3], "cat"])
def test_labels_that_are_no_names(tmp_path: Path, names: object) -> None:
    source = write_cifar10(tmp_path)
    with pytest.raises(DatasetError, match=r"batches\.meta: label_names must be a list of strings"):
        load(tmp_path, edit(tmp_path, source, "batches.meta", label_names=names))
