"""What is wrong with a set of photos, one finding each: readers gather them, raise them together, or hand them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maskfit.errors import DataError, several

Severity = Literal["fatal", "warning", "note"]

SHOWN = 200
"""How many problems an error lists; past these they are counted. `maskfit data check` lists all."""


@dataclass(frozen=True, slots=True)
class Problem:
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
    where: str
    what: str
    fix: str


def refuse_fatal(problems: Sequence[Problem], source: Path) -> None:
    """Raises every fatal problem as one error; does nothing where there is none.

    Raises:
        DataError: At least one problem is fatal.
    """
    fatal = [problem for problem in problems if problem.severity == "fatal"]
    if not fatal:
        return
    if len(fatal) == 1:
        only = fatal[0]
        where = source if only.where in ("", str(source)) else f"{source}: {only.where}"
        raise DataError(only.what, where=where, fix=only.fix)
    fixes = list(dict.fromkeys(problem.fix for problem in fatal))
    listed = several([f"{problem.where}: {problem.what}" for problem in fatal], shown=SHOWN)
    raise DataError(
        f"{len(fatal)} problems:\n{listed}",
        where=source,
        fix=fixes[0] if len(fixes) == 1 else f"maskfit data check {source} says what to do about each",
    )
