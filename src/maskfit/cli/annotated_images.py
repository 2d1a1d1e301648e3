"""Photos with boxes, as `maskfit predict --draw` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from maskfit.cli.console import check_overwrite
from maskfit.errors import DataError
from maskfit.file_io import atomic_write

if TYPE_CHECKING:
    from maskfit.data.photo_dataset import Photo
    from maskfit.inference.face_predictor import PhotoPrediction
    from maskfit.inference.input_resolution import NamedPhotos
    from maskfit.labels.schema import LabelSchema

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
"""What they are written as, by their ending."""


class AnnotatedImageWriter:
    """Photos with boxes, of one photo in the file that was named, of several in that folder, under their own names.

    Args:
        target: The file or folder.
        photos: What will be drawn.
        force: Whether files that exist may be replaced; a photo itself never is.

    Raises:
        DataError: Something would be replaced, or the file's ending is no picture's.
    """

    def __init__(self, target: Path, photos: NamedPhotos, force: bool) -> None:
        self.target, self.force = target, force
        self.folder = photos.single_file is None or target.is_dir()
        self.written: set[Path] = set()
        if not self.folder:
            if target.suffix.lower() not in FORMATS:
                known = ", ".join(FORMATS)
                what = f"a picture ends in {known}, not in '{target.suffix}'"
                raise DataError(what, location=target, hint="--draw out.jpg")
            check_overwrite(target, force)
        elif target.is_file():
            raise DataError("of several photos each is a file in a folder, and this is a file", location=target)
        elif photos.single_file is None and not force and target.is_dir() and any(target.iterdir()):
            raise DataError("this folder is not empty", location=target, hint="name a new one, or add --force")

    def write(self, photo: Photo, reading: PhotoPrediction, scheme: LabelSchema) -> Path:
        """Draws the answers for a photo.

        Raises:
            DataError: The picture would take the place of a photo, or of another file.
        """
        from PIL import Image

        from maskfit.inference.annotation import annotate_faces, draw_annotations
        from maskfit.inference.model_inputs import load_image

        path = self._place(photo) if self.folder else self.target
        if path.exists() and path.samefile(photo.path):
            raise DataError("this is the photo itself, which is not replaced", location=path, hint="name another file")
        check_overwrite(path, self.force)
        drawn = draw_annotations(Image.fromarray(load_image(photo)), annotate_faces(scheme, reading, full=True))
        with atomic_write(path) as temporary:
            drawn.save(temporary, FORMATS[path.suffix.lower()], quality=92)
        self.written.add(path)
        return path

    def _place(self, photo: Photo) -> Path:
        """A file of its own in the folder, where another photo may have the same name."""
        own = self.target / photo.person
        ending = own.suffix if own.suffix.lower() in FORMATS else ".jpg"
        places = (own.with_name(f"{own.stem}{again}{ending}") for again in _again())
        return next(place for place in places if place not in self.written)


def _again() -> Iterator[str]:
    """What a name gets that was there before: nothing, then a number."""
    yield ""
    yield from (f" ({number})" for number in count(2))
