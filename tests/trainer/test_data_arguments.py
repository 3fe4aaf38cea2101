from pathlib import Path

import pytest

from splitwire.errors import ConfigError
from trainer.data.storage import Storage
from trainer.data_arguments import storage_from
from trainer.options import make_parser


def parsed(*words: str) -> Storage:
    arguments = make_parser().parse_args(["--edge-front", "3", "--edge-back", "1", *words])
    return storage_from(arguments, Path("run"))


def test_memory_for_images() -> None:
    assert parsed() == Storage(folder=Path("run"))
    assert parsed("--image-memory", "0.5") == Storage(1 << 29, Path("run"))
    assert parsed("--image-memory", "0").memory == 0


@pytest.mark.parametrize("gib", ["-1", "nan", "inf"])
def test_no_such_memory(gib: str) -> None:
    with pytest.raises(ConfigError, match=f"image-memory must be at least 0 GiB, got {gib}"):
        parsed("--image-memory", gib)
