from pathlib import Path

import pytest

from splitwire.errors import ConfigError
from splitwire.plan import SplitPlan
from trainer.data.preprocessing import PreprocessOptions
from trainer.options import make_parser
from trainer.post_training.request import SplitRequest
from trainer.split_arguments import refuse_options_of_split, request_from

_SPLIT = ["--edge-front", "11", "--edge-back", "1"]
_WHOLE = [*_SPLIT, "--epochs", "0", "--weights", "net.pth", "--calibrate", "photos"]


def request(*words: str) -> SplitRequest:
    parser = make_parser()
    return request_from(parser.parse_args(words), parser)


def test_defaults() -> None:
    assert request(*_WHOLE) == SplitRequest(
        plan=SplitPlan(11, 1),
        weights=Path("net.pth"),
        calibrate=Path("photos"),
        preprocess=PreprocessOptions(),
        labels=None,
        max_drop=1.0,
        distill_steps=0,
        seed=0,
    )


def test_what_was_said() -> None:
    found = request(
        *_WHOLE, "--max-drop", "0.5", "--mean", "0.5", "--std", "0.1", "0.2", "0.3", "--seed", "4"
    )
    assert (found.max_drop, found.seed) == (0.5, 4)
    assert found.preprocess == PreprocessOptions(mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3))


@pytest.mark.parametrize("absent", ["--weights", "--calibrate"])
def test_what_is_needed(absent: str) -> None:
    at = _WHOLE.index(absent)
    with pytest.raises(ConfigError, match=f"--epochs 0 needs {absent}"):
        request(*_WHOLE[:at], *_WHOLE[at + 2 :])


def test_what_only_training_uses_is_named() -> None:
    with pytest.raises(ConfigError, match="these mean nothing: --keep, --label-smoothing, --rate-weight"):
        request(*_WHOLE, "--rate-weight", "1", "--keep", "0.1", "--label-smoothing", "0.1")


@pytest.mark.parametrize("option", ["--calibrate", "--max-drop", "--labels", "--distill-steps"])
def test_training_refuses_what_is_not_for_it(option: str) -> None:
    arguments = make_parser().parse_args([*_SPLIT, option, "1"])
    with pytest.raises(ConfigError, match=f"only with --epochs 0, which trains nothing: {option}"):
        refuse_options_of_split(arguments)
    refuse_options_of_split(make_parser().parse_args(_SPLIT))


@pytest.mark.parametrize("values", [["1", "2"], ["1", "2", "3", "4"]])
def test_one_number_or_three(values: list[str]) -> None:
    with pytest.raises(ConfigError, match="mean must be one number or three, got"):
        request(*_WHOLE, "--mean", *values)
