"""A connection's bytes that are written in one turn of the event loop, sent together."""

import asyncio
from typing import Any

__all__ = ["UNREAD_SECONDS", "GatheringTransport"]

#: How long answers that their client does not read may keep a connection: some 50 KB, over the slowest link.
UNREAD_SECONDS = 8.0


class GatheringTransport(asyncio.Transport):
    """Around another transport: what is written goes out as one write at the end of the loop's turn.

    An answer's head and its body are written apart. As two segments they cost two system calls, and wake the
    client twice. As much of a transport as HTTP/1.1 needs.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._written: list[bytes] = []

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        if data:
            if not self._written:
                self._loop.call_soon(self.flush)
            self._written.append(bytes(data))

    def close(self) -> None:
        """Once all that was written is sent, if that is soon."""
        self.flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(UNREAD_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """At once; what has not been sent is lost."""
        self._written.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def flush(self) -> None:
        """Send what was written, now."""
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(b"".join(written))
