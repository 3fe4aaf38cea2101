import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from splitwire.errors import WeightsError
from trainer.data.download import Published
from trainer.imagenet import OFFICIAL, published_weights

_CONTENT = b"weights" * 1000


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Published]:
    """A server of one file, which is described by the first digits of its SHA-256."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "net.pth").write_bytes(_CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    digest = hashlib.sha256(_CONTENT).hexdigest()[:8]
    url = f"http://127.0.0.1:{server.server_port}/net.pth"
    yield Published(url=url, bytes=len(_CONTENT), digest=digest, algorithm="sha256")
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetched_once(source: Published, tmp_path: Path) -> None:
    for download in (True, False):
        path = published_weights(tmp_path / "data", download=download, progress=False, source=source)
        assert path == tmp_path / "data" / "net.pth"
        assert path.read_bytes() == _CONTENT


def test_other_bytes_are_refused(source: Published, tmp_path: Path) -> None:
    other = Published(url=source.url, bytes=source.bytes, digest="01234567", algorithm="sha256")
    with pytest.raises(WeightsError, match=r"not the published net\.pth: SHA256 .*, expected 01234567"):
        published_weights(tmp_path, download=True, progress=False, source=other)
    assert not (tmp_path / "net.pth").exists()


def test_absent_and_not_to_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"no file .*{OFFICIAL.filename}: download https://"):
        published_weights(tmp_path, download=False, progress=False)


def test_offline(tmp_path: Path) -> None:
    nowhere = Published(url="http://127.0.0.1:1/net.pth", bytes=3, digest="00", algorithm="sha256")
    with pytest.raises(WeightsError, match=r"cannot download .*fetch that address on another computer"):
        published_weights(tmp_path, download=True, progress=False, source=nowhere)
