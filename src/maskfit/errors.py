"""Errors that a user can cause or correct: what is wrong, where, and what to do next.

Each of them is a `MaskfitError`, which the command prints without a traceback before it exits with status 2. Any other
exception is a bug in maskfit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

_CONTROL_CHARACTERS = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")
"""Terminal controls, line breaks, and what Python reads for bytes of a file name that are no UTF-8."""


MODEL_SUFFIXES = frozenset(
    {".safetensors", ".onnx", ".xml", ".pt", ".pt2", ".pth", ".ckpt", ".pkl", ".bin", ".h5", ".tflite"}
)
"""Suffixes of models: those that can be opened, and others, for which opening reports why not."""


def is_model_name(path: str | Path) -> bool:
    """Whether a path is named as a model, which errors about it in place of another file say.

    Args:
        path: Any path.

    Returns:
        Whether its suffix is that of a model.
    """
    return Path(path).suffix.lower() in MODEL_SUFFIXES


def printable(text: str, *, keep: str = "") -> str:
    r"""Escapes what must not reach a terminal or a table: control characters, line breaks, bytes that are no UTF-8.

    Args:
        text: Any text, such as a file name.
        keep: Characters that are left as they are.

    Returns:
        The text with escapes such as `\n` and `\xff`; equal to `text` where there was nothing to escape.
    """

    def escape(match: re.Match[str]) -> str:
        character = match[0]
        if character in keep:
            return character
        # Python reads a byte of a file name that is no UTF-8 as the surrogate U+DC00 + byte.
        code = ord(character) - 0xDC00 if "\udc80" <= character <= "\udcff" else ord(character)
        return chr(code).encode("unicode_escape").decode()

    return _CONTROL_CHARACTERS.sub(escape, text)


class MaskfitError(Exception):
    """An error that the user can correct.

    Args:
        message: What is wrong, in one sentence that names the thing.
        location: The file, folder, row or key that it concerns.
        hint: The next step, as an instruction.
    """

    def __init__(self, message: str, *, location: str | Path | None = None, hint: str | None = None) -> None:
        self.message = message
        self.location = None if location is None else str(location)
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        lines = [printable(self.message, keep="\n\t")]
        if self.location:
            lines.append(f"  at: {printable(self.location)}")
        if self.hint:
            lines.append(f"  next: {printable(self.hint)}")
        return "\n".join(lines)


class OldNameWarning(FutureWarning):
    """A recipe, model file or option uses a name from an earlier version; the message has the new one."""


class PhotoWarning(RuntimeWarning):
    """A photo is not quite whole, and is read nevertheless."""


class LabelError(MaskfitError):
    """A label, class index or label schema is invalid."""


class PhotoError(MaskfitError):
    """A photo cannot be read, or is rejected before it is read."""


class DataError(MaskfitError):
    """A dataset, image list, label correction, split or table is invalid."""


class RecipeError(MaskfitError):
    """A recipe or component is invalid."""


class ModelFileError(MaskfitError):
    """A model file is missing, damaged, hostile, or was not made by maskfit."""


class RunError(MaskfitError):
    """A run folder already exists, is incomplete, or was made from another recipe."""


class DiskFullError(MaskfitError):
    """There is no room for a file; what was there before is unchanged.

    Args:
        path: The file or folder that was written.
        needed: Bytes that it needs at least; None where unknown.
        free: Bytes that are free on its disk; None where unknown.
        too_large: Whether a limit of the file's size is in the way, not the disk.
    """

    def __init__(
        self, path: str | Path, needed: int | None = None, free: int | None = None, *, too_large: bool = False
    ) -> None:
        self.path, self.needed, self.free, self.too_large = path, needed, free, too_large
        parts = [] if needed is None else [f"at least {needed:,} bytes are needed"]
        parts += [] if free is None else [f"{free:,} are free"]
        problem = "the file is larger than this file system or process may write" if too_large else "the disk is full"
        super().__init__(
            problem + (f": {', '.join(parts)}" if parts else ""),
            location=path,
            hint="make room, then run the command again",
        )

    def __reduce__(self) -> Any:
        # By default an exception is unpickled from its message, which this class is not constructed from.
        return partial(type(self), too_large=self.too_large), (self.path, self.needed, self.free)


class MissingExtraError(MaskfitError):
    """A feature needs an optional dependency that is not installed.

    Args:
        verb: The feature that was requested.
        extra: The extra that installs it, as in `pip install 'maskfit[extra]'`.
    """

    def __init__(self, verb: str, extra: str) -> None:
        self.verb = verb
        self.extra = extra
        super().__init__(
            f"{verb} needs the extra '{extra}', which is not installed",
            hint=f"pip install 'maskfit[{extra}]'",
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        # By default an exception is unpickled from its message, which this class is not constructed from.
        return type(self), (self.verb, self.extra)


def format_list(problems: Sequence[str], *, shown: int = 20) -> str:
    """Joins problems into one text, one line each.

    Args:
        problems: Lines.
        shown: Number of lines to list; the rest is only counted.

    Returns:
        The text, without a trailing line break.
    """
    lines = [f"- {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"- and {len(problems) - shown:,} more")
    return "\n".join(lines)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Formats the end of a message about an unknown name.

    Args:
        name: The unknown name.
        known: Names that exist.

    Returns:
        The names similar to `name`, or all names where there are at most 40.
    """
    names = sorted(set(known))
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(item) for item in close)}?"
    if len(names) > 40:
        return f"none of the {len(names)} known names is similar"
    return f"known: {', '.join(names)}" if names else "there are none"
