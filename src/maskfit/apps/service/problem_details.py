"""Error responses as RFC 9457 problem details, which reveal nothing about the machine."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
"""Media type of problem details."""

OPENAPI_PATH = "/openapi.json"
"""Path of the document that describes the service, which messages name."""

STATUS_DESCRIPTIONS = {
    401: "The token is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "The body exceeds the size limit.",
    415: "The body is neither multipart/form-data nor application/json.",
    422: "The request does not have the form described here. An unreadable photo is not an error of the request: the "
    "response reports it for that photo.",
    429: "Too many photos are waiting.",
    500: "Internal error.",
    503: "The service is stopping, or did not respond in time.",
}
"""Description of each status in OpenAPI."""

RETRY_STATUSES = (429, 503)
"""Statuses with a Retry-After header."""

RETRY_AFTER_SECONDS = 1
"""Value of the Retry-After header: the queue empties within about a second."""


class ProblemDetails(BaseModel):
    """Why a request was rejected (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="The reason phrase of the status.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong with this request.")


class HTTPProblemError(Exception):
    """A rejected request.

    Args:
        status: The HTTP status.
        detail: What is wrong, for the client.
        reason: One word for the metric `maskfit_rejections`.
        headers: Further headers of the response.
    """

    def __init__(self, status: int, detail: str, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason
        self.headers = headers


def to_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Builds a response with problem details.

    Args:
        status: The HTTP status, 400 to 599.
        detail: What is wrong, for the client.
        headers: Further headers.

    Returns:
        The response, with Retry-After where the status calls for it.
    """
    all_headers = dict(headers or {})
    if status in RETRY_STATUSES:
        all_headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    problem = ProblemDetails(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status, all_headers, MEDIA_TYPE)


def openapi_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI description of error statuses.

    Args:
        *statuses: Keys of `STATUS_DESCRIPTIONS`.

    Returns:
        Response object by status.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        responses[status] = {
            "description": STATUS_DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in RETRY_STATUSES:
            responses[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
            }
        if status == 401:
            responses[status]["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return responses
