"""Annotated photos, as written by `maskfit predict --draw`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from maskfit.cli.console import check_overwrite
from maskfit.errors import DataError
from maskfit.file_io import atomic_write, save_image
from maskfit.file_locks import claim

if TYPE_CHECKING:
    from maskfit.data.photo_dataset import Photo
    from maskfit.inference.face_prediction import PhotoPrediction
    from maskfit.inference.input_resolution import NamedPhotos
    from maskfit.labels.schema import LabelSchema

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
"""Image format by file suffix."""


class AnnotatedImageWriter:
    """Writes annotated photos: a single photo to the given file, several into the given folder.

    Args:
        target: The file or folder.
        photos: The photos.
        force: Whether existing files may be replaced; a source photo never is.

    Raises:
        DataError: A file would be replaced, or the suffix is not an image format.
    """

    def __init__(self, target: Path, photos: NamedPhotos, force: bool) -> None:
        self.target, self.force, self.photos = target, force, photos
        self.folder = photos.single_file is None or target.is_dir()
        self.written: set[Path] = set()
        if not self.folder:
            if target.suffix.lower() not in FORMATS:
                known = ", ".join(FORMATS)
                message = f"the suffix must be one of {known}, got '{target.suffix}'"
                raise DataError(message, location=target, hint="--draw out.jpg")
            check_overwrite(target, force, inputs_checked=True)
        elif target.is_file():
            raise DataError("several photos need a folder, got a file", location=target, hint="--draw FOLDER")
        elif photos.single_file is None and not force and target.is_dir() and any(target.iterdir()):
            raise DataError("the folder is not empty", location=target, hint="choose a new one, or add --force")
        else:
            claim(target)

    def write(self, photo: Photo, prediction: PhotoPrediction, schema: LabelSchema) -> Path:
        """Writes a photo with its predictions.

        Args:
            photo: The photo.
            prediction: Its predictions.
            schema: The label schema.

        Returns:
            The written file.

        Raises:
            DataError: It would overwrite a source photo or another file.
        """
        from PIL import Image

        from maskfit.inference.annotation import annotate_faces, draw_annotations
        from maskfit.inference.image_loading import load_image

        path = self._unused_path(photo) if self.folder else self.target
        if path.exists() and (path.samefile(photo.path) or os.path.realpath(path) in self._sources):
            raise DataError("the output is a source photo", location=path, hint="choose another file or folder")
        check_overwrite(path, self.force, reserve=False, inputs_checked=True)
        annotated = draw_annotations(Image.fromarray(load_image(photo)), annotate_faces(schema, prediction, full=True))
        with atomic_write(path) as temporary:
            save_image(annotated, temporary, FORMATS[path.suffix.lower()], quality=92)
        self.written.add(path)
        return path

    @cached_property
    def _sources(self) -> set[str]:
        """The real paths of all source photos; listed only once an output exists."""
        return {os.path.realpath(photo.path) for photo in self.photos}

    def _unused_path(self, photo: Photo) -> Path:
        """Returns a file inside the folder that no other photo of this command uses."""
        # A file may be named by an absolute path or one with "..", which would lead out of the folder.
        named = Path(photo.person)
        inside = not named.is_absolute() and ".." not in named.parts
        path = self.target / (named if inside else named.name)
        suffix = path.suffix if path.suffix.lower() in FORMATS else ".jpg"
        candidates = (path.with_name(f"{path.stem}{number}{suffix}") for number in _number_suffixes())
        return next(candidate for candidate in candidates if candidate not in self.written)


def _number_suffixes() -> Iterator[str]:
    """Yields suffixes for names that are taken: none, then numbers."""
    yield ""
    yield from (f" ({number})" for number in count(2))
