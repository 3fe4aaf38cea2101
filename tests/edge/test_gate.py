from collections.abc import Iterator

import pytest

from edge.credentials import Credentials
from splitwire.bundle import Bundle
from tests.cloud.serving import Serving
from tests.edge.calling import Caller, calling, problem_name
from tests.edge.images import image_file

TOKEN, SECOND = "first-first-first-1", "second-second-second-2"

#: Method and path of what a token opens, and of what there is not.
GUARDED = [
    ("POST", "/classify"),
    ("GET", "/model"),
    ("GET", "/redoc"),
    ("GET", "/docs/"),
    ("GET", "/docs/oauth2-redirect"),
    ("GET", "/nothing"),
    ("GET", "/healthz/"),
    ("GET", "//healthz"),
]


@pytest.fixture(scope="module")
def guarded(tiny_bundle: Bundle, cloud: Serving) -> Iterator[Caller]:
    credentials = Credentials(token=f"{TOKEN}\n{SECOND}")
    with calling(tiny_bundle.path, str(cloud.server.address), credentials=credentials) as caller:
        yield caller


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("shown", [None, "Bearer wrong-wrong-wrong-wrong", f"Bearer {TOKEN[:-1]}", TOKEN])
def test_without_a_token_there_is_401_and_nothing_else(
    guarded: Caller, method: str, path: str, shown: str | None
) -> None:
    response = guarded(method, path, headers={} if shown is None else {"Authorization": shown})
    assert (response.status_code, problem_name(response)) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="splitwire"'
    assert response.json()["detail"] == "a valid token is needed, as Authorization: Bearer TOKEN"


@pytest.mark.parametrize("token", [TOKEN, SECOND])
def test_any_of_the_tokens_opens_everything(guarded: Caller, token: str) -> None:
    shown = {"Authorization": f"Bearer {token}"}
    assert guarded("POST", "/classify", content=image_file(), headers=shown).status_code == 200
    for path in ("/model", "/docs", "/openapi.json"):
        assert guarded("GET", path, headers=shown).status_code == 200
    assert guarded("GET", "/nothing", headers=shown).status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_health_and_documents_are_open(guarded: Caller, path: str) -> None:
    assert guarded("GET", path).status_code == 200


def test_a_refused_body_is_not_read(guarded: Caller) -> None:
    def body() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    assert guarded("POST", "/classify", content=Unread(body())).status_code == 401


class Unread:
    """A request's body as httpx wants it: asynchronous."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> object:
        for chunk in self._chunks:
            yield chunk


def test_a_peer_is_logged_once_and_never_with_what_it_showed(
    tiny_bundle: Bundle, cloud: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = Credentials(token=TOKEN)
    with calling(tiny_bundle.path, str(cloud.server.address), credentials=credentials) as edge:
        for i in range(5):
            edge("GET", "/model", headers={"Authorization": f"Bearer wrong-wrong-wrong-{i}"})
    (said,) = (record.message for record in caplog.records)
    assert said.startswith("GET /model 401 unauthenticated after ")
    assert ", from 127.0.0.1, " in said
    assert said.endswith(": a valid token is needed, as Authorization: Bearer TOKEN")
    assert "wrong" not in caplog.text
    assert TOKEN not in caplog.text


def test_without_tokens_everything_is_open(edge: Caller) -> None:
    assert edge("GET", "/model").status_code == 200
