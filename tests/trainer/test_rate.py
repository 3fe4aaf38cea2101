import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.rate import RateModel


def observed(*batches: torch.Tensor, channels: int = 2, bits: int = 2, times: int = 400) -> RateModel:
    model = RateModel(channels, bits)
    for _ in range(times):
        for batch in batches:
            model.observe(batch)
        model.update()
    return model


def random_symbols(seed: int, *, rows: int = 8) -> torch.Tensor:
    return torch.randint(0, 4, (rows, 2, 3, 3), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def test_starts_with_all_symbols_alike() -> None:
    assert torch.equal(RateModel(3, 4).costs(), torch.full((3, 16), 4.0))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_tables_become_what_occurs_in_each_channel(seed: int) -> None:
    symbols = random_symbols(seed)
    model = observed(symbols)
    for channel in range(2):
        shares = (
            torch.bincount(symbols[:, channel].flatten().long(), minlength=4) / symbols[:, channel].numel()
        )
        torch.testing.assert_close(model.frequencies[channel], shares, atol=1e-4, rtol=0)


def test_an_update_tells_the_bits_of_what_was_observed_by_the_tables_of_before() -> None:
    model = RateModel(2, 2)
    symbols = random_symbols(0)
    model.observe(symbols[:3])
    model.observe(symbols[3:])
    assert model.update() == pytest.approx(2.0 * symbols.numel())
    assert model.update() == 0.0, "each is told once"


def test_parts_of_a_batch_see_the_same_tables_in_any_order() -> None:
    symbols = random_symbols(1)
    one, other = RateModel(2, 2), RateModel(2, 2)
    one.observe(symbols)
    for part in (symbols[5:], symbols[:5]):
        other.observe(part)
        assert torch.equal(other.costs(), torch.full((2, 4), 2.0))
    assert one.update() == other.update()
    assert torch.equal(one.frequencies, other.frequencies)


def test_the_estimate_is_the_entropy_once_the_tables_are_right() -> None:
    symbols = torch.tensor([0] * 12 + [1] * 4).to(torch.uint8).view(16, 1, 1, 1)
    model = observed(symbols, channels=1, bits=2)
    model.observe(symbols)
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert model.update() == pytest.approx(16 * entropy, rel=1e-3)


def test_slopes_are_differences_of_costs() -> None:
    model = RateModel(1, 2)
    model.frequencies.copy_(torch.tensor([[0.5, 0.25, 0.125, 0.125]]))  # 1, 2, 3 and 3 bits
    levels = torch.tensor([-0.5, 0.0, 0.9, 1.5, 2.5, 3.0, 7.0]).view(1, 1, -1, 1)
    assert model.slopes(levels).flatten().tolist() == [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_never_seen_is_dear_and_finite() -> None:
    model = observed(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), channels=1, times=3000)
    assert model.costs()[0].tolist() == pytest.approx([0.0, 14.0, 14.0, 14.0], abs=0.01)
