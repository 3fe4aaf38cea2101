"""A client of the edge that costs little: one connection, kept open."""

import http.client
import json
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

__all__ = ["EdgeConnection"]

#: Only a hang takes this long.
_TIMEOUT_SECONDS = 120.0


class EdgeConnection:
    """To the edge at `url`, as its process announces it; for one thread at a time."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_SECONDS)

    def classify(self, image: bytes, *, top_k: int) -> Any:
        """An image file's bytes -> the edge's JSON.

        Raises:
            OSError: the edge does not answer, or with anything but a classification.
        """
        status, answer = self.ask(image, top_k=top_k)
        if status != 200:
            raise OSError(f"the edge answered {status}: {json.dumps(answer)}")
        return answer

    def ask(self, image: bytes, *, top_k: int) -> tuple[int, Any]:
        """An image file's bytes -> status and JSON, a problem's too. After an error it connects anew.

        Raises:
            OSError: the edge does not answer in HTTP and JSON.
        """
        headers = {"Content-Type": "application/octet-stream"}
        try:
            self._connection.request("POST", f"/classify?top_k={top_k}", image, headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise OSError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "EdgeConnection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
