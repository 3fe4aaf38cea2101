"""Published archives: fetched once, resumed after an interruption, trusted only by their digest."""

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

__all__ = ["Archive", "extract", "fetch"]

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Archive:
    """A .tar.gz that its publisher describes by digests.

    bytes: its exact size. md5: of the archive. folder: the one folder inside that matters.
    files: name inside that folder -> MD5.
    """

    url: str
    bytes: int
    md5: str
    folder: str
    files: Mapping[str, str]

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def fetch(archive: Archive, into: Path, *, progress: bool) -> Path:
    """Download to into/filename, and return that path.

    Bytes go to a hidden sibling first, which a later call continues; only a complete file with the right MD5
    takes the final name.

    Raises:
        DatasetError: not reachable, interrupted, or not the published bytes; says what to do by hand.
    """
    target, part = into / archive.filename, into / f".{archive.filename}.part"
    try:
        into.mkdir(parents=True, exist_ok=True)
        _download(archive, part, progress=progress)
        _rename_if_genuine(archive, part, target)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetError(
            f"cannot download {archive.url}: {error}. Run again to continue, or fetch that address on "
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


def _download(archive: Archive, part: Path, *, progress: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= archive.bytes:
        return
    with _open(archive.url, have) as reply:
        # A server that knows no ranges answers 200 with the whole file.
        have = have if reply.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        with part.open("ab" if have else "wb") as file:
            have = _copy(reply, file, have, archive, progress=progress)
            file.flush()
            os.fsync(file.fileno())
    if have != archive.bytes:
        raise OSError(f"the connection ended after {have} of {archive.bytes} bytes")


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (ours, a constant)
    try:
        reply: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return reply


def _rename_if_genuine(archive: Archive, part: Path, target: Path) -> None:
    """What is not the archive is removed: continuing it would fail for ever."""
    try:
        _verify(part, archive)
    except DatasetError:
        part.unlink()
        raise
    part.replace(target)


def _verify(path: Path, archive: Archive) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, _md5).hexdigest()
    if found != archive.md5:
        raise DatasetError(
            f"{path} is not the published {archive.filename}: MD5 {found}, expected {archive.md5}"
        )


def _copy(reply: IO[bytes], file: IO[bytes], have: int, archive: Archive, *, progress: bool) -> int:
    """Append to `file` what it lacks, and no more than that; return its new size."""
    with tqdm(
        total=archive.bytes,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=archive.filename,
        disable=not progress,
    ) as bar:
        while chunk := reply.read(min(_CHUNK, archive.bytes - have)):
            file.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
    return have


def _md5() -> Any:
    """MD5 is what was published; it guards against accidents, not against an attacker."""
    return hashlib.md5(usedforsecurity=False)
