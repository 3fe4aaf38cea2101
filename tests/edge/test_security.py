from typing import Any

import pytest

from edge.credentials import Credentials
from splitwire.bundle import Bundle
from tests.edge.calling import calling

CLIENT, ADMIN = "client-client-client-1", "admin-admin-admin-1"

_BODIES: dict[str, Any] = {"/classify": {"content": b"no image", "headers": {"content-type": "image/png"}}}


@pytest.mark.parametrize("token", [None, CLIENT])
@pytest.mark.parametrize("admin", [None, ADMIN])
def test_schemes_are_named_exactly_where_a_token_is_asked_for(
    tiny_bundle: Bundle, token: str | None, admin: str | None
) -> None:
    """The document is held to what the edge does when nothing is shown, on every operation that there is."""
    tokens = {"token": token, "admin": admin}
    with calling(
        tiny_bundle.path, "127.0.0.1:1", credentials=Credentials(token=token, admin_token=admin)
    ) as edge:
        document = edge("GET", "/openapi.json").json()
        operations = [
            (method.upper(), path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]
        assert {path for _, path, _ in operations} >= {"/classify", "/model", "/healthz", "/readyz"}
        for method, path, operation in operations:
            refused = edge(method, path, **_BODIES.get(path, {})).status_code == 401
            assert ("security" in operation) == refused, path
            if refused:
                ((scheme, scopes),) = operation["security"][0].items()
                shown = {"Authorization": f"Bearer {tokens[scheme]}"}
                assert scopes == []
                assert edge(method, path, headers=shown).status_code != 401, path


def test_a_scheme_is_a_bearer_token_and_there_only_when_it_is_wanted(tiny_bundle: Bundle) -> None:
    for token, admin, expected in (
        (CLIENT, ADMIN, {"token", "admin"}),
        (CLIENT, None, {"token"}),
        (None, ADMIN, {"admin"}),
        (None, None, set()),
    ):
        credentials = Credentials(token=token, admin_token=admin)
        with calling(tiny_bundle.path, "127.0.0.1:1", credentials=credentials) as edge:
            for _ in range(2):  # the second is what was kept of the first
                document = edge("GET", "/openapi.json").json()
                schemes = document["components"].get("securitySchemes", {})
                assert set(schemes) == expected
                assert all((s["type"], s["scheme"]) == ("http", "bearer") for s in schemes.values())


def test_documents_that_anyone_may_read_say_nothing_of_the_bundle(tiny_bundle: Bundle) -> None:
    with calling(tiny_bundle.path, "127.0.0.1:1", credentials=Credentials(token=CLIENT)) as edge:
        for path in ("/docs", "/openapi.json"):
            text = edge("GET", path).text
            for secret in (
                tiny_bundle.digest.hex(),
                tiny_bundle.manifest.name,
                str(tiny_bundle.path),
                CLIENT,
            ):
                assert secret not in text
