"""Faces: every face on a photo found, framed as the models were trained, and answered for.

This is what service, page, camera and a single photo on the command line have in common. It works in two halves, so
that faces of many photos can share a batch: `look` asks no network but the detector and may run in many threads;
`answer` passes everything seen through the networks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskfit.data.boxes import Box, CropBox
from maskfit.data.image_decoding import Pixels
from maskfit.data.detectors import Face
from maskfit.data.crops.face import FaceCrop
from maskfit.errors import DataError
from maskfit.inference.predictor import Predictor
from maskfit.inference.decisions import AttributePrediction, decide
from maskfit.inference.model_inputs import ModelInput, Source, load_image
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
    sights: tuple[ModelInput, ...]


@dataclass(frozen=True)
class FacePrediction:
    """What is answered for one face, or for a whole photo.

    Attributes:
        said: The answer for each attribute.
        probabilities: Of every class, (classes,).
        face: What the detector found; None where the whole photo was taken.
        cut: What the first model saw of the photo.
    """

    said: tuple[AttributePrediction, ...]
    probabilities: FloatArray
    face: Face | None
    cut: CropBox

    @property
    def box(self) -> Box | None:
        """Left, upper, right, lower of the face in pixels of the photo, which it may reach beyond."""
        return self.face.box if self.face else None

    def __getitem__(self, attribute: str) -> AttributePrediction:
        return next(said for said in self.said if said.attribute == attribute)

    def to_dict(self) -> dict[str, object]:
        """For JSON; boxes are left, upper, right, lower in pixels of the upright photo."""
        return {
            "box": None if self.face is None else [round(float(edge), 1) for edge in self.face.box],
            "score": None if self.face is None else float(self.face.score),
            **{said.attribute: said.to_dict() for said in self.said},
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
    def found(self) -> int:
        """How many faces were found."""
        return sum(answer.face is not None for answer in self.faces)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "width": self.width,
            "height": self.height,
            "found": self.found,
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
        self.whole = whole
        self.most = most
        self.least_side = least_side
        own = [framing.finds_faces for framing in predictor.framings]
        self.detector = (detector or next(filter(None, own), None) or FaceCrop()) if find else None
        if self.detector is not None:
            # Asked now, and not by the first photo.
            self.detector.settled()

    def find(self, pixels: Pixels) -> tuple[Face, ...]:
        """The faces on a photo (height, width, 3), the largest first."""
        if self.detector is None:
            return ()
        faces = [face for face in self.detector.faces(pixels) if face.box[2] - face.box[0] >= self.least_side]
        return tuple(sorted(faces, key=_area, reverse=True)[: self.most])

    def preprocess(self, pixels: Pixels, faces: Sequence[Face] | None = None) -> DetectedFaces:
        """Everything about a photo but the answers; may be called from many threads at once.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.
            faces: What is already known to be on it; left out, the detector is asked.
        """
        height, width = pixels.shape[:2]
        found = self.find(pixels) if faces is None else tuple(faces)
        wanted: Sequence[Face | None] = found or ((None,) if self.whole else ())
        return DetectedFaces(width, height, found, tuple(self.predictor.preprocess(pixels, face) for face in wanted))

    def predict_batch(self, looked: Sequence[DetectedFaces]) -> list[PhotoPrediction]:
        """The answers for photos, whose faces share the networks' batches."""
        sights = [sight for photo in looked for sight in photo.sights]
        size = self.predictor.batch_size
        parts = [self.predictor.forward(sights[start : start + size]) for start in range(0, len(sights), size)]
        rows = np.concatenate(parts) if parts else np.empty((0, self.predictor.scheme.classes))
        said = decide(self.predictor.scheme, rows, self.predictor.abstain_below)
        readings, start = [], 0
        for photo in looked:
            places = range(start, start + len(photo.sights))
            start = places.stop
            faces: Sequence[Face | None] = photo.faces or (None,) * len(places)
            answers = [
                FacePrediction(said[place], rows[place], face, sight.cuts[0])
                for place, face, sight in zip(places, faces, photo.sights, strict=True)
            ]
            readings.append(PhotoPrediction(photo.width, photo.height, tuple(answers)))
        return readings

    def predict(self, photo: Source) -> PhotoPrediction:
        """The answers for one photo.

        Raises:
            PhotoError: It cannot be read.
        """
        (reading,) = self.predict_batch([self.preprocess(load_image(photo))])
        return reading


def _area(face: Face) -> float:
    return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])
