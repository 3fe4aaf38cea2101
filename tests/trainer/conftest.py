"""What the trainer's tests share."""

import pytest
import torch

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks are slower on several threads, and much slower where other programs use the cores too."""
    torch.set_num_threads(1)
