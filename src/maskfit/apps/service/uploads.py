"""Parses photos from request bodies in memory; nothing is written to disk, however large the body."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as FormField
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.requests import Request

from maskfit.apps.service.problem_details import OPENAPI_PATH, HTTPProblemError
from maskfit.apps.service.schemas import StrictModel
from maskfit.apps.service.settings import Limits
from maskfit.text import format_count, format_validation_problems

FORM, JSON = "multipart/form-data", "application/json"
"""Supported media types of a body."""

FILES_FIELD = "files"
"""Name of the form parts that hold photos."""

CURL_HINT = f"with curl use -F {FILES_FIELD}=@photo.jpg"
"""The end of a message about a form."""

NO_SUCH_FIELD = {"extra_forbidden": f"there is no such parameter or field; {OPENAPI_PATH} lists them"}
"""What is said of a parameter or field that does not exist, by pydantic's type of the error."""

MAX_NAME_LENGTH = 255
"""Characters of a photo's name."""

MAX_JSON_SEPARATORS_PER_PHOTO = 1000
"""Braces, brackets and commas that a JSON body may have for each allowed photo; base64 has none. Parsing a body of
nothing else would take a multiple of its size in memory."""


MAX_INLINE_JSON_BYTES = 64 * 1024
"""Bytes of a JSON body up to which it is parsed in the event loop, in less time than another thread takes to begin."""


class Upload(NamedTuple):
    """An uploaded photo.

    Attributes:
        name: The client's name of it, if any.
        content: The file's bytes.
    """

    name: str | None
    content: bytes


def _from_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("it is not text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64 (RFC 4648, with its padding, without line breaks)") from None


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


class PhotoPayload(StrictModel):
    """A photo in a JSON body.

    Attributes:
        name: The client's name of it, returned with the prediction.
        data: The file's bytes.
    """

    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = Field(
        None, description="Returned with the prediction; not used otherwise, and not logged."
    )
    data: Base64


class PhotosPayload(StrictModel):
    """A JSON body.

    Attributes:
        photos: The photos, at least one.
    """

    photos: list[PhotoPayload] = Field(min_length=1)


class BodyMemoryBudget:
    """Limits the bytes of all request bodies that are in memory together.

    Args:
        max_bytes: The limit.

    Attributes:
        max_bytes: The limit.
        reserved_bytes: Bytes that are in memory now.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.reserved_bytes = 0

    @contextmanager
    def reservation(self) -> Iterator[MemoryReservation]:
        """Opens the reservation of one request; its bytes are released when it ends.

        Yields:
            The reservation, empty.
        """
        reservation = MemoryReservation(self)
        try:
            yield reservation
        finally:
            self.reserved_bytes -= reservation.reserved_bytes


class MemoryReservation:
    """The bytes of one request.

    Args:
        budget: The budget of all requests.
    """

    def __init__(self, budget: BodyMemoryBudget) -> None:
        self.budget = budget
        self.reserved_bytes = 0

    def reserve(self, num_bytes: int) -> None:
        """Reserves memory for bytes that were received.

        Args:
            num_bytes: How many.

        Raises:
            HTTPProblemError: All requests together would exceed the budget.
        """
        if self.budget.reserved_bytes + num_bytes > self.budget.max_bytes:
            raise HTTPProblemError(429, "too many photos are being sent at once", "memory")
        self.budget.reserved_bytes += num_bytes
        self.reserved_bytes += num_bytes


class BodyParser(Protocol):
    """Parses a body chunk by chunk."""

    @property
    def is_finish_slow(self) -> bool:
        """Whether `finish` takes so long that it would block other requests."""

    def feed(self, chunk: bytes) -> None:
        """Parses the next chunk.

        Args:
            chunk: The bytes.
        """

    def finish(self) -> list[Upload]:
        """Ends the body.

        Returns:
            The photos in order.
        """


class MultipartParser:
    """Parses a multipart/form-data body.

    Args:
        boundary: The boundary from the Content-Type header.
        limits: Limits of a request.

    Raises:
        HTTPProblemError: There is no boundary.
    """

    def __init__(self, boundary: bytes | None, limits: Limits) -> None:
        if not boundary:
            raise _malformed("the Content-Type has no boundary")
        self.limits = limits
        self.uploads: list[Upload] = []
        self.ended = False
        # Without MAX_MEMORY_FILE_SIZE nothing is spooled to a temporary file; memory is counted as chunks arrive.
        config = {"MAX_MEMORY_FILE_SIZE": None, "UPLOAD_ERROR_ON_BAD_CTE": True}
        with _catch_parser_errors():
            self.parser = FormParser(FORM, self._on_field, self._on_file, self._on_end, boundary, config=config)

    @property
    def is_finish_slow(self) -> bool:
        """False: the parts are parsed as they arrive."""
        return False

    def feed(self, chunk: bytes) -> None:
        """Parses the next chunk.

        Args:
            chunk: The bytes.

        Raises:
            HTTPProblemError: The form is malformed, or has too many photos or other parts.
        """
        with _catch_parser_errors():
            self.parser.write(chunk)

    def finish(self) -> list[Upload]:
        """Ends the form.

        Returns:
            The photos in order.

        Raises:
            HTTPProblemError: The form is incomplete, or has no photo.
        """
        with _catch_parser_errors():
            self.parser.finalize()
        if not self.ended:
            raise _malformed("the form is incomplete")
        if not self.uploads:
            raise _malformed(f"the form has no part '{FILES_FIELD}'; {CURL_HINT}")
        return self.uploads

    def _on_file(self, file: File) -> None:
        if file.field_name != FILES_FIELD.encode():
            raise _malformed(f"the form has a part that is not named '{FILES_FIELD}'; {CURL_HINT}")
        if len(self.uploads) >= self.limits.photos:
            raise too_many_photos(self.limits)
        name = (file.file_name or b"").decode("utf-8", "replace")[:MAX_NAME_LENGTH]
        file.file_object.seek(0)
        self.uploads.append(Upload(name, file.file_object.read()))
        file.close()

    def _on_field(self, part: FormField) -> None:
        raise _malformed(f"the form has a part without a file name; {CURL_HINT}")

    def _on_end(self) -> None:
        self.ended = True


class JsonBodyParser:
    """Parses a JSON body, see `PhotosPayload`.

    Args:
        limits: Limits of a request.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.body = bytearray()

    @property
    def is_finish_slow(self) -> bool:
        """Whether megabytes of base64 have to be decoded."""
        return len(self.body) > MAX_INLINE_JSON_BYTES

    def feed(self, chunk: bytes) -> None:
        """Stores the next chunk.

        Args:
            chunk: The bytes.
        """
        self.body += chunk

    def finish(self) -> list[Upload]:
        """Parses the body.

        Returns:
            The photos in order.

        Raises:
            HTTPProblemError: The body is not JSON of the documented form, or has too many photos.
        """
        num_separators = sum(map(self.body.count, (b"{", b"[", b",")))
        if num_separators > MAX_JSON_SEPARATORS_PER_PHOTO * self.limits.photos:
            raise _malformed("the body has more brackets and commas than photos need")
        try:
            payload = PhotosPayload.model_validate_json(self.body)
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)
            raise _malformed(format_validation_problems(problems, messages=NO_SUCH_FIELD)) from None
        if len(payload.photos) > self.limits.photos:
            raise too_many_photos(self.limits)
        return [Upload(photo.name, photo.data) for photo in payload.photos]


async def read_uploads(request: Request, limits: Limits, reservation: MemoryReservation) -> list[Upload]:
    """Reads the photos of a request.

    Args:
        request: The request.
        limits: Limits of a request.
        reservation: Counts the bytes that are held in memory.

    Returns:
        The photos in order.

    Raises:
        HTTPProblemError: The body has an unsupported type, is too large or is malformed.
        ClientDisconnect: The client disconnected.
    """
    parser = _open_parser(request, limits)
    declared = request.headers.get("content-length", "0")
    # A declared length is checked before the body is received; the received bytes are counted in any case.
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limits.body_bytes):
        raise _too_large(limits)
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > limits.body_bytes:
            raise _too_large(limits)
        reservation.reserve(len(chunk))
        parser.feed(chunk)
    return await asyncio.to_thread(parser.finish) if parser.is_finish_slow else parser.finish()


def _open_parser(request: Request, limits: Limits) -> BodyParser:
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type == FORM.encode():
        return MultipartParser(options.get(b"boundary"), limits)
    if media_type == JSON.encode():
        return JsonBodyParser(limits)
    raise HTTPProblemError(
        415, f"the body must be {FORM} or {JSON}; {CURL_HINT}", "type", {"Accept": f"{FORM}, {JSON}"}
    )


def describe_body(limits: Limits) -> dict[str, Any]:
    """Returns the OpenAPI description of the body.

    Args:
        limits: Limits of a request.

    Returns:
        A requestBody object.
    """
    photos = {"type": "array", "minItems": 1, "maxItems": limits.photos}
    file = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
    base = {"type": "object", "additionalProperties": False}
    return {
        "required": True,
        "content": {
            FORM: {
                "schema": {**base, "properties": {FILES_FIELD: {**photos, "items": file}}, "required": [FILES_FIELD]}
            },
            JSON: {
                "schema": {
                    **base,
                    "properties": {"photos": {**photos, "items": PhotoPayload.model_json_schema()}},
                    "required": ["photos"],
                }
            },
        },
    }


def too_many_photos(limits: Limits) -> HTTPProblemError:
    """Returns the error for more photos than a request may have.

    Args:
        limits: Limits of a request.

    Returns:
        The error, to be raised.
    """
    return HTTPProblemError(422, f"a request has at most {format_count(limits.photos, 'photo')}", "photos")


def _too_large(limits: Limits) -> HTTPProblemError:
    return HTTPProblemError(413, f"the body has more than {limits.body_bytes:,} bytes", "bytes")


def _malformed(detail: str) -> HTTPProblemError:
    return HTTPProblemError(422, detail, "malformed")


@contextmanager
def _catch_parser_errors() -> Iterator[None]:
    try:
        yield
    except FormParserError:
        # Without its message, which may quote the body.
        raise _malformed("the body is not a multipart form") from None
