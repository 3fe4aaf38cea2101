"""Who waits for which reply of one stream, told apart by ids that are short.

As a varint an id takes one byte below 128, and three from 16384: a counter would soon cost a small payload
1 % of its bytes. So the short ids go round. Not the smallest that is free, which a lone client would use
again and again: a reply that came twice would be the next request's.
"""

import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from queue import SimpleQueue
from typing import Generic, TypeVar

__all__ = ["Mailboxes"]

_T = TypeVar("_T")

#: How many ids take one byte.
_SHORT = 128


class Mailboxes(Generic[_T]):
    """For any number of threads.

    An id is taken from `open` until its reply came, or until it is certain that none will. A caller who
    gives up leaves it taken: its reply may be late, and would else be given to whoever had the id next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By id, of all that are taken. None: its caller has given up.
        self._waiting: dict[int, SimpleQueue[_T] | None] = {}
        self._free = deque(range(_SHORT))
        self._long = count(_SHORT)

    def open(self) -> tuple[int, SimpleQueue[_T]]:
        """An id, and where its reply will be found."""
        mailbox: SimpleQueue[_T] = SimpleQueue()
        with self._lock:
            taken = self._free.popleft() if self._free else next(self._long)
            self._waiting[taken] = mailbox
        return taken, mailbox

    def deliver(self, taken: int, reply: _T) -> None:
        """Nobody waits for an id that was not taken, nor for one that was given up."""
        with self._lock:
            mailbox = self._release(taken)
        if mailbox is not None:
            mailbox.put(reply)

    def give_up(self, taken: int, mailbox: SimpleQueue[_T]) -> None:
        """Its reply will be dropped; if it came already, nothing changes."""
        with self._lock:
            if self._waiting.get(taken) is mailbox:
                self._waiting[taken] = None

    def wanted(self, taken: int) -> bool:
        """Whether its caller still waits. If not, it must not be sent: the id is free again."""
        with self._lock:
            if self._waiting.get(taken) is not None:
                return True
            self._release(taken)
            return False

    def fail(self, reply: Callable[[], _T]) -> None:
        """Deliver one to each who waits now."""
        with self._lock:
            waiting = [mailbox for mailbox in self._waiting.values() if mailbox is not None]
        for mailbox in waiting:
            mailbox.put(reply())

    def _release(self, taken: int) -> SimpleQueue[_T] | None:
        """Only short ones are used again."""
        if taken in self._waiting and taken < _SHORT:
            self._free.append(taken)
        return self._waiting.pop(taken, None)
