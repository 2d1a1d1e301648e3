"""Reading: photos that somebody names, every face on each, one photo after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Literal

from maskfit.cookbook import parse_part
from maskfit.data.detectors import find_here
from maskfit.data.face_crop import FaceCrop
from maskfit.data.photo import Photo
from maskfit.errors import DataError, PhotoError
from maskfit.inference.choosing import Say
from maskfit.inference.faces import LEAST_SIDE, FaceReader, Looked, Reading
from maskfit.inference.lanes import in_batches, run_in_lanes
from maskfit.inference.predictor import Predictor
from maskfit.inference.sights import read_pixels

Faces = Literal["auto", "find", "whole"]
"""Which faces are looked for: every one where a detector is on this machine, or else none; every one; none. Where none
is, a photo is taken as one face."""

BATCH = 8
"""Photos that are answered for together: few, so that answers come soon and little is held of large photos."""

NO_DETECTOR = "--detector yunet fetches one of 320 kB, pip install 'maskfit[faces]' brings one with torch"
"""How to come by a detector."""

SLOW = "faces are found by MTCNN, which takes seconds to open; --detector yunet fetches one that opens at once (320 kB)"
"""What is said where the only detector here is the one that imports torch."""


def open_reader(
    predictor: Predictor, faces: Faces = "auto", detector: str | None = None, say: Say = lambda line: None
) -> FaceReader:
    """A reader of faces that fetches nothing from the network, unless a detector is named.

    Args:
        predictor: The models.
        faces: Which faces are looked for. Those models that crop by a detector of their own bring it.
        detector: A word for one of `DETECTORS`, such as `yunet:side=640`; its weights are fetched where missing.
        say: Told in one line what takes its time.

    Raises:
        DataError: There is no detector on this machine to find faces with; or the one that is named has no weights here
            and they cannot be fetched.
        RecipeError: There is no such detector, or it has no such option.
        MissingExtraError: It needs an extra.
    """
    if detector is not None:
        if faces == "whole":
            raise DataError("without looking for faces a detector has nothing to do", fix="leave out one of the two")
        return FaceReader(predictor, detector=FaceCrop(parse_part(detector).model_dump(mode="json")))
    if faces == "whole":
        return FaceReader(predictor, find=False)
    if any(framing.finds_faces for framing in predictor.framings):
        return FaceReader(predictor)
    here = find_here()
    if here is not None:
        if here == "mtcnn":
            say(SLOW)
        return FaceReader(predictor, detector=FaceCrop(here))
    if faces == "find":
        raise DataError("there is no face detector on this machine", fix=NO_DETECTOR)
    return FaceReader(predictor, find=False)


def read_photos(reader: FaceReader, photos: Iterable[Photo]) -> Generator[tuple[Photo, Reading | PhotoError]]:
    """What is read on each of any number of photos, in their order; of one that cannot be read, why.

    Close the generator where it is not run to its end (`contextlib.closing`): until then threads are at work.
    """

    def look(photo: Photo) -> tuple[Photo, Looked | PhotoError]:
        try:
            return photo, _look(reader, photo)
        except PhotoError as error:
            return photo, error

    def answer(batch: Sequence[tuple[Photo, Looked | PhotoError]]) -> list[tuple[Photo, Reading | PhotoError]]:
        readings = iter(reader.answer([seen for _, seen in batch if isinstance(seen, Looked)]))
        return [(photo, seen if isinstance(seen, PhotoError) else next(readings)) for photo, seen in batch]

    lanes = run_in_lanes(in_batches(photos, BATCH), look, answer, lanes=reader.predictor.lanes)
    with closing(lanes) as batches:
        for batch in batches:
            yield from batch


def _look(reader: FaceReader, photo: Photo) -> Looked:
    """The faces of a photo as the networks see them.

    Raises:
        PhotoError: It cannot be read, or is too small to show anything.
    """
    pixels = read_pixels(photo)
    height, width = pixels.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise PhotoError(
            f"{width} x {height} pixels show no face", where=photo.path, fix=f"{LEAST_SIDE:.0f} across are the least"
        )
    return reader.look(pixels)
