"""Uploads: photos from a request's body, in memory only. Nothing is written to disk, however large the body is."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as FormField
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.requests import Request

from maskfit.apps.service.problem_details import HTTPProblemError
from maskfit.apps.service.settings import Limits

FORM, JSON = "multipart/form-data", "application/json"

FILES_FIELD = "files"
"""What the photos' parts of a form are called."""

MAX_NAME_LENGTH = 255

MAX_JSON_SEPARATORS_PER_PHOTO = 1000
"""Brackets and commas of a JSON body for each photo that it may have; base64 has none. To read a body of nothing else
would take a multiple of its own memory."""


class Upload(NamedTuple):
    """A photo that came in.

    Attributes:
        name: What the caller calls it, if anything.
        content: The file's bytes.
    """

    name: str | None
    content: bytes


def _from_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("it is no text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is no base64 (RFC 4648, with its padding, without line ends)") from None


Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
            "description": "The photo's file in base64.",
        }
    ),
]


class PhotoPayload(BaseModel):
    """A photo in JSON."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = Field(
        None, description="Comes back with the answer; otherwise not used, and not logged."
    )
    data: Base64


class PhotosPayload(BaseModel):
    """Photos in JSON."""

    model_config = ConfigDict(extra="forbid")

    photos: list[PhotoPayload] = Field(min_length=1)


class BodyMemoryBudget:
    """How many bytes of bodies are in memory, of all requests together.

    Args:
        most: How many may be.
    """

    def __init__(self, most: int) -> None:
        self.max_bytes = most
        self.reserved_bytes = 0

    @contextmanager
    def reservation(self) -> Iterator[MemoryReservation]:
        """For one request; what it took is free again when it ends."""
        claim = MemoryReservation(self)
        try:
            yield claim
        finally:
            self.reserved_bytes -= claim.reserved_bytes


class MemoryReservation:
    """What one request holds."""

    def __init__(self, held: BodyMemoryBudget) -> None:
        self.budget = held
        self.reserved_bytes = 0

    def reserve(self, count: int) -> None:
        """Counts bytes that came in.

        Raises:
            RefusalError: All requests together would hold too many.
        """
        if self.budget.reserved_bytes + count > self.budget.max_bytes:
            raise HTTPProblemError(429, "too many photos are being sent at once", "memory")
        self.budget.reserved_bytes += count
        self.reserved_bytes += count


class BodyParser(Protocol):
    """Takes a body in piece by piece."""

    def feed(self, chunk: bytes) -> None: ...

    def finish(self) -> list[Upload]: ...


class MultipartParser:
    """A body of multipart/form-data.

    Args:
        boundary: What stands between its parts.
        limits: How many there may be.
    """

    def __init__(self, boundary: bytes | None, limits: Limits) -> None:
        if not boundary:
            raise _malformed("the Content-Type names no boundary")
        self.limits = limits
        self.uploads: list[Upload] = []
        self.ended = False
        # Without a MAX_MEMORY_FILE_SIZE nothing goes to a temporary file; what is held is counted as it comes in.
        config = {"MAX_MEMORY_FILE_SIZE": None, "UPLOAD_ERROR_ON_BAD_CTE": True}
        with _readable_form():
            self.parser = FormParser(FORM, self._take_field, self._take_file, self._end, boundary, config=config)

    def feed(self, chunk: bytes) -> None:
        """Takes a piece in.

        Raises:
            RefusalError: It is no such form, or has too many photos or other parts.
        """
        with _readable_form():
            self.parser.write(chunk)

    def finish(self) -> list[Upload]:
        """The photos, in their order.

        Raises:
            RefusalError: The form does not end, or has no photo.
        """
        with _readable_form():
            self.parser.finalize()
        if not self.ended:
            raise _malformed("the form breaks off")
        if not self.uploads:
            raise _malformed(f"the form has no part '{FILES_FIELD}'")
        return self.uploads

    def _take_file(self, file: File) -> None:
        if file.field_name != FILES_FIELD.encode():
            raise _malformed(f"the form has a part that is not called '{FILES_FIELD}'")
        if len(self.uploads) >= self.limits.photos:
            raise too_many_photos(self.limits)
        name = (file.file_name or b"").decode("utf-8", "replace")[:MAX_NAME_LENGTH]
        file.file_object.seek(0)
        self.uploads.append(Upload(name, file.file_object.read()))
        file.close()

    def _take_field(self, part: FormField) -> None:
        raise _malformed(f"the form has a part without a file name; with curl it is -F {FILES_FIELD}=@photo.jpg")

    def _end(self) -> None:
        self.ended = True


class JsonBodyParser:
    """A body of JSON; see `PhotosSent`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Takes a piece in."""
        self.body += chunk

    def finish(self) -> list[Upload]:
        """The photos, in their order.

        Raises:
            RefusalError: It is no JSON, or not of that shape, or has too many photos.
        """
        if sum(map(self.body.count, (b"{", b"[", b","))) > MAX_JSON_SEPARATORS_PER_PHOTO * self.limits.photos:
            raise _malformed("the body has more brackets and commas than photos need")
        try:
            sent = PhotosPayload.model_validate_json(self.body)
        except ValidationError as error:
            raise _malformed(format_validation_errors(error.errors(include_input=False, include_url=False))) from None
        if len(sent.photos) > self.limits.photos:
            raise too_many_photos(self.limits)
        return [Upload(photo.name, photo.data) for photo in sent.photos]


async def read_uploads(request: Request, limits: Limits, claim: MemoryReservation) -> list[Upload]:
    """The photos of a request.

    Raises:
        RefusalError: Its body is none of the known types, too large or malformed.
        ClientDisconnect: The caller has gone.
    """
    intake = _open_intake(request, limits)
    declared = request.headers.get("content-length", "0")
    # Refused before it is sent, where the caller says how much it will be; counted in any case.
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limits.body_bytes):
        raise _too_large(limits)
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > limits.body_bytes:
            raise _too_large(limits)
        claim.reserve(len(chunk))
        intake.feed(chunk)
    # Megabytes of base64 take long enough to keep other callers waiting.
    return await asyncio.to_thread(intake.finish)


def _open_intake(request: Request, limits: Limits) -> BodyParser:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == FORM.encode():
        return MultipartParser(options.get(b"boundary"), limits)
    if kind == JSON.encode():
        return JsonBodyParser(limits)
    raise HTTPProblemError(415, f"the body must be {FORM} or {JSON}", "type", {"Accept": f"{FORM}, {JSON}"})


def describe_body(limits: Limits) -> dict[str, Any]:
    """What OpenAPI says of the body."""
    photos = {"type": "array", "minItems": 1, "maxItems": limits.photos}
    file = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
    shape = {"type": "object", "additionalProperties": False}
    return {
        "required": True,
        "content": {
            FORM: {
                "schema": {**shape, "properties": {FILES_FIELD: {**photos, "items": file}}, "required": [FILES_FIELD]}
            },
            JSON: {
                "schema": {
                    **shape,
                    "properties": {"photos": {**photos, "items": PhotoPayload.model_json_schema()}},
                    "required": ["photos"],
                }
            },
        },
    }


def format_validation_errors(errors: Any) -> str:
    """The first three mistakes as "place: what"; nothing of what was sent."""
    lines = []
    for item in list(errors)[:3]:
        place = ".".join(map(str, item["loc"]))
        message = str(item["msg"]).removeprefix("Value error, ")
        lines.append(f"{place}: {message}" if place else message)
    return "; ".join(lines)


def too_many_photos(limits: Limits) -> HTTPProblemError:
    """For more photos than one request may have."""
    return HTTPProblemError(422, f"a request has at most {limits.photos} photos", "photos")


def _too_large(limits: Limits) -> HTTPProblemError:
    return HTTPProblemError(413, f"the body has more than {limits.body_bytes:,} bytes", "bytes")


def _malformed(what: str) -> HTTPProblemError:
    return HTTPProblemError(422, what, "malformed")


@contextmanager
def _readable_form() -> Iterator[None]:
    try:
        yield
    except FormParserError:
        # Its own words may quote the body.
        raise _malformed("the body is no multipart form") from None
