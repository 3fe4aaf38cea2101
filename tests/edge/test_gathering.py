"""Over real sockets, whose far end tells what was sent together by when it comes."""

import asyncio
import socket

import pytest

from edge import gathering
from edge.gathering import GatheringTransport

#: Only a hang takes this long.
PATIENCE = 60.0


class Recorder(asyncio.Transport):
    """Passes everything on to another transport, and counts its writes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self.inner, self.writes = transport, list[bytes]()

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        self.writes.append(bytes(data))
        self.inner.write(data)

    def close(self) -> None:
        self.inner.close()

    def abort(self) -> None:
        self.inner.abort()

    def is_closing(self) -> bool:
        return self.inner.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self.inner.pause_reading()

    def resume_reading(self) -> None:
        self.inner.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self.inner.get_write_buffer_size()


async def connect() -> tuple[socket.socket, Recorder, GatheringTransport]:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    far.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    recorder = Recorder(transport)
    return far, recorder, GatheringTransport(recorder, loop)


async def receive_all(far: socket.socket) -> bytes:
    loop, received = asyncio.get_running_loop(), b""
    while chunk := await loop.sock_recv(far, 4096):
        received += chunk
    return received


def test_what_one_turn_writes_is_one_write() -> None:
    async def run() -> None:
        far, recorder, transport = await connect()
        with far:
            for part in (b"head", bytearray(b""), memoryview(b" body"), b""):
                transport.write(part)
            assert recorder.writes == []
            await asyncio.sleep(0)
            assert recorder.writes == [b"head body"]
            transport.write(b"next")
            await asyncio.sleep(0)
            assert recorder.writes == [b"head body", b"next"]
            transport.close()
            assert await receive_all(far) == b"head bodynext"

    asyncio.run(run())


def test_a_flush_waits_for_no_turn() -> None:
    async def run() -> None:
        far, recorder, transport = await connect()
        with far:
            transport.write(b"answer")
            transport.flush()
            assert recorder.writes == [b"answer"]
            await asyncio.sleep(0)
            transport.flush()
            assert recorder.writes == [b"answer"]
            transport.close()

    asyncio.run(run())


def test_closing_sends_what_was_written() -> None:
    async def run() -> None:
        far, _, transport = await connect()
        with far:
            transport.write(b"the last")
            transport.close()
            assert transport.is_closing()
            transport.write(b" and more")
            await asyncio.sleep(0)
            assert await receive_all(far) == b"the last"

    asyncio.run(run())


@pytest.mark.parametrize("reads", [True, False])
def test_closing_waits_for_a_client_that_reads_and_not_for_ever_for_one_that_does_not(
    reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "UNREAD_SECONDS", PATIENCE if reads else 0.1)
    much = bytes(8 << 20)

    async def run() -> None:
        far, recorder, transport = await connect()
        with far:
            transport.write(much)
            transport.close()
            assert recorder.inner.get_write_buffer_size()
            if reads:
                assert await receive_all(far) == much
            async with asyncio.timeout(PATIENCE):
                while recorder.inner.get_write_buffer_size():
                    await asyncio.sleep(0.01)

    asyncio.run(run())


def test_aborting_drops_it() -> None:
    async def run() -> None:
        far, recorder, transport = await connect()
        with far:
            transport.write(b"never")
            transport.abort()
            await asyncio.sleep(0)
            assert recorder.writes == []
            assert await receive_all(far) == b""

    asyncio.run(run())


def test_the_rest_is_the_other_transport_s() -> None:
    async def run() -> None:
        far, recorder, transport = await connect()
        with far:
            assert transport.get_extra_info("socket") is recorder.inner.get_extra_info("socket")
            assert transport.get_extra_info("nothing", "else") == "else"
            transport.pause_reading()
            assert isinstance(recorder.inner, asyncio.ReadTransport)
            assert not recorder.inner.is_reading()
            transport.resume_reading()
            assert recorder.inner.is_reading()
            transport.close()

    asyncio.run(run())
