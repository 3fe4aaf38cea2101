"""The decoding benchmark on a few small pictures: what it prints and writes, no timing."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.decoding.main import difference, main
from splitwire.preprocess import decode_image
from tests.photos import as_jpeg, photo
from trainer.data.draft import fit_draft
from trainer.data.preprocessing import for_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "nested"
    folder.mkdir(parents=True)
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(as_jpeg(photo(200, 180, seed=seed)))
    (folder / "small.jpg").write_bytes(as_jpeg(photo(40, 40)))
    photo(100, 100).save(folder / "other.png")
    return tmp_path / "photos"


def test_from_photos_to_tables(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    words = ["--photos", str(photos), "--image-size", "32", "40", "--repeats", "1", "--out", str(out)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "4 JPEG files, 0.04 megapixels (median)" in told
    assert "  40 px, margin 2" in told
    records = [json.loads(line) for line in out.read_text().splitlines()]
    speeds = [record for record in records if record["record"] == "speed"]
    assert [(s["size"], s["draft"]) for s in speeds] == [(32, False), (32, True), (40, False), (40, True)]
    assert all(min(s["loop"], s["workers"], s["processes"]) > 0 for s in speeds)
    found = [record for record in records if record["record"] == "difference"]
    assert [(d["size"], d["margin"], d["images"]) for d in found] == [
        (32, 1, 3),
        (32, 2, 3),
        (40, 1, 3),
        (40, 2, 3),
    ]


def test_differences_are_those_of_the_pixels(photos: Path) -> None:
    paths, preprocess = sorted((photos / "nested").glob("?.jpg")), for_photos(32)
    apart = []
    for path in paths:
        drafted = fit_draft(path.read_bytes(), preprocess)
        assert drafted is not None
        apart.append(np.abs(drafted.astype(int) - preprocess.fit(decode_image(path.read_bytes()))))
    found = difference(paths, preprocess, 2)
    assert found.mean == pytest.approx(float(np.mean(apart)))
    assert found.worst_mean == pytest.approx(max(float(a.mean()) for a in apart))
    assert found.largest == max(int(a.max()) for a in apart)


def test_enlarged(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--photos", str(photos), "--image-size", "32", "--repeats", "1", "--count", "2"]
    assert main([*words, "--megapixels", "0.5"]) == 0
    assert "2 JPEG files, 0.50 megapixels" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_photos(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["--photos", str(tmp_path / name)]) == 2
    assert "benchmarks.decoding: error: " in capsys.readouterr().err
