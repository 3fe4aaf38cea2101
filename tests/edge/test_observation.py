from edge.observation import SEEN, Failure, Observation, note_failure

BUSY = Failure("busy", "too many", "urn:uuid:1")


def test_what_is_said_outside_of_a_request_is_lost() -> None:
    note_failure(BUSY)
    assert SEEN.get() is None


def test_what_is_said_belongs_to_the_request() -> None:
    seen = Observation()
    token = SEEN.set(seen)
    note_failure(BUSY)
    SEEN.reset(token)
    assert seen.problem is BUSY
