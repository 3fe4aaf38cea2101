"""Certificates for tests, made by the commands that docs/security.md shows."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OPENSSL_IS_MISSING", "Certificates"]

_DOCUMENT = Path(__file__).parents[1] / "docs" / "security.md"


def _openssl_is_missing() -> bool:
    if shutil.which("openssl") is None or shutil.which("sh") is None:
        return True
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    return re.match(r"OpenSSL [3-9]", version) is None


OPENSSL_IS_MISSING = _openssl_is_missing()


@dataclass(frozen=True)
class Certificates:
    """A folder with what the document makes: ca, cloud, edge and rest, each .crt and .key, and tokens."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        folder.mkdir(parents=True)
        [commands] = re.findall(r"^```sh\n(.*?)^```", _DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
        subprocess.run(["sh", "-eu"], input=commands, cwd=folder, check=True, capture_output=True, text=True)
        return cls(folder)

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    def sign(self, name: str, *, days: int, as_name: str) -> Path:
        """Sign NAME.csr again, for other days (negative: expired)."""
        request = ["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key"]
        rest = ["-days", str(days), "-copy_extensions", "copy", "-out", as_name]
        self.openssl(*request, *rest)
        return self[as_name]

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
