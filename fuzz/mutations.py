"""Mutations of bytes, text, JSON values, tables and files made of nested chunks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

SCALARS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    17,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    2**63,
    10**30,
    -(2**63),
    0.0,
    -0.0,
    0.5,
    1e-320,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "nan",
    "true",
    "null",
    "x" * 300,
    "9" * 5000,
    "../a.jpg",
    "/etc",
    "a\x00b",
    "\u202e",
    "\ud7ff",
    "é",
    "e\u0301",
    "가",
    "#",
    "*",
    "a,b",
    '"',
    "\\",
    "${HOME}",
    "%s",
    "{0}",
    "<<",
    "[]",
    "{}",
    [],
    {},
    [[]],
    {"a": {}},
)
"""Values that programs trip over."""

BYTES = (0, 1, 2, 7, 0x7F, 0x80, 0xFE, 0xFF)


def mutate_bytes(rng: Random, data: bytes, changes: int = 4) -> bytes:
    """Changes, inserts, removes, repeats or cuts a few bytes.

    Args:
        rng: Source of random numbers.
        data: The bytes.
        changes: Maximum number of changes.

    Returns:
        The changed bytes.
    """
    out = bytearray(data)
    for _ in range(rng.randint(1, changes)):
        place = rng.randrange(len(out) + 1)
        length = rng.choice((1, 2, 4, 8, 64))
        kind = rng.randrange(7)
        if kind == 0 and place < len(out):
            out[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[place : place + length] = bytes([rng.choice(BYTES)]) * length
        elif kind == 2:
            out[place:place] = bytes(rng.randrange(256) for _ in range(min(length, 8)))
        elif kind == 3:
            del out[place : place + length]
        elif kind == 4:
            out[place:place] = out[place : place + length]
        elif kind == 5 and rng.random() < 0.2:
            del out[place:]
        elif place < len(out):
            out[place] = rng.randrange(256)
    return bytes(out)


def mutate_text(rng: Random, text: str) -> str:
    """Changes a few characters of a text, or puts another in its place.

    Args:
        rng: Source of random numbers.
        text: The text.

    Returns:
        The changed text.
    """
    kind = rng.randrange(6)
    place = rng.randrange(len(text) + 1)
    if kind == 0:
        return str(rng.choice(SCALARS))
    if kind == 1:
        return text[:place] + str(rng.choice(SCALARS)) + text[place:]
    if kind == 2:
        return text[:place] + text[place + rng.choice((1, 2, 5)) :]
    if kind == 3:
        return text[:place] + chr(rng.choice((0, 9, 10, 13, 32, 34, 44, 0x301, 0x2028, 0xFEFF, 0x1F600))) + text[place:]
    if kind == 4:
        return text.swapcase()
    return text + text[place:]


def mutate_value(rng: Random, value: Any, changes: int = 3) -> Any:
    """Changes a JSON value somewhere: replaces, removes, repeats, moves or renames parts of it.

    Args:
        rng: Source of random numbers.
        value: Dictionaries, lists and scalars; not changed itself.
        changes: Maximum number of changes.

    Returns:
        The changed copy.
    """
    root = [copy.deepcopy(value)]
    for _ in range(rng.randint(1, changes)):
        places = list(_places(root))
        if not places:
            break
        parent, key = places[rng.randrange(len(places))]
        _mutate_place(rng, parent, key, places)
    return root[0] if root else None


def _places(parent: Any) -> Any:
    for key in list(parent) if isinstance(parent, dict) else range(len(parent)):
        yield parent, key
        if isinstance(parent[key], dict | list):
            yield from _places(parent[key])


def _mutate_place(rng: Random, parent: Any, key: Any, places: Sequence[tuple[Any, Any]]) -> None:
    kind = rng.randrange(7)
    value = parent[key]
    if kind == 0:
        parent[key] = copy.deepcopy(rng.choice(SCALARS))
    elif kind == 1 and isinstance(value, str):
        parent[key] = mutate_text(rng, value)
    elif kind in (1, 2) and isinstance(value, int | float) and not isinstance(value, bool):
        parent[key] = rng.choice((value + 1, value - 1, -value, value * 2, value * 1000, value / 3))
    elif kind == 3:
        del parent[key]
    elif kind == 4:
        other, other_key = places[rng.randrange(len(places))]
        if isinstance(other, dict) or other_key < len(other):
            parent[key] = copy.deepcopy(other.get(other_key) if isinstance(other, dict) else other[other_key])
    elif kind == 5 and isinstance(parent, dict):
        parent[mutate_text(rng, str(key))] = parent.pop(key)
    elif isinstance(parent, list):
        parent[key:key] = [copy.deepcopy(value)] * rng.choice((1, 2, 20))
    else:
        parent[key] = [value]


def mutate_table(rng: Random, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Changes cells, rows and columns of a table.

    Args:
        rng: Source of random numbers.
        rows: The header and the rows.

    Returns:
        The changed table.
    """
    table = [list(row) for row in rows]
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(8)
        row = rng.randrange(len(table)) if kind < 6 else 0
        column = rng.randrange(max(len(table[row]), 1))
        if kind < 3 and table[row]:
            old = table[row][column]
            table[row][column] = str(rng.choice(SCALARS)) if rng.random() < 0.6 else mutate_text(rng, old)
        elif kind == 3:
            table.insert(row, list(table[rng.randrange(len(table))]))
        elif kind == 4 and len(table) > 1:
            del table[row]
        elif kind == 5:
            table[row] = table[row][:column] if rng.random() < 0.5 else [*table[row], "more"]
        elif kind == 6:
            for cells in table:
                cells[column : column + 1] = [] if rng.random() < 0.5 else cells[column : column + 1] * 2
        else:
            other = table[rng.randrange(len(table))]
            if other and table[row]:
                table[row][column] = other[rng.randrange(len(other))]
    return table


def format_table(rng: Random, table: Sequence[Sequence[str]]) -> bytes:
    """Writes a table as CSV with one of the delimiters, line ends and encodings that programs use.

    Args:
        rng: Source of random numbers.
        table: The rows.

    Returns:
        The file.
    """
    delimiter = rng.choice(",,,,;\t|")
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    lines = []
    for row in table:
        quoted = [f'"{cell}"' if set(cell) & set(f'"{delimiter}\n\r') else cell for cell in row]
        lines.append(delimiter.join(cell if rng.random() < 0.98 else cell.strip('"') for cell in quoted))
    text = end.join(lines) + (end if rng.random() < 0.9 else "")
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


@dataclass(eq=False)
class Chunk:
    """A part of a file: a tag, and either bytes or further parts.

    Attributes:
        tag: What kind of part it is.
        data: Its bytes, without those of `parts`.
        parts: The parts inside of it; None where it has none by its kind.
        wrong_length: What is added to the length that is written.
    """

    tag: Any
    data: bytes = b""
    parts: list[Chunk] | None = None
    wrong_length: int = field(default=0)


def walk(parts: list[Chunk]) -> list[tuple[list[Chunk], int]]:
    """Lists every part with the list that holds it.

    Args:
        parts: The outermost parts.

    Returns:
        (list, index) of each.
    """
    found = []
    for index, part in enumerate(parts):
        found.append((parts, index))
        if part.parts is not None:
            found += walk(part.parts)
    return found


def mutate_chunks(rng: Random, parts: list[Chunk], change: Callable[[Random, Chunk], None], changes: int = 3) -> None:
    """Removes, repeats, swaps and changes parts, in place.

    Args:
        rng: Source of random numbers.
        parts: The outermost parts.
        change: Changes the data of one part with regard to its tag.
        changes: Maximum number of changes.
    """
    for _ in range(rng.randint(1, changes)):
        places = walk(parts)
        if not places:
            return
        owner, index = places[rng.randrange(len(places))]
        kind = rng.randrange(12)
        if kind == 0:
            del owner[index]
        elif kind == 1:
            owner.insert(index, copy.deepcopy(owner[index]))
        elif kind == 2:
            other, place = places[rng.randrange(len(places))]
            if owner[index] is not other[place] and other[place] not in (owner[index].parts or []):
                owner[index] = copy.deepcopy(other[place])
        elif kind == 3:
            owner[index].wrong_length = rng.choice((-8, -1, 1, 4, 1000, 2**31))
        else:
            change(rng, owner[index])


def change_data(rng: Random, part: Chunk) -> None:
    """Changes a part's bytes.

    Args:
        rng: Source of random numbers.
        part: The part.
    """
    part.data = mutate_bytes(rng, part.data, 2)
