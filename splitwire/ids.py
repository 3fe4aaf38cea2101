"""Ids that tell things apart and guard nothing, made within the process.

What `secrets` and `uuid4` make asks the system each time, and Python hands its lock over for as long: under
load the event loop then waits for it among the threads that compute, twice for each request turned away.
"""

import random
import secrets
import uuid

__all__ = ["new_bytes", "new_uuid"]

_random = random.Random(secrets.randbits(256))  # noqa: S311  # these guard nothing


def new_bytes(count: int) -> bytes:
    """So many random bytes. From any thread."""
    return _random.randbytes(count)


def new_uuid() -> uuid.UUID:
    """Version 4: RFC 9562, section 5.4."""
    return uuid.UUID(bytes=new_bytes(16), version=4)
