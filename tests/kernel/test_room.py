import threading
import time

import pytest

from splitwire.room import Room

PATIENCE = 60.0


def taking(room: Room, amount: int, took: list[int]) -> tuple[threading.Thread, threading.Event]:
    """A thread that takes so much, notes it, and gives it back when told to."""
    may_end = threading.Event()

    def take() -> None:
        with room.take(amount):
            took.append(amount)
            may_end.wait(PATIENCE)

    thread = threading.Thread(target=take)
    thread.start()
    return thread, may_end


def until_taken(took: list[int], expected: list[int]) -> None:
    ends = time.monotonic() + PATIENCE
    while took != expected:
        assert time.monotonic() < ends, took
        time.sleep(0.001)


def test_what_fits_is_taken_at_once_and_what_does_not_waits() -> None:
    room, took = Room(10), list[int]()
    first, end_first = taking(room, 6, took)
    until_taken(took, [6])
    second, end_second = taking(room, 4, took)
    until_taken(took, [6, 4])
    third, end_third = taking(room, 5, took)
    time.sleep(0.02)
    assert took == [6, 4]
    end_second.set()
    second.join(PATIENCE)
    time.sleep(0.02)
    assert took == [6, 4], "four are not enough for five"
    end_first.set()
    until_taken(took, [6, 4, 5])
    end_third.set()
    for thread in (first, third):
        thread.join(PATIENCE)


def test_a_large_one_is_not_overtaken_for_ever() -> None:
    room, took = Room(10), list[int]()
    first, end_first = taking(room, 5, took)
    until_taken(took, [5])
    large, end_large = taking(room, 9, took)
    time.sleep(0.02)
    small, end_small = taking(room, 1, took)  # there is room for it
    time.sleep(0.02)
    assert took == [5]
    end_first.set()
    until_taken(took, [5, 9, 1])
    end_large.set()
    end_small.set()
    for thread in (first, large, small):
        thread.join(PATIENCE)


def test_more_than_there_is_has_it_all_to_itself() -> None:
    room = Room(10)
    with room.take(1000):
        pass
    with room.take(10):
        pass


def test_what_a_failure_held_is_free_again() -> None:
    room = Room(10)
    with pytest.raises(KeyError), room.take(10):
        raise KeyError
    with room.take(10):
        pass
