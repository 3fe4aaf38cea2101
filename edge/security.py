"""What OpenAPI says of tokens: which operations want one, as the gate does."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge.gate import is_admin, is_open

__all__ = ["Security"]

_SCHEMES = {
    "token": "One of the tokens of --token-file.",
    "admin": "One of the tokens of --admin-token-file.",
}


@dataclass(frozen=True, slots=True)
class Security:
    """tokens, admin: whether there are any, of clients and of those who may have the edge reload."""

    tokens: bool = False
    admin: bool = False

    def declare(self, document: dict[str, Any]) -> dict[str, Any]:
        """The OpenAPI document itself, in which each operation that wants a token now names its scheme.

        Source: OpenAPI 3.1, sections 4.8.27 and 4.8.30; a scheme `http`, `bearer` is that of RFC 6750.
        """
        wanted = {path: scheme for path in document["paths"] if (scheme := self._scheme_of(path))}
        if not wanted:
            return document
        components = document.setdefault("components", {})
        components["securitySchemes"] = {scheme: _scheme(scheme) for scheme in sorted(set(wanted.values()))}
        for path, scheme in wanted.items():
            for operation in _operations(document["paths"][path]):
                operation["security"] = [{scheme: []}]
        return document

    def _scheme_of(self, path: str) -> str | None:
        if is_open(path):
            return None
        if self.admin and is_admin(path):
            return "admin"
        return "token" if self.tokens else None


def _scheme(name: str) -> dict[str, str]:
    return {"type": "http", "scheme": "bearer", "description": _SCHEMES[name]}


def _operations(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of one path. Its parameters are a list, and its texts no objects."""
    return (value for value in item.values() if isinstance(value, dict))
