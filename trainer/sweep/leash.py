"""A training that ends when the command that started it does, however that ended: standard input is a pipe
of the command's, and its end is the command's end."""

import os
import signal
import threading
import time

from trainer.__main__ import main

__all__ = ["train"]

#: For the answer to an interrupt; every epoch has left a checkpoint, so that nothing is lost by force.
_GRACE_SECONDS = 10.0

_STDIN, _CHUNK, _INTERRUPTED = 0, 1024, 130


def train() -> int:
    """What the words of this process ask `trainer` for; the exit status."""
    threading.Thread(target=_follow, daemon=True).start()
    return main()


def _follow() -> None:
    # Not sys.stdin, whose lock this thread would still hold when the interpreter ends.
    while os.read(_STDIN, _CHUNK):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_GRACE_SECONDS)
    os._exit(_INTERRUPTED)
