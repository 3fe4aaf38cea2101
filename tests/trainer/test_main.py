import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import trainer.run
from splitwire.bundle import Bundle
from splitwire.plan import SplitPlan
from tests.published import write_cub200
from trainer.__main__ import main
from trainer.config import RECIPES, BoundaryOptions, TrainConfig
from trainer.data import DATASETS

SPLIT = ("--edge-front", "3", "--edge-back", "1")
QUICK = ("--epochs", "1", "--width", "0.1", "--batch-size", "8", "--quiet", "--threads", "1")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Folders that are not named lie there, and what lies in the checkout plays no part."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of tiny pictures in the layout of --dataset folder."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for shade, name in ((60, "dark"), (200, "light")):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(shade - 50, shade + 50, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "photos"


def configured(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> TrainConfig:
    """What `run` is called with."""
    seen: list[TrainConfig] = []
    monkeypatch.setattr(trainer.run, "run", lambda *values, **_: seen.append(values[0]))
    assert main([*SPLIT, *arguments]) == 0
    return seen[0]


def test_help_is_a_page_that_mentions_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    page = capsys.readouterr().out
    options = set(re.findall(r"--[a-z0-9-]+", page))
    both = ("keep", "bits", "clip", "dead-zone")
    assert options >= {f"--{which}-{name}" for which in ("uplink", "downlink") for name in both}
    assert options >= {
        *("--edge-front", "--edge-back", "--keep", "--bits", "--clip", "--calibration-epochs"),
        *("--dead-zone", "--ranges", "--gradient-bits", "--uncompressed-epochs", "--anneal-epochs"),
        *("--dataset", "--data", "--no-download", "--image-size"),
        *("--epochs", "--batch-size", "--lr", "--warmup-epochs", "--width", "--momentum", "--weight-decay"),
        *("--label-smoothing", "--dropout", "--cutout", "--seed", "--bf16", "--channels-last", "--threads"),
        *("--chunks", "--checkpoint", "--edge-device", "--cloud-device"),
        *("--out", "--bundle", "--resume", "--overwrite", "--quiet", "--version"),
    }
    for name in (*DATASETS, "stem", "conv_last", "classifier", "examples:"):
        assert name in page
    # argparse breaks its own lines; these are the ones that are laid out by hand.
    assert all(len(line) <= 110 for line in page.splitlines())


def test_help_and_mistakes_do_not_wait_for_torch() -> None:
    code = (
        "import sys; from trainer.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert main(['--edge-front', '19', '--edge-back', '1']) == 2\n"
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True).returncode == 0


def test_interrupted_while_it_starts() -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'trainer.data': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "import trainer.__main__"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "\ntrainer: interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--edge-front", "0", "--edge-back", "1"), "edge-front must be an integer of at least 1, got 0"),
        (("--edge-front", "3", "--edge-back", "-1"), "edge-back must be an integer of at least 0, got -1"),
        (
            ("--edge-front", "19", "--edge-back", "1"),
            "leave the cloud no layer: together they may be at most 19",
        ),
        ((*SPLIT, "--bits", "9"), "bits must be 2 to 8, or 32 for none, got 9"),
        ((*SPLIT, "--downlink-bits", "1"), "bits must be 2 to 8"),
        ((*SPLIT, "--keep", "0"), "keep must be above 0 and at most 1, got 0.0"),
        ((*SPLIT, "--uplink-keep", "nan"), "keep must be above 0 and at most 1, got nan"),
        ((*SPLIT, "--clip", "-1"), "clip must be from 0.1 to 1000"),
        ((*SPLIT, "--keep", "0.5", "--dead-zone", "1"), "got keep 0.5 and dead-zone 1"),
        ((*SPLIT, "--uplink-dead-zone", "5"), "dead-zone must be at least 0 and below the clip"),
        ((*SPLIT, "--gradient-bits", "1"), "gradient-bits must be 2 to 8, got 1"),
        ((*SPLIT, "--epochs", "3", "--anneal-epochs", "3"), "must be below epochs (3), got 3"),
        ((*SPLIT, "--epochs", "-1"), "epochs must be at least 1, got -1"),
        ((*SPLIT, "--epochs", "0"), "--epochs 0 needs --weights"),
        ((*SPLIT, "--layer-lr", "1", "2"), "layer-lr takes three factors, or none, got 2"),
        ((*SPLIT, "--layer-lr", "1", "2", "0"), "layer-lr must be three factors above 0 and at most 10"),
        ((*SPLIT, "--freeze", "3"), "--freeze needs --weights"),
        ((*SPLIT, "--reset-classifier"), "--reset-classifier needs --weights"),
        (
            (*SPLIT, "--bits", "32", "--rate-weight", "1"),
            "prices the symbols of quantized boundaries, and none",
        ),
        (
            ("--edge-front", "3", "--edge-back", "0", "--downlink-bits", "4", "--downlink-dead-zone", "1"),
            "whose downlink carries logits as they are, no --downlink-bits, --downlink-dead-zone",
        ),
        ((*SPLIT, "--weights", "net.pth", "--freeze", "20"), "freeze must be from 0 to 19, got 20"),
        ((*SPLIT, "--epochs", "0", "--freeze", "3"), "these mean nothing: --freeze"),
        ((*SPLIT, "--epochs", "0", "--lr", "0.1"), "these mean nothing: --lr"),
        (
            (*SPLIT, "--resume", "--overwrite"),
            "--resume continues the run that is there, --overwrite starts anew",
        ),
        ((*SPLIT, "--cutout", "32"), "cutout must be less than the images' 32 pixels, got 32"),
        ((*SPLIT, "--uplink-bottleneck", "999"), "that is no reduction"),
        ((*SPLIT, "--batch-size", "0"), "batch-size must be at least 1, got 0"),
        ((*SPLIT, "--batch-size", "30"), "batch-size must be a multiple of chunks (4), got 30"),
        ((*SPLIT, "--batch-size", "4096"), "batch-size 4096 is more than the 1437 training images"),
        ((*SPLIT, "--lr", "0"), "lr must be above 0 and at most 1e+30, got 0.0"),
        ((*SPLIT, "--width", "0"), "width must be from 0.1 to 4, got 0.0"),
        ((*SPLIT, "--epochs", "2", "--warmup-epochs", "3"), "warmup-epochs must be from 0 to epochs, got 3"),
        ((*SPLIT, "--threads", "0"), "threads must be from 1 to 1024, got 0"),
        ((*SPLIT, "--threads", "3000000000"), "threads must be from 1 to 1024, got 3000000000"),
        ((*SPLIT, "--epochs", "0", "--threads", "9" * 20), "threads must be from 1 to 1024, got 9999"),
        ((*SPLIT, "--seed", "-1"), "seed must be from 0"),
        ((*SPLIT, "--image-size", "64"), "images of digits are 32 x 32"),
        ((*SPLIT, "--cloud-device", "toaster"), "no device 'toaster' here"),
        ((*SPLIT, "--image-memory", "-1"), "image-memory must be at least 0 GiB, got -1.0"),
        ((*SPLIT, "--dataset", "folder", "--data", "/nowhere"), "/nowhere"),
        ((*SPLIT, "--dataset", "cifar10", "--data", "/nowhere", "--no-download"), "/nowhere"),
        ((*SPLIT, "--out", "/dev/null/run"), "/dev/null/run"),
        ((*SPLIT, "--resume", "--out", "nowhere"), "no checkpoint at nowhere/checkpoint.pt"),
        ((*SPLIT, "--weights", "/nowhere/weights.pth"), "/nowhere/weights.pth"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_mistakes(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("trainer: error: ")
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: --edge-front, --edge-back"),
        (("--edge-front", "three", "--edge-back", "1"), "argument --edge-front: invalid int value: 'three'"),
        ((*SPLIT, "--dataset", "mnist"), "argument --dataset: invalid choice: 'mnist'"),
        ((*SPLIT, "--checkpoint", "often"), "argument --checkpoint: invalid choice: 'often'"),
        ((*SPLIT, "--no-such-option"), "unrecognized arguments: --no-such-option"),
    ],
)
def test_mistakes_that_the_parser_finds(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    assert f"trainer: error: {message}" in capsys.readouterr().err


def test_defaults_are_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    config, recipe = configured(monkeypatch), RECIPES["digits"]
    assert config.dataset == "digits"
    assert config.plan == SplitPlan(3, 1)
    for name in ("epochs", "batch_size", "learning_rate", "warmup_epochs", "width", "calibration_images"):
        assert getattr(config, name) == getattr(recipe, name)
    assert (config.momentum, config.weight_decay, config.chunks, config.seed) == (0.9, 1e-4, 4, 0)
    assert config.uplink == config.downlink == BoundaryOptions(bits=4)


def test_one_boundary_can_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(
        monkeypatch, "--keep", "0.1", "--bits", "8", "--uplink-bits", "3", "--downlink-keep", "1"
    )
    assert config.uplink == BoundaryOptions(keep=0.1, bits=3)
    assert config.downlink == BoundaryOptions(keep=1.0, bits=8)
    config = configured(
        monkeypatch, "--clip", "4", "--downlink-clip", "6.5", "--no-channels-last", "--bits", "32"
    )
    assert (config.uplink.clip, config.downlink.clip) == (4.0, 6.5)
    assert not config.channels_last
    assert config.uplink.bits == 32


def test_the_layout_is_what_the_devices_run_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured(monkeypatch).channels_last
    assert not configured(monkeypatch, "--cloud-device", "cuda").channels_last
    assert not configured(monkeypatch, "--edge-device", "cuda:0", "--cloud-device", "cuda:0").channels_last
    assert configured(monkeypatch, "--cloud-device", "cuda", "--channels-last").channels_last


def test_ways_to_train_a_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = ("--uncompressed-epochs", "2", "--anneal-epochs", "3", "--epochs", "9")
    codec = ("--uplink-keep", "0.5", "--downlink-dead-zone", "0.7", "--ranges", "learned")
    config = configured(monkeypatch, *schedule, *codec, "--gradient-bits", "5")
    assert (config.uncompressed_epochs, config.anneal_epochs) == (2, 3)
    both = BoundaryOptions(bits=4, ranges="learned", gradient_bits=5)
    assert config.uplink == replace(both, keep=0.5)
    assert config.downlink == replace(both, dead_zone=0.7)


@pytest.mark.parametrize(
    ("words", "rates"),
    [((), None), (("--layer-lr",), (1.0, 0.6, 0.4)), (("--layer-lr", "1", "0.5", "0.1"), (1.0, 0.5, 0.1))],
)
def test_layer_wise_rates(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], rates: tuple[float, ...] | None
) -> None:
    assert configured(monkeypatch, *words).layer_rates == rates


@pytest.mark.parametrize("words", [("--weights", "net.pth"), ("--resume", "--out", ".")])
def test_frozen_layers(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    Path("checkpoint.pt").touch()
    assert configured(monkeypatch, *words).freeze == 0
    assert configured(monkeypatch, *words, "--freeze", "19").freeze == 19


@pytest.mark.parametrize("words", [("--weights", "net.pth"), ("--resume", "--out", ".")])
def test_a_classifier_that_starts_anew(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    Path("checkpoint.pt").touch()
    configured(monkeypatch, *words, "--reset-classifier")


def test_logits_and_what_is_said_of_both_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(monkeypatch, "--edge-back", "0", "--keep", "0.5", "--bits", "8", "--clip", "4")
    assert config.uplink == BoundaryOptions(keep=0.5, bits=8, clip=4.0)


def test_fewer_epochs_than_the_recipe_warms_up(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(monkeypatch, "--epochs", "1")
    assert (config.epochs, config.warmup_epochs) == (1, 1)


def test_photos_of_ones_own(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = [*SPLIT, *QUICK, "--dataset", "folder", "--data", str(photos), "--image-size", "16"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "the embedded handwritten digits" not in capsys.readouterr().out
    manifest = Bundle.load(out / "bundle").manifest
    assert manifest.labels == ("dark", "light")
    assert main([*arguments, "--out", str(out)]) == 2
    assert "--resume continues it, --overwrite starts anew" in capsys.readouterr().err
    assert main([*arguments, "--out", str(out), "--resume", "--seed", "7"]) == 2
    assert "was made with other options: --seed" in capsys.readouterr().err
    assert main([*arguments, "--out", str(out), "--resume"]) == 0
    assert "resumed after epoch 1 of 1" in capsys.readouterr().out


def test_a_published_data_set_from_training_to_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cub200(tmp_path / "CUB_200_2011")
    data, out = ["--data", str(tmp_path)], tmp_path / "run"
    size = ["--dataset", "cub200", "--image-size", "16", "--resize", "18", "--image-memory", "0"]
    assert main([*SPLIT, *QUICK, *data, *size, "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"bundle", "checkpoint.pt", "curves.png", "metrics.jsonl"}
    manifest = Bundle.load(out / "bundle").manifest
    assert manifest.labels == ("001.Albatross", "002.Auklet", "003.Bunting")
    assert manifest.preprocess.resize == 18
    capsys.readouterr()
    assert main(["evaluate", str(out / "bundle"), *data, "--quiet"]) == 0
    assert "cub200, 3 of 3 test images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "run"), "run has a run already: --resume continues it, --overwrite starts anew"),
        (("--out", "new", "--resume"), "no checkpoint at new/checkpoint.pt"),
        (("--out", "new", "--bundle", "new"), "the bundle new would take the place of the run in new"),
        (("--out", "new", "--bundle", "old"), "old is there already: --overwrite replaces it"),
        (("--out", "new", "--bundle", "thesis"), "thesis exists and is no bundle: not replacing it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_where_nothing_may_be_written_no_image_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_bundle: Bundle,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setattr("trainer.__main__.load", lambda *_, **__: pytest.fail("images were loaded"))
    Path("thesis").write_text("mine")
    Path("run").mkdir()
    Path("run", "checkpoint.pt").touch()
    shutil.copytree(tiny_bundle.path, "old")
    assert main([*SPLIT, *arguments]) == 2
    assert capsys.readouterr().err.removeprefix("trainer: error: ").startswith(message)
    assert not Path("new").exists()


def test_a_run_keeps_others_out_of_its_folder_as_long_as_it_lasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_meanwhile(*_: object, **__: object) -> None:
        assert main([*SPLIT, "--out", "run", "--overwrite"]) == 2

    monkeypatch.setattr("trainer.__main__.load", load_meanwhile)
    monkeypatch.setattr(trainer.run, "run", load_meanwhile)
    assert main([*SPLIT, "--out", "run"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    for line in told:
        assert re.fullmatch(
            rf"trainer: error: trainer \(process {os.getpid()} on .*\) is at work in run", line
        )


def interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str, writes: bool = False
) -> str:
    """What a run in "run" says that is interrupted before its first epoch, or after it `writes`."""

    def interrupt(*_: object, folder: Path, **__: object) -> None:
        if writes:
            (folder / "new").touch()
            (folder / "new").replace(folder / "checkpoint.pt")
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.run, "run", interrupt)
    assert main([*SPLIT, "--out", "run", *arguments]) == 130
    return capsys.readouterr().err


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    resumable = "\ntrainer: interrupted; --resume continues after the last finished epoch\n"
    assert interrupted(monkeypatch, capsys) == (
        "\ntrainer: interrupted; no epoch was finished, so there is nothing to resume\n"
    )
    assert interrupted(monkeypatch, capsys, writes=True) == resumable
    assert interrupted(monkeypatch, capsys, "--resume") == resumable
    assert interrupted(monkeypatch, capsys, "--resume", writes=True) == resumable
    assert interrupted(monkeypatch, capsys, "--overwrite", writes=True) == resumable


def test_another_runs_checkpoint_is_none_to_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    Path("run", "checkpoint.pt").touch()
    assert interrupted(monkeypatch, capsys, "--overwrite") == (
        "\ntrainer: interrupted; no epoch was finished, and the run that was there still is\n"
    )


def test_an_interrupted_split(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.post_training.command.run_split", interrupt)
    words = ("--epochs", "0", "--weights", "net.pth", "--calibrate", "photos")
    assert main([*SPLIT, *words]) == 130
    assert capsys.readouterr().err == "\ntrainer: interrupted; nothing was written\n"


def test_the_folder_of_a_run_that_was_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(trainer.run, "run", lambda *_, **options: seen.update(options))
    assert main([*SPLIT]) == 0
    assert (seen["folder"], seen["bundle"]) == (
        Path("runs/digits-front3-back1"),
        Path("runs/digits-front3-back1/bundle"),
    )
    assert main([*SPLIT, "--out", "here", "--bundle", "there"]) == 0
    assert (seen["folder"], seen["bundle"]) == (Path("here"), Path("there"))


def test_a_subcommand_gets_the_words_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.sweep.main.main", lambda words: len(words))
    assert main(["sweep", "--seed", "0", "--", "--bits", "4"]) == 5


def test_help_names_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "trainer sweep --help" in capsys.readouterr().out
