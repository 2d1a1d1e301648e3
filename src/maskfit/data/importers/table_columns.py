"""Columns of imported tables by their names, also in other languages, and those of crowdsourcing services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from maskfit.data.importers.interface import ANY, BAND_SUFFIX
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import COLUMN_SYNONYMS

WORD_COLUMNS = ("label", "class", "class_name", "classname", "name", "category", "state")
"""Columns whose words may be of any attribute."""

CROWD_WORD_COLUMNS = ("result", "answer")
"""Further columns whose words may be of any attribute."""

_CROWD_COLUMN = re.compile(r"(input|answer|output)[.:](?:(.*)\.)?([^.:]+)", re.IGNORECASE)
"""Columns of Amazon Mechanical Turk, `Input.image_url` and `Answer.category.label`, and of Toloka, `OUTPUT:result`."""


def fold_columns(header: Iterable[str]) -> dict[str, str]:
    """Finds columns by their names in lower case.

    Args:
        header: The columns; those without a name are passed over.

    Returns:
        Name in lower case -> column; also `path` and `person`, where they have a name of `COLUMN_SYNONYMS`.
    """
    columns = {column.casefold(): column for column in header if column}
    for synonym, standard in COLUMN_SYNONYMS.items():
        if standard in ("path", "person") and synonym in columns:
            columns.setdefault(standard, columns[synonym])
    return columns


def add_crowd_columns(columns: dict[str, str]) -> None:
    """Adds the columns of crowdsourcing services by the ends of their names, where no column has that name itself.

    Args:
        columns: Name in lower case -> column, which receives them.
    """
    for column in list(columns.values()):
        if match := _CROWD_COLUMN.fullmatch(column):
            columns.setdefault(match[3].casefold(), column)


def find_label_columns(columns: Iterable[str], words: WordReader) -> list[tuple[str, str]]:
    """Finds the columns of attributes: `mask`, `Sex`, `age_group`, `Answer.gender.label`.

    Args:
        columns: The columns of a table.
        words: Knows the attributes.

    Returns:
        Key, as in `RawRow.labels`, and column of each; of two columns of a key the one with the standard name, else
        the first. Years come before bands, since of labels that agree the first counts.
    """
    keyed = [(key, column) for column in dict.fromkeys(columns) if (key := _find_key(column, words))]
    keyed.sort(key=lambda pair: (pair[1].casefold() != pair[0].casefold(), _is_crowd(pair[1]), _is_input(pair[1])))
    found: dict[str, str] = {}
    for key, column in keyed:
        found.setdefault(key, column)
    names = [*words.schema.names, *(f"{name}{BAND_SUFFIX}" for name in words.schema.names)]
    return [(key, found[key]) for key in names if key in found]


def find_word_columns(
    columns: Mapping[str, str], rows: Sequence[Mapping[str, str]], words: WordReader
) -> list[tuple[str, str]]:
    """Finds the columns whose words may be of any attribute: `label`, and of a crowdsourcing service also several.

    Args:
        columns: Name in lower case -> column.
        rows: The first rows. Of several questions without an attribute's name, those count that have a known answer.
        words: Knows the values.

    Returns:
        Pairs of `ANY` and a column.
    """
    found = [columns[key] for key in (*WORD_COLUMNS, *CROWD_WORD_COLUMNS) if key in columns]
    plain = [column for column in found if not _is_crowd(column)]
    ends = {column.casefold() for column in plain}
    asked: dict[str, str] = {}
    for column in dict.fromkeys(columns.values()):
        match = _CROWD_COLUMN.fullmatch(column)
        is_word = match and match[3].casefold() in (*WORD_COLUMNS, *CROWD_WORD_COLUMNS)
        if match and is_word and match[3].casefold() not in ends and _find_key(column, words) is None:
            asked[column] = (match[2] or "").casefold()
    answers = [column for column in asked if not _is_input(column)] or list(asked)
    known = [
        column
        for column in answers
        if asked[column] in ("", *WORD_COLUMNS) or any(words.knows_value(row[column]) for row in rows if row[column])
    ]
    return [(ANY, column) for column in (*plain, *(known or answers[:1]))]


def _find_key(column: str, words: WordReader) -> str | None:
    """The key of a column: by its name, or by a part of a crowdsourcing service's; None without one."""
    match = _CROWD_COLUMN.fullmatch(column)
    if match is None:
        return words.find_key(column)
    parts = [match[3], *reversed((match[2] or "").split("."))]
    return next((key for part in parts if (key := words.find_key(part))), None)


def _is_crowd(column: str) -> bool:
    return _CROWD_COLUMN.fullmatch(column) is not None


def _is_input(column: str) -> bool:
    """Whether a column is what whoever asked wrote into the question, which is no answer."""
    match = _CROWD_COLUMN.fullmatch(column)
    return match is not None and match[1].casefold() == "input"
