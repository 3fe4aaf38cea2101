"""The edge's REST routes."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse
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
    model_of,
    problem_responses,
)
from edge.gate import Gate
from edge.metrics import EdgeMetrics
from edge.observation import note_classification
from edge.observer import Observer
from edge.pipeline import Pipeline
from edge.problems import handle_problems, kind_of
from edge.readiness import Readiness
from edge.stages import server_timing
from edge.turnstile import Turnstile
from splitwire import __version__
from splitwire.errors import CloudError

__all__ = ["make_app"]

_CLASSIFY = "/classify"
_DEFAULT_TOP_K = 5

_DEADLINE = "Most milliseconds from the request's last byte to its answer."

_DESCRIPTION = """\
Image classification split between this edge and a cloud: the first and last layers of a network run
here, those in between there, and only small quantized tensors travel.
Every error is an RFC 9457 document of type `application/problem+json`."""


def make_app(config: EdgeConfig, pipeline: Pipeline, metrics: EdgeMetrics) -> ASGIApp:
    """The ASGI application. When it shuts down it closes the pipeline's cloud client.

    Raises:
        ConfigError: the tokens of its clients cannot be used.
    """
    admission = Admission(config.max_concurrency)
    arrivals = Arrivals(admission.places * config.max_image_bytes)
    metrics.watch(admission, pipeline.cloud)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        admission.close()
        pipeline.cloud.close()

    app = FastAPI(title="Splitwire edge", version=__version__, description=_DESCRIPTION, lifespan=lifespan)
    handle_problems(app)
    seconds = config.deadline_ms / 1000
    app.add_middleware(Turnstile, admission=admission, path=_CLASSIFY, seconds=seconds)
    tokens = config.credentials.tokens()
    if tokens is not None:
        app.add_middleware(Gate, tokens=tokens)
    _add_classify(app, config, pipeline, admission, arrivals)
    _add_status(app, config, pipeline)
    return Observer(app, metrics)


def _add_classify(
    app: FastAPI, config: EdgeConfig, pipeline: Pipeline, admission: Admission, arrivals: Arrivals
) -> None:
    classes = len(pipeline.bundle.manifest.labels)

    async def classify(
        request: Request,
        top_k: Annotated[int, Query(ge=1, le=classes, description="How many predictions.")] = min(
            _DEFAULT_TOP_K, classes
        ),
        x_deadline_ms: Annotated[
            int, Header(ge=1, le=MAX_DEADLINE_MS, description=_DEADLINE)
        ] = config.deadline_ms,
    ) -> JSONResponse:
        """Classify one image. The response says where the milliseconds and the bytes went."""
        with arrivals.begin() as arrival:
            image = await read_image(request, config.max_image_bytes, arrival)
            deadline = time.monotonic() + x_deadline_ms / 1000
            job = partial(pipeline.classify, image, top_k=top_k, deadline=deadline)
            with admission.enter(deadline):
                classification = await admission.run(job, deadline)
        note_classification(classification)
        timing = {"Server-Timing": server_timing(classification.timings_ms)}
        return JSONResponse(asdict(classification), headers=timing)

    app.post(
        _CLASSIFY,
        response_model=Classification,
        responses={200: CLASSIFIED, **problem_responses(*problems.OF_CLASSIFY)},
        openapi_extra={"requestBody": IMAGE_BODIES, "parameters": TRACE_PARAMETERS},
    )(classify)


def _add_status(app: FastAPI, config: EdgeConfig, pipeline: Pipeline) -> None:
    readiness = Readiness(pipeline.cloud)
    digest, clouds = pipeline.bundle.digest.hex(), tuple(map(str, config.cloud))
    model_document = model_of(pipeline.bundle)

    @app.get("/healthz")
    async def healthz() -> Health:
        """Whether the process is alive."""
        return Health("ok")

    faults = (problems.CLOUD_UNAVAILABLE, problems.CLOUD_REFUSED, problems.OTHER_BUNDLE)

    @app.get("/readyz", responses=problem_responses(*faults))
    async def readyz() -> Ready:
        """Whether an image would be classified, and how: by a cloud that serves the same bundle, or here."""
        try:
            await readiness.check()
        except CloudError as error:
            if not pipeline.falls_back:
                raise
            return Ready("ready", digest, clouds, "local", kind_of(error).name)
        return Ready("ready", digest, clouds, "split", None)

    @app.get("/model", responses=problem_responses(problems.UNAUTHENTICATED))
    async def model() -> Model:
        """What is served: labels, plan, boundaries, preprocessing, measured accuracy and bytes."""
        return model_document
