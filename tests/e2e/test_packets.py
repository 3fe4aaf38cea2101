"""What crosses between edge and cloud for an image besides its frames."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from splitwire.bundle import Bundle
from tests.e2e.processes import PATIENCE, cloud_process, edge_process
from tests.edge.images import image_file

#: As a device asks that has an image now and then; an idle link's pings come later.
_PAUSE_SECONDS = 0.4
_IMAGES = 6
_PINGS = 3


@dataclass
class Counted:
    """Writes, as far as they came apart, and their bytes, each way."""

    up: list[int] = field(default_factory=list)
    down: list[int] = field(default_factory=list)

    def clear(self) -> None:
        self.up.clear()
        self.down.clear()


@contextlib.contextmanager
def counted(target: str) -> Iterator[tuple[str, Counted]]:
    """An address whose connections lead to `target`, and what crosses there."""
    host, port = target.rsplit(":", 1)
    count = Counted()

    def pump(source: socket.socket, sink: socket.socket, sizes: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                sizes.append(len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(near: socket.socket) -> None:
        with near, socket.create_connection((host, int(port))) as far:
            back = threading.Thread(target=pump, args=(far, near, count.down), daemon=True)
            back.start()
            pump(near, far, count.up)
            back.join(PATIENCE)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", count
        listener.shutdown(socket.SHUT_RDWR)


def test_an_image_is_one_packet_each_way_and_few_bytes_more_than_its_frames(tiny_bundle: Bundle) -> None:
    with (
        cloud_process(tiny_bundle.path) as cloud,
        counted(cloud.address) as (address, count),
        edge_process(tiny_bundle.path, address, "--fallback", "none") as edge,
        httpx.Client(base_url=edge.address, timeout=PATIENCE) as client,
    ):

        def ask() -> tuple[int, int]:
            sizes = client.post("/classify", content=image_file()).json()["bytes"]
            return sizes["uplink"], sizes["downlink"]

        ask()  # opens the connection
        time.sleep(_PAUSE_SECONDS)
        count.clear()
        sent, returned = 0, 0
        for _ in range(_IMAGES):
            up, down = ask()
            sent, returned = sent + up, returned + down
            time.sleep(_PAUSE_SECONDS)
        # Pings of an idle link, if this machine is slow.
        assert len(count.up) <= _IMAGES + _PINGS, count
        assert len(count.down) <= _IMAGES + _PINGS, count
        # A frame's header, 9 bytes; and what opens the windows again, twice 13.
        assert sum(count.up) <= sent + 35 * _IMAGES + 17 * _PINGS, count
        assert sum(count.down) <= returned + 35 * _IMAGES + 17 * _PINGS, count
