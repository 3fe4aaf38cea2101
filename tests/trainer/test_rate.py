import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splitwire.predictor import Predictor
from splitwire.rans import encode_symbols
from splitwire.tables import SymbolTables, contexts
from tests.kernel.test_tables import alike, smooth_maps
from trainer.rate import RateModel, worth_coding


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
    assert RateModel((3, 2, 2), 4, 8).costs().shape == (3, 17, 16)
    assert RateModel((65, 2, 2), 4, 8).costs().shape == (65, 9, 16), "too many for a predictor"
    for shape, bits in (((3, 2, 2), 6), ((3, 64, 64), 4)):
        model = RateModel(shape, bits, 8)
        assert model.costs().shape == (3, 1, 1 << bits), "as zstd, which knows no neighbours"


def test_without_contexts_a_symbols_row_is_its_channels() -> None:
    symbols = torch.randint(0, 64, (4, 3, 2, 2)).to(torch.uint8)
    model = RateModel((3, 2, 2), 6, 32)
    assert model.rows(symbols)[1, :, 0, 1].tolist() == [0, 1, 2]
    observe(model, symbols)
    assert model.update() == pytest.approx(6.0 * symbols.numel())


@pytest.mark.parametrize("steps", [3, 4, 16, 400])
def test_tables_are_those_of_a_coder_for_what_occurs(steps: int) -> None:
    symbols = torch.from_numpy(alike(smooth_maps(rows=60)))
    model = fitted(symbols, bits=4, zero=8, times=steps)
    coder = SymbolTables.fit_predicted(symbols.numpy(), bits=4, zero=8)
    assert coder.predictor is not None
    if steps < 4:
        assert torch.equal(model.bias, torch.full((3,), 8.0)), "as it began"
        return
    assert np.abs(model.weights.flatten(2).numpy() - coder.predictor.weights).max() <= 1
    assert np.abs(model.bias.numpy() - coder.predictor.bias).max() <= 1
    observe(model, symbols)
    assert model.update() == pytest.approx(coder.bits(symbols.numpy(), 8), rel=0.02)


def test_a_row_without_a_symbol_stays_as_it_is() -> None:
    model = fitted(torch.zeros(4, 2, 3, 3, dtype=torch.uint8), times=3)
    assert model.frequencies[1, 8].tolist() == pytest.approx([1 - 0.75 * 0.95**3, *[0.25 * 0.95**3] * 3])
    assert model.frequencies[1, 9].tolist() == [0.25] * 4


@settings(max_examples=20)
@given(st.integers(0, 1000), st.booleans())
def test_contexts_are_those_of_the_coder(seed: int, begun: bool) -> None:
    symbols = random_symbols(seed)
    model = RateModel((2, 3, 3), 2, 1) if begun else fitted(random_symbols(seed + 1), zero=1, times=4)
    predictor = Predictor(model.weights.flatten(2).numpy().astype(int), model.bias.numpy().astype(int))
    rows = predictor.contexts(symbols.numpy().astype(int) - 1) + 17 * np.arange(2).reshape(2, 1, 1)
    assert model.rows(symbols).tolist() == rows.tolist()


def test_many_channels_have_the_contexts_of_tables_without_a_predictor() -> None:
    symbols = torch.randint(0, 4, (2, 65, 3, 3)).to(torch.uint8)
    rows = contexts(symbols.numpy(), 1) + 9 * np.arange(65).reshape(65, 1, 1)
    assert RateModel((65, 3, 3), 2, 1).rows(symbols).tolist() == rows.tolist()


def test_each_epoch_fits_the_predictor_to_its_own_symbols() -> None:
    """What a resumed run, which saw none of the epoch before, does too."""
    first, second = random_symbols(5, rows=64), torch.from_numpy(smooth_maps(rows=64)[:, :2, :3, :3] % 4)
    one, other = fitted(first, times=3), fitted(first, times=3)
    other.load_state_dict(one.state_dict())
    one.begin_epoch()
    other.begin_epoch()
    for model in (one, other):
        for _ in range(4):
            observe(model, second)
            model.update()
    assert not torch.equal(one.bias, torch.full((2,), 8.0)), "it was fitted"
    assert torch.equal(one.bias, other.bias)
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.frequencies, other.frequencies)


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
        assert torch.equal(other.costs(), torch.full((2, 17, 4), 2.0))
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
    levels = torch.tensor([-0.5, 0.0, 0.9, 1.5, 2.5, 3.0, 7.0, math.inf, math.nan]).view(-1, 1)
    rows = torch.zeros(9, 1, dtype=torch.long)
    expected = [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert model.slopes(rows, levels).flatten().tolist() == expected


def test_slopes_are_those_of_the_context() -> None:
    model = RateModel((1, 1, 2), 2, 1)
    model.frequencies[0, 8] = torch.tensor([0.25, 0.5, 0.125, 0.125])  # nothing to the left
    model.frequencies[0, 9] = torch.tensor([0.125, 0.125, 0.5, 0.25])  # one more than zero
    symbols = torch.tensor([2, 1], dtype=torch.uint8).view(1, 1, 1, 2)
    rows = model.rows(symbols)
    assert rows.flatten().tolist() == [8, 9]
    assert model.slopes(rows, torch.full((1, 1, 1, 2), 1.2)).flatten().tolist() == [2.0, -2.0]


def test_never_seen_is_dear_and_finite() -> None:
    model = fitted(torch.zeros(4, 1, dtype=torch.uint8), times=3000)
    assert model.costs()[0, 0].tolist() == pytest.approx([0.0, 14.0, 14.0, 14.0], abs=0.01)


@pytest.mark.parametrize(
    ("shape", "bits", "worth"),
    [
        ((24, 8, 8), 4, True),
        ((1280,), 5, True),
        ((256, 4, 4), 5, True),
        ((1024, 2, 2), 5, False),  # more than a manifest has room for
        ((24, 16, 16), 4, False),
        ((24, 8, 8), 6, False),
    ],
)
def test_tables_are_for_few_and_narrow_symbols(shape: tuple[int, ...], bits: int, worth: bool) -> None:
    assert worth_coding(shape, bits) is worth
