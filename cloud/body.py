"""The body: a frame of uplink symbols in, a frame of downlink symbols out."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from cloud.batch import each, run_rows, together
from cloud.batcher import Batcher
from cloud.job_queue import Job, expiry
from splitwire.bundle import Bundle
from splitwire.frame import Frame, decode, encode, max_payload_bytes

__all__ = ["Body", "Computed"]

#: A computation that is expected to take no longer may hold up the event loop.
_BRIEF_NS = 10_000_000

#: Requests that follow a computation in the event loop as closely may have waited for its end.
_LULL_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Computed:
    """The downlink frame, and where the time went, in nanoseconds: all but the queue are its batch's."""

    frame: Frame
    queue_ns: int
    decode_ns: int
    compute_ns: int
    encode_ns: int


class Body:
    """A bundle's body graph behind `workers` threads, which compute what waits in batches.

    Unpacking, the graph and packing of a batch run in one worker thread without a hand-over in between;
    zstd and ONNX Runtime release the interpreter lock, so workers do run side by side.

    With one worker, a request that is alone and will be brief is computed by its caller, in the event loop:
    nothing could have run beside it, and the two changes of thread cost a lone image some 0.4 ms.

    threads: of one run of the graph. max_rows: most rows of a frame. max_batch: most rows of one run.
    max_queue: most rows that wait. max_delay_us: how long a batch is held back for more, in microseconds.
    note_rows: called with the rows of each computation, in the thread that computes.

    Raises:
        GraphError: the body graph cannot be loaded or run, or does not fit its manifest.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int,
        workers: int,
        max_rows: int,
        max_batch: int,
        max_queue: int,
        max_delay_us: int = 0,
        note_rows: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._uplink = bundle.manifest.uplink
        self._downlink = bundle.manifest.downlink
        self._max_rows = max_rows
        self._most_bytes = [max_payload_bytes(self._uplink, rows) for rows in range(max_rows + 1)]
        self._note_rows = note_rows
        self._engine = bundle.engine("body", threads=threads)
        self._engine.warm_up()
        self._run = partial(run_rows, self._engine.run, most=max_batch)
        self._may_borrow = workers == 1 and max_delay_us == 0
        self._latest_ns = _BRIEF_NS + 1  # how long the latest computation of a single row took
        self._in_flight = 0
        self._drained: asyncio.Event | None = None
        self._borrowed_ns = -_LULL_NS  # when the event loop was last free again after a computation
        self._batcher: Batcher[Frame, Computed] = Batcher(
            self._compute,
            workers=workers,
            max_batch=max_batch,
            max_queue=max_queue,
            max_delay_ns=max_delay_us * 1000,
        )

    def forward(
        self, frame: Frame, *, arrived_ns: int, expires_ns: int | None = None
    ) -> "asyncio.Future[Computed]":
        """Begin to compute one frame. Times are those of `time.perf_counter_ns`; None never expires. Whoever
        does not wait for the answer any more cancels it.

        The answer may be:
            FrameError: the frame is not one of this bundle's uplink.
            GraphError: the graph fails on it.
            CloudBusy: the queue is full.
            DeadlineExceeded: it expired before a worker was free; nothing was computed.
            CloudUnavailable: the body was closed.
        """
        job: Job[Frame, Computed] = Job(frame, self._weigh(frame), arrived_ns, expires_ns)
        self._in_flight += 1
        job.answer.add_done_callback(self._landed)
        if not (self._in_flight == 1 and self._may_borrow and self._will_be_brief(frame)):
            self._batcher.submit(job)
        elif arrived_ns - self._borrowed_ns < _LULL_NS:
            # Those that came meanwhile are in flight then.
            asyncio.get_running_loop().call_soon(self._begin_alone, job)
        else:
            self._begin_alone(job)
        return job.answer

    async def drain(self) -> None:
        """Wait until nothing is in flight; nothing may come any more."""
        if self._in_flight:
            self._drained = asyncio.Event()
            await self._drained.wait()

    def close(self) -> None:
        """Drop what still waits for a worker; a computation that has begun runs to its end."""
        self._batcher.close()

    def __enter__(self) -> "Body":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _landed(self, _: object) -> None:
        self._in_flight -= 1
        if self._drained is not None and not self._in_flight:
            self._drained.set()

    def _begin_alone(self, job: Job[Frame, Computed]) -> None:
        """In the event loop, unless others came or it has gone."""
        if job.answer.done():
            return
        if self._in_flight > 1 or not self._batcher.idle:
            self._batcher.submit(job)
        else:
            try:
                job.answer.set_result(self._compute_alone(job.request, job.arrived_ns, job.expires_ns))
            except Exception as error:
                job.answer.set_exception(error)

    def _weigh(self, frame: Frame) -> int:
        """Its rows. What will be refused counts as the largest: until then it may hold as much memory."""
        rows = frame.shape[0] if frame.shape else 0
        sound = 1 <= rows <= self._max_rows and len(frame.payload) <= self._most_bytes[rows]
        return rows if sound else self._max_rows

    def _will_be_brief(self, frame: Frame) -> bool:
        return frame.shape[:1] == (1,) and self._latest_ns <= _BRIEF_NS

    def _compute_alone(self, frame: Frame, arrived_ns: int, expires_ns: int | None) -> Computed:
        """As `_compute`, of one. What a batch takes besides is little, but this is run after a pause, when
        nothing that it needs is in the processor's caches: then it is 50 microseconds."""
        clock = time.perf_counter_ns
        began = clock()
        if expires_ns is not None and began >= expires_ns:
            raise expiry(arrived_ns, expires_ns, began)
        symbols = decode(frame, self._uplink, max_rows=self._max_rows)
        decoded = clock()
        returned = self._run(symbols)
        computed = clock()
        reply = encode(returned, self._downlink)
        encoded = self._borrowed_ns = clock()
        self._account(1, encoded - began)
        return Computed(reply, began - arrived_ns, decoded - began, computed - decoded, encoded - computed)

    def _account(self, rows: int, took_ns: int) -> None:
        """Of what was computed: what was refused took no time, and says nothing of the next."""
        if rows:
            self._note_rows(rows)
        if rows == 1:
            self._latest_ns = took_ns

    def _compute(self, jobs: Sequence[Job[Frame, Computed]]) -> list[Computed | Exception]:
        clock = time.perf_counter_ns
        began = clock()
        symbols = each(
            partial(decode, boundary=self._uplink, max_rows=self._max_rows), [j.request for j in jobs]
        )
        decoded = clock()
        returned = together(self._run, symbols)
        computed = clock()
        frames = each(partial(encode, boundary=self._downlink), returned)
        encoded = clock()
        self._account(sum(len(part) for part in returned if not isinstance(part, Exception)), encoded - began)
        stages = decoded - began, computed - decoded, encoded - computed
        return [
            frame if isinstance(frame, Exception) else Computed(frame, began - job.arrived_ns, *stages)
            for job, frame in zip(jobs, frames, strict=True)
        ]
