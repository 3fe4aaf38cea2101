import json
from pathlib import Path

import pytest

from splitwire.errors import WeightsError
from splitwire.plan import SplitPlan
from tests.trainer.networks import make_config
from trainer.checkpoint import save_checkpoint
from trainer.config import BoundaryOptions, TrainConfig
from trainer.data import cifar10
from trainer.data.preprocessing import PreprocessOptions
from trainer.record import Record, read_record


def write(folder: Path, config: TrainConfig) -> Path:
    save_checkpoint(folder / "checkpoint.pt", {"config": json.dumps(config.to_json())})
    return folder / "checkpoint.pt"


def test_a_checkpoint_has_the_normalization_of_its_data_set_or_its_own(tmp_path: Path) -> None:
    own = read_record(write(tmp_path, make_config(dataset="cifar10")))
    assert (own.mean, own.std) == (cifar10.PREPROCESS.mean, cifar10.PREPROCESS.std)
    chosen = PreprocessOptions(mean=(0.5, 0.25, 0.5))
    other = read_record(write(tmp_path, make_config(dataset="cifar10", preprocess=chosen)))
    assert (other.mean, other.std) == ((0.5, 0.25, 0.5), cifar10.PREPROCESS.std)
    unknown = read_record(write(tmp_path, make_config(dataset="of another version")))
    assert (unknown.mean, unknown.std) == (None, None)


def test_what_was_pruned(tmp_path: Path) -> None:
    uplink, downlink = BoundaryOptions(keep=0.5), BoundaryOptions(dead_zone=0.25)
    config = make_config(uplink=uplink, downlink=downlink)
    assert read_record(write(tmp_path, config)).pruning == "uplink keep 0.5, downlink dead-zone 0.25"
    logits = make_config(uplink=BoundaryOptions(bits=4), downlink=downlink, plan=SplitPlan(3, 0))
    assert read_record(write(tmp_path, logits)).pruning == ""


def test_weights_say_nothing(tmp_path: Path) -> None:
    assert read_record(tmp_path / "net.pth") == Record()
    save_checkpoint(tmp_path / "old.pt", {"config": "{}"})
    assert read_record(tmp_path / "old.pt") == Record()


@pytest.mark.parametrize("config", ["no json", "[]", json.dumps({"uplink": 7}), json.dumps({"plan": 7})])
def test_what_makes_no_sense(tmp_path: Path, config: str) -> None:
    save_checkpoint(tmp_path / "odd.pt", {"config": config})
    with pytest.raises(WeightsError, match=r"odd\.pt does not say how it was trained"):
        read_record(tmp_path / "odd.pt")
