import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from edge import problems
from edge.problems import Kind, handle_problems
from splitwire import errors
from tests.edge.calling import problem_name


def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
    """The classes below `kind` that have none below themselves."""
    below = kind.__subclasses__()
    yield from (leaf for child in below for leaf in leaves(child))
    if not below:
        yield kind


def answer_to(error: Exception) -> httpx.Response:
    app = FastAPI()
    handle_problems(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            return await client.get("/")

    return asyncio.run(ask())


@pytest.mark.parametrize("base", [errors.ImageError, errors.FrameError, errors.CloudError])
def test_whatever_an_image_may_raise_has_a_problem_of_its_own(base: type[Exception]) -> None:
    for leaf in leaves(base):
        response = answer_to(leaf("because"))
        assert problem_name(response) != "internal-error", leaf
        assert response.json()["detail"] == "because"


@pytest.mark.parametrize("error", [errors.GraphError("head.onnx failed"), KeyError("x"), OSError("/secret")])
def test_whatever_else_is_internal_and_says_nothing(error: Exception) -> None:
    response = answer_to(error)
    assert (response.status_code, problem_name(response)) == (500, "internal-error")
    assert str(error) not in response.text


def test_only_503_says_when_to_come_back() -> None:
    assert "retry-after" in answer_to(errors.CloudUnavailable("gone")).headers
    assert "retry-after" not in answer_to(errors.DeadlineExceeded("late")).headers


def test_401_says_what_to_show() -> None:
    response = answer_to(problems.Problem(problems.UNAUTHENTICATED, "because"))
    assert (response.status_code, problem_name(response)) == (401, "unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer ")


def test_kinds_differ_in_type_and_are_all_documented() -> None:
    kinds = [value for value in vars(problems).values() if isinstance(value, Kind)]
    assert len({kind.type for kind in kinds}) == len(kinds)
    assert set(kinds) == {*problems.OF_CLASSIFY, *problems.OF_RELOAD}
