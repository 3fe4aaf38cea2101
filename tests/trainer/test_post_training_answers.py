import pytest
import torch

from trainer.post_training.answers import compare_answers


def test_equal_answers_lose_nothing() -> None:
    logits = torch.randn(9, 5)
    found = compare_answers(logits, logits.clone())
    assert (found.drop, found.error, found.same) == (0.0, 0.0, 100.0)
    assert found.divergence == pytest.approx(0.0, abs=1e-6)


def test_a_changed_label_loses_the_difference_of_the_beliefs() -> None:
    unsplit = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]).log()
    split = torch.tensor([[0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]).log()
    found = compare_answers(unsplit, split)
    believed = torch.tensor([0.7, 0.2, 0.1]).pow(1 / 0.6)
    lost = float(believed[0] - believed[1]) / float(believed.sum())
    assert found.drop == pytest.approx(100 * lost / 2, rel=1e-5)
    assert found.error == pytest.approx(100 * lost / 2 / 2**0.5, rel=1e-5)
    assert found.bound == pytest.approx(found.drop + 2 * found.error)
    assert found.same == 50.0
    expected = [
        sum(p * torch.log(torch.tensor(p / q)).item() for p, q in zip(row, other, strict=True))
        for row, other in (((0.7, 0.2, 0.1), (0.2, 0.7, 0.1)), ((0.6, 0.3, 0.1), (0.5, 0.4, 0.1)))
    ]
    assert found.divergence == pytest.approx(sum(expected) / 2, abs=1e-5)
