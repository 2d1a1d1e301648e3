"""Frees the input shape of an ONNX network whose file declares a fixed one, without the package `onnx`.

The file is a protobuf message (onnx.proto): ModelProto holds a GraphProto, which holds its inputs and outputs as
ValueInfoProto. Only the declared shapes are left out; nodes and weights are copied as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

_GRAPH = 7
"""Field of ModelProto."""
_INPUT, _OUTPUT, _VALUE_INFO = 11, 12, 13
"""Fields of GraphProto."""
_NAME, _TYPE = 1, 2
"""Fields of ValueInfoProto."""
_TENSOR_TYPE, _ELEMENT_TYPE = 1, 1
"""Fields of TypeProto and TypeProto.Tensor."""
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
"""Wire types."""


def free_shapes(model: bytes, inputs: tuple[str, ...]) -> bytes:
    """Returns an ONNX model whose named inputs, and all outputs, may have any shape.

    Args:
        model: Content of the `.onnx` file.
        inputs: Names of the inputs; older files list weights as inputs too, which keep their shapes.

    Returns:
        The changed content.

    Raises:
        ValueError: The content is not a protobuf message.
        IndexError: It is truncated.
    """
    return b"".join(
        _field(number, _free_graph(content, inputs)) if number == _GRAPH and content is not None else raw
        for number, content, raw in _fields(model)
    )


def _free_graph(graph: bytes, inputs: tuple[str, ...]) -> bytes:
    parts = []
    for number, content, raw in _fields(graph):
        if content is None or number not in (_INPUT, _OUTPUT, _VALUE_INFO):
            parts.append(raw)
        elif number == _OUTPUT or (number == _INPUT and _parse(content).get(_NAME, b"").decode() in inputs):
            parts.append(_field(number, _without_shape(content)))
        elif number == _INPUT:
            parts.append(raw)
        # Shapes of values inside of the graph follow from those of the inputs.
    return b"".join(parts)


def _without_shape(value_info: bytes) -> bytes:
    parts = _parse(value_info)
    tensor = _parse(_parse(parts[_TYPE])[_TENSOR_TYPE], numbers=True)
    kind = _field(_TENSOR_TYPE, _varint(_ELEMENT_TYPE << 3 | _VARINT) + tensor[_ELEMENT_TYPE])
    return _field(_NAME, parts[_NAME]) + _field(_TYPE, kind)


def _parse(message: bytes, numbers: bool = False) -> dict[int, bytes]:
    """The last length-delimited field of each number; with `numbers` the varints instead, as they are stored."""
    if numbers:
        return {number: raw[1:] for number, content, raw in _fields(message) if content is None and raw[0] & 7 == 0}
    return {number: content for number, content, _ in _fields(message) if content is not None}


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Yields number, content (None of numeric fields) and the stored bytes of every field.

    Raises:
        ValueError: The bytes are not protobuf fields.
        IndexError: They are truncated.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _read_varint(message, position)
        kind, content = tag & 7, None
        if kind == _LENGTH_DELIMITED:
            length, position = _read_varint(message, position)
            content = message[position : position + length]
            position += length
        elif kind == _VARINT:
            _, position = _read_varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if position > len(message) or not tag >> 3:
            raise ValueError("a field has no number or exceeds its message")
        yield tag >> 3, content, message[start:position]


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for count in range(10):
        byte = message[position + count]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, position + count + 1
    raise ValueError("a varint is longer than 64 bits")
