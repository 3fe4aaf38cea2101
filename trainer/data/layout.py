"""Published data sets of photos, which everybody fetches from their official page: what must lie where."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from splitwire.errors import DatasetError
from trainer.data.files import reading

__all__ = ["Layout", "malformed", "rows"]


@dataclass(frozen=True, slots=True)
class Layout:
    """title: of the data set. folder: as its archive is unpacked. page: where it is published.

    parts: files and folders, relative to that folder.
    """

    title: str
    folder: str
    page: str
    parts: tuple[str, ...]

    def find(self, root: Path) -> Path:
        """The folder that has the parts: root / folder where there is one, or else root itself.

        Raises:
            DatasetError: a part is missing, or a folder cannot be read.
        """
        with reading(root):
            found = root / self.folder if (root / self.folder).is_dir() else root
            missing = [part for part in self.parts if not (found / part).exists()]
        if missing:
            raise DatasetError(
                f"no {found / missing[0]}: expected {self.title} with {', '.join(self.parts)} in "
                f"{root / self.folder} or in {root}; it is published at {self.page}"
            )
        return found


def rows(path: Path, *columns: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Of a text file whose lines have a word for each of `columns`: a line's number, from 1, and its words.

    The last column may have spaces in it.

    Raises:
        DatasetError: the file cannot be read, or a line has fewer words.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    for number, line in enumerate(lines, start=1):
        words = tuple(line.split(maxsplit=len(columns) - 1))
        if len(words) != len(columns):
            raise malformed(path, number, " and ".join(columns), line)
        yield number, tuple(word.strip() for word in words)


def malformed(path: Path, number: int, expected: str, found: str) -> DatasetError:
    """The error that names file and line."""
    return DatasetError(f"{path}, line {number}: expected {expected}, got {found!r}")
