import pytest

from splitwire.errors import ConfigError
from splitwire.preprocess import Preprocess
from trainer.data.preprocessing import PreprocessOptions, for_photos

_OWN = Preprocess(size=32, resize=40, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def test_nothing_chosen_is_the_default() -> None:
    assert PreprocessOptions().over(_OWN) == _OWN


def test_what_is_chosen_wins() -> None:
    chosen = PreprocessOptions(resize=33, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0)).over(_OWN)
    assert chosen == Preprocess(size=32, resize=33, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (192, 219), (64, 73), (32, 32)])
def test_photos_are_cropped_and_small_images_are_not(size: int, resize: int) -> None:
    assert for_photos(size).resize == resize
    assert PreprocessOptions(size=size).over(for_photos()) == for_photos(size)


def test_the_same_size_keeps_its_resize() -> None:
    assert PreprocessOptions(size=32).over(_OWN) == _OWN


def test_out_of_range() -> None:
    with pytest.raises(ConfigError, match="resize must be 32 to"):
        PreprocessOptions(resize=31).over(_OWN)
