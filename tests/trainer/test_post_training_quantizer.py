import pytest
import torch
from torch import Tensor

from trainer.post_training.quantizer import BITS, ZERO, BlockQuantizer, ChannelQuantizer
from trainer.post_training.sensitivity import Sensitivity


def plain(channels: int, height: int = 4, width: int = 4) -> Sensitivity:
    return Sensitivity(
        torch.eye(channels, dtype=torch.float64), torch.ones(height, width, dtype=torch.float64)
    )


def activations(*, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(200, 5, 4, 4, generator=torch.Generator().manual_seed(0)) + 2.0


@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_lose_no_more_than_a_step_explains(stride: int) -> None:
    x = activations()
    quantizer = BlockQuantizer(x, plain(5), step=0.5, stride=stride)
    symbols = quantizer.symbols(x)
    assert symbols.dtype == torch.uint8
    assert int(symbols.max()) < 1 << BITS
    error = quantizer.reconstruct(symbols) - x
    assert float(error.square().mean()) < 1.2 * 0.5**2 / 12
    assert error.mean((0, 2, 3)).abs().max() < 1e-5


def test_steps_grow_where_the_grid_would_end_too_early() -> None:
    quantizer = BlockQuantizer(activations(scale=100.0), plain(5), step=0.5, stride=1)
    assert (quantizer.scale > 5.0).all()
    coarse = BlockQuantizer(activations(), plain(5), step=4.0, stride=1)
    assert (coarse.scale >= 4.0).all()


def test_components_that_hardly_ever_matter_do_not_cross() -> None:
    x = activations()
    x[:, 2:] *= 1e-3
    assert len(BlockQuantizer(x, plain(5), step=0.5, stride=1).scale) == 2
    assert len(BlockQuantizer(x, plain(5), step=1000.0, stride=1).scale) == 1  # one always does


def test_sensitive_channels_have_finer_steps() -> None:
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    sensitivity = Sensitivity(torch.diag(torch.tensor([1.0, 4.0, 16.0]).double()), torch.ones(1, 1))
    quantizer = ChannelQuantizer(x, sensitivity, step=2.0, signed=True)
    torch.testing.assert_close(quantizer.scale, torch.tensor([2.0, 1.0, 0.5]))
    assert quantizer.zero == ZERO
    assert (quantizer.reconstruct(quantizer.symbols(x)) - x).abs().max() <= 1.0


def test_unsigned_activations_use_the_whole_grid() -> None:
    x = torch.rand(300, 2, 3, 3) * 6
    quantizer = ChannelQuantizer(x, plain(2, 3, 3), step=0.1, signed=False)
    assert quantizer.zero == 0
    assert int(quantizer.symbols(x).max()) == (1 << BITS) - 1
