from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.errors import ConfigError
from trainer.config import LAYER_RATES, TrainConfig
from trainer.options import config_from, make_parser
from trainer.report.variants import COMPARISONS, Variant, without

SPLIT = ("--edge-front", "3", "--edge-back", "1")


def split(name: str, *words: str, rate: float | None = None) -> tuple[Variant, Variant]:
    given_words = (*SPLIT, *words)
    return COMPARISONS[name].split(given_words, make_parser().parse_args(given_words), rate)


def configs(variants: tuple[Variant, Variant]) -> list[TrainConfig]:
    return [config_from(make_parser().parse_args(variant.arguments)) for variant in variants]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "weights.safetensors"
    path.touch()
    return str(path)


@pytest.mark.parametrize(
    ("words", "rates"),
    [
        ((), LAYER_RATES),
        (("--layer-lr",), LAYER_RATES),
        (("--layer-lr", "1", "0.5", "0.1"), (1.0, 0.5, 0.1)),
    ],
)
def test_layer_wise_rates_and_one(words: tuple[str, ...], rates: tuple[float, ...]) -> None:
    variants = split("layer-lr", *words, "--lr", "0.005")
    layered, one = configs(variants)
    assert [variant.name for variant in variants] == ["layer-wise", "one-rate"]
    assert (layered.layer_rates, one.layer_rates) == (rates, None)
    [difference] = layered.differences(one.to_json())
    assert difference == f"--layer-lr none (now {' '.join(f'{rate:g}' for rate in rates)})"


def test_one_rate_is_not_compared_with_itself() -> None:
    with pytest.raises(ConfigError, match="layer-lr 1 1 1 is one rate already"):
        split("layer-lr", "--layer-lr", "1", "1.0", "1")


def test_from_scratch_nothing_is_left_of_the_weights(file: str) -> None:
    words = ("--layer-lr", "1", "0.6", "0.4", "--weights", file, "--reset-classifier", "--freeze", "4")
    tuned, scratch = split("scratch", *words, "--epochs", "3")
    assert tuned == Variant("fine-tuned", (*SPLIT, *words, "--epochs", "3"))
    assert scratch == Variant("from-scratch", (*SPLIT, "--epochs", "3"))


def test_from_scratch_at_a_rate_of_its_own(file: str) -> None:
    tuned, scratch = configs(split("scratch", "--weights", file, "--lr", "0.005", rate=0.1))
    assert (tuned.learning_rate, scratch.learning_rate) == (0.005, 0.1)
    assert tuned.differences(scratch.to_json()) == ["--lr 0.1 (now 0.005)"]


def test_with_a_teacher_and_without(file: str) -> None:
    words = (f"--teacher={file}", "--distill-weight", "0.7", "--temperature=3", "--lr", "0.1")
    variants = split("teacher", *words)
    taught, alone = configs(variants)
    assert [variant.name for variant in variants] == ["with-teacher", "without-teacher"]
    assert (taught.distill_weight, taught.temperature) == (0.7, 3.0)
    assert alone.distill_weight == 0.0
    assert variants[1].arguments == (*SPLIT, "--lr", "0.1")


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("scratch", (), "scratch needs --weights"),
        ("teacher", (), "teacher needs --teacher"),
        ("scratch", ("--weights", "nowhere.pth"), r"--weights nowhere.pth: there is no such file"),
        ("teacher", ("--teacher", "nowhere.pt"), r"--teacher nowhere.pt: there is no such file"),
    ],
)
def test_nothing_to_compare(name: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split(name, *words)


def test_published_weights_need_no_file() -> None:
    assert split("scratch", "--weights", "imagenet")[1].arguments == SPLIT


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["--a", "--b", "--bb"]),
            st.booleans(),
            st.lists(st.sampled_from(["1", "-1", "x", "0.5"])),
        )
    )
)
def test_an_option_goes_with_its_values(options: list[tuple[str, bool, list[str]]]) -> None:
    def words(chosen: list[tuple[str, bool, list[str]]]) -> tuple[str, ...]:
        return tuple(
            word
            for name, joined, values in chosen
            for word in (f"{name}=7" if joined else name, *([] if joined else values))
        )

    kept = [option for option in options if option[0] != "--b"]
    assert without(words(options), ["--b"]) == words(kept)
