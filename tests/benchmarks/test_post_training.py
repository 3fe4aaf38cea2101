"""The post_training benchmark on a tiny network and random photos: real processes, no timing."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

from benchmarks.post_training.main import main
from benchmarks.post_training.photos import Photos
from splitwire.errors import DatasetError
from tests.trainer.networks import CLASSES, make_model
from trainer.data.preprocessing import for_photos
from trainer.weights import torchvision_name


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root, generator = tmp_path / "photos", np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    rows = ["file,class_index"]
    for i in range(40):
        colours = generator.integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(colours).resize((40, 36)).save(root / "images" / f"{i}.png")
        rows.append(f"{i}.png,{i % CLASSES}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def test_from_weights_to_a_table(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {torchvision_name(name): t for name, t in make_model(width=0.2, size=32).state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    words = ["--weights", str(tmp_path / "net.safetensors"), "--photos", str(photos), "--front", "3", "19"]
    words += ["--back", "0", "--calibration", "30", "--max-drop", "60", "90", "--image-size", "32"]
    words += ["--originals", str(photos / "images"), "--out", str(tmp_path / "out"), "--mean", "0.5"]
    words += ["--name", "cuts"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "layer 3 " in told
    assert "layer 19" in told
    assert "of 40 photos have the unsplit network's label" in told
    records = [json.loads(line) for line in (tmp_path / "out" / "cuts.jsonl").read_text().splitlines()]
    splits = [record for record in records if record["record"] == "split"]
    assert [(record["front"], record["max_drop"]) for record in splits] == [
        (3, 60),
        (3, 90),
        (19, 60),
        (19, 90),
    ]
    assert {record["images"] for record in splits} == {10}
    assert (tmp_path / "out" / "cuts.png").stat().st_size > 1000


def test_photos_are_dealt_by_the_seed(photos: Path, tmp_path: Path) -> None:
    dealt = Photos.read(photos, calibration=30, seed=1)
    assert (len(dealt.calibration), len(dealt.test)) == (30, 10)
    assert not set(dealt.calibration) & set(dealt.test)
    assert dealt == Photos.read(photos, calibration=30, seed=1)
    assert dealt != Photos.read(photos, calibration=30, seed=2)
    assert len(list(dealt.copy_calibration(tmp_path / "copy").iterdir())) == 30
    assert dealt.split(for_photos(32)).targets.tolist() == [int(p.stem) % CLASSES for p in dealt.test]


@pytest.mark.parametrize("calibration", [0, 40])
def test_too_few_photos(photos: Path, calibration: int) -> None:
    with pytest.raises(DatasetError, match="has 40 photos"):
        Photos.read(photos, calibration=calibration, seed=0)


def test_no_photos(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"needs images/ and labels\.csv"):
        Photos.read(tmp_path, calibration=1, seed=0)
