"""Finds meanings of codes that the user set and the data have no use for, such as those of a misspelled column."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from maskfit.data.data_problems import DataProblem, Severity
from maskfit.data.label_codes import CodesOption, fold_code

MAX_SHOWN = 12
"""Codes of the data that a problem lists."""

UNUSED_CODES = "unused codes"
"""Kind of the problems."""

YEARS = "years"

CORRECT_HINT = "correct {name} in data.codes, or leave it out (as an option: --codes)"


def find_unused_codes(
    codes: CodesOption | None,
    columns: Mapping[str, Collection[str]],
    years: Collection[str] = (),
    *,
    must_use: bool = True,
) -> list[DataProblem]:
    """Finds columns and codes of `data.codes` that a table does not have.

    Args:
        codes: The user's meanings.
        columns: Attribute or class column in lower case -> the cells that it holds.
        years: Those of the attributes that have a column of years; their bands have another.
        must_use: Whether codes of a column that the table lacks, or none of which it holds, are an error; of several
            sources that share the meanings, not every one has each column.

    Returns:
        A problem for each column with unused codes: fatal where nothing of it is used, otherwise a note.
    """
    problems = []
    listed = ", ".join(columns) or "none"
    for name, meaning in (codes or {}).items():
        column = name.casefold()
        if column not in columns or (meaning == YEARS and column not in years):
            message = f"there is no column {name}, to whose codes data.codes gives a meaning; label columns: {listed}"
            problems.append(_problem(name, message, unused=True, must_use=must_use))
        elif isinstance(meaning, Mapping):
            held = {fold_code(cell) for cell in columns[column]}
            unused = [str(code) for code in meaning if fold_code(str(code)) not in held]
            if unused:
                message = f"column {name} holds {_none_of(unused)}, to which data.codes gives a meaning"
                message += f"; it holds {_join(sorted(columns[column]))}" if columns[column] else "; it is empty"
                problems.append(_problem(name, message, unused=len(unused) == len(meaning), must_use=must_use))
    return problems


def find_unused_words(
    codes: CodesOption | None,
    unused: Collection[tuple[str, str]],
    words: Collection[str],
    title: str,
    *,
    must_use: bool = True,
) -> list[DataProblem]:
    """Finds what `data.codes` says of words that names of photos and folders do not have.

    Args:
        codes: The user's meanings.
        unused: Column and word of each meaning that no name needed.
        words: The words that the names have.
        title: What the folder is, such as "class folders".
        must_use: As for `find_unused_codes`.

    Returns:
        As `find_unused_codes`.
    """
    problems = []
    for name, meaning in (codes or {}).items():
        if not isinstance(meaning, Mapping):
            message = f"data.codes says that {name} is {meaning}, but there is no column {name}: this is {title}"
            problems.append(_problem(name, message, unused=True, must_use=must_use))
        elif absent := [str(word) for word in meaning if (name, str(word)) in unused]:
            message = f"the names have {_none_of(absent)}, to which data.codes gives a meaning for {name}"
            message += f"; their words are {_join(words)}" if words else f": this is {title}"
            problems.append(_problem(name, message, unused=len(absent) == len(meaning), must_use=must_use))
    return problems


def _problem(name: str, message: str, *, unused: bool, must_use: bool) -> DataProblem:
    severity: Severity = "fatal" if unused and must_use else "note"
    return DataProblem(severity, UNUSED_CODES, "data.codes", message, CORRECT_HINT.format(name=name))


def _none_of(words: Collection[str]) -> str:
    return f"{'no' if len(words) == 1 else 'none of'} {_join(words)}"


def _join(words: Collection[str]) -> str:
    return ", ".join(list(words)[:MAX_SHOWN]) + (", ..." if len(words) > MAX_SHOWN else "")
