import contextlib
import http.client
import json
import logging
from collections.abc import Callable, Iterator

import httpx
import pytest

from edge.credentials import Credentials
from edge.observer import REQUEST_ID
from splitwire.bundle import Bundle
from splitwire.logs import JsonFormatter, TextFormatter
from tests.cloud.serving import Serving
from tests.edge.calling import Caller, calling, problem_name
from tests.edge.connections import connect, server
from tests.edge.images import image_file

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Lines(logging.Handler):
    """The access log as JSON, formatted where it is written, as on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@contextlib.contextmanager
def listening(log: logging.Logger, level: int) -> Iterator[Lines]:
    handler, before = Lines(), log.level
    log.addHandler(handler)
    log.setLevel(level)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)


@pytest.fixture
def everything() -> Iterator[Lines]:
    """All that this process logs at info and above, whoever does, but for the test's own client."""
    with listening(logging.getLogger(), logging.INFO) as found:
        found.addFilter(lambda record: not record.name.startswith("httpx"))
        yield found


@pytest.fixture
def lines() -> Iterator[Lines]:
    with listening(logging.getLogger("edge.observer"), logging.DEBUG) as found:
        yield found


def post(edge: Caller, image: bytes, *headers: tuple[str, str]) -> str:
    """The answer's request id."""
    response = edge("POST", "/classify", content=image, headers=list(headers))
    request_id: str = response.headers[REQUEST_ID]
    return request_id


def test_a_sane_id_is_taken_and_another_is_made(edge: Caller) -> None:
    assert post(edge, image_file(), (REQUEST_ID, "My_Id-1.0")) == "My_Id-1.0"
    for bad in ("a b", "x" * 65, "", "a/b"):
        made = post(edge, image_file(), (REQUEST_ID, bad))
        assert made != bad
        assert len(made) == 16
    twice = post(edge, image_file(), (REQUEST_ID, "a"), (REQUEST_ID, "b"))
    assert len(twice) == 16


def test_made_ids_differ(edge: Caller) -> None:
    assert len({post(edge, image_file()) for _ in range(5)}) == 5


def test_problems_have_one_too_whatever_went_wrong(
    tiny_bundle: Bundle, cloud: Serving, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("why")

    with calling(tiny_bundle.path, str(cloud.server.address)) as edge:
        assert post(edge, b"hello", (REQUEST_ID, "one")) == "one"
        assert edge("GET", "/nothing", headers={REQUEST_ID: "two"}).headers[REQUEST_ID] == "two"
        monkeypatch.setattr(edge.pipeline, "classify", fails)
        response = edge("POST", "/classify", content=image_file(), headers={REQUEST_ID: "three"})
    assert response.headers[REQUEST_ID] == "three"
    assert problem_name(response) == "internal-error"
    found = [(line["request"], line["level"], line["status"], line["problem"]) for line in lines.lines]
    assert found == [
        ("one", "info", 415, "unsupported-image-type"),
        ("two", "info", 404, "about:blank"),
        ("three", "error", 500, "internal-error"),
    ]


#: What makes a request fail: its arguments, then status, problem, level of its line.
FAILURES: list[tuple[dict[str, object], int, str, str]] = [
    ({"method": "GET", "url": "/model", "headers": {}}, 401, "unauthenticated", "warning"),
    ({"method": "GET", "url": "/nothing"}, 404, "about:blank", "info"),
    ({"method": "GET", "url": "/classify"}, 405, "about:blank", "info"),
    ({"method": "POST", "url": "/classify", "content": b"hello"}, 415, "unsupported-image-type", "info"),
    ({"method": "POST", "url": "/classify?top_k=99", "content": b"a"}, 422, "bad-parameter", "info"),
    ({"method": "POST", "url": "/classify", "content": image_file()}, 503, "cloud-unavailable", "error"),
]


def test_a_failure_is_one_line_that_says_it_all(tiny_bundle: Bundle, everything: Lines) -> None:
    token = "token-token-token-1"
    with calling(tiny_bundle.path, "127.0.0.1:1", credentials=Credentials(token=token)) as edge:
        classified = [
            edge(**{"headers": {"Authorization": f"Bearer {token}"}} | query)  # type: ignore[arg-type]
            for query, *_ in FAILURES
        ]
    found = [line for line in everything.lines if line["logger"] != "edge.replica"]  # whose is the breaker
    assert len(found) == len(FAILURES)
    for (query, status, problem, level), response, line in zip(FAILURES, classified, found, strict=True):
        document = response.json()
        assert (response.status_code, line["status"], line["problem"]) == (status, status, problem)
        assert (line["method"], line["level"]) == (query["method"], level)
        assert str(query["url"]).partition("?")[0] == line["path"]
        assert (line["detail"], line["instance"]) == (document["detail"], document["instance"])
        assert line["request"] == response.headers[REQUEST_ID]
        assert line["client"] == "127.0.0.1"
        assert isinstance(line["milliseconds"], float)
        for said in (document["detail"], document["instance"], f" {status} {problem} after "):
            assert said in str(line["message"])


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("why")


def test_what_nobody_expected_is_one_line_of_the_whole_server(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, everything: Lines
) -> None:
    """uvicorn would log it again."""
    with calling(tiny_bundle.path, "127.0.0.1:1") as edge, server(edge.app) as (host, port):
        monkeypatch.setattr(edge.pipeline, "classify", broken)
        everything.lines.clear()
        response = httpx.post(f"http://{host}:{port}/classify", content=image_file())
    assert response.status_code == 500
    (line,) = (line for line in everything.lines if line["level"] not in ("info", "debug"))
    assert (line["level"], line["request"]) == ("error", response.headers[REQUEST_ID])
    assert str(line["exception"]).endswith("RuntimeError: why")
    assert "why" not in str(line["message"])


def test_a_request_that_a_stop_cuts_off_is_answered_and_is_no_fault(
    tiny_bundle: Bundle, everything: Lines
) -> None:
    head = b"POST /classify HTTP/1.1\r\nHost: edge\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    with contextlib.ExitStack() as stack:
        with calling(tiny_bundle.path, "127.0.0.1:1") as edge, server(edge.app) as address:
            client = stack.enter_context(connect(address))
            client.sendall(head)
            assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"  # the route waits for the body
        answer = http.client.HTTPResponse(client)
        answer.begin()
        document = json.loads(answer.read())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == "urn:splitwire:problem:shutting-down"
    assert answer.headers[REQUEST_ID] in [line["request"] for line in everything.lines if "request" in line]
    assert not any("exception" in line for line in everything.lines)


def test_a_line_is_one_line_whatever_the_client_wrote(edge: Caller, everything: Lines) -> None:
    form = b'--a\r\nContent-Disposition: form-data; name="x\ny"\r\n\r\nz\r\n--a--\r\n'
    requests: list[Callable[[], httpx.Response]] = [
        lambda: edge("GET", "/no%0Aedge: all is well"),
        lambda: edge("GET", "/" + "%1b" * 2000),
        lambda: edge.classify(form, "multipart/form-data; boundary=a"),
        lambda: edge.classify(b"x", "image/" + "x" * 3000),
    ]
    for request in requests:
        assert request().status_code >= 400
    assert len(everything.lines) == len(requests)
    for line in everything.lines:
        record = logging.LogRecord("", logging.INFO, "", 0, str(line["message"]), None, None)
        assert len(TextFormatter("edge").format(record).splitlines()) == 1
        assert str(line["message"]).isprintable()
        assert len(str(line["message"])) < 1500


def test_clients_that_are_refused_are_warned_of_once_a_minute(tiny_bundle: Bundle, lines: Lines) -> None:
    with calling(tiny_bundle.path, "127.0.0.1:1", credentials=Credentials(token="t" * 16)) as edge:
        for _ in range(3):
            edge("GET", "/model")
    assert [line["level"] for line in lines.lines] == ["warning", "info", "info"]


def test_the_access_log_says_route_milliseconds_and_bytes(edge: Caller, lines: Lines) -> None:
    image = image_file()
    headers = {REQUEST_ID: "abc", "traceparent": PARENT}
    response = edge("POST", "/classify", content=image, headers=headers)
    (line,) = lines.lines
    counts = response.json()["bytes"]
    assert (line["level"], line["request"], line["traceparent"]) == ("debug", "abc", PARENT)
    assert (line["method"], line["path"], line["status"]) == ("POST", "/classify", 200)
    assert (line["route"], line["received_bytes"], line["sent_bytes"]) == (
        "split",
        len(image),
        len(response.content),
    )
    assert (line["uplink_bytes"], line["downlink_bytes"]) == (counts["uplink"], counts["downlink"])
    milliseconds = line["milliseconds"]
    assert isinstance(milliseconds, float)
    assert milliseconds >= response.json()["timings_ms"]["total"]
    assert str(line["message"]).startswith("POST /classify 200 split after ")


def test_a_path_cannot_forge_lines_or_fill_them(edge: Caller, lines: Lines) -> None:
    edge("GET", "/no%0Aedge: all is well")
    edge("GET", "/" + "x" * 5000)
    assert lines.lines[0]["path"] == "/no%0Aedge%3A%20all%20is%20well"
    assert len(str(lines.lines[1]["path"])) == 200


def test_the_cloud_is_told_the_id_when_the_client_chose_it(edge: Caller) -> None:
    """And otherwise not a byte is spent on it."""

    def uplink(*headers: tuple[str, str]) -> int:
        response = edge("POST", "/classify", content=image_file(), headers=list(headers))
        count: int = response.json()["bytes"]["uplink"]
        return count

    alone = uplink()
    assert uplink(("traceparent", "nonsense")) == alone
    assert uplink((REQUEST_ID, "not sane")) == alone
    assert uplink((REQUEST_ID, "12345678")) == alone + 12
    assert uplink(("traceparent", PARENT)) == alone + 29
    assert uplink(("traceparent", PARENT[:-2] + "01")) == alone + 29 + 18  # sampled: the made id too


def test_server_timing_says_what_the_answer_does(edge: Caller) -> None:
    response = edge.classify(image_file())
    stages = dict(stage.split(";dur=") for stage in response.headers["server-timing"].split(", "))
    timings = response.json()["timings_ms"]
    assert float(stages["total"]) == timings["total"]
    assert float(stages["cloud.compute"]) == timings["cloud"]["compute"]
    assert "body" not in stages
    assert "server-timing" not in edge.classify(b"hello").headers
