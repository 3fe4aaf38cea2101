"""`trainer evaluate` from its command line: real bundles on a folder of photos."""

import csv
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splitwire.bundle import Bundle, save_bundle
from tests.bundles import LABELS, SIZE
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.trainer.networks import make_dataset, make_network
from trainer import evaluate_command
from trainer.__main__ import main
from trainer.comparison import CODECS
from trainer.data import Split
from trainer.export import export_bundle


def photos(root: Path, labels: tuple[str, ...] = LABELS) -> Path:
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in labels:
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(2):
                pixels = generator.integers(0, generator.integers(2, 257), (SIZE, SIZE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("data") / "photos")


def of_photos(data: Path) -> list[str]:
    return ["--dataset", "folder", "--data", str(data), "--quiet"]


def test_two_bundles_of_one_name(
    tiny_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = make_tiny_bundle(tmp_path / "other", seed=1), tmp_path / "deep" / "report"
    assert (
        main(["evaluate", str(tiny_bundle.path), str(other.path), *of_photos(data), "--out", str(out)]) == 0
    )
    page = capsys.readouterr()
    assert page.out.startswith("photos, 20 of 20 test images\n")
    assert page.err == ""
    assert sorted(path.name for path in out.iterdir()) == ["accuracy_per_byte.csv", "accuracy_per_byte.png"]
    with (out / "accuracy_per_byte.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [
        *[str(tiny_bundle.path)] * 2,
        *[str(other.path)] * 2,
        *(codec.name for codec in CODECS),
    ]
    assert {row["network"] for row in rows[4:]} == {str(tiny_bundle.path)}


def test_bundles_whose_paths_have_dollar_signs(tmp_path: Path, data: Path) -> None:
    bundles = [str(make_tiny_bundle(tmp_path / name, seed=1).path) for name in ("$a^$", "b$_$")]
    assert (
        main(["evaluate", *bundles, *of_photos(data), "--images", "2", "--out", str(tmp_path / "out")]) == 0
    )
    assert (tmp_path / "out" / "accuracy_per_byte.png").exists()


def test_the_table_is_told_though_there_is_no_room_for_the_picture(
    tiny_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "accuracy_per_byte.png").mkdir()
    arguments = [str(tiny_bundle.path), *of_photos(data), "--images", "2", "--out", str(tmp_path)]
    assert main(["evaluate", *arguments]) == 2
    page = capsys.readouterr()
    assert page.out.startswith("photos, 2 of 20 test images\n")
    assert "cannot write into" in page.err


def test_an_unsplit_bundle_classifies_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, dataset = make_network(), make_dataset()
    bundle = export_bundle(
        tmp_path / "off",
        network,
        labels=dataset.labels,
        preprocess=dataset.preprocess,
        metrics={},
        name="off",
    )
    data, out = photos(tmp_path / "photos", dataset.labels), tmp_path / "report"
    whole = ["--unsplit", str(bundle.path), "--out", str(out)]
    assert main(["evaluate", str(bundle.path), *of_photos(data), *whole]) == 0
    assert "Files classified by the same network, unsplit: off." in capsys.readouterr().out
    with (out / "accuracy_per_byte.csv").open() as file:
        accuracy = {row["name"]: row["accuracy"] for row in csv.DictReader(file)}
    assert accuracy["off"] == accuracy["PNG"] == accuracy["WebP lossless"]


def test_fewer_images_with_progress(
    tiny_bundle: Bundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument for argument in of_photos(data) if argument != "--quiet"]
    assert main(["evaluate", str(tiny_bundle.path), *arguments, "--images", "3"]) == 0
    page = capsys.readouterr()
    assert page.out.startswith("photos, 3 of 20 test images\n")
    assert "WebP q90" in page.err


def test_images_are_spread_over_all_classes() -> None:
    split = Split(np.zeros((20, 1, 1, 3), np.uint8), np.arange(20) // 2)
    assert evaluate_command._chosen(split, 10).targets.tolist() == list(range(10))
    assert evaluate_command._chosen(split, 99).targets.tolist() == split.targets.tolist()


def test_mistakes(
    tiny_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, own = str(tiny_bundle.path), of_photos(data)
    others = photos(tmp_path / "others", (*LABELS[:4], "cat", *LABELS[5:]))
    fewer = photos(tmp_path / "fewer", LABELS[:9])
    for arguments, message in (
        (["/nowhere", *own], "no bundle at /nowhere"),
        ([bundle, *of_photos(Path("/nowhere"))], "/nowhere"),
        ([bundle, *of_photos(fewer)], "number 9 is 'class 9' and absent"),
        ([bundle, *of_photos(others)], "data set others: 10 and 10 of them, number "),
        ([bundle, "--quiet"], "does not say what it was trained on: name it with --dataset"),
        ([bundle, *own, "--images", "0"], "images must be at least 1, got 0"),
        ([bundle, *own, "--unsplit", bundle], "its uplink must be off (keep 1, 32 bits), has keep 1, 4 bits"),
        ([bundle, *own, "--out", "/dev/null/report"], "cannot use the folder /dev/null/report"),
    ):
        assert main(["evaluate", *arguments]) == 2
        page = capsys.readouterr()
        assert page.err.startswith("trainer evaluate: error: ")
        assert message in page.err
        assert page.out == ""


def test_images_of_another_size_name_both(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    digits = renamed(tiny_bundle, tuple(str(digit) for digit in range(10)))
    assert main(["evaluate", str(digits.path), "--dataset", "digits", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert f"takes images of {SIZE} pixels, scaled to {SIZE}; the data set digits has 32" in error


def renamed(bundle: Bundle, labels: tuple[str, ...]) -> Bundle:
    manifest = bundle.manifest
    given = {field.name: getattr(manifest, field.name) for field in dataclasses.fields(manifest)}
    graphs = {role: bundle.graph(role).read_bytes() for role in manifest.roles}
    given = {key: given[key] for key in given if key not in ("files", "format_version")}
    return save_bundle(
        bundle.path.with_name("renamed"),
        **given
        | {
            "labels": labels,
            "graphs": graphs,
            "metrics": {"training": {"dataset": "digits"}},
        },
    )


def test_the_data_set_is_the_bundles_own(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = renamed(tiny_bundle, LABELS)
    assert main(["evaluate", str(bundle.path), "--quiet"]) == 2
    assert "has other labels than the data set digits" in capsys.readouterr().err


def test_interrupted(
    monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_command, "compare", interrupt)
    assert main(["evaluate", str(tiny_bundle.path), *of_photos(data)]) == 130
    assert capsys.readouterr().err == "\ntrainer evaluate: interrupted\n"


def test_help_does_not_wait_for_torch_and_is_found_from_the_trainers() -> None:
    code = (
        "import sys; from trainer.__main__ import main\n"
        "for arguments in (['--help'], ['evaluate', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit as ended: assert ended.code == 0\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    page = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    trainers, own = page.stdout.split("usage: trainer evaluate", 1)
    assert "trainer evaluate BUNDLE" in trainers
    assert set(re.findall(r"--[a-z-]+", own)) >= {
        *("--dataset", "--data", "--no-download", "--images", "--unsplit", "--out", "--quiet")
    }
