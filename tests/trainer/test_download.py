import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from splitwire.errors import DatasetError
from tests.data import md5, write_cifar10
from trainer.data import cifar10
from trainer.data.download import Archive, extract, fetch

_CONTENT = bytes(range(256)) * 4000


@dataclass
class Server:
    """What the loopback server answers, and the Range headers that it was asked with."""

    content: bytes = _CONTENT
    status: int = 200
    ranges: bool = True
    cut: int | None = None
    asked: list[str | None] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/~kriz/cifar-10-python.tar.gz"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        body = self.content[start:]
        handler.send_response(206 if start and self.status == 200 else self.status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    behaviour = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            behaviour.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        behaviour.port = http.server_address[1]
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield behaviour
        http.shutdown()
        thread.join()


def archive(server: Server, content: bytes = _CONTENT) -> Archive:
    return Archive(url=server.url, bytes=len(content), digest=md5(content), folder="folder", files={})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_downloads_the_whole_file(server: Server, tmp_path: Path) -> None:
    path = fetch(archive(server), tmp_path / "new", progress=False)
    assert path == tmp_path / "new" / "cifar-10-python.tar.gz"
    assert path.read_bytes() == _CONTENT
    assert names(tmp_path / "new") == {path.name}


def test_an_interrupted_download_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cut = 300_000
    with pytest.raises(DatasetError, match=r"the connection ended after 300000 of 1024000 bytes.*Run again"):
        fetch(archive(server), tmp_path, progress=False)
    assert names(tmp_path) == {".cifar-10-python.tar.gz.part"}
    server.cut = None
    assert fetch(archive(server), tmp_path, progress=False).read_bytes() == _CONTENT
    assert server.asked == [None, "bytes=300000-"]
    assert names(tmp_path) == {"cifar-10-python.tar.gz"}


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".cifar-10-python.tar.gz.part").write_bytes(_CONTENT[:1000])
    server.ranges = False
    assert fetch(archive(server), tmp_path, progress=False).read_bytes() == _CONTENT
    assert server.asked == ["bytes=1000-"]


def test_a_complete_part_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".cifar-10-python.tar.gz.part").write_bytes(_CONTENT)
    assert fetch(archive(server), tmp_path, progress=False).read_bytes() == _CONTENT
    assert server.asked == []


def test_other_bytes_are_refused_and_removed(server: Server, tmp_path: Path) -> None:
    server.content = bytes(len(_CONTENT))
    with pytest.raises(DatasetError, match=f"is not the published .*: MD5 .*, expected {md5(_CONTENT)}"):
        fetch(archive(server), tmp_path, progress=False)
    assert names(tmp_path) == set()


def test_no_more_than_the_published_size_is_taken(server: Server, tmp_path: Path) -> None:
    server.content = _CONTENT * 3
    assert fetch(archive(server), tmp_path, progress=False).stat().st_size == len(_CONTENT)


def test_a_refusal_names_address_and_remedy(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DatasetError, match="404") as caught:
        fetch(archive(server), tmp_path, progress=False)
    assert server.url in str(caught.value)
    assert f"put the file, unopened, at {tmp_path / 'cifar-10-python.tar.gz'}" in str(caught.value)


def test_no_server_at_all(server: Server, tmp_path: Path) -> None:
    closed = replace(archive(server), url="http://127.0.0.1:1/cifar-10-python.tar.gz")
    with pytest.raises(DatasetError, match=r"cannot download http://127\.0\.0\.1:1/.*another computer"):
        fetch(closed, tmp_path, progress=False)


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot download"):
        fetch(archive(server), tmp_path / "file" / "below", progress=False)


def test_progress_is_shown_when_asked_for(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(archive(server), tmp_path, progress=True)
    assert "cifar-10-python.tar.gz" in capsys.readouterr().err


def test_cifar10_from_nothing(server: Server, tmp_path: Path) -> None:
    source = write_cifar10(tmp_path / "published")
    server.content = (tmp_path / "published" / "packed" / source.filename).read_bytes()
    root = tmp_path / "data"
    source = replace(source, url=server.url)
    dataset = cifar10.load(root, download=True, progress=False, source=source)
    assert len(dataset.train) == 30
    assert names(root) == {source.folder, source.filename}
    cifar10.load(root, download=True, progress=False, source=source)
    assert len(server.asked) == 1


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Archive:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return described(path)


def described(path: Path) -> Archive:
    content = path.read_bytes()
    return Archive(
        url="http://x/a.tar.gz",
        bytes=len(content),
        digest=md5(content),
        folder="folder",
        files={"wanted": ""},
    )


def test_only_the_expected_files_are_unpacked(tmp_path: Path) -> None:
    members = [
        (tarfile.TarInfo(name), b"x") for name in ("folder/readme", "../evil", "/evil", "folder/wanted", "b")
    ]
    target = tmp_path / "target"
    target.mkdir()
    folder = extract(tmp_path / "a", pack(tmp_path / "a", *members), target)
    assert folder == target / "folder"
    assert [str(path.relative_to(target)) for path in sorted(target.rglob("*"))] == [
        "folder",
        "folder/wanted",
    ]
    assert names(tmp_path) == {"a", "target"}


def test_a_link_is_not_a_file(tmp_path: Path) -> None:
    link = tarfile.TarInfo("folder/wanted")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(DatasetError, match="has no file folder/wanted"):
        extract(tmp_path / "a", pack(tmp_path / "a", (link, b"")), tmp_path)
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00"])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"cannot unpack {path}"):
        extract(path, described(path), tmp_path)
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("tail", [b"", b"\xff" * 100], ids=["cut", "garbled"])
def test_half_an_archive(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a"
    pack(path, (tarfile.TarInfo("folder/wanted"), bytes(5000)))
    compressor = zlib.compressobj(wbits=31)
    half = compressor.compress(gzip.decompress(path.read_bytes())[:2000])
    path.write_bytes(half + compressor.flush(zlib.Z_FULL_FLUSH) + tail)
    with pytest.raises(DatasetError, match="cannot unpack"):
        extract(path, described(path), tmp_path)
    assert names(tmp_path) == {"a"}


def test_another_archive_is_not_opened(tmp_path: Path) -> None:
    published = pack(tmp_path / "a", (tarfile.TarInfo("folder/wanted"), b"x"))
    (tmp_path / "b").write_bytes(b"anything")
    with pytest.raises(
        DatasetError, match=f"b is not the published a.tar.gz: MD5 .*, expected {published.digest}"
    ):
        extract(tmp_path / "b", published, tmp_path)
