from edge.observation import SEEN, Observation, note_problem


def test_what_is_said_outside_of_a_request_is_lost() -> None:
    note_problem("busy")
    assert SEEN.get() is None


def test_what_is_said_belongs_to_the_request() -> None:
    seen = Observation()
    token = SEEN.set(seen)
    note_problem("busy")
    SEEN.reset(token)
    assert seen.problem == "busy"
