import errno
import os
from pathlib import Path

import numpy as np
import pytest

from splitwire.errors import ConfigError, DatasetError
from trainer.data.storage import Storage

BYTES = 5 * 8 * 8 * 3


def test_in_memory_up_to_the_limit(tmp_path: Path) -> None:
    images = Storage(BYTES, tmp_path).allocate(5, 8)
    assert images.shape == (5, 8, 8, 3)
    assert images.dtype == np.uint8
    assert images.base is None


def test_above_it_in_a_file_of_which_nothing_remains(tmp_path: Path) -> None:
    images = Storage(BYTES - 1, tmp_path).allocate(5, 8)
    assert isinstance(images.base, np.memmap)
    assert type(images) is np.ndarray
    assert not list(tmp_path.iterdir()), "it has no name, even now"
    images[:] = np.arange(BYTES, dtype=np.uint8).reshape(images.shape)
    assert images[3:].tobytes() == bytes(i % 256 for i in range(3 * 192, BYTES))


def test_two_do_not_share_a_file(tmp_path: Path) -> None:
    storage = Storage(0, tmp_path)
    one, other = storage.allocate(2, 4), storage.allocate(2, 4)
    one[:], other[:] = 1, 2
    assert int(one.max()) == 1


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Storage(0, tmp_path / "runs" / "first").allocate(2, 4)
    monkeypatch.chdir(tmp_path)
    Storage(0, Path("runs") / "first").allocate(2, 4)
    assert not list(tmp_path.iterdir())


def test_without_a_folder_among_temporary_files() -> None:
    assert isinstance(Storage(0).allocate(2, 4).base, np.memmap)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _start: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    expected = (
        rf"3 images of 8x8 take 0\.00 GiB decoded.* no file on the disk of {tmp_path} can hold them: No"
    )
    with pytest.raises(DatasetError, match=expected):
        Storage(0, tmp_path).allocate(3, 8)


def test_a_limit_below_nothing() -> None:
    with pytest.raises(ConfigError, match="memory for images must be at least 0 bytes, got -1"):
        Storage(-1)
