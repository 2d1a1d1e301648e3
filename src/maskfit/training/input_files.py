"""The files and folders that a recipe names, looked up before anything is imported, read or written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from maskfit.config.recipe import Recipe
from maskfit.errors import DataError, format_list
from maskfit.models.backbone_names import FACES, NONE, TIMM

BUNDLED = "bundled"
"""Value of `model.init_from` that stands for the bundled model."""


def check_input_files(recipe: Recipe, hint: str = "") -> None:
    """Checks that every file and folder that a recipe names exists on this machine; keys without a value are skipped.

    Args:
        recipe: The recipe.
        hint: A further next step for the error.

    Raises:
        DataError: Some do not exist, or are a folder where a file is needed; the message has a line for each key.
    """
    problems = [
        (key, problem, path)
        for key, path, may_be_folder in _named_files(recipe)
        if (problem := _find_problem(Path(path), may_be_folder))
    ]
    if not problems:
        return
    hint = "; ".join(filter(None, ("check the path, which counts from the folder that the command runs in", hint)))
    if len(problems) == 1:
        key, problem, path = problems[0]
        raise DataError(problem, location=f"{key}={path}", hint=hint)
    raise DataError(format_list([f"{key}: {problem}: {path}" for key, problem, path in problems]), hint=hint)


def _find_problem(path: Path, may_be_folder: bool) -> str:
    """What is wrong with a path; "" for nothing. Pipes and devices are left to the reader."""
    try:
        if not path.exists():
            return "there is no such folder or file" if may_be_folder else "there is no such file"
        return "this is a folder, not a file" if path.is_dir() and not may_be_folder else ""
    except (OSError, ValueError) as error:  # A name that is too long, a folder that may not be entered, a null byte.
        return f"this cannot be opened ({getattr(error, 'strerror', None) or error})"


def _named_files(recipe: Recipe) -> Iterator[tuple[str, str, bool]]:
    """Key, path, and whether it may be a folder, of every input that the recipe names."""
    data, model = recipe.data, recipe.model
    if data.path is not None:
        yield "data.path", data.path, True
    for path in data.extra_train:
        yield "data.extra_train", path, True
    for path in data.label_corrections:
        yield "data.label_corrections", path, False
    if data.soft_labels is not None:
        yield "data.soft_labels", data.soft_labels, False
    for key, component in (("data.crop", data.crop), ("data.background_removal", data.background_removal)):
        weights = component.options.get("weights")
        # With a checksum, as a run's recipe has it, `weights` is the name of a file in the cache.
        if isinstance(weights, str) and component.options.get("sha256") is None:
            yield f"{key}.weights", weights, False
    if model.pretrained not in (NONE, TIMM, FACES):
        yield "model.pretrained", model.pretrained, False
    if model.init_from and model.init_from != BUNDLED:
        yield "model.init_from", model.init_from, False
    if recipe.cv.split_file is not None:
        yield "cv.split_file", recipe.cv.split_file, False
