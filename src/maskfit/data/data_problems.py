"""What is wrong with a set of photos, one finding each: readers gather them, raise them together, or hand them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maskfit.errors import DataError, format_list

Severity = Literal["fatal", "warning", "note"]

MAX_LISTED = 200
"""How many problems an error lists; past these they are counted. `maskfit data check` lists all."""


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One finding.

    Attributes:
        severity: "fatal" keeps the set from being read or trained on; "warning" should be looked at; "note" is said
            for completeness.
        kind: One or two words to group by: "folder name", "duplicate", "unreadable".
        where: The file, folder or row, as the user would look for it.
        what: What is wrong, in one sentence.
        fix: What to do next.
    """

    severity: Severity
    kind: str
    location: str
    message: str
    hint: str


def raise_if_fatal(problems: Sequence[DataProblem], source: Path) -> None:
    """Raises every fatal problem as one error; does nothing where there is none.

    Raises:
        DataError: At least one problem is fatal.
    """
    fatal = [problem for problem in problems if problem.severity == "fatal"]
    if not fatal:
        return
    if len(fatal) == 1:
        only = fatal[0]
        where = source if only.location in ("", str(source)) else f"{source}: {only.location}"
        raise DataError(only.message, location=where, hint=only.hint)
    fixes = list(dict.fromkeys(problem.hint for problem in fatal))
    listed = format_list([f"{problem.location}: {problem.message}" for problem in fatal], shown=MAX_LISTED)
    raise DataError(
        f"{len(fatal)} problems:\n{listed}",
        location=source,
        hint=fixes[0] if len(fixes) == 1 else f"maskfit data check {source} says what to do about each",
    )
