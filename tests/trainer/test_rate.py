import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splitwire.rans import encode_symbols
from splitwire.tables import SymbolTables, contexts
from tests.kernel.test_tables import smooth_maps
from trainer.rate import RateModel


def observe(model: RateModel, symbols: torch.Tensor) -> None:
    model.observe(model.rows(symbols), symbols)


def fitted(symbols: torch.Tensor, *, bits: int = 2, zero: int = 0, times: int = 400) -> RateModel:
    model = RateModel(tuple(symbols.shape[1:]), bits, zero)
    for _ in range(times):
        observe(model, symbols)
        model.update()
    return model


def random_symbols(seed: int, *, rows: int = 8) -> torch.Tensor:
    return torch.randint(0, 4, (rows, 2, 3, 3), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def test_starts_with_all_symbols_alike() -> None:
    assert torch.equal(RateModel((3,), 4, 8).costs(), torch.full((3, 1, 16), 4.0))
    assert RateModel((3, 2, 2), 4, 8).costs().shape == (3, 9, 16)
    for shape, bits in (((3, 2, 2), 6), ((3, 64, 64), 4)):
        model = RateModel(shape, bits, 8)
        assert model.costs().shape == (3, 1, 1 << bits), "as zstd, which knows no neighbours"


def test_without_contexts_a_symbols_row_is_its_channels() -> None:
    symbols = torch.randint(0, 64, (4, 3, 2, 2)).to(torch.uint8)
    model = RateModel((3, 2, 2), 6, 32)
    assert model.rows(symbols)[1, :, 0, 1].tolist() == [0, 1, 2]
    observe(model, symbols)
    assert model.update() == pytest.approx(6.0 * symbols.numel())


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_tables_become_what_occurs_in_each_channel_and_context(seed: int) -> None:
    symbols = random_symbols(seed)
    model = fitted(symbols, zero=1)
    within = contexts(symbols.numpy(), 1)
    for channel, context in np.ndindex(2, 9):
        found = symbols.numpy()[:, channel][within[:, channel] == context]
        if found.size:
            shares = torch.from_numpy(np.bincount(found, minlength=4) / found.size).float()
            torch.testing.assert_close(model.frequencies[channel, context], shares, atol=1e-4, rtol=0)
        else:
            assert model.frequencies[channel, context].tolist() == [0.25] * 4, "as it began"


def test_contexts_are_those_of_the_coder() -> None:
    symbols = random_symbols(3)
    model = RateModel((2, 3, 3), 2, 1)
    rows = contexts(symbols.numpy(), 1) + 9 * np.arange(2).reshape(2, 1, 1)
    assert model.rows(symbols).tolist() == rows.tolist()


def test_an_update_tells_the_bits_of_what_was_observed_by_the_tables_of_before() -> None:
    model = RateModel((2, 3, 3), 2, 0)
    symbols = random_symbols(0)
    observe(model, symbols[:3])
    observe(model, symbols[3:])
    assert model.update() == pytest.approx(2.0 * symbols.numel())
    assert model.update() == 0.0, "each is told once"


def test_parts_of_a_batch_see_the_same_tables_in_any_order() -> None:
    symbols = random_symbols(1)
    one, other = RateModel((2, 3, 3), 2, 0), RateModel((2, 3, 3), 2, 0)
    observe(one, symbols)
    for part in (symbols[5:], symbols[:5]):
        observe(other, part)
        assert torch.equal(other.costs(), torch.full((2, 9, 4), 2.0))
    assert one.update() == other.update()
    assert torch.equal(one.frequencies, other.frequencies)


def test_the_estimate_is_the_entropy_once_the_tables_are_right() -> None:
    symbols = torch.tensor([0] * 12 + [1] * 4).to(torch.uint8).view(16, 1)
    model = fitted(symbols)
    observe(model, symbols)
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert model.update() == pytest.approx(16 * entropy, rel=1e-3)


def test_the_estimate_is_what_the_coder_spends() -> None:
    symbols = smooth_maps(rows=64, channels=6)
    model = fitted(torch.from_numpy(symbols), bits=4, zero=8)
    observe(model, torch.from_numpy(symbols))
    tables = SymbolTables.fit(symbols, bits=4, zero=8)
    spent = sum(len(encode_symbols(sample[None], tables, 8)) for sample in symbols)
    assert model.update() / 8 == pytest.approx(spent, rel=0.05)


def test_slopes_are_differences_of_costs() -> None:
    model = RateModel((1,), 2, 0)
    model.frequencies.copy_(torch.tensor([0.5, 0.25, 0.125, 0.125]))  # 1, 2, 3 and 3 bits
    levels = torch.tensor([-0.5, 0.0, 0.9, 1.5, 2.5, 3.0, 7.0]).view(-1, 1)
    rows = torch.zeros(7, 1, dtype=torch.long)
    assert model.slopes(rows, levels).flatten().tolist() == [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_slopes_are_those_of_the_context() -> None:
    model = RateModel((1, 1, 2), 2, 1)
    model.frequencies[0, 4] = torch.tensor([0.25, 0.5, 0.125, 0.125])  # nothing to the left
    model.frequencies[0, 5] = torch.tensor([0.125, 0.125, 0.5, 0.25])  # one more than zero
    symbols = torch.tensor([2, 1], dtype=torch.uint8).view(1, 1, 1, 2)
    rows = model.rows(symbols)
    assert rows.flatten().tolist() == [4, 5]
    assert model.slopes(rows, torch.full((1, 1, 1, 2), 1.2)).flatten().tolist() == [2.0, -2.0]


def test_never_seen_is_dear_and_finite() -> None:
    model = fitted(torch.zeros(4, 1, dtype=torch.uint8), times=3000)
    assert model.costs()[0, 0].tolist() == pytest.approx([0.0, 14.0, 14.0, 14.0], abs=0.01)
