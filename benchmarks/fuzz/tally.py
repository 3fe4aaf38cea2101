"""What the answers to hostile requests came to."""

from collections import Counter
from dataclasses import dataclass, field

import grpc

__all__ = ["Tally"]

#: What a client may be told; all else is the server's own failure.
_TYPED = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
)

_BY_NUMBER = {status.value[0]: status for status in grpc.StatusCode}


@dataclass
class Tally:
    """answers: how often each came to each kind of request. failures: what may not happen, in words."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.answers.total()

    def answered(self, kind: str) -> None:
        """With a frame: what was sent still meant something."""
        self.answers[kind, "frame"] += 1

    def refused(self, kind: str, status: grpc.StatusCode | int, detail: str) -> None:
        """status: as a call ends with, or as it is on the wire."""
        status = status if isinstance(status, grpc.StatusCode) else _BY_NUMBER[status]
        self.answers[kind, status.name] += 1
        if status not in _TYPED:
            self.failures.append(f"{kind}: {status.name}: {detail}")

    def __str__(self) -> str:
        kinds = sorted({kind for kind, _ in self.answers})
        return "\n".join(f"{kind:18} {self._of(kind)}" for kind in kinds)

    def _of(self, kind: str) -> str:
        found = ((answer, count) for (of, answer), count in self.answers.items() if of == kind)
        return "  ".join(f"{answer} {count:,}" for answer, count in sorted(found))
