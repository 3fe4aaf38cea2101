from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from splitwire.bundle import Bundle
from tests.trainer.networks import CLASSES, make_model
from trainer.__main__ import main
from trainer.data.dataset import Split
from trainer.measurement import measure
from trainer.network import SplitNetwork
from trainer.post_training import command
from trainer.post_training.answers import Agreement
from trainer.post_training.distill import Distilled
from trainer.weights import torchvision_name

_SIZE = 32
_SPLIT = ["--edge-front", "3", "--edge-back", "1", "--image-size", "32", "--quiet", "--max-drop", "30"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    state = {torchvision_name(name): t for name, t in make_model(width=0.2, size=_SIZE).state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, generator = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(36):
        colours = generator.integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(colours).resize((_SIZE, _SIZE)).save(folder / f"{i}.png")
    return folder


def run(weights: Path, photos: Path, out: Path, *more: str) -> int:
    words = ["--weights", str(weights), "--epochs", "0", "--calibrate", str(photos), "--out", str(out)]
    return main([*words, *_SPLIT, *more])


def test_ends_with_a_bundle_that_serves(
    tmp_path: Path, weights: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(weights, photos, tmp_path / "out") == 0
    bundle = Bundle.load(tmp_path / "out" / "bundle")
    assert bundle.manifest.labels == tuple(str(i) for i in range(CLASSES))
    assert bundle.manifest.preprocess.size == _SIZE
    images = np.random.default_rng(1).integers(0, 255, (5, _SIZE, _SIZE, 3), np.uint8)
    found = measure(bundle, Split(images, np.zeros(5, np.int64)), progress=False)
    assert 0 < found.uplink.bytes.mean < bundle.manifest.uplink.raw_bytes
    told = capsys.readouterr().out
    assert "calibrated on 36 images" in told
    assert f"digest {bundle.digest.hex()}" in told
    assert bundle.manifest.metrics["images"] == 36


def test_a_bundle_can_be_split_elsewhere(tmp_path: Path, weights: Path, photos: Path) -> None:
    names = tmp_path / "names.txt"
    # With the mark that some editors put in front.
    names.write_text("\n".join(f"name {i}" for i in range(CLASSES)) + "\n", encoding="utf-8-sig")
    assert run(weights, photos, tmp_path / "first", "--labels", str(names)) == 0
    first = tmp_path / "first" / "bundle"
    assert run(first, photos, tmp_path / "second", "--edge-front", "5", "--distill-steps", "2") == 0
    second = Bundle.load(tmp_path / "second" / "bundle").manifest
    assert second.labels == tuple(f"name {i}" for i in range(CLASSES))
    assert second.plan.front == 5


@pytest.mark.parametrize("improved", [True, False])
def test_a_manifest_tells_of_the_network_after_its_distillation(
    tmp_path: Path, weights: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, improved: bool
) -> None:
    assert run(weights, photos, tmp_path / "plain") == 0
    plain = Bundle.load(tmp_path / "plain" / "bundle").manifest.metrics
    assert plain["training"]["distill_steps"] == 0
    assert "distillation" not in plain

    def pretended(network: SplitNetwork, *_: Any, **__: Any) -> Distilled:
        if improved:  # nothing but zeros on the downlink: other bytes
            torch.nn.init.zeros_(network.get_parameter("body.conv_last.1.weight"))
            torch.nn.init.zeros_(network.get_parameter("body.conv_last.1.bias"))
        return Distilled(0.5, 0.25 if improved else 0.5, 9, Agreement(1.5, 0.1, 90.0, 0.25))

    monkeypatch.setattr(command, "distill", pretended)
    assert run(weights, photos, tmp_path / "out", "--distill-steps", "7") == 0
    found = Bundle.load(tmp_path / "out" / "bundle").manifest.metrics
    assert found["training"]["distill_steps"] == 7
    assert found["distillation"]["held_out"] == 9
    assert found["distillation"]["kept"] == improved
    assert found["uplink_bytes"] == plain["uplink_bytes"]
    if improved:
        assert (found["agreement"], found["drop"]) == (0.9, 0.015)
        assert found["downlink_bytes"] < plain["downlink_bytes"]
    else:
        assert all(found[name] == plain[name] for name in ("agreement", "drop", "downlink_bytes"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\n", "has 1 labels, one a line; the network has"),
        ("\n".join(["same"] * CLASSES), f"labels must be {CLASSES} different ones"),
    ],
)
def test_labels_that_do_not_fit(
    tmp_path: Path, weights: Path, photos: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "names.txt").write_text(text)
    assert run(weights, photos, tmp_path / "out", "--labels", str(tmp_path / "names.txt")) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_images(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(weights, tmp_path / "nowhere", tmp_path / "out") == 2
    assert "no folder" in capsys.readouterr().err


def test_a_bundle_is_replaced_only_when_told(
    tmp_path: Path, weights: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "bundle").mkdir(parents=True)  # empty: no bundle yet
    assert run(weights, photos, tmp_path / "out") == 0
    first = Bundle.load(tmp_path / "out" / "bundle").digest
    assert run(weights, photos, tmp_path / "out", "--edge-front", "4") == 2
    assert "is there already: --overwrite replaces it" in capsys.readouterr().err
    assert Bundle.load(tmp_path / "out" / "bundle").digest == first
    assert run(weights, photos, tmp_path / "out", "--edge-front", "4", "--overwrite") == 0
    assert Bundle.load(tmp_path / "out" / "bundle").digest != first


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        ("net.safetensors", "net.safetensors exists and is no bundle: not replacing it"),
        ("net.safetensors/b", "net.safetensors: Not a directory"),
    ],
)
def test_where_no_bundle_may_be_written_nothing_is_searched(
    tmp_path: Path,
    weights: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bundle: str,
    message: str,
) -> None:
    monkeypatch.setattr(command, "find_source", lambda *_: pytest.fail("weights were looked at"))
    assert run(weights, photos, tmp_path / "out", "--bundle", str(tmp_path / bundle), "--overwrite") == 2
    assert message in capsys.readouterr().err
