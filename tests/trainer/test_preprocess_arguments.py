import argparse

import pytest

from splitwire.errors import ConfigError
from trainer.data.preprocessing import PreprocessOptions
from trainer.preprocess_arguments import add_preprocessing, preprocess_from


def chosen(*words: str) -> PreprocessOptions:
    parser = argparse.ArgumentParser()
    add_preprocessing(parser.add_argument_group("preprocessing"))
    return preprocess_from(parser.parse_args(words))


def test_nothing_is_chosen_unless_said() -> None:
    assert chosen() == PreprocessOptions()


def test_one_number_is_of_all_three_channels() -> None:
    found = chosen("--image-size", "96", "--resize", "100", "--mean", "0.5", "--std", "0.1", "0.2", "0.3")
    assert found == PreprocessOptions(96, 100, (0.5, 0.5, 0.5), (0.1, 0.2, 0.3))


@pytest.mark.parametrize("values", [["1", "2"], ["1", "2", "3", "4"]])
def test_one_number_or_three(values: list[str]) -> None:
    with pytest.raises(ConfigError, match="std must be one number or three, got"):
        chosen("--std", *values)
