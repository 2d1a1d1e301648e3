"""Problems: refusals as RFC 9457 has them, which say what is wrong and nothing of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"

STATUS_DESCRIPTIONS = {
    401: "No token, or a wrong one.",
    408: "The body did not arrive in time.",
    413: "The body has more bytes than are read.",
    415: "The body is neither multipart/form-data nor application/json.",
    422: "The request is not of the shape described here. That a photo cannot be read is no such case: it is said in "
    "the answer for that photo.",
    429: "More photos are waiting than are taken on.",
    500: "A fault of the service.",
    503: "The service is stopping, or did not answer in time.",
}
"""What each status means here."""

RETRY_STATUSES = (429, 503)
"""Statuses that come with Retry-After."""

RETRY_AFTER_SECONDS = 1


class ProblemDetails(BaseModel):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong with this request.")


class HTTPProblemError(Exception):
    """A request that is refused.

    Args:
        status: The HTTP status.
        detail: What is wrong, for the caller.
        reason: The same in one word, for metrics.
        headers: Of the response.
    """

    def __init__(self, status: int, detail: str, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason
        self.headers = headers


def to_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as a response."""
    given = dict(headers or {})
    if status in RETRY_STATUSES:
        given.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    problem = ProblemDetails(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status, given, MEDIA_TYPE)


def openapi_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of these statuses."""
    said: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        said[status] = {
            "description": STATUS_DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in RETRY_STATUSES:
            said[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
            }
        if status == 401:
            said[status]["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return said
