import torch
from torch import Tensor

from trainer.post_training.sensitivity import measure_sensitivity


def test_of_a_linear_classifier_it_is_known() -> None:
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    x = torch.zeros(3000, 6)  # every image is believed to be of each class alike
    found = measure_sensitivity(lambda x: x @ weight.T, x, seed=0, progress=False).channels
    p = torch.full((4,), 0.25)
    exact = (weight.T @ (torch.diag(p) - torch.outer(p, p)) @ weight).double()
    assert (found - exact).norm() < 0.05 * exact.norm()


def test_a_position_that_nobody_reads_counts_nothing() -> None:
    def rest(x: Tensor) -> Tensor:
        return x[:, :, 0].mean(2)

    found = measure_sensitivity(rest, torch.randn(20, 3, 2, 2), seed=0, progress=False)
    torch.testing.assert_close(found.positions, torch.tensor([[2.0, 2.0], [0.0, 0.0]]).double())


def test_the_same_seed_draws_the_same() -> None:
    x = torch.randn(30, 3, 2, 2)

    def measure(seed: int) -> Tensor:
        return measure_sensitivity(lambda x: x.mean((2, 3)), x, seed=seed, progress=False).channels

    assert torch.equal(measure(1), measure(1))
    assert not torch.equal(measure(1), measure(2))
