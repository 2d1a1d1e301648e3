"""Names of models for visitors of the web app, who need not know where the server keeps its files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from maskfit.errors import MaskfitError
from maskfit.inference.input_resolution import bundled_model_path
from maskfit.run_dir import is_run_dir

BUNDLED_NAME = "bundled model"
"""Name of the model that is installed with maskfit."""


def public_names(paths: Iterable[str]) -> dict[str, str]:
    """Names models without their folders.

    Args:
        paths: Model files, run folders and folds, as the user named them.

    Returns:
        For each path its last part; for one inside of a run the part from the run on, such as "first/fold0"; repeated
        names are numbered.
    """
    counts: Counter[str] = Counter()
    names = {}
    for path in dict.fromkeys(paths):
        name = _public_name(Path(path))
        counts[name] += 1
        names[path] = name if counts[name] == 1 else f"{name} ({counts[name]})"
    return names


def _public_name(path: Path) -> str:
    with suppress(MaskfitError):  # an installation without the bundled model
        if path == bundled_model_path():
            return BUNDLED_NAME
    absolute = path.absolute()
    # "." and ".." are names of folders, too.
    absolute = absolute.resolve() if path.name in ("", "..") else absolute
    run = next((parent for parent in (absolute, *list(absolute.parents)[:2]) if is_run_dir(parent)), None)
    return absolute.name if run is None else (Path(run.name) / absolute.relative_to(run)).as_posix()


def hide_paths(text: str, names: Mapping[str, str]) -> str:
    """Replaces paths in a message.

    Args:
        text: A message for a visitor.
        names: The name for each path.

    Returns:
        The message with names instead of these paths, written as the user did or absolute.
    """
    public = {spelling: name for path, name in names.items() for spelling in (path, str(Path(path).absolute()))}
    if not public:
        return text
    # The longest first: a model inside of a run contains the run's path.
    paths = "|".join(map(re.escape, sorted(public, key=len, reverse=True)))
    return re.sub(rf"(?<![\w/])(?:{paths})(?!\w)", lambda match: public[match[0]], text)
