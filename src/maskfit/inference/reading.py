"""Reading: photos that somebody names, every face on each, one photo after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Literal

from maskfit.config.loader import parse_component
from maskfit.data.detectors import find_local_detector
from maskfit.data.crops.face import FaceCrop
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError
from maskfit.inference.engines.engine.selection import Logger
from maskfit.inference.face_predictor import MIN_FACE_SIDE, DetectedFaces, FacePredictor, PhotoPrediction
from maskfit.inference.parallel_batches import batched, run_batches_in_parallel
from maskfit.inference.predictor import Predictor
from maskfit.inference.model_inputs import load_image

Faces = Literal["auto", "find", "whole"]
"""Which faces are looked for: every one where a detector is on this machine, or else none; every one; none. Where none
is, a photo is taken as one face."""

BATCH = 8
"""Photos that are answered for together: few, so that answers come soon and little is held of large photos."""

NO_DETECTOR = "--detector yunet fetches one of 320 kB, pip install 'maskfit[faces]' brings one with torch"
"""How to come by a detector."""

SLOW = "faces are found by MTCNN, which takes seconds to open; --detector yunet fetches one that opens at once (320 kB)"
"""What is said where the only detector here is the one that imports torch."""


def open_face_predictor(
    predictor: Predictor, faces: Faces = "auto", detector: str | None = None, say: Logger = lambda line: None
) -> FacePredictor:
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
            raise DataError("without looking for faces a detector has nothing to do", hint="leave out one of the two")
        return FacePredictor(predictor, detector=FaceCrop(parse_component(detector).model_dump(mode="json")))
    if faces == "whole":
        return FacePredictor(predictor, find=False)
    if any(framing.finds_faces for framing in predictor.framings):
        return FacePredictor(predictor)
    here = find_local_detector()
    if here is not None:
        if here == "mtcnn":
            say(SLOW)
        return FacePredictor(predictor, detector=FaceCrop(here))
    if faces == "find":
        raise DataError("there is no face detector on this machine", hint=NO_DETECTOR)
    return FacePredictor(predictor, find=False)


def predict_photos(
    reader: FacePredictor, photos: Iterable[Photo]
) -> Generator[tuple[Photo, PhotoPrediction | PhotoError]]:
    """What is read on each of any number of photos, in their order; of one that cannot be read, why.

    Close the generator where it is not run to its end (`contextlib.closing`): until then threads are at work.
    """

    def look(photo: Photo) -> tuple[Photo, DetectedFaces | PhotoError]:
        try:
            return photo, _look(reader, photo)
        except PhotoError as error:
            return photo, error

    def answer(
        batch: Sequence[tuple[Photo, DetectedFaces | PhotoError]],
    ) -> list[tuple[Photo, PhotoPrediction | PhotoError]]:
        readings = iter(reader.predict_batch([seen for _, seen in batch if isinstance(seen, DetectedFaces)]))
        return [(photo, seen if isinstance(seen, PhotoError) else next(readings)) for photo, seen in batch]

    lanes = run_batches_in_parallel(batched(photos, BATCH), look, answer, lanes=reader.predictor.num_workers)
    with closing(lanes) as batches:
        for batch in batches:
            yield from batch


def _look(reader: FacePredictor, photo: Photo) -> DetectedFaces:
    """The faces of a photo as the networks see them.

    Raises:
        PhotoError: It cannot be read, or is too small to show anything.
    """
    pixels = load_image(photo)
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_FACE_SIDE:
        raise PhotoError(
            f"{width} x {height} pixels show no face",
            location=photo.path,
            hint=f"{MIN_FACE_SIDE:.0f} across are the least",
        )
    return reader.preprocess(pixels)
