import threading
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torchgpipe import GPipe

from trainer.workers import spare_threads


class _Noting(nn.Module):
    """Passes on what comes, and notes which thread called."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[threading.Thread] = []

    def forward(self, x: Tensor) -> Tensor:
        self.callers.append(threading.current_thread())
        if bool(torch.isnan(x).any()):
            raise ValueError("not a number")
        return x + 1


@pytest.fixture
def layers() -> list[_Noting]:
    spare_threads()
    return [_Noting(), _Noting()]


def pipeline(layers: list[_Noting], chunks: int) -> GPipe:
    named = OrderedDict[str, nn.Module]((str(i), layer) for i, layer in enumerate(layers))
    return GPipe(nn.Sequential(named), [1, 1], devices=["cpu", "cpu"], chunks=chunks)


@pytest.mark.parametrize("chunks", [1, 3])
def test_on_one_device_the_caller_computes(layers: list[_Noting], chunks: int) -> None:
    x = torch.arange(6.0)[:, None]
    assert torch.equal(pipeline(layers, chunks)(x), x + 2)
    for layer in layers:
        assert layer.callers == [threading.current_thread()] * chunks


def test_what_a_layer_raises_is_raised_and_the_next_call_works(layers: list[_Noting]) -> None:
    pipe = pipeline(layers, 2)
    with pytest.raises(ValueError, match="not a number"):
        pipe(torch.tensor([[1.0], [torch.nan]]))
    assert torch.equal(pipe(torch.zeros(2, 1)), torch.full((2, 1), 2.0))
