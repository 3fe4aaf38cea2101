"""torchgpipe's workers, without threads where all partitions share one device.

torchgpipe starts a thread a device for every forward pass. One device has no two partitions that could run at
the same time, so there the thread buys nothing, and it costs: a thread that is new knows none of what
libraries keep by thread. cuDNN plans every convolution anew, which took longer than to compute them, and on
a CPU a second team of OpenMP threads shares the cores with the first.
"""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
import torchgpipe.pipeline
from torchgpipe.stream import use_device
from torchgpipe.worker import spawn_workers

__all__ = ["spare_threads"]


def spare_threads() -> None:
    """From here on, every GPipe on one device computes in the thread that calls it."""
    torchgpipe.pipeline.spawn_workers = _workers  # type: ignore[attr-defined, assignment]


def _workers(devices: Sequence[torch.device]) -> AbstractContextManager[tuple[list[Any], list[Any]]]:
    return _caller(devices) if len(set(devices)) == 1 else spawn_workers(list(devices))


@contextmanager
def _caller(devices: Sequence[torch.device]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Queues of tasks and of results, for each device, as torchgpipe's: they are all the same one."""
    queues = [_Computed(devices[0])] * len(devices)
    yield queues, queues


class _Computed:
    """A queue of tasks that are computed when they are put, and of their results, in that order."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._results: deque[tuple[bool, Any]] = deque()

    def put(self, task: Any) -> None:
        try:
            with use_device(self._device):
                self._results.append((True, (task, task.compute())))
        except Exception:  # torchgpipe raises it, once the other micro-batches of the cycle are done
            self._results.append((False, sys.exc_info()))

    def get(self) -> tuple[bool, Any]:
        return self._results.popleft()
