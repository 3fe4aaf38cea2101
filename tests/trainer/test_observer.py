import torch

from trainer.observer import RootMeanSquare


def test_of_all_that_was_observed_and_then_anew() -> None:
    x = torch.randn((7, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    observer = RootMeanSquare(3)
    for _ in range(2):
        for part in x.split(2):
            observer.observe(part.bfloat16().float())
        torch.testing.assert_close(observer.take(), x.bfloat16().float().square().mean((0, 2, 3)).sqrt())
    assert observer.take().tolist() == [0.0, 0.0, 0.0]
