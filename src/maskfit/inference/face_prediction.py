"""The predictions of an image's faces, and the faces before they are predicted."""

from __future__ import annotations

from dataclasses import dataclass

from maskfit.data.boxes import Box, CropBox
from maskfit.data.detectors import Face
from maskfit.inference.decisions import AttributePrediction
from maskfit.inference.tta import ModelInput
from maskfit.labels.age_distribution import AgeEstimate
from maskfit.labels.schema import FloatArray

NO_DETECTOR_NOTE = "no face detector: whole photo taken as one face"
NO_FACE_NOTE = "no face found: whole photo taken as one face"


@dataclass(frozen=True)
class DetectedFaces:
    """An image after face detection and preprocessing.

    Attributes:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        faces: The detected faces, the largest first; empty where none was found or looked for.
        inputs: The network input of each face, or of the whole image.
        left_out: How many faces were detected and are not among them: too small, or beyond the largest.
    """

    width: int
    height: int
    faces: tuple[Face, ...]
    inputs: tuple[ModelInput, ...]
    left_out: int = 0


@dataclass(frozen=True)
class FacePrediction:
    """The prediction of one face, or of a whole image.

    Attributes:
        attributes: The prediction of each attribute; `prediction["mask"]` selects one.
        probabilities: The probability of every class, (classes,).
        face: The detected face; None for a whole image.
        crop: What the first model cut out of the image.
    """

    attributes: tuple[AttributePrediction, ...]
    probabilities: FloatArray
    face: Face | None
    crop: CropBox

    @property
    def box(self) -> Box | None:
        """Left, upper, right, lower of the face in pixels of the image, which it may exceed."""
        return self.face.box if self.face else None

    @property
    def age(self) -> AgeEstimate | None:
        """The age in years; None where the models give none."""
        return next((item.age for item in self.attributes if item.age is not None), None)

    def __getitem__(self, attribute: str) -> AttributePrediction:
        for item in self.attributes:
            if item.attribute == attribute:
                return item
        raise KeyError(
            f"there is no attribute '{attribute}', only {', '.join(own.attribute for own in self.attributes)}"
        )

    def to_dict(self) -> dict[str, object]:
        """Converts to JSON types.

        Returns:
            `box` (left, upper, right, lower in pixels of the upright image), `score`, and each attribute by its name.
        """
        return {
            "box": None if self.face is None else [round(float(edge), 1) for edge in self.face.box],
            "score": None if self.face is None else float(self.face.score),
            **{item.attribute: item.to_dict() for item in self.attributes},
        }


@dataclass(frozen=True)
class PhotoPrediction:
    """The predictions of an image.

    Attributes:
        width: Width of the upright image in pixels.
        height: Height of the upright image in pixels.
        faces: The predictions, the largest face first. Where no face was found or looked for, one for the whole image,
            unless the predictor was told otherwise; it is "not sure" where a detector found no face.
        note: Why the whole image was taken as one face, where nobody asked for that; None otherwise.
        left_out: How many faces were detected and not predicted: too small, or beyond the largest.
    """

    width: int
    height: int
    faces: tuple[FacePrediction, ...]
    note: str | None = None
    left_out: int = 0

    @property
    def num_faces(self) -> int:
        """How many faces were detected."""
        return sum(item.face is not None for item in self.faces)

    @property
    def is_without_face(self) -> bool:
        """Whether the whole image was predicted because a detector found no face on it."""
        return self.note == NO_FACE_NOTE

    def to_dict(self) -> dict[str, object]:
        """Converts to JSON types.

        Returns:
            `width`, `height`, `found` (how many faces were detected and predicted), `left_out`, `note` and `faces`.
        """
        return {
            "width": self.width,
            "height": self.height,
            "found": self.num_faces,
            "left_out": self.left_out,
            "note": self.note,
            "faces": [item.to_dict() for item in self.faces],
        }
