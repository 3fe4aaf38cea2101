import asyncio

import pytest

from edge import arrivals
from tests.edge.calling import Caller, problem_name
from tests.edge.images import image_file

LIMIT = 100_000  # of the `edge` fixture

MULTIPART = "multipart/form-data; boundary=cut"


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """The body for MULTIPART: each part is its Content-Disposition, after `form-data; `, and its content."""
    return (
        b"".join(
            b"--cut\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (disposition.encode(), content)
            for disposition, content in parts
        )
        + b"--cut--\r\n"
    )


class Endless:
    """A body without a declared length; counts what was taken of it."""

    def __init__(self, first: bytes = b"", chunk: bytes = bytes(10_000)) -> None:
        self._first, self._chunk = first, chunk
        self.taken = 0

    def __aiter__(self) -> "Endless":
        return self

    async def __anext__(self) -> bytes:
        chunk = self._chunk if self.taken else self._first + self._chunk
        self.taken += len(chunk)
        return chunk


class Stalled:
    """A body that never comes."""

    def __aiter__(self) -> "Stalled":
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(3600)
        return b""


def test_the_largest_image_passes_and_one_byte_more_does_not(edge: Caller) -> None:
    image = image_file()
    padded = image + bytes(LIMIT - len(image))  # decoders stop at the end marker
    for send in (edge.classify, edge.upload):
        assert send(padded).status_code == 200
        response = send(padded + b"\0")
        assert (response.status_code, problem_name(response)) == (413, "body-too-large")
        assert str(LIMIT) in response.json()["detail"]


@pytest.mark.parametrize("media_type", ["image/jpeg", MULTIPART])
def test_a_declared_length_is_refused_before_the_body_is_read(edge: Caller, media_type: str) -> None:
    endless = Endless()
    headers = {"content-type": media_type, "content-length": str(LIMIT * 100)}
    response = edge("POST", "/classify", content=endless, headers=headers)
    assert (response.status_code, problem_name(response)) == (413, "body-too-large")
    assert endless.taken == 0


@pytest.mark.parametrize(
    ("media_type", "first"),
    [
        ("image/jpeg", b""),
        (MULTIPART, b'--cut\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'),
        (MULTIPART, b'--cut\r\nContent-Disposition: form-data; name="note"\r\n\r\n'),
        (MULTIPART, b'--cut\r\nContent-Disposition: form-data; name="image"; filename="'),
        (MULTIPART, b"preamble"),
    ],
)
def test_an_endless_body_is_refused_at_the_limit(edge: Caller, media_type: str, first: bytes) -> None:
    endless = Endless(first, b"x" * 10_000)
    headers = {"content-type": media_type, "transfer-encoding": "chunked"}
    response = edge("POST", "/classify", content=endless, headers=headers)
    assert problem_name(response) in ("body-too-large", "bad-multipart")
    assert endless.taken < 2 * LIMIT


def test_a_stalled_body_is_408(edge: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_FIRST_SECONDS", 0.05)
    response = edge("POST", "/classify", content=Stalled(), headers={"content-type": "image/jpeg"})
    assert (response.status_code, problem_name(response)) == (408, "body-too-slow")
    assert response.headers["connection"] == "close", "what may still come of it is not waited for"


@pytest.mark.parametrize(
    "content",
    [
        multipart(),
        multipart(('name="photo"; filename="a"', image_file())),
        multipart(('name="image"', image_file())),
        multipart(('name="image"; filename="a"', b"")),
    ],
    ids=["no part", "another field", "not a file", "an empty file"],
)
def test_a_form_without_image_is_422(edge: Caller, content: bytes) -> None:
    response = edge.classify(content, MULTIPART)
    assert (response.status_code, problem_name(response)) == (422, "no-image")


def test_an_empty_body_is_422(edge: Caller) -> None:
    response = edge.classify(b"")
    assert (response.status_code, problem_name(response)) == (422, "no-image")


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("multipart/form-data", multipart()),
        (MULTIPART, b"nonsense"),
        (MULTIPART, b"--cut\r\nno header\r\n\r\n"),
        (MULTIPART, b"--cut\r\nA: b\r\n\r\ncontent\r\n--cut--\r\n"),
        (MULTIPART, multipart(*[('name="image"; filename="a"', image_file())] * 2)),
        (MULTIPART, multipart(*[(f'name="field{i}"', b"") for i in range(17)])),
        (MULTIPART, multipart(('name="note"', b"x" * 70_000), ('name="image"; filename="a"', image_file()))),
        (f"{MULTIPART}; charset=undefined", multipart(('name="image"; filename="a"', image_file()))),
        (f"{MULTIPART}; charset=punycode", multipart(('name="a-"', b"b" * 30_000 + b"-" + b"a" * 30_000))),
    ],
    ids=[
        "no boundary",
        "no multipart",
        "bad header",
        "no disposition",
        "two files",
        "many fields",
        "a long field",
        "a charset of Python's",
        "a slow charset",
    ],
)
def test_a_malformed_form_is_422(edge: Caller, media_type: str, content: bytes) -> None:
    response = edge.classify(content, media_type)
    assert (response.status_code, problem_name(response)) == (422, "bad-multipart")


@pytest.mark.parametrize("charset", ["UTF-8", '"utf-8"', "us-ascii", "ISO-8859-1"])
def test_text_may_be_in_a_charset_that_forms_have(edge: Caller, charset: str) -> None:
    content = multipart(('name="note"', b"\xe9t\xe9"), ('name="image"; filename="a"', image_file()))
    assert edge.classify(content, f"{MULTIPART}; charset={charset}").status_code == 200


def test_other_fields_beside_the_image_are_ignored(edge: Caller) -> None:
    note, image = ('name="note"', b"my cat"), ('name="image"; filename="a"', image_file())
    content = multipart(note, image)
    assert edge.classify(content, MULTIPART).status_code == 200
