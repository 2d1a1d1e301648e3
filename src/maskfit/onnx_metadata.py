"""What an ONNX file says beside its network, read from its outermost layer: the network itself is stepped over.

ONNX Runtime can tell the same, but only once it has built the network, which takes as long as several photos.

The layer is a protobuf message, a row of fields: a number that says which field and how it is written, then its content
(https://protobuf.dev/programming-guides/encoding). `ModelProto` of onnx.proto says which field is what.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

_GRAPH, _PROPERTIES = 7, 14
_KEY, _VALUE = 1, 2

_VARINT, _EIGHT_BYTES, _WITH_LENGTH, _FOUR_BYTES = 0, 1, 2, 5

_ELSEWHERE = b"location"
"""The key under which a network says in which other file its weights lie."""

MAX_METADATA_BYTES = 10
"""Bytes of the longest number: seven bits of 64 in each."""


def read_metadata_props(path: Path) -> dict[str, str] | None:
    """The properties of an ONNX file, or None where ONNX Runtime is to judge it.

    That is where it is no ONNX file, or a broken one; and where its weights may lie in other files, of which ONNX
    Runtime refuses those outside of the model's folder.

    Raises:
        OSError: The file cannot be opened.
    """
    if not path.stat().st_size:
        return None
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        if content.find(_ELSEWHERE) >= 0:
            return None
        try:
            return _properties(content)
        except (ValueError, IndexError):
            return None


def _properties(content: mmap) -> dict[str, str]:
    """The properties of a model.

    Raises:
        ValueError: It is none.
        IndexError: It ends in the middle.
    """
    properties: dict[str, str] = {}
    networks = 0
    for number, start, stop in _fields(content, 0, len(content)):
        networks += number == _GRAPH
        if number == _PROPERTIES:
            pair = {own: content[first:last] for own, first, last in _fields(content, start, stop)}
            properties[pair.get(_KEY, b"").decode()] = pair.get(_VALUE, b"").decode()
    if networks != 1:
        raise ValueError("a model has one network")
    return properties


def _fields(content: mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field with a length between two places; others, numbers all, are stepped over.

    Raises:
        ValueError: There are no fields.
        IndexError: The content ends in the middle of one.
    """
    place = start
    while place < stop:
        tag, place = _number(content, place)
        length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(tag & 7, 0)
        begin = place
        if tag & 7 == _WITH_LENGTH:
            length, begin = _number(content, place)
        elif tag & 7 == _VARINT:
            _, begin = _number(content, place)
        elif not length:
            raise ValueError("a field that is written in no known way")
        place = begin + length
        if place > stop or not tag >> 3:
            raise ValueError("a field that is longer than what it stands in, or without a number")
        if tag & 7 == _WITH_LENGTH:
            yield tag >> 3, begin, place


def _number(content: mmap, place: int) -> tuple[int, int]:
    """A number and the place after it: seven bits a byte, the lowest first; the highest bit says that more follow.

    Raises:
        ValueError: It is longer than any.
        IndexError: The content ends before it.
    """
    value = 0
    for count in range(MAX_METADATA_BYTES):
        byte = content[place + count]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, place + count + 1
    raise ValueError("a number that does not end")
