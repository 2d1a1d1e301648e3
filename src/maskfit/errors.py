"""What can go wrong for a user, said as: what is wrong, where it stands, and what to do next.

Every error that a user can cause or mend is a `MaskfitError`; the command prints it without a traceback and
exits with 2. Anything else that escapes is a fault of maskfit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


class MaskfitError(Exception):
    """An error that the user can correct.

    Args:
        message: What is wrong, in one sentence that names the thing.
        location: The file, folder, row or key that it concerns.
        hint: What to do next.
    """

    def __init__(self, message: str, *, location: str | Path | None = None, hint: str | None = None) -> None:
        self.message = message
        self.location = None if location is None else str(location)
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        lines = [self.message]
        if self.location:
            lines.append(f"  at: {self.location}")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class LabelError(MaskfitError):
    """A label, class number or scheme that does not exist."""


class PhotoError(MaskfitError):
    """A photo that cannot be read, or that is refused before it is read."""


class DataError(MaskfitError):
    """A data set, list, correction or split that cannot be used as it is."""


class RecipeError(MaskfitError):
    """A recipe with mistakes in it."""


class ModelFileError(MaskfitError):
    """A model file that is missing, foreign, damaged or hostile."""


class RunError(MaskfitError):
    """A run folder that is in the way, incomplete or made from another recipe."""


class MissingExtraError(MaskfitError):
    """Something that needs an optional part of the install.

    Args:
        verb: What the user asked for.
        extra: The extra that brings it, as in `pip install 'maskfit[extra]'`.
    """

    def __init__(self, verb: str, extra: str) -> None:
        self.verb = verb
        self.extra = extra
        super().__init__(
            f"{verb} needs the extra '{extra}', which is not installed",
            hint=f"pip install 'maskfit[{extra}]'",
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        # An exception is unpickled from its message, and this one is not made from a message.
        return type(self), (self.verb, self.extra)


def format_list(problems: Sequence[str], *, shown: int = 20) -> str:
    """Joins problems into one text, a line each; past `shown` they are counted."""
    lines = [f"- {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"- and {len(problems) - shown} more")
    return "\n".join(lines)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known ones near it, or all where they are few."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(item) for item in close)}?"
    if len(names) > 40:
        return f"none of the {len(names)} known names is near"
    return f"known: {', '.join(names)}" if names else "there are none"
