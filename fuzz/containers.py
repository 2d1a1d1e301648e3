"""Files made of chunks, as trees to mutate and write again: PNG, JPEG, RIFF, ISO media, Matroska, protobuf."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from fuzz.mutations import Chunk, change_data, mutate_bytes, mutate_chunks

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ISO_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"iprp", b"ipco", b"mvex"}
EBML_MASTERS = {
    0x18538067,
    0x1549A966,
    0x1654AE6B,
    0xAE,
    0xE0,
    0x1F43B675,
    0x1C53BB6B,
    0xBB,
    0xB7,
    0xA0,
    0x114D9B74,
    0x4DBB,
}
"""IDs of Matroska elements that hold others."""


class Container(NamedTuple):
    """A kind of file.

    Attributes:
        parse: Bytes to chunks.
        build: Chunks to bytes.
        change: Changes the data of one chunk.
    """

    parse: Callable[[bytes], list[Chunk]]
    build: Callable[[list[Chunk]], bytes]
    change: Callable[[Random, Chunk], None] = change_data

    def mutate(self, rng: Random, data: bytes) -> bytes:
        """Mutates a file in its structure.

        Args:
            rng: Source of random numbers.
            data: A valid file.

        Returns:
            The changed file.
        """
        parts = self.parse(data)
        mutate_chunks(rng, parts, self.change)
        return self.build(parts)


def _clip(length: int) -> int:
    return min(max(length, 0), 2**32 - 1)


def parse_png(data: bytes) -> list[Chunk]:
    """Splits a PNG; the pixels are held uncompressed."""
    parts, position = [], len(PNG_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        tag, content = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        parts.append(Chunk(tag, zlib.decompress(content) if tag == b"IDAT" else content))
        position += 12 + length
    return parts


def build_png(parts: Sequence[Chunk]) -> bytes:
    """Writes a PNG with valid checksums."""
    out = PNG_SIGNATURE
    for part in parts:
        content = zlib.compress(part.data, 1) if part.tag == b"IDAT" else part.data
        checksum = struct.pack(">I", zlib.crc32(part.tag + content))
        out += struct.pack(">I", _clip(len(content) + part.wrong_length)) + part.tag + content + checksum
    return out


def change_png(rng: Random, part: Chunk) -> None:
    """Changes a field of the header, the kind of a chunk or bytes."""
    if part.tag == b"IHDR" and rng.random() < 0.8:
        values = list(struct.unpack(">IIBBBBB", part.data[:13].ljust(13, b"\0")))
        index = rng.randrange(7)
        choices = (
            ((0, 1, 7, 300, 2**20, 2**31 - 1),) * 2 + ((1, 2, 4, 8, 16, 3),) + ((0, 2, 3, 4, 6, 5),) + ((0, 1, 2),) * 3
        )
        values[index] = rng.choice(choices[index])
        part.data = struct.pack(">IIBBBBB", *values)
    elif rng.random() < 0.15:
        part.tag = rng.choice(
            (b"tRNS", b"PLTE", b"gAMA", b"eXIf", b"iCCP", b"zTXt", b"tEXt", b"iTXt", b"acTL", b"fcTL")
        )
    else:
        change_data(rng, part)


def parse_jpeg(data: bytes) -> list[Chunk]:
    """Splits a JPEG at its markers; a scan is the chunk with the tag 0."""
    parts, position = [], 0
    while position < len(data) - 1:
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker in (0xD8, 0xD9, 0x01) or 0xD0 <= marker <= 0xD7:
            parts.append(Chunk(marker))
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        parts.append(Chunk(marker, data[position + 4 : position + 2 + length]))
        position += 2 + length
        if marker == 0xDA:
            end = position
            while end < len(data) - 1 and not (data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))):
                end += 1
            parts.append(Chunk(0, data[position:end]))
            position = end
    return parts


def build_jpeg(parts: Sequence[Chunk]) -> bytes:
    """Writes a JPEG."""
    out = b""
    for part in parts:
        if part.tag == 0:
            out += part.data
        elif part.tag in (0xD8, 0xD9, 0x01) or 0xD0 <= part.tag <= 0xD7:
            out += bytes((0xFF, part.tag))
        else:
            length = min(max(len(part.data) + 2 + part.wrong_length, 0), 65535)
            out += bytes((0xFF, part.tag)) + struct.pack(">H", length) + part.data
    return out


def change_jpeg(rng: Random, part: Chunk) -> None:
    """Changes a marker, a field of the frame header, or bytes."""
    if part.tag not in (0, 0xD8) and rng.random() < 0.1:
        part.tag = rng.choice((0xC0, 0xC1, 0xC2, 0xC4, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE))
    elif part.tag in (0xC0, 0xC2) and len(part.data) > 7 and rng.random() < 0.7:
        data = bytearray(part.data)
        place = rng.randrange(len(data))
        data[place] = rng.choice((0, 1, 2, 3, 4, 8, 12, 0x11, 0x21, 0x22, 0x41))
        part.data = bytes(data)
    else:
        change_data(rng, part)


def parse_riff(data: bytes) -> list[Chunk]:
    """Splits a RIFF file (WebP, AVI)."""
    parts, position = [], 0
    while position + 8 <= len(data):
        tag = data[position : position + 4]
        (length,) = struct.unpack_from("<I", data, position + 4)
        content = data[position + 8 : position + 8 + length]
        if tag in (b"RIFF", b"LIST"):
            parts.append(Chunk(tag, content[:4], parse_riff(content[4:])))
        else:
            parts.append(Chunk(tag, content))
        position += 8 + length + length % 2
    return parts


def build_riff(parts: Sequence[Chunk]) -> bytes:
    """Writes a RIFF file."""
    out = b""
    for part in parts:
        content = part.data + (build_riff(part.parts) if part.parts is not None else b"")
        out += (
            part.tag + struct.pack("<I", _clip(len(content) + part.wrong_length)) + content + b"\0" * (len(content) % 2)
        )
    return out


def parse_iso(data: bytes) -> list[Chunk]:
    """Splits an ISO media file (MP4, MOV, HEIC) into boxes."""
    parts, position = [], 0
    while position + 8 <= len(data):
        length, tag = struct.unpack_from(">I4s", data, position)
        length = length if 8 <= length <= len(data) - position else len(data) - position
        content = data[position + 8 : position + length]
        if tag in ISO_CONTAINERS:
            parts.append(Chunk(tag, b"", parse_iso(content)))
        elif tag == b"meta" and len(content) > 4:
            parts.append(Chunk(tag, content[:4], parse_iso(content[4:])))
        else:
            parts.append(Chunk(tag, content))
        position += length
    return parts


def build_iso(parts: Sequence[Chunk]) -> bytes:
    """Writes an ISO media file."""
    out = b""
    for part in parts:
        content = part.data + (build_iso(part.parts) if part.parts is not None else b"")
        out += struct.pack(">I4s", _clip(len(content) + 8 + part.wrong_length), part.tag) + content
    return out


def change_fields(rng: Random, part: Chunk) -> None:
    """Changes one 32-bit field, or bytes."""
    if len(part.data) >= 8 and rng.random() < 0.6:
        place = rng.randrange(min(len(part.data) // 4, 64)) * 4
        value = rng.choice((0, 1, 2, 255, 65536, 2**31 - 1, 2**31, 2**32 - 1))
        part.data = part.data[:place] + struct.pack(">I", value) + part.data[place + 4 :]
    else:
        change_data(rng, part)


def _read_vint(data: bytes, position: int, *, keep: bool) -> tuple[int, int]:
    first = data[position]
    length = 9 - first.bit_length() if first else 8
    value = first if keep else first & ((1 << (8 - length)) - 1 if length < 8 else 0)
    for byte in data[position + 1 : position + length]:
        value = value << 8 | byte
    return value, position + length


def parse_ebml(data: bytes) -> list[Chunk]:
    """Splits a Matroska file into elements."""
    parts, position = [], 0
    while position < len(data):
        tag, position = _read_vint(data, position, keep=True)
        if position >= len(data):
            break
        length, position = _read_vint(data, position, keep=False)
        length = min(length, len(data) - position)
        content = data[position : position + length]
        parts.append(Chunk(tag, b"", parse_ebml(content)) if tag in EBML_MASTERS else Chunk(tag, content))
        position += length
    return parts


def build_ebml(parts: Sequence[Chunk]) -> bytes:
    """Writes a Matroska file; every length has eight bytes."""
    out = b""
    for part in parts:
        content = part.data + (build_ebml(part.parts) if part.parts is not None else b"")
        length = min(max(len(content) + part.wrong_length, 0), 2**56 - 2)
        out += part.tag.to_bytes(max((part.tag.bit_length() + 7) // 8, 1), "big")
        out += (1 << 56 | length).to_bytes(8, "big") + content
    return out


def parse_packets(data: bytes) -> list[Chunk]:
    """Splits an MPEG transport stream into its packets of 188 bytes."""
    return [Chunk(None, data[start : start + 188]) for start in range(0, len(data), 188)]


def build_packets(parts: Sequence[Chunk]) -> bytes:
    """Joins the packets."""
    return b"".join(part.data for part in parts)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128 or shift > 63:
            return value, position


def parse_protobuf(data: bytes, depth: int = 5) -> list[Chunk]:
    """Splits a protobuf message by its wire format; a field that is itself such a message becomes one.

    Raises:
        IndexError: It is no message.
        ValueError: It is no message.
    """
    parts, position = [], 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if not key >> 3 or wire not in (0, 1, 2, 5):
            raise ValueError("no message")
        if wire == 0:
            value, position = _varint(data, position)
            parts.append(Chunk(key, _encode(value)))
            continue
        length = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            length, position = _varint(data, position)
        content = data[position : position + length]
        if len(content) < length:
            raise ValueError("no message")
        position += length
        inner = None
        if wire == 2 and depth and 2 <= length < 100_000 and not content.isascii():
            try:
                inner = parse_protobuf(content, depth - 1)
            except (IndexError, ValueError):
                inner = None
        parts.append(Chunk(key, b"" if inner is not None else content, inner))
    return parts


def _encode(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes((value & 127 | 128,))
        value >>= 7
    return out + bytes((value,))


def build_protobuf(parts: Sequence[Chunk]) -> bytes:
    """Writes a protobuf message."""
    out = b""
    for part in parts:
        content = part.data + (build_protobuf(part.parts) if part.parts is not None else b"")
        out += _encode(part.tag)
        if part.tag & 7 == 2:
            out += _encode(max(len(content) + part.wrong_length % 4096, 0))
        out += content
    return out


def change_protobuf(rng: Random, part: Chunk) -> None:
    """Changes a number, a field's number or bytes."""
    if part.tag & 7 == 0:
        part.data = _encode(rng.choice((0, 1, 2, 3, 7, 10, 11, 16, 255, 2**31, 2**63, 2**64 - 1)))
    elif rng.random() < 0.1:
        part.tag = (part.tag & 7) | rng.choice((1, 2, 3, 4, 5, 7, 8, 9, 11, 14, 20)) << 3
    elif part.tag & 7 == 2:
        change_data(rng, part)
    else:
        part.data = mutate_bytes(rng, part.data, 1)[: len(part.data)].ljust(len(part.data), b"\0")


PNG = Container(parse_png, build_png, change_png)
JPEG = Container(parse_jpeg, build_jpeg, change_jpeg)
RIFF = Container(parse_riff, build_riff, change_fields)
ISO = Container(parse_iso, build_iso, change_fields)
EBML = Container(parse_ebml, build_ebml)
PACKETS = Container(parse_packets, build_packets)
PROTOBUF = Container(parse_protobuf, build_protobuf, change_protobuf)
