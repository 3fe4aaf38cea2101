import pytest
import torch
from torch import Tensor

from splitwire.errors import ConfigError
from trainer.post_training.search import Sample, Search
from trainer.post_training.sensitivity import measure_sensitivity


def sample(shape: tuple[int, ...], count: int = 96) -> Sample:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *shape, generator=generator)
    weight = torch.randn(6, shape[0], generator=generator) * 4

    def rest(x: Tensor) -> Tensor:
        return (x.flatten(2).mean(2) if x.ndim == 4 else x) @ weight.T

    return Sample(x, True, rest(x), rest, measure_sensitivity(rest, x, seed=0, progress=False))


@pytest.mark.parametrize("shape", [(8, 4, 4), (32,)])
def test_the_cheapest_holds_and_finer_is_dearer(shape: tuple[int, ...]) -> None:
    search = Search(sample(shape), progress=False)
    strict, lax = search.cheapest(4.0), search.cheapest(20.0)
    assert strict.agreement.bound <= 4.0
    assert lax.agreement.bound <= 20.0
    assert lax.bytes < strict.bytes
    assert (strict.choice.stride is None) == (len(shape) == 1)


def test_bytes_fall_with_the_divergence() -> None:
    search = Search(sample((8, 4, 4)), progress=False)
    sizes = [search.assess(2, divergence).bytes for divergence in (0.001, 0.01, 0.1)]
    assert sizes == sorted(sizes, reverse=True)


def test_no_stride_that_does_not_divide() -> None:
    assert Search(sample((8, 3, 3)), progress=False).cheapest(20.0).choice.stride == 1


def test_what_cannot_be_held() -> None:
    with pytest.raises(
        ConfigError, match=r"max-drop 0\.001 cannot be held: the finest quantization of 5 bits"
    ):
        Search(sample((8, 4, 4)), progress=False).cheapest(0.001)


def test_maps_too_large_to_code_cross_all_the_same() -> None:
    found = Search(sample((24, 56, 56), count=24), progress=False).cheapest(20.0)
    assert found.agreement.bound <= 20.0


def test_frames_that_cannot_be_coded_are_a_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.post_training.quantizer.MAX_CODED_SYMBOLS", 16)
    monkeypatch.setattr("trainer.post_training.search.MAX_CODED_SYMBOLS", 16)
    assert not Search(sample((8, 4, 4)), progress=False).cheapest(2.0).choice.coded
