"""State of a pipeline: for each stage what it was made from, what it wrote, and how it ended; kept as pipeline.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maskfit.config.recipe import Recipe
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, RunError
from maskfit.file_io import read_json, write_json
from maskfit.file_locks import is_occupied
from maskfit.text import format_validation_error

STATE_FILE = "pipeline.json"

StageStatus = Literal["waiting", "running", "done", "failed", "interrupted"]

FREE_RECIPE_KEYS = ("output_dir", "trainer.parallel_folds")
"""Recipe keys that change no result."""

_DIGEST_LENGTH = 64
"""Characters of a SHA-256 in hexadecimal digits."""


class StageRecord(BaseModel):
    """What is known of a stage.

    Attributes:
        status: How far it is; `running` also after the process was killed, `waiting` before it and while an earlier
            stage is repeated.
        inputs: What it was made from, by name: a value as text, or the SHA-256 of content.
        outputs: SHA-256 of the files that it wrote, by path within the pipeline's folder.
        seconds: How long it took the last time.
        summary: Its result in one line, or the error.
    """

    model_config = ConfigDict(extra="forbid")

    status: StageStatus = "waiting"
    inputs: dict[str, str] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    summary: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether it ended, though what it was made from may have changed since."""
        return self.status == "done" or (self.status == "waiting" and bool(self.outputs))


class PipelineState(BaseModel):
    """The state of all stages.

    Attributes:
        version: Version of the file's format.
        stages: Record by stage.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    stages: dict[str, StageRecord] = Field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes the state; a reader sees the old one or the new one.

        Args:
            folder: The pipeline's folder.
        """
        write_json(folder / STATE_FILE, self.model_dump(mode="json"))


def read_state(folder: Path) -> PipelineState:
    """Reads the state of a pipeline.

    Args:
        folder: The pipeline's folder, which may not be there yet.

    Returns:
        The state; one without stages for a folder that is empty or missing.

    Raises:
        RunError: The folder holds something else, or the state is invalid.
    """
    path = folder / STATE_FILE
    if path.is_file():
        try:
            return PipelineState.model_validate(read_json(path))
        except ValidationError as error:
            raise RunError(
                f"this is not the state of a pipeline: {format_validation_error(error, 1)}",
                location=path,
                hint="choose another folder with --out",
            ) from None
    if is_occupied(folder):
        raise RunError(
            "this folder is not empty and holds no pipeline", location=folder, hint="choose another folder with --out"
        )
    return PipelineState()


def describe_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Says which inputs differ.

    Args:
        before: Inputs by name.
        after: Inputs by name.

    Returns:
        A text for each: the values, or for digests only that they changed.
    """
    changes = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        is_digest = any(value is not None and len(value) == _DIGEST_LENGTH for value in (old, new))
        changes.append(f"{name} changed" if is_digest else f"{name} was {old}, is {new}")
    return changes


def recipe_inputs(recipe: Recipe) -> dict[str, str]:
    """Returns every key of a recipe with its value as JSON.

    Args:
        recipe: The recipe.

    Returns:
        Values by dotted key; those that change no result are left out.
    """
    found: dict[str, str] = {}

    def walk(value: object, key: str) -> None:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(inner, f"{key}.{name}" if key else name)
        elif key not in FREE_RECIPE_KEYS:
            found[key] = json.dumps(value)

    walk(recipe.model_dump(mode="json"), "")
    return found


def hash_recipe_files(recipe: Recipe) -> dict[str, str]:
    """Hashes the files beside the photos that a recipe names and training reads.

    Args:
        recipe: The recipe.

    Returns:
        SHA-256 as hexadecimal digits by what the file is; values that are names and no files are left out.

    Raises:
        DataError: A file cannot be read.
    """
    named = {
        "the table of data.soft_labels": recipe.data.soft_labels,
        "the weights of model.pretrained": recipe.model.pretrained,
        "the weights of model.init_from": recipe.model.init_from,
    }
    return {name: hash_file(Path(value)) for name, value in named.items() if value and Path(value).is_file()}


def hash_files(paths: Iterable[Path]) -> str:
    """Hashes the content of files in the given order.

    Args:
        paths: The files.

    Returns:
        SHA-256 as hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hash_file(path).encode())
    return digest.hexdigest()


def hash_photos(photos: Iterable[Photo]) -> str:
    """Hashes photos: names, order, labels, persons, boxes and the content of the files.

    Args:
        photos: The photos.

    Returns:
        SHA-256 as hexadecimal digits.

    Raises:
        DataError: A file cannot be read.
    """
    digest = hashlib.sha256()
    known: dict[Path, str] = {}
    for photo in photos:
        if photo.path not in known:
            known[photo.path] = hash_file(photo.path)
        facts = (photo.name, photo.person, sorted(photo.labels.items()), photo.repeat, photo.box, known[photo.path])
        digest.update(f"{facts!r}\n".encode())
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Hashes the content of a file.

    Args:
        path: The file.

    Returns:
        SHA-256 as hexadecimal digits.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"this file cannot be read: {error.strerror}", location=path, hint="restore it") from None
