import pickle
import re
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.networks import same_bits
from trainer.torch_file import read_torch_file

WEIGHTS = torch.arange(4000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        read_torch_file(path)
    return str(caught.value)


@pytest.mark.parametrize("as_zip", [True, False])
def test_comes_back_as_it_was(path: Path, as_zip: bool) -> None:
    """Published weights from before torch 1.6 are no zip files."""
    torch.save({"a": WEIGHTS}, path, _use_new_zipfile_serialization=as_zip)
    assert zipfile.is_zipfile(path) == as_zip
    assert same_bits(read_torch_file(path)["a"], WEIGHTS)


def test_a_weight_that_is_not_what_was_written(path: Path) -> None:
    """torch reads it without a word."""
    torch.save({"a": WEIGHTS}, path)
    content = bytearray(path.read_bytes())
    at = content.index(WEIGHTS[100:].numpy().tobytes())
    content[at : at + 4000] = bytes(byte ^ 0x55 for byte in content[at : at + 4000])
    path.write_bytes(content)
    assert not same_bits(torch.load(path)["a"], WEIGHTS)
    assert re.fullmatch("it is damaged: weights/data/0 in it is not what was written", refusal(path))


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_cut_off(path: Path, as_zip: bool, kept: float) -> None:
    torch.save({"a": WEIGHTS}, path, _use_new_zipfile_serialization=as_zip)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert refusal(path).endswith("it was cut off, or is damaged")


def test_empty(path: Path) -> None:
    path.touch()
    assert refusal(path) == "it is empty"


def test_text(path: Path) -> None:
    path.write_text("a text,\nof two lines\n")
    assert refusal(path).startswith("torch did not write it")


def test_another_zip_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    assert refusal(path) == "it is a zip file that torch did not write"


@pytest.mark.parametrize("value", [Fraction(1, 2), {"a": Fraction(1, 2)}])
def test_other_objects(path: Path, value: Any) -> None:
    torch.save(value, path)
    assert refusal(path) == "it holds other objects than tensors, numbers and strings"
    path.write_bytes(pickle.dumps(value))
    assert refusal(path).startswith("torch did not write it")


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_cannot_be_opened(path: Path, is_folder: bool) -> None:
    if is_folder:
        path.mkdir()
    with pytest.raises(OSError, match="directory"):
        read_torch_file(path)
