"""Words: what a user names in one line, told apart into models that answer and photos to look at.

A word is a model by how it ends, or where it is the folder of a run; whatever else is there is a photo, a folder of
photos, or a pattern such as `holiday/*.jpg`. What a photo really is, its content says later.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskfit.data.image_lists import ImageFolder
from maskfit.data.photo_dataset import Photo, is_hidden_or_system_file, is_photo_name
from maskfit.errors import DataError, format_list
from maskfit.model_metadata import METADATA_READERS
from maskfit.run_dir import FoldDir, is_run_dir

MODEL_SUFFIXES = frozenset({*METADATA_READERS, ".pt", ".pt2", ".pth", ".ckpt", ".pkl", ".bin", ".h5", ".tflite"})
"""Endings of models: those that can be opened, and others, of which opening one says why not."""

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".xlsx", ".txt"})


@dataclass(frozen=True)
class NamedPhotos:
    """Photos in the order in which they were named, each once; folders are gone through as they are needed.

    Attributes:
        places: Files, and folders.
    """

    paths: tuple[Photo | ImageFolder, ...]

    def __iter__(self) -> Iterator[Photo]:
        seen: set[str] = set()
        for place in self.paths:
            if isinstance(place, Photo):
                photos: Iterator[Photo] = iter((place,))
            else:
                photos = (Photo(photo.path, str(photo.path), photo.person) for photo in place)
            for photo in photos:
                # What one word names cannot come twice, and a folder may hold millions.
                if len(self.paths) > 1:
                    path = os.path.realpath(photo.path)
                    if path in seen:
                        continue
                    seen.add(path)
                yield photo

    def __len__(self) -> int:
        """How many they are, a photo that is named twice counted twice."""
        return sum(1 if isinstance(place, Photo) else len(place) for place in self.paths)

    @property
    def single_file(self) -> Photo | None:
        """The photo, where one file alone was named."""
        first = self.paths[0] if len(self.paths) == 1 else None
        return first if isinstance(first, Photo) else None


@dataclass(frozen=True)
class ResolvedInputs:
    """What a user's words stand for.

    Attributes:
        models: Model files and runs, as they were written.
        photos: None where none was named.
    """

    models: tuple[str, ...]
    photos: NamedPhotos | None


def resolve_inputs(words: Sequence[str]) -> ResolvedInputs:
    """Tells models and photos apart.

    Args:
        words: Model files, folders of runs and of folds; photos, folders of photos, and patterns for photos.

    Raises:
        DataError: Words stand for neither, or for both; one error names all of them.
    """
    models: list[str] = []
    places: list[Photo | ImageFolder] = []
    problems: list[DataError] = []
    for word in words:
        try:
            if _is_model(word):
                models.append(word)
            else:
                places += _find_photos(word)
        except DataError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = [f"{problem.location}: {problem.message}" for problem in problems]
        raise DataError(f"{len(problems)} words cannot be used:\n{format_list(lines)}", hint=problems[0].hint)
    once = tuple(dict.fromkeys(places))
    return ResolvedInputs(tuple(models), NamedPhotos(once) if once else None)


def _is_model(word: str) -> bool:
    """Whether a word names a model.

    Raises:
        DataError: It is a run and a folder of photos as well.
    """
    path = Path(word)
    if not path.is_dir():
        return path.suffix.lower() in MODEL_SUFFIXES
    model = is_run_dir(path) or FoldDir(path).model.is_file()
    if model and _holds_photos(path):
        raise DataError(
            "this folder is a run, and holds photos",
            location=word,
            hint="for its models name one, such as fold0/best.safetensors; for its photos add --images DIR",
        )
    return model


def _find_photos(word: str) -> list[Photo | ImageFolder]:
    """The photos of a word that is no model.

    Raises:
        DataError: There are none.
    """
    path = Path(word)
    if path.is_dir():
        return [_open_folder(path)]
    if path.suffix.lower() in LIST_SUFFIXES and path.exists():
        raise DataError("this is a list, no photo", location=word, hint=f"--image-list {word} --images DIR")
    if path.exists():
        return [Photo(path, word, word)]
    if glob.has_magic(word):
        return list(_match(word))
    raise DataError("there is no such photo or model", location=word, hint="check the path")


def _open_folder(path: Path) -> ImageFolder:
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError("this folder may not be looked into", location=path, hint="check its permissions")
    if not _holds_photos(path):
        raise DataError(
            "this folder holds no photo, and is no run: it has no recipe.yaml",
            location=path,
            hint="name a folder with .jpg or .png files, or a run",
        )
    return ImageFolder(path)


def _holds_photos(path: Path) -> bool:
    try:
        ImageFolder(path)
    except DataError:
        return False
    return True


def _match(pattern: str) -> Iterator[Photo]:
    """The photos that a pattern matches, by name; `**` stands for folders in folders.

    Raises:
        DataError: There are none.
    """
    found = sorted(glob.glob(pattern, recursive=True))
    photos = [
        word
        for word in found
        if is_photo_name(word) and not is_hidden_or_system_file(Path(word).name) and os.path.isfile(word)
    ]
    if not photos:
        what = f"of the {len(found)} that this matches, none ends like a photo" if found else "nothing matches this"
        raise DataError(what, location=pattern, hint="check the pattern, or name a folder")
    yield from (Photo(Path(word), word, word) for word in photos)
