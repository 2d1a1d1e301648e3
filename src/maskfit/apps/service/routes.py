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
from maskfit.apps.service.card import ServiceCard
from maskfit.apps.service.guard import GONE, Guard
from maskfit.apps.service.problems import Problem, RefusalError, documented, to_response
from maskfit.apps.service.schemas import Exact, build_answers
from maskfit.apps.service.service import Service, noticing_the_end
from maskfit.apps.service.uploads import Upload, describe_body, explain, read_uploads
from maskfit.errors import PhotoError
from maskfit.inference.faces import Reading

ABOUT = """Every face on a photo, with what the models say of it. Photos are in memory until they are answered for, \
and nowhere else."""

OPENAPI = "/openapi.json"

BEARER = HTTPBearer(auto_error=False, description="The token that the service was started with.")


class Choice(Exact):
    """What a caller may choose."""

    faces: bool = Field(
        True,
        description="Look for faces, and answer for each; without, a photo is taken whole, as a portrait of one face.",
    )


def _refuse_looking(wanted: bool) -> bool:
    if wanted:
        raise ValueError("this service looks for no faces")
    return wanted


class NoChoice(Exact):
    """The same where the service looks for no faces."""

    faces: Annotated[bool, AfterValidator(_refuse_looking)] = Field(
        False, description="This service takes each photo whole.", json_schema_extra={"enum": [False]}
    )


async def choose(given: Annotated[Choice, Query()]) -> bool:
    """Whether faces are looked for."""
    return given.faces


async def choose_nothing(given: Annotated[NoChoice, Query()]) -> bool:
    """The same where there is no choice."""
    return given.faces


class State(Exact):
    """How the service is."""

    status: Literal["ok", "ready"]


def build_app(service: Service) -> FastAPI:
    """The service as an ASGI application; its lifespan starts and stops the batches."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.batcher.start)
        with noticing_the_end(lambda: setattr(service, "stopping", True)):
            yield
        service.stopping = True
        await asyncio.to_thread(service.batcher.stop)

    app = FastAPI(
        title="maskfit", version=__version__, description=ABOUT, lifespan=lifespan, openapi_url=OPENAPI,
        # Their pages load scripts from elsewhere.
        docs_url=None, redoc_url=None, redirect_slashes=False,
        # Even where the environment asks for it: its logs would carry what was sent.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )  # fmt: skip
    _add_refusals(app, service)
    _add_probes(app, service)
    _add_answers(app, service)
    schema = _describe(app)
    app.openapi = lambda: schema  # type: ignore[method-assign]
    app.add_middleware(Guard, metrics=service.metrics, paths={*schema["paths"], OPENAPI})
    return app


def _add_refusals(app: FastAPI, service: Service) -> None:
    """Makes every refusal a problem."""

    @app.exception_handler(RefusalError)
    async def refuse(request: Request, error: RefusalError) -> Response:
        service.metrics.rejections.labels(error.reason).inc()
        return to_response(error.status, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_shape(request: Request, error: RequestValidationError) -> Response:
        service.metrics.rejections.labels("malformed").inc()
        return to_response(422, explain(error.errors()))

    @app.exception_handler(HTTPException)
    async def refuse_route(request: Request, error: HTTPException) -> Response:
        return to_response(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(ClientDisconnect)
    async def leave(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=GONE)


def _guards(service: Service) -> list[Any]:
    """What asks for the token, where there is one."""

    async def ask(given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        if not service.lets_in(given.credentials if given else None):
            raise RefusalError(401, "this service wants a token", "token", {"WWW-Authenticate": "Bearer"})

    return [Depends(ask)] if service.guarded else []


def _add_probes(app: FastAPI, service: Service) -> None:
    """What watches the service asks for."""

    @app.get("/healthz", summary="Whether the process lives", tags=["probes"])
    async def healthz() -> State:
        return State(status="ok")

    @app.get("/readyz", summary="Whether photos are answered for", tags=["probes"], responses=documented(503))
    async def readyz() -> State:
        if not service.ready:
            raise RefusalError(503, "the service is starting or stopping", "stopping")
        return State(status="ready")

    @app.get(
        "/metrics", summary="Numbers for Prometheus", tags=["probes"], response_class=Response,
        dependencies=_guards(service),
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_refused(service),
        },
    )  # fmt: skip
    async def read_metrics() -> Response:
        return Response(service.metrics.render(), media_type=metrics.MEDIA_TYPE)


def _add_answers(app: FastAPI, service: Service) -> None:
    """What the service is there for."""

    @app.get("/v1/model", summary="What is served", dependencies=_guards(service), responses=_refused(service))
    async def model() -> ServiceCard:
        return service.describe()

    @app.post(
        "/v1/predict",
        summary="Answers for photos",
        description="One photo or many, as a form or as JSON. Each gets an answer or an error of its own; the status "
        "is 200 also where none of them could be read.",
        dependencies=_guards(service),
        response_model=build_answers(service.predictor.scheme),
        responses=_refused(service, 408, 413, 415, 422, 429, 500, 503),
        openapi_extra={"requestBody": describe_body(service.settings.limits)},
    )
    async def predict(
        request: Request, faces: bool = Depends(choose if service.settings.faces else choose_nothing)
    ) -> dict[str, Any]:
        if service.stopping:
            raise RefusalError(503, "the service is stopping", "stopping")
        uploads: list[Upload] = []
        with service.held.claim() as claim:
            try:
                async with asyncio.timeout(service.settings.limits.seconds):
                    uploads = await read_uploads(request, service.settings.limits, claim)
                    photos = [upload.content for upload in uploads]
                    answers = await _answered(request, service.batcher.submit(photos, faces))
            except TimeoutError:
                status, what = (503, "the answer took") if uploads else (408, "the body took")
                seconds = service.settings.limits.seconds
                raise RefusalError(status, f"{what} more than {seconds:g} s", "time") from None
        return {"photos": [_say(upload, answer) for upload, answer in zip(uploads, answers, strict=True)]}


def _refused(service: Service, *statuses: int) -> dict[int | str, dict[str, Any]]:
    return documented(*([401] if service.guarded else []), *statuses)


async def _answered(request: Request, photos: Sequence[Future[Reading]]) -> list[Reading | PhotoError]:
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
        results: list[Reading | PhotoError] = []
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


def _say(upload: Upload, answer: Reading | PhotoError) -> dict[str, Any]:
    if isinstance(answer, PhotoError):
        return {"name": upload.name, "error": {"message": answer.what, "next": answer.fix}}
    return {"name": upload.name, **answer.to_dict()}


def _describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the one model that no route returns by itself."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    return schema
