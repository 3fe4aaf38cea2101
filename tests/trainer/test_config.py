import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitwire.errors import ConfigError
from splitwire.plan import SplitPlan
from tests.trainer.networks import make_config
from trainer.config import RECIPES, Bottleneck, BoundaryOptions, TrainConfig, default_run
from trainer.data import DATASETS
from trainer.data.preprocessing import PreprocessOptions
from trainer.options import make_parser


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch-size must be at least 1, got 0"),
        ({"chunks": -1}, "chunks must be at least 1, got -1"),
        ({"chunks": 3}, r"batch-size must be a multiple of chunks \(3\), got 8"),
        ({"learning_rate": 0.0}, r"lr must be above 0 and at most 1e\+30, got 0.0"),
        ({"learning_rate": float("nan")}, r"lr must be above 0 and at most 1e\+30, got nan"),
        ({"learning_rate": float("inf")}, r"lr must be above 0 and at most 1e\+30, got inf"),
        ({"optimizer": "adam"}, "optimizer must be one of sgd, muon, got 'adam'"),
        ({"matrix_learning_rate": 1.0}, r"matrix-lr must be in \(0, 1\), got 1.0"),
        ({"rate_weight": -1.0}, r"rate-weight must be from 0 to 1e\+30, got -1.0"),
        ({"rate_weight": float("inf")}, r"rate-weight must be from 0 to 1e\+30, got inf"),
        ({"rate_target": 0.0}, "rate-target must be above 0, got 0.0"),
        ({"rate_target": 9.0}, "rate-weight must be above 0 with a rate-target, got 0.0"),
        ({"uncompressed_epochs": -1}, "uncompressed-epochs must be at least 0, got -1"),
        ({"anneal_epochs": -1}, "anneal-epochs must be at least 0, got -1"),
        (
            {"uncompressed_epochs": 1, "anneal_epochs": 2},
            r"uncompressed-epochs and anneal-epochs together must be below epochs \(3\), got 3",
        ),
        ({"distill_weight": 1.5}, "distill-weight must be from 0 to 1, got 1.5"),
        ({"temperature": 0.0}, "temperature must be above 0 and at most 100, got 0.0"),
        ({"freeze": -1}, "freeze must be from 0 to 19, got -1"),
        ({"freeze": 20}, "freeze must be from 0 to 19, got 20"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"weight_decay": -1e-9}, r"weight-decay must be from 0 to 1e\+30, got -1e-09"),
        ({"weight_decay": float("inf")}, r"weight-decay must be from 0 to 1e\+30, got inf"),
        ({"label_smoothing": 1.0}, r"label-smoothing must be in \[0, 1\), got 1.0"),
        ({"cutout": -1}, "cutout must be at least 0, got -1"),
        ({"mixup": -0.1}, "mixup must be from 0 to 10, got -0.1"),
        ({"crop_area": 0.0}, "crop-area must be above 0 and at most 1, got 0.0"),
        ({"crop_area": 1.5}, "crop-area must be above 0 and at most 1, got 1.5"),
        ({"warmup_epochs": 4}, "warmup-epochs must be from 0 to epochs, got 4"),
        ({"checkpoint_mode": "often"}, "checkpoint must be one of never, except_last, always, got 'often'"),
        ({"calibration_epochs": 0}, "calibration-epochs must be at least 1, got 0"),
        ({"calibration_images": 0}, "calibration-images must be at least 1, got 0"),
        ({"seed": -1}, r"seed must be from 0 to 2\*\*32 - 1, got -1"),
    ],
)
def test_options_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        make_config(**changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0.0}, "keep must be above 0 and at most 1"),
        ({"keep": 1.1}, "keep must be above 0 and at most 1"),
        ({"keep": float("nan")}, "keep must be above 0 and at most 1"),
        ({"bits": 1}, "bits must be 2 to 8, or 32 for none, got 1"),
        ({"bits": 16}, "bits must be 2 to 8, or 32 for none, got 16"),
        ({"clip": 0.0}, "clip must be from 0.1 to 1000 root mean squares, got 0.0"),
        ({"clip": float("inf")}, "clip must be from 0.1 to 1000"),
        ({"dead_zone": -0.1}, "dead-zone must be at least 0 and below the clip"),
        ({"dead_zone": float("nan")}, "dead-zone must be at least 0 and below the clip"),
        (
            {"dead_zone": 3.0, "bits": 4},
            "dead-zone must be at least 0 and below the clip of 3 root mean squares, got 3.0",
        ),
        (
            {"dead_zone": 0.5, "keep": 0.25, "bits": 4},
            "keep below 1 and a dead-zone both prune: choose one, got keep 0.25 and dead-zone 0.5",
        ),
        ({"ranges": "guessed"}, "ranges must be one of calibrated, learned, got 'guessed'"),
        ({"gradient_bits": 1}, "gradient-bits must be 2 to 8, got 1"),
        ({"gradient_bits": 9}, "gradient-bits must be 2 to 8, got 9"),
    ],
)
def test_boundaries_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BoundaryOptions(**options)


def test_bytes_are_priced_where_symbols_are() -> None:
    off, coarse = BoundaryOptions(), BoundaryOptions(bits=4)
    for uplink, downlink in ((coarse, off), (off, coarse)):
        assert make_config(rate_weight=0.1, uplink=uplink, downlink=downlink).rate_weight == 0.1
    for back, downlink in ((1, off), (0, coarse)):
        with pytest.raises(ConfigError, match="none is quantized: give a boundary fewer than 32 bits"):
            make_config(rate_weight=0.1, plan=SplitPlan(3, back), uplink=off, downlink=downlink)


def test_a_stored_configuration_is_the_same() -> None:
    config = make_config()
    assert config.differences(json.loads(json.dumps(config.to_json()))) == []


def test_differences_are_named() -> None:
    stored = json.loads(json.dumps(make_config().to_json()))
    other = make_config(plan=SplitPlan(4, 1), uplink=BoundaryOptions(keep=0.5, bits=5), learning_rate=0.04)
    assert other.differences(stored) == [
        "--edge-front 3 (now 4)",
        "--lr 0.05 (now 0.04)",
        "--uplink-bits 4 (now 5)",
    ]
    found = set(make_config().differences({}))
    assert found >= {"--edge-front none (now 3)", "--epochs none (now 3)", "--width none (now 0.1)"}


def test_values_are_named_as_on_the_command_line() -> None:
    stored = make_config(uplink=BoundaryOptions(bottleneck=Bottleneck(24, 2, blocks=2)))
    now = make_config(uplink=BoundaryOptions(bits=5), layer_rates=(1.0, 0.6, 0.4), cutout=8)
    assert sorted(now.differences(json.loads(json.dumps(stored.to_json())))) == [
        "--cutout 0 (now 8)",
        "--layer-lr none (now 1 0.6 0.4)",
        "--uplink-bits 32 (now 5)",
        "--uplink-bottleneck 24/2/2 (now none)",
    ]


def test_other_preprocessing_is_named_by_its_options() -> None:
    stored = json.loads(json.dumps(make_config(preprocess=PreprocessOptions(size=32)).to_json()))
    other = make_config(preprocess=PreprocessOptions(mean=(0.5, 0.25, 0.5)))
    assert other.differences(stored) == ["--image-size 32 (now none)", "--mean none (now 0.5 0.25 0.5)"]


def test_what_is_of_both_boundaries_is_named_once() -> None:
    stored = json.loads(json.dumps(make_config().to_json()))
    links = {link: getattr(make_config(), link) for link in ("uplink", "downlink")}
    other = make_config(**{link: replace(options, ranges="learned") for link, options in links.items()})
    assert other.differences(stored) == ["--ranges calibrated (now learned)"]


def test_what_follows_from_the_data_set_is_not_named_beside_it() -> None:
    stored = json.loads(json.dumps(make_config(calibration_images=256).to_json()))
    assert make_config(dataset="cifar10").differences(stored) == ["--dataset tints (now cifar10)"]
    assert make_config().differences(stored) == ["calibration images 256 (now 16)"]


def test_every_difference_names_an_option() -> None:
    config = make_config(rate_weight=0.1, rate_target=9.0)
    stored = {
        name: dict.fromkeys(value, "x") if isinstance(value, dict) else "x"
        for name, value in config.to_json().items()
    }
    options = {name for action in make_parser()._actions for name in action.option_strings}
    assert {text.split()[0] for text in config.differences(stored)} <= options


def test_where_a_run_is_computed_does_not_make_it_another() -> None:
    stored = json.loads(json.dumps(make_config().to_json()))
    assert make_config(evaluate_every=5, edge_device="cuda", cloud_device="cuda:1").differences(stored) == []
    assert make_config(rate_weight=0.1, rate_target=250.0).differences(stored) == [
        "--rate-weight 0 (now 0.1)"
    ]


def test_a_run_may_go_on_to_another_target_but_was_not_steered_there() -> None:
    stored = json.loads(json.dumps(make_config(rate_weight=0.1, rate_target=300.0).to_json()))
    now = make_config(rate_weight=0.1, rate_target=250.0)
    assert now.differences(stored) == []
    assert now.differences(stored, resuming=False) == ["--rate-target 300 (now 250)"]
    elsewhere = make_config(rate_weight=0.1, rate_target=300.0, evaluate_every=5, edge_device="cuda")
    assert elsewhere.differences(stored, resuming=False) == []


def test_an_option_that_did_not_exist_had_its_default() -> None:
    stored = json.loads(json.dumps(make_config().to_json()))
    del stored["optimizer"], stored["uplink"], stored["freeze"]
    assert make_config().differences(stored) == ["--uplink-keep 1 (now 0.5)", "--uplink-bits 32 (now 4)"]
    assert make_config(optimizer="muon", uplink=BoundaryOptions()).differences(stored) == [
        "--optimizer sgd (now muon)"
    ]
    assert make_config(freeze=1, uplink=BoundaryOptions()).differences(stored) == ["--freeze 0 (now 1)"]


def test_an_option_of_a_boundary_that_did_not_exist_had_its_default() -> None:
    stored = json.loads(json.dumps(make_config().to_json()))
    for name in ("dead_zone", "ranges", "gradient_bits"):
        del stored["uplink"][name]
    assert make_config().differences(stored) == []
    uplink = replace(make_config().uplink, ranges="learned")
    assert make_config(uplink=uplink).differences(stored) == ["--ranges calibrated (now learned)"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", Bottleneck(12)),
        ("12/2", Bottleneck(12, 2)),
        ("4096/4", Bottleneck(4096, 4)),
        ("12/2/3", Bottleneck(12, 2, blocks=3)),
        ("12/2/3/1", Bottleneck(12, 2, blocks=3, encoder_blocks=1)),
        ("12/2/0/1", Bottleneck(12, 2, encoder_blocks=1)),
        ("12/1/linear", Bottleneck(12, 1, linear=True)),
    ],
)
def test_bottlenecks_are_read(text: str, expected: Bottleneck) -> None:
    assert Bottleneck.parse(text) == expected
    assert Bottleneck.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "12/",
        "/2",
        "12/2/",
        "12/2/17",
        "12/2/-1",
        "12/2/2/17",
        "12/2/2/2/2",
        "12/2/linear/2",
        "-1",
        "1.5",
        "0",
        "4097",
        "12/3",
        "12/0",
    ],
)
def test_what_is_no_bottleneck_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="bottleneck"):
        Bottleneck.parse(text)


@pytest.mark.parametrize(("epochs", "calibration_epochs", "frozen"), [(1, None, 1), (7, None, 4), (7, 2, 2)])
def test_when_scales_freeze(epochs: int, calibration_epochs: int | None, frozen: int) -> None:
    """Never before the first epoch has calibrated them."""
    config = make_config(epochs=epochs, warmup_epochs=0, calibration_epochs=calibration_epochs)
    assert config.frozen_from == frozen


@pytest.mark.parametrize("dataset", DATASETS)
def test_recipes_can_be_run(dataset: str) -> None:
    recipe = RECIPES[dataset]
    config = make_config(
        dataset=dataset,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_epochs=recipe.warmup_epochs,
        calibration_images=recipe.calibration_images,
        chunks=4,
    )
    assert config.batch_size % 4 == 0


def test_the_folder_of_a_run_says_what_it_is() -> None:
    assert default_run(replace(make_config(), dataset="digits")) == Path("runs/digits-front3-back1")


def test_a_configuration_is_a_value() -> None:
    assert make_config() == make_config()
    assert TrainConfig.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_needs_no_torch() -> None:
    code = "import sys, trainer.config, trainer.__main__; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
