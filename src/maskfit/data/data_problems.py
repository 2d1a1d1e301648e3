"""Problems of a dataset: readers collect them, raise them together, or return them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from maskfit.errors import DataError, format_list
from maskfit.text import format_count

Severity = Literal["fatal", "warning", "note"]

MAX_LISTED = 200
"""Maximum problems that an error lists; the others are counted. `maskfit data check` lists all."""


_AS_CSV, _UNPACK = "save the table as CSV", "unpack it, and give the folder"

FILE_HINTS = {
    ".tsv": "rename it so that it ends in .csv; tabs are read",
    ".txt": "give a folder of photos or a manifest; rename a table so that it ends in .csv",
    **dict.fromkeys((".yaml", ".yml"), "give the folder of the dataset, in which such a file names the classes"),
    **dict.fromkeys((".xls", ".xlsx", ".ods"), _AS_CSV),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), _UNPACK),
    **dict.fromkeys(
        (".parquet", ".arrow", ".tfrecord", ".h5", ".npz", ".npy"),
        "it may hold the photos themselves: save each as a JPEG or PNG, in a folder for each class or with a CSV",
    ),
}
"""What to do with files that are neither photos nor tables which are read, by suffix."""


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One problem of a dataset.

    Attributes:
        severity: "fatal" prevents reading or training; "warning" should be reviewed; "note" is information.
        kind: One or two words to group by: "folder name", "duplicate", "unreadable".
        location: The file, folder or row.
        message: What is wrong, in one sentence.
        hint: What to do next.
    """

    severity: Severity
    kind: str
    location: str
    message: str
    hint: str

    def to_line(self) -> str:
        """Returns the problem as one line; a note has no next step there."""
        return self.message if self.severity == "note" else f"{self.message}; next: {self.hint}"


def find_file_hint(names: Iterable[str]) -> str:
    """Returns what to do with the first file that may hold a dataset and is not read.

    Args:
        names: Names of files.

    Returns:
        The next step, with no file name in it; "" where none of them may hold one.
    """
    suffixes = (PurePosixPath(name).suffix.lower() for name in names)
    return next((FILE_HINTS[suffix] for suffix in suffixes if suffix in FILE_HINTS), "")


def raise_if_fatal(problems: Sequence[DataProblem], source: Path) -> None:
    """Raises all fatal problems as one error.

    Args:
        problems: Problems of any severity.
        source: The dataset, for the error's location.

    Raises:
        DataError: At least one problem is fatal.
    """
    fatal = [problem for problem in problems if problem.severity == "fatal"]
    if not fatal:
        return
    if len(fatal) == 1:
        only = fatal[0]
        location = source if only.location in ("", str(source)) else f"{source}: {only.location}"
        raise DataError(only.message, location=location, hint=only.hint)
    hints = list(dict.fromkeys(problem.hint for problem in fatal))
    listed = format_list([f"{problem.location}: {problem.message}" for problem in fatal], shown=MAX_LISTED)
    raise DataError(
        f"{format_count(len(fatal), 'problem')}:\n{listed}",
        location=source,
        hint=hints[0] if len(hints) == 1 else f"run maskfit data check {source}, which gives a hint for each",
    )
