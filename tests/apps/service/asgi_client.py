"""Minimal ASGI client, for slow and disconnecting clients that no HTTP library simulates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Message = dict[str, Any]


class AsgiResponse(NamedTuple):
    """The response; status 0 where there was none."""

    status: int
    body: bytes


class AsgiClient:
    """Delivers messages one after the other, then blocks; a function among them is waited for until it is true."""

    def __init__(self, messages: Sequence[Message | Callable[[], object]]) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self.messages:
            await asyncio.sleep(3600)
        message = self.messages.pop(0)
        if not callable(message):
            return message
        while not message():
            await asyncio.sleep(0.01)
        return await self.receive()

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def ask(
    app: Any, messages: Sequence[Message | Callable[[], object]], *, headers: dict[str, str], path: str = "/v1/predict"
) -> AsgiResponse:
    """One POST; returns when the application does."""
    caller = AsgiClient(messages)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "client": None,
        "server": None,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, caller.receive, caller.send))
    start = next((item for item in caller.sent if item["type"] == "http.response.start"), {"status": 0})
    return AsgiResponse(start["status"], b"".join(item.get("body", b"") for item in caller.sent))


def body(*chunks: bytes, end: bool = True) -> list[Message]:
    """The messages of a body."""
    return [
        {"type": "http.request", "body": chunk, "more_body": not end or place < len(chunks) - 1}
        for place, chunk in enumerate(chunks)
    ]


def as_form(*contents: bytes) -> tuple[bytes, dict[str, str]]:
    """A form with these photos, and its headers."""
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="secret-name.png"\r\n\r\n'
        + content
        + b"\r\n"
        for content in contents
    ]
    return b"".join(parts) + b"--edge--\r\n", {"content-type": "multipart/form-data; boundary=edge"}
