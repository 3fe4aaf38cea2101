import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from queue import Empty, SimpleQueue

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.mailboxes import Mailboxes

#: Only a hang takes this long.
PATIENCE = 60.0


def test_a_reply_reaches_who_waits_for_its_id_and_nobody_else() -> None:
    mailboxes: Mailboxes[str] = Mailboxes()
    (first, of_first), (second, of_second) = mailboxes.open(), mailboxes.open()
    mailboxes.deliver(second, "b")
    mailboxes.deliver(first, "a")
    assert (of_first.get_nowait(), of_second.get_nowait()) == ("a", "b")


def test_a_reply_that_comes_twice_is_not_the_next_callers() -> None:
    mailboxes: Mailboxes[str] = Mailboxes()
    for _ in range(200):
        taken, mailbox = mailboxes.open()
        mailboxes.deliver(taken, "mine")
        mailboxes.deliver(taken, "again")
        next_taken, following = mailboxes.open()
        mailboxes.deliver(taken, "once more")
        assert mailbox.get_nowait() == "mine"
        for one in (mailbox, following):
            with pytest.raises(Empty):
                one.get_nowait()
        mailboxes.deliver(next_taken, "theirs")


def test_an_id_that_was_given_up_is_not_taken_before_its_reply_came() -> None:
    mailboxes: Mailboxes[str] = Mailboxes()
    late, mailbox = mailboxes.open()
    mailboxes.give_up(late, mailbox)
    for _ in range(300):
        taken, _ = mailboxes.open()
        assert taken != late
        mailboxes.deliver(taken, "")
    mailboxes.deliver(late, "late")
    with pytest.raises(Empty):
        mailbox.get_nowait()
    assert late in {mailboxes.open()[0] for _ in range(128)}


def test_one_who_gives_up_too_late_takes_nothing_from_the_next() -> None:
    mailboxes: Mailboxes[str] = Mailboxes()
    taken, mailbox = mailboxes.open()
    mailboxes.deliver(taken, "in time")
    others = dict(mailboxes.open() for _ in range(128))
    assert taken in others  # by somebody else
    mailboxes.give_up(taken, mailbox)
    mailboxes.deliver(taken, "theirs")
    assert others[taken].get_nowait() == "theirs"


def test_what_nobody_waits_for_is_not_sent() -> None:
    mailboxes: Mailboxes[str] = Mailboxes()
    taken, mailbox = mailboxes.open()
    assert mailboxes.wanted(taken)
    mailboxes.give_up(taken, mailbox)
    assert not mailboxes.wanted(taken)
    assert taken in {mailboxes.open()[0] for _ in range(128)}


def test_all_who_wait_fail_each_by_an_error_of_their_own() -> None:
    mailboxes: Mailboxes[int] = Mailboxes()
    numbers = count()
    waiting = [mailboxes.open()[1] for _ in range(3)]
    mailboxes.give_up(*mailboxes.open())
    mailboxes.fail(lambda: next(numbers))
    assert [mailbox.get_nowait() for mailbox in waiting] == [0, 1, 2]


def test_threads_never_share_an_id() -> None:
    mailboxes: Mailboxes[int] = Mailboxes()
    sent: SimpleQueue[int | None] = SimpleQueue()

    def echo() -> None:
        for taken in iter(sent.get, None):
            mailboxes.deliver(taken, taken)

    def ask(_: int) -> bool:
        taken, mailbox = mailboxes.open()
        sent.put(taken)
        return mailbox.get(timeout=PATIENCE) == taken

    echoes = threading.Thread(target=echo)
    echoes.start()
    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(ask, range(2000)))
    sent.put(None)
    echoes.join()


class _Model(RuleBasedStateMachine):
    """Ids that are taken are distinct, and short as long as at most 128 are."""

    def __init__(self) -> None:
        super().__init__()
        self.mailboxes: Mailboxes[int] = Mailboxes()
        self.taken: dict[int, SimpleQueue[int]] = {}
        self.given_up: set[int] = set()

    @rule(times=st.integers(1, 100))
    def open(self, times: int) -> None:
        for _ in range(times):
            short_is_left = any(i not in self.taken for i in range(128))
            taken, mailbox = self.mailboxes.open()
            assert taken not in self.taken
            assert taken < 128 or not short_is_left
            self.taken[taken] = mailbox

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        for taken in self._some(data):
            mailbox = self.taken.pop(taken)
            self.mailboxes.deliver(taken, taken)
            assert mailbox.qsize() == (taken not in self.given_up)
            self.given_up.discard(taken)

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        for taken in self._some(data):
            self.mailboxes.give_up(taken, self.taken[taken])
            self.given_up.add(taken)

    @invariant()
    def only_takers_are_waited_for(self) -> None:
        assert all(self.mailboxes.wanted(taken) for taken in self.taken if taken not in self.given_up)

    def _some(self, data: st.DataObject) -> Iterator[int]:
        if self.taken:
            yield from data.draw(st.lists(st.sampled_from(sorted(self.taken)), unique=True))


TestModel = _Model.TestCase
TestModel.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
