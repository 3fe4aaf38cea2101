"""What is known of one request while it is answered, said by those who know it."""

from contextvars import ContextVar
from dataclasses import dataclass

from edge.classification import Classification

__all__ = ["SEEN", "Observation", "note_classification", "note_problem"]


@dataclass(slots=True)
class Observation:
    """received, sent: bytes of the bodies. status: 0 while there is none. problem: its name.

    raw_downlink: bytes of what came back for the classification, as dense float32.
    """

    received: int = 0
    sent: int = 0
    status: int = 0
    problem: str | None = None
    classification: Classification | None = None
    raw_downlink: int = 0


#: The request that is being answered; None outside of one.
SEEN: ContextVar[Observation | None] = ContextVar("splitwire_observation", default=None)


def note_problem(name: str) -> None:
    """The request that is being answered ends with this problem."""
    if (seen := SEEN.get()) is not None:
        seen.problem = name


def note_classification(classification: Classification, raw_downlink: int) -> None:
    """The request that is being answered ends with this classification. raw_downlink: as of `Observation`."""
    if (seen := SEEN.get()) is not None:
        seen.classification, seen.raw_downlink = classification, raw_downlink
