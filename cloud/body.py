"""The body: a frame of uplink symbols in, a frame of downlink symbols out."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from splitwire.bundle import Bundle
from splitwire.errors import DeadlineExceeded
from splitwire.frame import Frame, decode, encode

__all__ = ["Body", "Computed"]

#: A computation that is expected to take no longer may hold up the event loop.
_BRIEF_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class Computed:
    """The downlink frame, and where the time went, in nanoseconds."""

    frame: Frame
    queue_ns: int
    decode_ns: int
    compute_ns: int
    encode_ns: int


class Body:
    """A bundle's body graph behind a pool of `workers` threads.

    Unpacking, the graph and packing run in one worker thread without a hand-over in between;
    zstd and ONNX Runtime release the interpreter lock, so workers do run side by side.

    With one worker, a request that is alone and will be brief is computed by its caller, in the event loop:
    nothing could have run beside it, and the two changes of thread cost a lone image some 0.4 ms.

    Raises:
        GraphError: the body graph cannot be loaded or run, or does not fit its manifest.
    """

    def __init__(self, bundle: Bundle, *, threads: int, workers: int, max_rows: int) -> None:
        self._uplink = bundle.manifest.uplink
        self._downlink = bundle.manifest.downlink
        self._max_rows = max_rows
        self._engine = bundle.engine("body", threads=threads)
        self._engine.warm_up()
        self._may_borrow = workers == 1
        self._latest_ns = _BRIEF_NS + 1  # how long the latest computation took, of any number of rows
        self._in_flight = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="body")

    async def forward(self, frame: Frame, *, arrived_ns: int, expires_ns: int | None = None) -> Computed:
        """Compute one frame. Times are those of `time.perf_counter_ns`; None never expires.

        Raises:
            FrameError: the frame is not one of this bundle's uplink.
            DeadlineExceeded: it expired before a worker was free; nothing was computed.
        """
        self._in_flight += 1
        try:
            if self._in_flight == 1 and self._may_borrow and self._will_be_brief(frame):
                return self._forward(frame, arrived_ns, expires_ns)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._forward, frame, arrived_ns, expires_ns)
        finally:
            self._in_flight -= 1

    def close(self) -> None:
        """Drop what still waits for a worker; a computation that has begun runs to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> "Body":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _will_be_brief(self, frame: Frame) -> bool:
        return frame.shape[:1] == (1,) and self._latest_ns <= _BRIEF_NS

    def _forward(self, frame: Frame, arrived_ns: int, expires_ns: int | None) -> Computed:
        clock = time.perf_counter_ns
        began = clock()
        if expires_ns is not None and began >= expires_ns:
            allowed, waited = (expires_ns - arrived_ns) // 1_000_000, (began - arrived_ns) // 1_000_000
            raise DeadlineExceeded(f"the request may wait {allowed} ms for a worker, and waited {waited} ms")
        symbols = decode(frame, self._uplink, max_rows=self._max_rows)
        decoded = clock()
        returned = self._engine.run(symbols)
        computed = clock()
        reply = encode(returned, self._downlink)
        encoded = clock()
        self._latest_ns = encoded - began
        return Computed(reply, began - arrived_ns, decoded - began, computed - decoded, encoded - computed)
