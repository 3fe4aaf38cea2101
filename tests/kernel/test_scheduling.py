import os
import subprocess
import sys

import pytest

from splitwire.scheduling import let_work_finish

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's policies")


@linux
def test_threads_that_are_made_later_have_the_policy_too() -> None:
    """In a process of its own: this one keeps the policy that it has."""
    code = """if True:
        import os, threading
        from splitwire.scheduling import let_work_finish
        let_work_finish()
        thread = threading.Thread(target=lambda: print(os.sched_getscheduler(0) == os.SCHED_BATCH))
        thread.start()
        thread.join()"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "True\n"


@linux
def test_where_it_is_not_permitted_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    let_work_finish()


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)
    let_work_finish()
