"""Faces: every face on a photo found, framed as the models were trained, and answered for.

This is what service, page, camera and a single photo on the command line have in common. It works in two halves, so
that faces of many photos can share a batch: `look` asks no network but the detector and may run in many threads;
`answer` passes everything seen through the networks at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np

from maskfit.config.loader import parse_component
from maskfit.data.boxes import Box, CropBox
from maskfit.data.crops.face import FaceCrop
from maskfit.data.detectors import Face, find_local_detector
from maskfit.data.image_decoding import Pixels
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError
from maskfit.inference.decisions import AttributePrediction, decide
from maskfit.inference.engines.selection import Logger
from maskfit.inference.model_inputs import ModelInput, ImageSource, load_image
from maskfit.inference.parallel_batches import batched, run_batches_in_parallel
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import FloatArray

MAX_FACES = 100
"""Faces of one photo that are answered for, the largest first."""

MIN_FACE_SIDE = 12.0
"""Pixels across, below which a found face shows nothing that could be answered."""


@dataclass(frozen=True)
class DetectedFaces:
    """A photo in which faces were looked for.

    Attributes:
        width, height: Of the photo, in pixels.
        faces: What was found, the largest first; empty where nothing was, or nothing was looked for.
        sights: What the networks are to see: each face, or the whole photo.
    """

    width: int
    height: int
    faces: tuple[Face, ...]
    inputs: tuple[ModelInput, ...]


@dataclass(frozen=True)
class FacePrediction:
    """What is answered for one face, or for a whole photo.

    Attributes:
        said: The answer for each attribute.
        probabilities: Of every class, (classes,).
        face: What the detector found; None where the whole photo was taken.
        cut: What the first model saw of the photo.
    """

    attributes: tuple[AttributePrediction, ...]
    probabilities: FloatArray
    face: Face | None
    crop: CropBox

    @property
    def box(self) -> Box | None:
        """Left, upper, right, lower of the face in pixels of the photo, which it may reach beyond."""
        return self.face.box if self.face else None

    def __getitem__(self, attribute: str) -> AttributePrediction:
        return next(said for said in self.attributes if said.attribute == attribute)

    def to_dict(self) -> dict[str, object]:
        """For JSON; boxes are left, upper, right, lower in pixels of the upright photo."""
        return {
            "box": None if self.face is None else [round(float(edge), 1) for edge in self.face.box],
            "score": None if self.face is None else float(self.face.score),
            **{said.attribute: said.to_dict() for said in self.attributes},
        }


@dataclass(frozen=True)
class PhotoPrediction:
    """What is answered for a photo.

    Attributes:
        width, height: Of the photo, upright, in pixels.
        faces: The answers, the largest face first. Where no face was found, or none was looked for, one answer for the
            whole photo, unless that was not wanted.
    """

    width: int
    height: int
    faces: tuple[FacePrediction, ...]

    @property
    def num_faces(self) -> int:
        """How many faces were found."""
        return sum(answer.face is not None for answer in self.faces)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "width": self.width,
            "height": self.height,
            "found": self.num_faces,
            "faces": [answer.to_dict() for answer in self.faces],
        }


class FacePredictor:
    """Finds faces and answers for each.

    Args:
        predictor: The models.
        detector: A crop that looks for faces; left out, that of the models, or else YuNet.
        find: Whether to look for faces at all; without, each photo is taken as a portrait, as `Predictor` takes it.
        whole: Whether a photo without a face gets an answer for the whole of it.
        most: Faces that are answered for in one photo, the largest first; 1 or more.
        least_side: Pixels that a face must be across.

    Raises:
        DataError: `most` is below 1, or the detector's weights are not here and cannot be fetched.
        MissingExtraError: The detector needs an extra.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        detector: FaceCrop | None = None,
        find: bool = True,
        whole: bool = True,
        most: int = MAX_FACES,
        least_side: float = MIN_FACE_SIDE,
    ) -> None:
        if most < 1:
            raise DataError(f"answers for {most} faces cannot be", hint="take 1 or more")
        self.predictor = predictor
        self.predict_whole_image = whole
        self.max_faces = most
        self.min_face_side = least_side
        own = [framing.face_crop for framing in predictor.crop_resizes]
        self.detector = (detector or next(filter(None, own), None) or FaceCrop()) if find else None
        if self.detector is not None:
            # Asked now, and not by the first photo.
            self.detector.pinned()

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """The faces on a photo (height, width, 3), the largest first."""
        if self.detector is None:
            return ()
        faces = [face for face in self.detector.detect_faces(pixels) if face.box[2] - face.box[0] >= self.min_face_side]
        return tuple(sorted(faces, key=_area, reverse=True)[: self.max_faces])

    def preprocess(self, pixels: Pixels, faces: Sequence[Face] | None = None) -> DetectedFaces:
        """Everything about a photo but the answers; may be called from many threads at once.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.
            faces: What is already known to be on it; left out, the detector is asked.
        """
        height, width = pixels.shape[:2]
        found = self.detect(pixels) if faces is None else tuple(faces)
        wanted: Sequence[Face | None] = found or ((None,) if self.predict_whole_image else ())
        return DetectedFaces(width, height, found, tuple(self.predictor.preprocess(pixels, face) for face in wanted))

    def predict_batch(self, looked: Sequence[DetectedFaces]) -> list[PhotoPrediction]:
        """The answers for photos, whose faces share the networks' batches."""
        sights = [sight for photo in looked for sight in photo.inputs]
        size = self.predictor.batch_size
        parts = [self.predictor.forward(sights[start : start + size]) for start in range(0, len(sights), size)]
        rows = np.concatenate(parts) if parts else np.empty((0, self.predictor.schema.num_classes))
        said = decide(self.predictor.schema, rows, self.predictor.abstain_below)
        readings, start = [], 0
        for photo in looked:
            places = range(start, start + len(photo.inputs))
            start = places.stop
            faces: Sequence[Face | None] = photo.faces or (None,) * len(places)
            answers = [
                FacePrediction(said[place], rows[place], face, sight.crops[0])
                for place, face, sight in zip(places, faces, photo.inputs, strict=True)
            ]
            readings.append(PhotoPrediction(photo.width, photo.height, tuple(answers)))
        return readings

    def predict(self, photo: ImageSource) -> PhotoPrediction:
        """The answers for one photo.

        Raises:
            PhotoError: It cannot be read.
        """
        (reading,) = self.predict_batch([self.preprocess(load_image(photo))])
        return reading


def _area(face: Face) -> float:
    return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])


FaceMode = Literal["auto", "find", "whole"]
"""Which faces are looked for: every one where a detector is on this machine, or else none; every one; none. Where none
is, a photo is taken as one face."""

BATCH_SIZE = 8
"""Photos that are answered for together: few, so that answers come soon and little is held of large photos."""

NO_DETECTOR_HINT = "--detector yunet fetches one of 320 kB, pip install 'maskfit[faces]' brings one with torch"
"""How to come by a detector."""

SLOW_DETECTOR_MESSAGE = "faces are found by MTCNN, which takes seconds to open; --detector yunet fetches one that opens at once (320 kB)"
"""What is said where the only detector here is the one that imports torch."""


def open_face_predictor(
    predictor: Predictor, faces: FaceMode = "auto", detector: str | None = None, say: Logger = lambda line: None
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
    if any(framing.face_crop for framing in predictor.crop_resizes):
        return FacePredictor(predictor)
    here = find_local_detector()
    if here is not None:
        if here == "mtcnn":
            say(SLOW_DETECTOR_MESSAGE)
        return FacePredictor(predictor, detector=FaceCrop(here))
    if faces == "find":
        raise DataError("there is no face detector on this machine", hint=NO_DETECTOR_HINT)
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

    lanes = run_batches_in_parallel(batched(photos, BATCH_SIZE), look, answer, lanes=reader.predictor.num_workers)
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
