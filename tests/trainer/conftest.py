"""What the trainer's tests share."""

import pytest
import torch
from hypothesis import settings

__all__ = ["one_thread"]

# The first example of a test may be the first use of a torch kernel, which takes long on a busy machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks are slower on several threads, and much slower where other programs use the cores too."""
    torch.set_num_threads(1)
