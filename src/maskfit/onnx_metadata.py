"""Reads the metadata of an ONNX file from its outermost message, without parsing the graph.

ONNX Runtime returns the same metadata, but only after it has built the graph, which takes as long as several
predictions.

The outermost message is a protobuf `ModelProto` (onnx.proto): a sequence of fields, each a tag with field number and
wire type, followed by the content (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

_GRAPH, _METADATA_PROPS = 7, 14
"""Field numbers in ModelProto."""
_KEY, _VALUE = 1, 2
"""Field numbers in StringStringEntryProto."""

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
"""Wire types."""

_EXTERNAL_DATA_KEY = b"location"
"""Key under which a graph names another file with its weights."""

MAX_VARINT_BYTES = 10
"""Length of the longest varint: 64 bits at seven bits per byte."""


def read_metadata_props(path: Path) -> dict[str, str] | None:
    """Reads the metadata properties of an ONNX file.

    Args:
        path: The file.

    Returns:
        The properties; None where the file has to be checked by ONNX Runtime: it is not a valid ONNX file, or its
        weights may be in other files, of which ONNX Runtime rejects those outside of the model's folder.

    Raises:
        OSError: The file cannot be opened.
    """
    if not path.stat().st_size:
        return None
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        if content.find(_EXTERNAL_DATA_KEY) >= 0:
            return None
        try:
            return _parse_model(content)
        except (ValueError, IndexError):
            return None


def _parse_model(content: mmap) -> dict[str, str]:
    """Returns the properties of a ModelProto.

    Raises:
        ValueError: The content is not a ModelProto with one graph.
        IndexError: The content is truncated.
    """
    properties: dict[str, str] = {}
    graphs = 0
    for number, start, stop in _iter_fields(content, 0, len(content)):
        graphs += number == _GRAPH
        if number == _METADATA_PROPS:
            entry = {field: content[first:last] for field, first, last in _iter_fields(content, start, stop)}
            properties[entry.get(_KEY, b"").decode()] = entry.get(_VALUE, b"").decode()
    if graphs != 1:
        raise ValueError("a model must have one graph")
    return properties


def _iter_fields(content: mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yields field number, start and end of each length-delimited field in a range; numeric fields are skipped.

    Raises:
        ValueError: The range does not contain protobuf fields.
        IndexError: The content is truncated.
    """
    position = start
    while position < stop:
        tag, position = _read_varint(content, position)
        length = {_FIXED64: 8, _FIXED32: 4}.get(tag & 7, 0)
        begin = position
        if tag & 7 == _LENGTH_DELIMITED:
            length, begin = _read_varint(content, position)
        elif tag & 7 == _VARINT:
            _, begin = _read_varint(content, position)
        elif not length:
            raise ValueError("unknown wire type")
        position = begin + length
        if position > stop or not tag >> 3:
            raise ValueError("a field has no number or exceeds its message")
        if tag & 7 == _LENGTH_DELIMITED:
            yield tag >> 3, begin, position


def _read_varint(content: mmap, position: int) -> tuple[int, int]:
    """Returns a varint and the position after it: seven bits per byte, lowest first; the top bit marks continuation.

    Raises:
        ValueError: The varint is longer than 64 bits.
        IndexError: The content is truncated.
    """
    value = 0
    for count in range(MAX_VARINT_BYTES):
        byte = content[position + count]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, position + count + 1
    raise ValueError("a varint is longer than 64 bits")
