import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.plain import read_plain

HEAD = b"POST /classify?top_k=1 HTTP/1.1\r\nHost: edge\r\nX-Deadline-Ms:  20 \r\nContent-Length: 3\r\n\r\n"

#: What requests are made of, and what they must not be taken for plain with.
PIECES = [
    b"Host: edge\r\n",
    b"Host: other\r\n",
    b"host:edge\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 4\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content-Length: +3\r\n",
    b"Content-Length: \r\n",
    b"Content-Length : 3\r\n",
    b"Content-Length: 3\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:\tchunked\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"A: b\r\n",
    b"A:\r\n",
    b"A: b\tc\r\n",
    b"A: \x00\r\n",
    b"A: \xff\r\n",
    b" folded\r\n",
    b"\r\n",
    b"\n",
    b"abc",
]

LINES = [
    b"POST /classify HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\n",
    b"POST /a%20b?c HTTP/1.0\r\n",
    b"POST  / HTTP/1.1\r\n",
    b"post / HTTP/1.1\r\n",
    b"POST http://edge/ HTTP/1.1\r\n",
    b"POST /\xff HTTP/1.1\r\n",
    b"POST / HTTP/1.1\n",
    b"\r\nPOST / HTTP/1.1\r\n",
]

REQUESTS = st.builds(
    lambda line, pieces: line + b"".join(pieces), st.sampled_from(LINES), st.lists(st.sampled_from(PIECES))
)


def test_a_plain_request_is_read() -> None:
    request = read_plain(HEAD + b"abcPOST")
    assert request is not None
    assert (request.method, request.target) == ("POST", b"/classify?top_k=1")
    assert request.headers == [(b"host", b"edge"), (b"x-deadline-ms", b"20"), (b"content-length", b"3")]
    assert (request.head_bytes, request.body_bytes) == (len(HEAD), 3)


@given(REQUESTS)
@example(HEAD + b"abc")
@example(HEAD.replace(b"Host", b"Connection: Keep-Alive\r\nHost") + b"abc")
def test_what_is_plain_h11_reads_in_the_same_way(data: bytes) -> None:
    request = read_plain(data)
    if request is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data[: request.head_bytes])
    read = connection.next_event()
    assert isinstance(read, h11.Request)
    assert (read.method.decode(), read.target, read.http_version) == (
        request.method,
        request.target,
        b"1.1",
    )
    assert list(read.headers) == request.headers
    body = b"x" * request.body_bytes
    received = b""
    connection.receive_data(body)
    while isinstance(event := connection.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == body
    assert connection.their_state is h11.DONE, "the connection is kept"


@pytest.mark.parametrize(
    "change",
    [
        (b"Host: edge\r\n", b""),
        (b"Host: edge\r\n", b"Host: edge\r\nhost: edge\r\n"),
        (b"Content-Length: 3\r\n", b""),
        (b"Content-Length: 3\r\n", b"Content-Length: 3\r\ncontent-length: 3\r\n"),
        (b"Content-Length: 3", b"Content-Length: 3\r\nTransfer-Encoding: chunked"),
        (b"Content-Length: 3", b"Content-Length: -3"),
        (b"Content-Length: 3", b"Content-Length: 9999999999999"),
        (b"Host: edge", b"Host: edge\r\nExpect: 100-continue"),
        (b"Host: edge", b"Host: edge\r\nConnection: close"),
        (b"Host: edge", b"Host: edge\r\nUpgrade: h2c"),
        (b"Host: edge\r\n", b"Host: edge\r\n folded\r\n"),
        (b"Host: edge\r\n", b"Host: edge\n"),
        (b"Host: edge", b"Host : edge"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"\r\n\r\n", b"\r\n"),
        (b"POST ", b"POST  "),
        (b"Host: edge", b"Host: edge\r\nA: " + b"a" * 5000),
    ],
)
def test_what_is_not_plain_is_not_read(change: tuple[bytes, bytes]) -> None:
    assert read_plain(HEAD.replace(*change)) is None
    assert read_plain(HEAD) is not None


def test_the_beginning_of_a_head_is_none() -> None:
    assert not any(read_plain(HEAD[:length]) for length in range(len(HEAD)))
