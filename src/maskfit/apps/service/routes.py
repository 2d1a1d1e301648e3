"""Routes: HTTP in, HTTP out, and OpenAPI that says exactly that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from maskfit import __version__
from maskfit.apps.service import metrics
from maskfit.apps.service.middleware import STATUS_CLIENT_CLOSED_REQUEST, RequestMiddleware
from maskfit.apps.service.model_info import ServiceInfo
from maskfit.apps.service.problem_details import HTTPProblemError, ProblemDetails, openapi_responses, to_response
from maskfit.apps.service.schemas import StrictModel, build_response_model
from maskfit.apps.service.service import InferenceService, on_shutdown_signal
from maskfit.apps.service.uploads import Upload, describe_body, format_validation_errors, read_uploads
from maskfit.errors import PhotoError
from maskfit.inference.face_predictor import PhotoPrediction

DESCRIPTION = """Every face on a photo, with what the models say of it. Photos are in memory until they are answered for, \
and nowhere else."""

OPENAPI_PATH = "/openapi.json"

BEARER = HTTPBearer(auto_error=False, description="The token that the service was started with.")


class FacesQuery(StrictModel):
    """What a caller may choose."""

    faces: bool = Field(
        True,
        description="Look for faces, and answer for each; without, a photo is taken whole, as a portrait of one face.",
    )


def _refuse_looking(wanted: bool) -> bool:
    if wanted:
        raise ValueError("this service looks for no faces")
    return wanted


class EmptyQuery(StrictModel):
    """The same where the service looks for no faces."""

    faces: Annotated[bool, AfterValidator(_refuse_looking)] = Field(
        False, description="This service takes each photo whole.", json_schema_extra={"enum": [False]}
    )


async def parse_faces_query(given: Annotated[FacesQuery, Query()]) -> bool:
    """Whether faces are looked for."""
    return given.faces


async def no_query(given: Annotated[EmptyQuery, Query()]) -> bool:
    """The same where there is no choice."""
    return given.faces


class HealthStatus(StrictModel):
    """How the service is."""

    status: Literal["ok", "ready"]


def build_app(service: InferenceService) -> FastAPI:
    """The service as an ASGI application; its lifespan starts and stops the batches."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.batcher.start)
        with on_shutdown_signal(lambda: setattr(service, "stopping", True)):
            yield
        service.stopping = True
        await asyncio.to_thread(service.batcher.stop)

    app = FastAPI(
        title="maskfit",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=OPENAPI_PATH,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Even where the environment asks for it: its logs would carry what was sent.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    _add_refusals(app, service)
    _add_probes(app, service)
    _add_answers(app, service)
    schema = _describe(app)
    app.openapi = lambda: schema  # type: ignore[method-assign]
    app.add_middleware(RequestMiddleware, metrics=service.metrics, paths={*schema["paths"], OPENAPI_PATH})
    return app


def _add_refusals(app: FastAPI, service: InferenceService) -> None:
    """Makes every refusal a problem."""

    @app.exception_handler(HTTPProblemError)
    async def refuse(request: Request, error: HTTPProblemError) -> Response:
        service.metrics.rejections.labels(error.reason).inc()
        return to_response(error.status, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_shape(request: Request, error: RequestValidationError) -> Response:
        service.metrics.rejections.labels("malformed").inc()
        return to_response(422, format_validation_errors(error.errors()))

    @app.exception_handler(HTTPException)
    async def refuse_route(request: Request, error: HTTPException) -> Response:
        return to_response(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(ClientDisconnect)
    async def leave(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=STATUS_CLIENT_CLOSED_REQUEST)


def _guards(service: InferenceService) -> list[Any]:
    """What asks for the token, where there is one."""

    async def ask(given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        if not service.check_token(given.credentials if given else None):
            raise HTTPProblemError(401, "this service wants a token", "token", {"WWW-Authenticate": "Bearer"})

    return [Depends(ask)] if service.requires_token else []


def _add_probes(app: FastAPI, service: InferenceService) -> None:
    """What watches the service asks for."""

    @app.get("/healthz", summary="Whether the process lives", tags=["probes"])
    async def healthz() -> HealthStatus:
        return HealthStatus(status="ok")

    @app.get("/readyz", summary="Whether photos are answered for", tags=["probes"], responses=openapi_responses(503))
    async def readyz() -> HealthStatus:
        if not service.is_ready:
            raise HTTPProblemError(503, "the service is starting or stopping", "stopping")
        return HealthStatus(status="ready")

    @app.get(
        "/metrics",
        summary="Numbers for Prometheus",
        tags=["probes"],
        response_class=Response,
        dependencies=_guards(service),
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **_refused(service),
        },
    )
    async def read_metrics() -> Response:
        return Response(service.metrics.render(), media_type=metrics.MEDIA_TYPE)


def _add_answers(app: FastAPI, service: InferenceService) -> None:
    """What the service is there for."""

    @app.get("/v1/model", summary="What is served", dependencies=_guards(service), responses=_refused(service))
    async def model() -> ServiceInfo:
        return service.describe()

    @app.post(
        "/v1/predict",
        summary="Answers for photos",
        description="One photo or many, as a form or as JSON. Each gets an answer or an error of its own; the status "
        "is 200 also where none of them could be read.",
        dependencies=_guards(service),
        response_model=build_response_model(service.predictor.schema),
        responses=_refused(service, 408, 413, 415, 422, 429, 500, 503),
        openapi_extra={"requestBody": describe_body(service.settings.limits)},
    )
    async def predict(
        request: Request, faces: bool = Depends(parse_faces_query if service.settings.faces else no_query)
    ) -> dict[str, Any]:
        if service.stopping:
            raise HTTPProblemError(503, "the service is stopping", "stopping")
        uploads: list[Upload] = []
        with service.body_memory.reservation() as claim:
            try:
                async with asyncio.timeout(service.settings.limits.seconds):
                    uploads = await read_uploads(request, service.settings.limits, claim)
                    photos = [upload.content for upload in uploads]
                    answers = await _answered(request, service.batcher.submit(photos, faces))
            except TimeoutError:
                status, what = (503, "the answer took") if uploads else (408, "the body took")
                seconds = service.settings.limits.seconds
                raise HTTPProblemError(status, f"{what} more than {seconds:g} s", "time") from None
        return {"photos": [_say(upload, answer) for upload, answer in zip(uploads, answers, strict=True)]}


def _refused(service: InferenceService, *statuses: int) -> dict[int | str, dict[str, Any]]:
    return openapi_responses(*([401] if service.requires_token else []), *statuses)


async def _answered(request: Request, photos: Sequence[Future[PhotoPrediction]]) -> list[PhotoPrediction | PhotoError]:
    """What became of each photo; where the caller goes away nobody goes on working for it.

    Raises:
        ClientDisconnect: The caller has gone.
    """
    answers = asyncio.gather(*map(asyncio.wrap_future, photos), return_exceptions=True)
    gone = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((answers, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise ClientDisconnect
        results: list[PhotoPrediction | PhotoError] = []
        for result in answers.result():
            if isinstance(result, BaseException) and not isinstance(result, PhotoError):
                raise result
            results.append(result)
        return results
    finally:
        answers.cancel()
        gone.cancel()


async def _left(request: Request) -> None:
    """Returns when the caller goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _say(upload: Upload, answer: PhotoPrediction | PhotoError) -> dict[str, Any]:
    if isinstance(answer, PhotoError):
        return {"name": upload.name, "error": {"message": answer.message, "next": answer.hint}}
    return {"name": upload.name, **answer.to_dict()}


def _describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the one model that no route returns by itself."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schema["components"]["schemas"]["Problem"] = ProblemDetails.model_json_schema()
    return schema
