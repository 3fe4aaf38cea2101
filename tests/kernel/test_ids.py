import uuid
from concurrent.futures import ThreadPoolExecutor

from splitwire.ids import new_bytes, new_uuid


def test_lengths() -> None:
    assert [len(new_bytes(count)) for count in (0, 1, 8, 16)] == [0, 1, 8, 16]


def test_a_uuid_is_of_version_4() -> None:
    made = new_uuid()
    assert (made.version, made.variant) == (4, uuid.RFC_4122)


def test_none_is_made_twice_in_any_thread() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(new_bytes, [8] * 20_000))
    assert len(set(made)) == len(made)
