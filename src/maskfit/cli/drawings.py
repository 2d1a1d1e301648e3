"""Photos with boxes, as `maskfit predict --draw` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from maskfit.cli.console import refuse_overwriting
from maskfit.errors import DataError
from maskfit.files import replacing

if TYPE_CHECKING:
    from maskfit.data.photo import Photo
    from maskfit.inference.faces import Reading
    from maskfit.inference.words import NamedPhotos
    from maskfit.labels import Scheme

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
"""What they are written as, by their ending."""


class Drawings:
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
        self.folder = photos.one is None or target.is_dir()
        self.written: set[Path] = set()
        if not self.folder:
            if target.suffix.lower() not in FORMATS:
                known = ", ".join(FORMATS)
                what = f"a picture ends in {known}, not in '{target.suffix}'"
                raise DataError(what, where=target, fix="--draw out.jpg")
            refuse_overwriting(target, force)
        elif target.is_file():
            raise DataError("of several photos each is a file in a folder, and this is a file", where=target)
        elif photos.one is None and not force and target.is_dir() and any(target.iterdir()):
            raise DataError("this folder is not empty", where=target, fix="name a new one, or add --force")

    def write(self, photo: Photo, reading: Reading, scheme: Scheme) -> Path:
        """Draws the answers for a photo.

        Raises:
            DataError: The picture would take the place of a photo, or of another file.
        """
        from PIL import Image

        from maskfit.inference.drawing import draw_marks, mark_faces
        from maskfit.inference.sights import read_pixels

        path = self._place(photo) if self.folder else self.target
        if path.exists() and path.samefile(photo.path):
            raise DataError("this is the photo itself, which is not replaced", where=path, fix="name another file")
        refuse_overwriting(path, self.force)
        drawn = draw_marks(Image.fromarray(read_pixels(photo)), mark_faces(scheme, reading, full=True))
        with replacing(path) as temporary:
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
