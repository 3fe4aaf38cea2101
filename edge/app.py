"""The edge's REST routes."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter
from starlette.types import ASGIApp

from edge import problems
from edge.admission import Admission
from edge.arrivals import Arrivals
from edge.body import read_image
from edge.classification import Classification
from edge.config import MAX_DEADLINE_MS, EdgeConfig
from edge.documents import (
    CLASSIFIED,
    IMAGE_BODIES,
    TRACE_PARAMETERS,
    Health,
    Model,
    Ready,
    Reloaded,
    problem_responses,
)
from edge.gate import Gate
from edge.held import Held
from edge.holder import Holder
from edge.metrics import EdgeMetrics
from edge.observation import note_classification
from edge.observer import Observer
from edge.problems import Problem, handle_problems, kind_of
from edge.security import Security
from edge.spans import EdgeSpans
from edge.stages import server_timing
from edge.turnstile import TurnAway, Turnstile
from splitwire import __version__
from splitwire.errors import BundleError, CloudError

__all__ = ["Application", "make_app"]

_CLASSIFY = "/classify"
_DEFAULT_TOP_K = 5

_TOP_K = f"How many predictions; by default {_DEFAULT_TOP_K}, or all where there are fewer classes."

_DEADLINE = "Most milliseconds from the request's last byte to its answer."

_DESCRIPTION = """\
Image classification split between this edge and a cloud: the first and last layers of a network run
here, those in between there, and only small quantized tensors travel.
Every error is an RFC 9457 document of type `application/problem+json`."""


#: Writes them, in compiled code.
_CLASSIFICATIONS = TypeAdapter(Classification)


class _App(FastAPI):
    """Documents which of its operations want tokens; it is the gate that checks them."""

    def __init__(self, security: Security, **settings: Any) -> None:
        super().__init__(**settings)
        self._security = security

    def openapi(self) -> dict[str, Any]:
        return self._security.declare(super().openapi())


@dataclass(frozen=True, slots=True)
class Application:
    """asgi: all of it. turnstile: whom it turns away by their heads alone."""

    asgi: ASGIApp
    turnstile: Turnstile


def make_app(
    config: EdgeConfig, holder: Holder, metrics: EdgeMetrics, spans: EdgeSpans | None = None
) -> Application:
    """When the application shuts down it closes the holder. spans: None exports none.

    Raises:
        ConfigError: the tokens of its clients cannot be used.
    """
    admission = Admission(config.max_concurrency)
    arrivals = Arrivals(admission.places * config.max_image_bytes)
    metrics.watch(admission, holder)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        admission.close()
        holder.close()

    tokens, admin = config.credentials.tokens(), config.credentials.admin_tokens()
    security = Security(tokens=tokens is not None, admin=admin is not None)
    app = _App(
        security, title="Splitwire edge", version=__version__, description=_DESCRIPTION, lifespan=lifespan
    )
    handle_problems(app)
    _add_classify(app, config, holder, admission, arrivals)
    _add_status(app, config, holder)
    if admin is not None:
        _add_admin(app, holder)
    # Around all of FastAPI: who is sent away costs none of it.
    turnstile = Turnstile(admission, path=_CLASSIFY, seconds=config.deadline_ms / 1000)
    served: ASGIApp = TurnAway(app, turnstile)
    if tokens is not None or admin is not None:
        served = Gate(served, tokens, admin)
    return Application(Observer(served, metrics, spans), turnstile)


def _add_classify(
    app: FastAPI, config: EdgeConfig, holder: Holder, admission: Admission, arrivals: Arrivals
) -> None:
    async def classify(
        request: Request,
        top_k: Annotated[int | None, Query(ge=1, description=_TOP_K)] = None,
        x_deadline_ms: Annotated[
            int, Header(ge=1, le=MAX_DEADLINE_MS, description=_DEADLINE)
        ] = config.deadline_ms,
    ) -> Response:
        """Classify one image. The response says where the milliseconds and the bytes went."""
        with arrivals.begin() as arrival:
            image = await read_image(request, config.max_image_bytes, arrival)
            deadline = time.monotonic() + x_deadline_ms / 1000
            held = holder.current
            count = _predictions(top_k, held)
            with held.use(), admission.enter(deadline):
                job = partial(held.pipeline.classify, image, top_k=count, deadline=deadline)
                classification = await admission.run(job, deadline)
        note_classification(classification, held.raw_downlink)
        timing = {"Server-Timing": server_timing(classification.timings_ms)}
        answer = _CLASSIFICATIONS.dump_json(classification)
        return Response(answer, headers=timing, media_type="application/json")

    app.post(
        _CLASSIFY,
        response_model=Classification,
        responses={200: CLASSIFIED, **problem_responses(*problems.OF_CLASSIFY)},
        openapi_extra={"requestBody": IMAGE_BODIES, "parameters": TRACE_PARAMETERS},
    )(classify)


def _predictions(asked: int | None, held: Held) -> int:
    """Raises Problem: `asked` is more than there are."""
    classes = len(held.model.labels)
    if asked is not None and asked > classes:
        raise Problem(problems.BAD_PARAMETER, f"top_k: there are {classes} classes, got {asked}")
    return min(_DEFAULT_TOP_K, classes) if asked is None else asked


def _add_status(app: FastAPI, config: EdgeConfig, holder: Holder) -> None:
    clouds = tuple(map(str, config.cloud))

    @app.get("/healthz")
    async def healthz() -> Health:
        """Whether the process is alive."""
        return Health("ok")

    faults = (problems.CLOUD_UNAVAILABLE, problems.CLOUD_REFUSED, problems.OTHER_BUNDLE)

    @app.get("/readyz", responses=problem_responses(*faults))
    async def readyz() -> Ready:
        """Whether an image would be classified, and how: by a cloud that serves the same bundle, or here."""
        held = holder.current
        digest = held.bundle.digest.hex()
        try:
            with held.use():
                await held.readiness.check()
        except CloudError as error:
            if not held.pipeline.falls_back:
                raise
            return Ready("ready", digest, clouds, "local", kind_of(error).name)
        return Ready("ready", digest, clouds, "split", None)

    @app.get("/model", responses=problem_responses(problems.UNAUTHENTICATED))
    async def model() -> Model:
        """What is served: labels, plan, boundaries, preprocessing, measured accuracy and bytes."""
        return holder.current.model


def _add_admin(app: FastAPI, holder: Holder) -> None:
    @app.post("/admin/reload", responses=problem_responses(*problems.OF_RELOAD))
    async def reload() -> Reloaded:
        """Serve the bundle that its folder holds now. One that cannot be served changes nothing."""
        try:
            done = await holder.reload()
        except BundleError as error:
            raise Problem(problems.BUNDLE_REFUSED, str(error)) from None
        return Reloaded(done.result, done.before.digest.hex(), done.now.digest.hex())
