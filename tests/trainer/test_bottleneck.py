from collections.abc import Callable

import pytest
import torch
from torch import nn

from splitwire.errors import ConfigError
from trainer.bottleneck import bottleneck_shape, make_decoder, make_encoder
from trainer.config import Bottleneck


@pytest.mark.parametrize(
    ("shape", "bottleneck", "expected"),
    [
        ((16, 8, 8), Bottleneck(6), (6, 8, 8)),
        ((16, 8, 8), Bottleneck(6, 2), (6, 4, 4)),
        ((16, 8, 12), Bottleneck(3, 4), (3, 2, 3)),
        ((4, 4, 4), Bottleneck(4), (4, 4, 4)),
        ((40,), Bottleneck(8), (8,)),
        ((16, 8, 8), Bottleneck(6, 2, blocks=2, encoder_blocks=2), (6, 4, 4)),
    ],
)
def test_there_and_back(shape: tuple[int, ...], bottleneck: Bottleneck, expected: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder, decoder = make_encoder(shape, bottleneck), make_decoder(shape, bottleneck)
    x = torch.randn(64, *shape)
    crossing = encoder(x)
    assert bottleneck_shape(shape, bottleneck) == expected
    assert crossing.shape == (64, *expected)
    assert decoder(crossing).shape == x.shape
    if expected != shape:  # an equal shape has a residual around it
        by_channel = crossing.detach().movedim(1, 0).flatten(1)
        torch.testing.assert_close(by_channel.mean(1), torch.zeros(expected[0]), atol=1e-4, rtol=0)
        torch.testing.assert_close(by_channel.std(1), torch.ones(expected[0]), atol=0.02, rtol=0)


@pytest.mark.parametrize(("shape", "bottleneck"), [((16, 9, 8), Bottleneck(6, 2)), ((40,), Bottleneck(6, 2))])
def test_a_stride_that_does_not_fit_is_refused(shape: tuple[int, ...], bottleneck: Bottleneck) -> None:
    with pytest.raises(ConfigError, match="stride 2 does not fit"):
        bottleneck_shape(shape, bottleneck)


@pytest.mark.parametrize("bottleneck", [Bottleneck(6, blocks=1), Bottleneck(6, encoder_blocks=1)])
def test_blocks_for_a_vector_are_refused(bottleneck: Bottleneck) -> None:
    with pytest.raises(ConfigError, match="blocks of a bottleneck are for maps"):
        bottleneck_shape((40,), bottleneck)


@pytest.mark.parametrize(("make", "inputs"), [(make_decoder, (6, 4, 4)), (make_encoder, (16, 8, 8))])
def test_blocks_refine_nothing_before_they_learned_to(
    make: Callable[..., nn.Module], inputs: tuple[int, ...]
) -> None:
    plain, refined = (make((16, 8, 8), Bottleneck(6, 2, blocks=n, encoder_blocks=n)).eval() for n in (0, 3))
    lacking = refined.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert {name.partition(".")[0] for name in lacking} == {"refining0", "refining1", "refining2"}
    x = torch.randn(4, *inputs)
    with torch.no_grad():
        assert torch.equal(refined(x), plain(x))
        for block in lacking:
            if block.endswith("conv.3.weight"):
                refined.get_parameter(block).fill_(1.0)
        assert not torch.equal(refined(x), plain(x))


@pytest.mark.parametrize(
    ("shape", "bottleneck"),
    [
        ((16, 8, 8), Bottleneck(6, 2)),
        ((16, 8, 8), Bottleneck(6, 2, blocks=1, encoder_blocks=1)),
        ((40,), Bottleneck(8)),
    ],
)
def test_learns_to_bring_over_what_fits(shape: tuple[int, ...], bottleneck: Bottleneck) -> None:
    """Maps and vectors of rank 2: a bottleneck of more than that can carry them."""
    torch.manual_seed(0)
    pattern = torch.randn(2, *shape)
    module = nn.Sequential(make_encoder(shape, bottleneck), make_decoder(shape, bottleneck))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        x = torch.einsum("nr,r...->n...", torch.randn(32, 2), pattern)
        loss = (module(x) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
