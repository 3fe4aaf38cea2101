"""Where a bundle goes: what may be there before, and how it gets there whole or not at all."""

import ctypes
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from splitwire.errors import BundleError
from splitwire.manifest import BUNDLE_FILES, MANIFEST, MAX_MANIFEST_BYTES, claims_to_be_manifest

__all__ = ["check_replaceable", "check_writable", "write_folder"]

#: Of what lies where no bundle may go, what an error names.
_MOST_NAMES = 5


def check_replaceable(target: Path) -> None:
    """Return if a bundle may be written to `target`: nothing is there, an empty folder, or a bundle alone.

    Raises:
        BundleError: something else is, if only beside a bundle's files.
    """
    try:
        _refuse_others(target)
    except OSError as e:
        raise BundleError(f"cannot look at {target}: {e.strerror}") from e


def _refuse_others(target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / MANIFEST).is_file():
        raise BundleError(f"{target} exists and is no bundle: not replacing it")
    others = sorted(f.name for f in target.iterdir() if f.name not in BUNDLE_FILES or not f.is_file())
    if others:
        raise BundleError(f"{target} holds more than a bundle: not replacing it, with {_some(others)}")
    with (target / MANIFEST).open("rb") as stream:
        if not claims_to_be_manifest(stream.read(MAX_MANIFEST_BYTES + 1)):
            raise BundleError(f"{target} is no bundle, its {MANIFEST} is of something else: not replacing it")


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def check_writable(target: Path) -> None:
    """Return if a folder could be written to `target` now: it tries to make one in the nearest folder above.

    Raises:
        BundleError: it could not.
    """
    try:
        resolved = target.resolve()
        if resolved.is_mount():
            raise BundleError(f"cannot write the bundle {target}: a file system is mounted there")
        above = next(parent for parent in resolved.parents if parent.exists())
    except (OSError, RuntimeError) as e:  # RuntimeError: links in a circle
        raise BundleError(f"cannot write the bundle {target}: {e}") from e
    try:
        Path(tempfile.mkdtemp(prefix=".splitwire-", dir=above)).rmdir()
    except OSError as e:
        raise BundleError(f"cannot write the bundle {target}: {above}: {e.strerror}") from e


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Writes a bundle's files, by name, to a folder beside `target`, and moves it there.

    Raises:
        BundleError: what is there may not be replaced.
        OSError: it cannot be written. What was there still is.
    """
    check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        folder.mkdir()
        for name, data in files.items():
            _write_file(folder / name, data)
        _sync_folder(folder)
        check_replaceable(target)  # writing takes a while, in which somebody may have put something there
        _move(folder, target)
        _sync_folder(target.parent)
    finally:
        # Holds what was written in vain, or, after an exchange, what was replaced.
        _discard(folder)


def _write_file(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(folder: Path) -> None:
    """Removes a bundle's files, and their folder with them unless it holds more: that is not ours."""
    with suppress(OSError):
        for name in BUNDLE_FILES:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _move(folder: Path, target: Path) -> None:
    """A rename, or, where a bundle is in the way, an exchange: at no moment is there none.

    Only Linux can exchange. Elsewhere the old bundle steps aside first, and comes back if that fails.
    """
    if not target.exists() or not any(target.iterdir()):
        folder.rename(target)
    elif not _exchange(folder, target):
        aside = folder.with_name(f"{folder.name}.old")
        target.rename(aside)
        try:
            folder.rename(target)
        except OSError:
            aside.rename(target)
            raise
        _discard(aside)


def _exchange(one: Path, other: Path) -> bool:
    if sys.platform != "linux":
        return False
    at_fdcwd, rename_exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except AttributeError:  # a C library without it
        return False
    return bool(renameat2(at_fdcwd, bytes(one), at_fdcwd, bytes(other), rename_exchange) == 0)
