"""Folders that may not be read, also by root, as whom tests may run."""

from pathlib import Path
from typing import Any

import pytest

__all__ = ["forbid"]


def forbid(monkeypatch: pytest.MonkeyPatch, method: str, folder: Path) -> None:
    """Has this method of Path raise what the system does for `folder`, and for what lies right in it."""
    permitted = getattr(Path, method)

    def checked(self: Path) -> Any:
        if folder in (self, self.parent):
            raise PermissionError(13, "Permission denied", str(self))
        return permitted(self)

    monkeypatch.setattr(Path, method, checked)
