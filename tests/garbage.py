"""What only the garbage collector can free."""

import gc
from collections.abc import Callable

__all__ = ["garbage_of"]


def garbage_of(action: Callable[[], object]) -> int:
    """How many objects `action` leaves in cycles."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        action()
        return gc.collect()
    finally:
        if was_enabled:
            gc.enable()
