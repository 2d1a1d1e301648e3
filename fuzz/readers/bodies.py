"""Bodies of requests to the service: multipart forms and JSON."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from starlette.requests import Request

from fuzz.engine import Sample
from fuzz.mutations import SCALARS, mutate_bytes, mutate_value
from maskfit.apps.service.problem_details import HTTPProblemError
from maskfit.apps.service.settings import Limits
from maskfit.apps.service.uploads import BodyMemoryBudget, read_uploads

BOUNDARY = "----limit7MA4YWxk"
HEADERS = (
    "Content-Type: image/jpeg",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: x",
    "X: y",
    "Content-Length: 5",
    "Content-Disposition: attachment",
    "content-disposition:form-data;name=files;filename*=UTF-8''%e2%82",
    "X" * 400,
    ":",
    "",
)
BYTES_SHARE = 0.2
"""Share of inputs that are mutated as plain bytes."""


class BodyReader:
    """`read_uploads`: what the service does with a body before it decodes a photo."""

    name = "bodies"
    refusals = (HTTPProblemError,)
    checks = ("maskfit.apps.service.uploads:_open_parser()", "maskfit.apps.service.uploads:Upload")

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes forms with one and three photos, and JSON."""
        # One event loop for all inputs: to make one takes longer than to read a body.
        self.runner = asyncio.Runner()
        parts = [
            (
                'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\nContent-Type: image/jpeg',
                b"\xff\xd8one\r\n--x",
            ),
            ('Content-Disposition: form-data; name="files"; filename="b.png"', b"\x89PNGtwo"),
            ('Content-Disposition: form-data; name="files"; filename=""', b""),
        ]
        text = base64.b64encode(b"\xff\xd8photo").decode()
        photos = {"photos": [{"name": "a.jpg", "data": text}, {"data": text}]}
        form = f"multipart/form-data; boundary={BOUNDARY}"
        return [Sample(form, parts[:1]), Sample(form, parts), Sample("application/json", photos)]

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates parts and their headers, or values; sometimes plain bytes."""
        if rng.random() < BYTES_SHARE:
            return mutate_bytes(rng, self.write(sample))
        if sample.kind == "application/json":
            return self.write(sample._replace(data=mutate_value(rng, sample.data)))
        parts = list(sample.data)
        for _ in range(rng.randint(1, 3)):
            index = rng.randrange(len(parts))
            head, content = parts[index]
            kind = rng.randrange(6)
            if kind == 0:
                parts[index] = (mutate_bytes(rng, head.encode(), 2).decode("latin-1"), content)
            elif kind == 1:
                parts[index] = (f"{head}\r\n{rng.choice(HEADERS)}", content)
            elif kind == 2:
                parts[index] = (head, mutate_bytes(rng, content))
            elif kind == 3:
                parts[index:index] = [parts[index]] * rng.choice((1, 2, 40))
            elif kind == 4:
                parts[index] = (head.replace("files", str(rng.choice(SCALARS))[:400]), content)
            else:
                parts[index] = (head, content + f"\r\n--{BOUNDARY}{rng.choice(('', '-', '--', '--x'))}".encode())
        return self.write(sample._replace(data=parts))

    def write(self, sample: Sample) -> bytes:
        """Writes the body."""
        if sample.kind == "application/json":
            return json.dumps(sample.data).encode()
        parts = (f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in sample.data)
        return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()

    def read(self, kind: str, data: bytes) -> None:
        """Sends it in pieces of a size that depends on its length."""
        size = (1, 7, 64, 1 << 16)[len(data) % 4]
        pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages[-1]["more_body"] = False

        async def receive() -> dict[str, object]:
            return messages.pop(0)

        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}
        budget = BodyMemoryBudget(1 << 26)
        with budget.reservation() as reservation:
            self.runner.run(read_uploads(Request(scope, receive), Limits(), reservation))
        assert budget.reserved_bytes == 0
