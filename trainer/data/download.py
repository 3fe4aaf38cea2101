"""Published files: fetched once, resumed after an interruption, trusted only by their digest."""

import hashlib
import http.client
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from splitwire.errors import DatasetError

__all__ = ["Archive", "Published", "extract", "fetch"]

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file that its publisher describes by a digest.

    bytes: its exact size. digest: in hexadecimal, or as many of its first digits as are published.
    algorithm: "md5" or "sha256".
    """

    url: str
    bytes: int
    digest: str
    algorithm: str = "md5"

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class Archive(Published):
    """A .tar.gz. folder: the one folder inside that matters. files: name inside that folder -> MD5."""

    folder: str
    files: Mapping[str, str]


def fetch(published: Published, into: Path, *, progress: bool) -> Path:
    """Download to into/filename, and return that path.

    Bytes go to a hidden sibling first, which a later call continues; only a complete file with the right
    digest takes the final name.

    Raises:
        DatasetError: not reachable, interrupted, or not the published bytes; says what to do by hand.
    """
    target, part = into / published.filename, into / f".{published.filename}.part"
    try:
        into.mkdir(parents=True, exist_ok=True)
        _download(published, part, progress=progress)
        _rename_if_genuine(published, part, target)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetError(
            f"cannot download {published.url}: {error}. Run again to continue, or fetch that address on "
            f"another computer and put the file, unopened, at {target}"
        ) from error
    return target


def extract(path: Path, archive: Archive, into: Path) -> Path:
    """Unpack the expected files, and nothing else, to into/folder; return that folder.

    Raises:
        DatasetError: not the published archive, an expected file is missing in it, or nothing can be written.
    """
    target = into / archive.folder
    try:
        _verify(path, archive)
        with tempfile.TemporaryDirectory(dir=into, prefix=f".{archive.folder}.") as scratch:
            _extract_members(path, archive, Path(scratch))
            (Path(scratch) / archive.folder).rename(target)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(f"cannot unpack {path} to {target}: {error}") from error
    return target


def _extract_members(path: Path, archive: Archive, scratch: Path) -> None:
    missing = {f"{archive.folder}/{name}" for name in archive.files}
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            if member.name in missing and member.isreg():
                tar.extract(member, scratch, filter="data")
                missing.remove(member.name)
    if missing:
        raise DatasetError(f"{path} has no file {', '.join(sorted(missing))}")


def _download(published: Published, part: Path, *, progress: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= published.bytes:
        return
    with _open(published.url, have) as reply:
        # A server that knows no ranges answers 200 with the whole file.
        have = have if reply.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        with part.open("ab" if have else "wb") as file:
            have = _copy(reply, file, have, published, progress=progress)
            file.flush()
            os.fsync(file.fileno())
    if have != published.bytes:
        raise OSError(f"the connection ended after {have} of {published.bytes} bytes")


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (ours, a constant)
    try:
        reply: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return reply


def _rename_if_genuine(published: Published, part: Path, target: Path) -> None:
    """What is not the file is removed: continuing it would fail for ever."""
    try:
        _verify(part, published)
    except DatasetError:
        part.unlink()
        raise
    part.replace(target)


def _verify(path: Path, published: Published) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: _hasher(published.algorithm)).hexdigest()
    if not found.startswith(published.digest):
        raise DatasetError(
            f"{path} is not the published {published.filename}: {published.algorithm.upper()} {found}, "
            f"expected {published.digest}"
        )


def _copy(reply: IO[bytes], file: IO[bytes], have: int, published: Published, *, progress: bool) -> int:
    """Append to `file` what it lacks, and no more than that; return its new size."""
    with tqdm(
        total=published.bytes,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=published.filename,
        disable=not progress,
    ) as bar:
        while chunk := reply.read(min(_CHUNK, published.bytes - have)):
            file.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
    return have


def _hasher(algorithm: str) -> Any:
    """Where MD5 is what was published, it guards against accidents, not against an attacker."""
    return hashlib.new(algorithm, usedforsecurity=False)
