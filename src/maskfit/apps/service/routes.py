"""Routes of the service, and the OpenAPI document that describes them exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from maskfit.apps.service import metrics
from maskfit.apps.service.middleware import STATUS_CLIENT_CLOSED_REQUEST, RequestMiddleware
from maskfit.apps.service.model_info import ServiceInfo
from maskfit.apps.service.prediction_waiting import wait_for_predictions
from maskfit.apps.service.problem_details import (
    OPENAPI_PATH,
    HTTPProblemError,
    ProblemDetails,
    openapi_responses,
    to_response,
)
from maskfit.apps.service.schemas import StrictModel, build_response_model
from maskfit.apps.service.service import InferenceService, on_shutdown_signal
from maskfit.apps.service.uploads import NO_SUCH_FIELD, Upload, describe_body, read_uploads
from maskfit.errors import PhotoError
from maskfit.inference.face_prediction import PhotoPrediction
from maskfit.text import format_validation_problems
from maskfit.version import __version__

DESCRIPTION = (
    "Predictions for every face on a photo. Photos are kept in memory until their prediction is sent, and nowhere else."
)

PREDICT_PATH = "/v1/predict"

BEARER = HTTPBearer(auto_error=False, description="The token that the service was started with.")


class FacesQuery(StrictModel):
    """Query parameters of a service with a face detector.

    Attributes:
        faces: Whether faces are detected.
    """

    faces: bool = Field(
        True,
        description="Detect faces and predict each; otherwise the whole photo is predicted, as a portrait of one face.",
    )


def _reject_detection(value: bool) -> bool:
    if value:
        raise ValueError("this service does not detect faces")
    return value


class EmptyQuery(StrictModel):
    """Query parameters of a service without a face detector.

    Attributes:
        faces: Always False.
    """

    faces: Annotated[bool, AfterValidator(_reject_detection)] = Field(
        False, description="This service predicts each photo as a whole.", json_schema_extra={"enum": [False]}
    )


async def parse_faces_query(query: Annotated[FacesQuery, Query()]) -> bool:
    """Returns whether the client wants faces to be detected.

    Args:
        query: The query parameters.

    Returns:
        The parameter `faces`.
    """
    return query.faces


async def no_query(query: Annotated[EmptyQuery, Query()]) -> bool:
    """Validates the query parameters of a service without a face detector.

    Args:
        query: The query parameters.

    Returns:
        False.
    """
    return query.faces


class HealthStatus(StrictModel):
    """Response of the probes.

    Attributes:
        status: `ok` for liveness, `ready` for readiness.
    """

    status: Literal["ok", "ready"]


def build_app(service: InferenceService) -> FastAPI:
    """Builds the ASGI application; its lifespan starts and stops the batcher.

    Args:
        service: The models and settings.

    Returns:
        The application.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.batcher.start)
        with on_shutdown_signal(service.deadlines.stop):
            yield
        service.deadlines.stop()
        await asyncio.to_thread(service.batcher.stop)

    app = FastAPI(
        title="maskfit",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=OPENAPI_PATH,
        # FastAPI's documentation pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Even where the environment enables it: its logs would contain what clients sent.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    _add_exception_handlers(app, service)
    _add_probes(app, service)
    _add_prediction_routes(app, service)
    schema = _build_openapi(app)
    app.openapi = lambda: schema  # type: ignore[method-assign]
    app.add_middleware(
        RequestMiddleware,
        metrics=service.metrics,
        paths={*schema["paths"], OPENAPI_PATH},
        deadlines=service.deadlines,
    )
    return app


def _add_exception_handlers(app: FastAPI, service: InferenceService) -> None:
    """Turns every error into problem details."""

    @app.exception_handler(HTTPProblemError)
    async def handle_problem(request: Request, error: HTTPProblemError) -> Response:
        service.metrics.rejections.labels(error.reason).inc()
        return to_response(error.status, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
        service.metrics.rejections.labels("malformed").inc()
        return to_response(422, format_validation_problems(error.errors(), messages=NO_SUCH_FIELD))

    @app.exception_handler(HTTPException)
    async def handle_http_exception(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if error.status_code == HTTPStatus.NOT_FOUND:
            detail = f"there is no such path; {OPENAPI_PATH} lists them, and photos are sent to {PREDICT_PATH}"
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            detail = f"this path takes {(error.headers or {}).get('Allow', 'another method')}"
        return to_response(error.status_code, detail, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def handle_disconnect(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=STATUS_CLIENT_CLOSED_REQUEST)


def _token_dependencies(service: InferenceService) -> list[Any]:
    """Returns the dependency that checks the bearer token, where the service requires one."""

    async def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        if not service.check_token(credentials.credentials if credentials else None):
            raise HTTPProblemError(401, "this service requires a token", "token", {"WWW-Authenticate": "Bearer"})

    return [Depends(check)] if service.requires_token else []


def _add_probes(app: FastAPI, service: InferenceService) -> None:
    """Adds the routes for monitoring."""

    @app.get("/healthz", summary="Liveness", tags=["probes"])
    async def healthz() -> HealthStatus:
        return HealthStatus(status="ok")

    @app.get("/readyz", summary="Readiness", tags=["probes"], responses=openapi_responses(503))
    async def readyz() -> HealthStatus:
        if not service.is_ready:
            raise HTTPProblemError(503, "the service is starting or stopping", "stopping")
        return HealthStatus(status="ready")

    @app.get(
        "/metrics",
        summary="Prometheus metrics",
        tags=["probes"],
        response_class=Response,
        dependencies=_token_dependencies(service),
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **_error_responses(service),
        },
    )
    async def read_metrics() -> Response:
        return Response(service.metrics.render(), media_type=metrics.MEDIA_TYPE)


def _add_prediction_routes(app: FastAPI, service: InferenceService) -> None:
    """Adds the routes for predictions and the model description."""

    @app.get(
        "/v1/model",
        summary="Description of the models",
        dependencies=_token_dependencies(service),
        responses=_error_responses(service),
    )
    async def model() -> ServiceInfo:
        return service.describe()

    response_model = build_response_model(service.predictor.schema)

    async def predict(
        request: Request, faces: bool = Depends(parse_faces_query if service.settings.faces else no_query)
    ) -> Response:
        limits = service.settings.limits
        uploads: list[Upload] = []
        with service.body_memory.reservation() as reservation:
            try:
                async with service.deadlines.limit():
                    uploads = await read_uploads(request, limits, reservation)
                    futures = service.batcher.submit([upload.content for upload in uploads], faces)
                    results = await wait_for_predictions(request, futures)
            except TimeoutError:
                if service.deadlines.is_over:
                    raise HTTPProblemError(503, "the service is stopping", "stopping") from None
                status, stage = (503, "the prediction") if uploads else (408, "the body")
                raise HTTPProblemError(status, f"{stage} took more than {limits.seconds:g} s", "time") from None
        photos = [_to_json(upload, result) for upload, result in zip(uploads, results, strict=True)]
        answers = response_model.model_validate({"photos": photos})
        return Response(answers.model_dump_json(by_alias=True).encode(), media_type="application/json")

    app.router.add_api_route(
        PREDICT_PATH,
        predict,
        methods=["POST"],
        summary="Predictions for photos",
        description="One photo or many, as a form or as JSON. Each photo gets a prediction or an error of its own; the "
        "status is 200 even where none of them could be read.",
        dependencies=_token_dependencies(service),
        response_model=response_model,
        responses=_error_responses(service, 408, 413, 415, 422, 429, 500, 503),
        openapi_extra={"requestBody": describe_body(service.settings.limits)},
        route_class_override=None if service.requires_token else _direct_route(predict, service.settings.faces),
    )


def _direct_route(predict: Callable[[Request, bool], Coroutine[Any, Any, Response]], faces: bool) -> type[APIRoute]:
    """Returns a route that calls its function directly where there are no query parameters that FastAPI would check.

    Args:
        predict: The function.
        faces: Its argument `faces` without query parameters.
    """

    class DirectRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle_checked = super().get_route_handler()

            async def handle(request: Request) -> Response:
                return await (handle_checked(request) if request.scope["query_string"] else predict(request, faces))

            return handle

    return DirectRoute


def _error_responses(service: InferenceService, *statuses: int) -> dict[int | str, dict[str, Any]]:
    return openapi_responses(*([401] if service.requires_token else []), *statuses)


def _to_json(upload: Upload, result: PhotoPrediction | PhotoError) -> dict[str, Any]:
    if isinstance(result, PhotoError):
        return {"name": upload.name, "error": {"message": result.message, "next": result.hint}}
    return {"name": upload.name, **result.to_dict()}


def _build_openapi(app: FastAPI) -> dict[str, Any]:
    """Builds the OpenAPI document, with the problem details, which no route returns by itself."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schema["components"]["schemas"]["Problem"] = ProblemDetails.model_json_schema()
    return schema
