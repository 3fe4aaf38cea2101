import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainer.muon import Muon, orthogonalize


@given(st.integers(1, 3), st.integers(1, 40), st.integers(0, 20), st.integers(0, 2**31))
def test_orthogonal_is_near_orthogonal(count: int, rows: int, more: int, seed: int) -> None:
    shape = (count, rows, rows + more)
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    results = orthogonalize(matrices)
    assert results.shape == matrices.shape
    assert results.dtype == torch.float32
    for matrix, result in zip(matrices, results, strict=True):
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        clear = values > 0.1 * values.max()  # smaller ones are still on their way after five steps
        found = (left.mT @ result @ right.mT).diagonal()[clear]
        assert bool(((found > 0.5) & (found < 1.4)).all())


def test_of_zeros_is_zeros() -> None:
    assert not orthogonalize(torch.zeros(1, 3, 4)).any()


@pytest.mark.parametrize("shape", [(6, 4, 1, 1), (4, 6, 1, 1), (5, 3, 3, 3)])
def test_a_step_turns_and_keeps_the_norm(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(shape))
    before = weight.detach().clone()
    optimizer = Muon([weight], lr=0.01, momentum=0.9)
    weight.grad = torch.randn(shape)
    optimizer.step()
    assert torch.allclose(weight.norm(), before.norm(), rtol=1e-5)
    moved = float((weight.detach() - before).norm() / before.norm())
    assert moved == pytest.approx(0.01, rel=0.1)
    assert float((weight.detach() - before).flatten() @ weight.grad.flatten()) < 0


def test_the_norm_is_that_of_the_first_step() -> None:
    """Weights are often loaded after the optimizer was made."""
    weight = nn.Parameter(torch.ones(3, 3))
    optimizer = Muon([weight], lr=0.1, momentum=0.9)
    weight.data.mul_(5)
    weight.grad = torch.eye(3)
    optimizer.step()
    assert float(weight.detach().norm()) == pytest.approx(15.0)


def test_descends() -> None:
    """Finds the direction of a hidden matrix; its norm cannot change, and need not."""
    torch.manual_seed(0)
    hidden, x = torch.randn(5, 7), torch.randn(200, 7)
    weight = nn.Parameter(torch.randn(5, 7))
    optimizer = Muon([weight], lr=0.02, momentum=0.9)

    def similarity() -> float:
        return float(nn.functional.cosine_similarity((x @ weight.T), (x @ hidden.T), dim=1).mean().detach())

    before = similarity()
    for _ in range(150):
        loss = -nn.functional.cosine_similarity(x @ weight.T, x @ hidden.T, dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before < 0.5
    assert similarity() > 0.98


def test_what_has_no_gradient_stays() -> None:
    weight = nn.Parameter(torch.randn(3, 3))
    before = weight.detach().clone()
    Muon([weight], lr=0.1, momentum=0.9).step()
    assert torch.equal(weight, before)


def test_continues_from_its_state() -> None:
    def run(steps: int, weight: nn.Parameter, optimizer: Muon, first: int = 0) -> None:
        for i in range(first, steps):
            weight.grad = torch.randn(4, 3, generator=torch.Generator().manual_seed(i))
            optimizer.step()

    whole, half, resumed = (nn.Parameter(torch.ones(4, 3)) for _ in range(3))
    run(6, whole, Muon([whole], lr=0.1, momentum=0.9))
    optimizer = Muon([half], lr=0.1, momentum=0.9)
    run(3, half, optimizer)
    resumed.data.copy_(half.data)
    other = Muon([resumed], lr=0.5, momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    run(6, resumed, other, first=3)
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize("bf16", [True, False])
def test_weights_of_one_shape_move_as_each_would_alone(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide and tall ones together, with and without instructions for bfloat16."""
    monkeypatch.setattr("trainer.muon.has_bf16", lambda _device: bf16)
    torch.manual_seed(0)
    shapes = [(6, 4, 1, 1), (4, 6), (4, 6), (6, 2, 1, 2), (5, 5)]
    start = [torch.randn(shape) for shape in shapes]
    gradients = [torch.randn(shape) for shape in shapes]

    def step(tensors: list[torch.Tensor], of: list[torch.Tensor]) -> list[nn.Parameter]:
        weights = [nn.Parameter(tensor.clone()) for tensor in tensors]
        optimizer = Muon(weights, lr=0.1, momentum=0.9)
        for _ in range(2):
            for weight, gradient in zip(weights, of, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        return weights

    together = step(start, gradients)
    for i, weight in enumerate(together):
        (alone,) = step(start[i : i + 1], gradients[i : i + 1])
        assert torch.allclose(weight, alone, atol=2e-3 if bf16 else 1e-5)
        assert not torch.allclose(weight, start[i], atol=1e-2)
