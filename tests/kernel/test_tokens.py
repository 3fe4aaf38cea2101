import errno
import logging
import os
import string
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire import renewal as renewal_module
from splitwire.errors import ConfigError
from splitwire.tokens import MIN_CHARS, Tokens, load_tokens

OLD, NEW, OTHER = "old-old-old-old-1", "new-new-new-new-2", "other-other-other"

tokens_of = st.text(string.ascii_letters + string.digits + "-._~+/", min_size=MIN_CHARS)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at whenever they are used."""
    monkeypatch.setattr(renewal_module, "_CHECK_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"{OLD}\n")
    return path


@given(st.lists(tokens_of, min_size=1, max_size=5))
def test_each_is_accepted_and_the_first_is_shown(texts: list[str]) -> None:
    tokens = Tokens("\n".join(texts), "here")
    assert tokens.authorization == f"Bearer {texts[0]}"
    assert all(tokens.accepts(f"Bearer {text}") for text in texts)


@given(tokens_of, st.text())
def test_nothing_else_is_accepted(token: str, shown: str) -> None:
    tokens = Tokens(token, "here")
    assert not tokens.accepts(shown)
    assert tokens.accepts(f"Bearer {shown}") == (shown.strip() == token)


def test_comments_blank_lines_and_spaces_around_are_ignored() -> None:
    tokens = Tokens(f"# since May\n\n  {OLD} \r\n#{OTHER}\n\t\n{NEW}==", "here")
    assert tokens.accepts(f"Bearer {OLD}")
    assert tokens.accepts(f"Bearer {NEW}==")
    assert not tokens.accepts(f"Bearer {OTHER}")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_schemes_case_does_not_matter(scheme: str) -> None:
    assert Tokens(OLD, "here").accepts(f"{scheme} {OLD}")


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", OLD, f"Basic {OLD}", f"Bearer {OLD} {OLD}"])
def test_what_is_not_a_bearer_token_is_not_accepted(shown: str | None) -> None:
    assert not Tokens(OLD, "here").accepts(shown)


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n"])
def test_no_token_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match="there is no token in here, expected one a line"):
        Tokens(text, "here")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("short", "has 5 characters, expected 16 or more"),
        ("a secret with spaces", "has other characters than"),
        ("a-secret-wïth-umlauts", "has other characters than"),
        ("a-secret=with-padding", "has other characters than"),
    ],
)
def test_a_malformed_token_is_named_by_its_line_alone(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"the token in line 2 of here {said}") as caught:
        Tokens(f"{OLD}\n{line}", "here")
    assert line not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read tokens from .*absent: No such file"):
        Tokens.read(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 20)
    with pytest.raises(ConfigError, match=r"cannot read tokens from .*binary: it is not text"):
        Tokens.read(tmp_path / "binary")


@pytest.mark.usefixtures("at_once")
def test_a_changed_file_is_read_again(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tokens = Tokens.read(file)
    assert tokens.accepts(f"Bearer {OLD}")
    file.write_text(f"{NEW}\n{OLD}\n")
    assert tokens.authorization == f"Bearer {NEW}"
    assert tokens.accepts(f"Bearer {OLD}")
    file.write_text(f"{NEW}\n")
    assert not tokens.accepts(f"Bearer {OLD}")
    assert [record.message for record in caplog.records] == [f"tokens read again from {file}"] * 2


def test_a_file_is_looked_at_no_more_than_once_a_second(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("splitwire.renewal.time.monotonic", lambda: now)
    tokens = Tokens.read(file)
    file.write_text(f"{NEW}\n# another size")
    now += 0.9
    assert tokens.authorization == f"Bearer {OLD}"
    now += 0.2
    assert tokens.authorization == f"Bearer {NEW}"


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("fault", ["absent", "empty", "malformed"])
def test_a_file_that_turned_bad_keeps_the_tokens_and_is_logged_once(
    file: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens.read(file)
    if fault == "absent":
        file.unlink()
    else:
        file.write_text("" if fault == "empty" else f"{OTHER} is wrong")
    for _ in range(3):
        assert tokens.accepts(f"Bearer {OLD}")
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.endswith("; the tokens that were read before stay in use")
    assert OTHER not in record.message
    file.write_text(f"{NEW}\n")
    assert tokens.authorization == f"Bearer {NEW}"


@pytest.mark.usefixtures("at_once")
def test_a_file_that_could_not_be_read_for_a_moment_is_read_after_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or a token that was removed at that moment would be accepted for ever."""
    tokens = Tokens.read(file)
    file.write_text(f"{NEW}\n# another size")

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as moment:
        moment.setattr(Path, "read_text", fail)
        assert tokens.accepts(f"Bearer {OLD}")
    assert not tokens.accepts(f"Bearer {OLD}")
    assert tokens.accepts(f"Bearer {NEW}")
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "Too many open files; the tokens that were read before stay in use"
    ]


@pytest.mark.usefixtures("at_once")
def test_threads_that_use_it_while_it_changes_get_one_or_the_other(file: Path, tmp_path: Path) -> None:
    tokens = Tokens.read(file)
    seen: set[str] = set()

    def use() -> None:
        seen.update(tokens.authorization for _ in range(300))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(30):
        (tmp_path / "next").write_text(f"{(OLD, NEW)[i % 2]}\n")
        (tmp_path / "next").replace(file)
    for thread in threads:
        thread.join()
    assert seen <= {f"Bearer {OLD}", f"Bearer {NEW}"}


def test_a_file_goes_before_a_text_and_neither_is_none(file: Path) -> None:
    for loaded, expected in ((load_tokens(file, NEW, "VAR"), OLD), (load_tokens(None, NEW, "VAR"), NEW)):
        assert loaded is not None
        assert loaded.authorization == f"Bearer {expected}"
    assert load_tokens(None, None, "VAR") is None


def test_a_variable_that_is_set_but_empty_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="there is no token in VAR"):
        load_tokens(None, "", "VAR")
