"""What is known of one request while it is answered, said by those who know it."""

from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import quote

from edge.classification import Classification
from splitwire.trace import CURRENT

__all__ = ["SEEN", "Failure", "Observation", "note_classification", "note_failure", "shown"]

#: More of a path says nothing; the client chose its length.
_PATH_CHARS = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request is not served. name: of the problem. detail, instance: as the client is told.

    cause: what nobody expected, which the log has alone.
    """

    name: str
    detail: str
    instance: str
    cause: Exception | None = None


@dataclass(slots=True)
class Observation:
    """received, sent: bytes of the bodies. status: 0 while there is none. problem: what is answered instead.

    raw_downlink: bytes of what came back for the classification, as dense float32.
    """

    received: int = 0
    sent: int = 0
    status: int = 0
    problem: Failure | None = None
    classification: Classification | None = None
    raw_downlink: int = 0


#: The request that is being answered; None outside of one.
SEEN: ContextVar[Observation | None] = ContextVar("splitwire_observation", default=None)


def note_failure(failure: Failure) -> None:
    """The request that is being answered ends with this."""
    if (seen := SEEN.get()) is not None:
        seen.problem = failure


def note_classification(classification: Classification, raw_downlink: int) -> None:
    """The request that is being answered ends with this classification. raw_downlink: as of `Observation`."""
    if (seen := SEEN.get()) is not None:
        seen.classification, seen.raw_downlink = classification, raw_downlink
    trace = CURRENT.get()
    if trace is not None and trace.recording is not None:
        trace.recording.note_classification()


def shown(path: str) -> str:
    """A request's path for people to read: as it came it could hold line breaks, and be of any length."""
    return quote(path[:_PATH_CHARS])
