"""The face predictor: finds the faces of an image and predicts each; one path from an image to its faces."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np

from maskfit.calibration import MIN_FACE_SIDE
from maskfit.data.crops.face import FaceCrop, default_detector
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import Pixels
from maskfit.data.photo_dataset import Photo
from maskfit.environment import MODEL, read_variable
from maskfit.errors import DataError, PhotoError
from maskfit.inference.decisions import abstain, abstain_on_small_face, decide
from maskfit.inference.detector_choice import describe_other_detector, parse_detector
from maskfit.inference.engines import Logger
from maskfit.inference.face_prediction import (
    NO_DETECTOR_NOTE,
    NO_FACE_NOTE,
    DetectedFaces,
    FacePrediction,
    PhotoPrediction,
)
from maskfit.inference.image_loading import (
    ImageSource,
    batched,
    check_several,
    check_unique_names,
    given_face,
    keep_or_reload,
    load_image,
    run_batches_in_parallel,
)
from maskfit.inference.input_resolution import bundled_model_path
from maskfit.inference.precision_cascade import measured_cascade
from maskfit.inference.predictor import Predictor
from maskfit.labels.age_distribution import concat_ages, estimate_ages

MAX_FACES = 100
"""Faces of one image that are predicted, the largest first."""

BATCH_SIZE = 8
"""Images that are predicted together: few, so that results come soon and few large images are in memory."""

FaceMode = Literal["auto", "find", "whole"]
"""Which faces are predicted. `find`: every face, which needs a detector. `whole`: the whole image as one face. `auto`:
`find` where a detector is on this machine, else `whole`."""

NO_DETECTOR_HINT = (
    "pip install --force-reinstall maskfit restores the bundled one, --detector yunet downloads one (320 kB), "
    "--faces whole takes each photo as one face"
)
"""How to get a detector."""

SLOW_DETECTOR_MESSAGE = (
    "faces are detected by MTCNN, which takes seconds to load; --detector bundled, or yunet (320 kB), is faster"
)
"""Logged where the only local detector is the one that imports torch."""

Source = TypeVar("Source", bound=ImageSource)


class FacePredictor:
    """Finds faces and predicts each.

    Example:
        >>> for photo in maskfit.FacePredictor.load().predict(["photo.jpg"]):
        ...     for face in photo.faces:
        ...         print(face.box, face["mask"], face["age"])

    Args:
        predictor: The models; `load` opens model files and run folders.
        detector: A crop that detects faces; None takes that of the models, or else `default_detector`.
        detect: Whether to detect faces; without, each image is taken as a portrait, as `Predictor` takes it.
        predict_whole_image: Whether an image without a face gets a prediction of the whole of it: "not sure", since it
            may show no face at all, or one so close that the detector misses it.
        max_faces: Faces of one image that are predicted, the largest first, >= 1.
        min_face_side: Shorter side in pixels that a face must have, >= 1.
        is_detector_missing: Without `detect`: whether each prediction notes that there was no detector.

    Raises:
        DataError: `max_faces` or `min_face_side` is below 1, there is no detector, or its weights are missing and
            cannot be fetched.
        MissingExtraError: The detector needs an extra.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        detector: FaceCrop | None = None,
        detect: bool = True,
        predict_whole_image: bool = True,
        max_faces: int = MAX_FACES,
        min_face_side: float = MIN_FACE_SIDE,
        is_detector_missing: bool = False,
    ) -> None:
        if max_faces < 1:
            raise DataError(f"max_faces must be >= 1, got {max_faces}")
        if not min_face_side >= 1:
            raise DataError(
                f"the smallest face must have at least 1 pixel, got {min_face_side:g}", hint="--min-face 24"
            )
        self.predictor = predictor
        self.predict_whole_image = predict_whole_image
        self.max_faces = max_faces
        self.min_face_side = min_face_side
        self.is_detector_missing = is_detector_missing
        own = [crop_resize.face_crop for crop_resize in predictor.runner.crop_resizes]
        # A model that crops by a detector looks once more at an image on which no face was found.
        self._looks_again = predict_whole_image and any(own)
        # In f32 where the error of low precision was not measured before: what a face gets depends on that face alone.
        cascade = None
        if predictor.runner.low_precision_error is not None:
            cascade = measured_cascade(predictor.runner, predictor.decision_weights, predictor.abstain_below)
        self._forward = cascade.predict if cascade else predictor.runner.forward
        self._is_approximate = cascade is not None and cascade.takes_approximate_pixels
        self.detector: FaceCrop | None = None
        if detect:
            self.detector = detector or next(filter(None, own), None) or default_detector() or FaceCrop("bundled")
            # Now, and not at the first image: fails where its weights are missing.
            self.detector.pinned()

    @classmethod
    def load(
        cls,
        *sources: str | Path | None,
        faces: FaceMode = "auto",
        detector: str | None = None,
        min_face_side: float = MIN_FACE_SIDE,
        log: Logger = lambda line: None,
        **options: Any,
    ) -> Self:
        """Opens model files and run folders, and a face detector.

        Args:
            sources: Model files, run folders and folds; none, or None, opens that of SM_CHANNEL_MODEL (also from a
                `.env` file), otherwise the bundled model.
            faces: Which faces are predicted; see `FaceMode`.
            detector: A detector's name or file, with options, such as `yunet:side=640`; see `parse_detector`. Weights
                of a name are downloaded where they are missing. None downloads nothing.
            min_face_side: Shorter side in pixels that a face must have, >= 1.
            log: Receives a line about what takes time.
            **options: As for `Predictor.load`.

        Returns:
            The face predictor.

        Raises:
            ModelFileError: A source is no model, or the models do not combine.
            RunError: A run has no finished fold.
            DataError: As `from_predictor`.
            RecipeError: There is no such detector or engine, or it has no such option.
            MissingExtraError: A model or the detector needs an extra.
        """
        models = [source for source in sources if source is not None]
        predictor = Predictor.load(*(models or [read_variable(MODEL) or bundled_model_path()]), log=log, **options)
        return cls.from_predictor(predictor, faces, detector, min_face_side=min_face_side, log=log)

    @classmethod
    def from_predictor(
        cls,
        predictor: Predictor,
        faces: FaceMode = "auto",
        detector: str | None = None,
        *,
        min_face_side: float = MIN_FACE_SIDE,
        log: Logger = lambda line: None,
    ) -> Self:
        """Adds a face detector to a predictor. Nothing is downloaded unless a detector is named.

        Args:
            predictor: The models. Those that crop by a detector of their own bring it.
            faces: Which faces are predicted; see `FaceMode`.
            detector: A detector's name or file, with options, such as `yunet:side=640`; see `parse_detector`. Weights
                of a name are downloaded where they are missing.
            min_face_side: Shorter side in pixels that a face must have, >= 1.
            log: Receives a line about what takes time, and one where a model was trained with another detector.

        Returns:
            The face predictor.

        Raises:
            DataError: `faces` is `find` and there is no detector on this machine; or the named one is no detector's
                file, or has no weights here and they cannot be downloaded; or one is named with `whole`.
            RecipeError: There is no such detector, or it has no such option.
            MissingExtraError: The detector needs an extra.
        """
        if detector is not None:
            if faces == "whole":
                raise DataError("a detector is of no use where faces are not detected", hint="leave out one of the two")
            named = parse_detector(detector)
            note = describe_other_detector(named, (item.face_crop for item in predictor.runner.crop_resizes))
            if note:
                log(note)
            return cls(predictor, detector=named, min_face_side=min_face_side)
        if faces == "whole":
            return cls(predictor, detect=False)
        if any(crop_resize.face_crop for crop_resize in predictor.runner.crop_resizes):
            return cls(predictor, min_face_side=min_face_side)
        local = default_detector()
        if local is not None:
            if local.detector_name == "mtcnn":
                log(SLOW_DETECTOR_MESSAGE)
            return cls(predictor, detector=local, min_face_side=min_face_side)
        if faces == "find":
            raise DataError("there is no face detector on this machine", hint=NO_DETECTOR_HINT)
        return cls(predictor, detect=False, is_detector_missing=True)

    def predict(self, images: Sequence[ImageSource]) -> list[PhotoPrediction]:
        """Predicts the faces of images and keeps all predictions; `stream` yields them one by one.

        Args:
            images: Paths, bytes, pixels, Pillow images or photos; their names must differ.

        Returns:
            The prediction of each image, in the order of `images`.

        Raises:
            DataError: There are no images, or two have one name.
            PhotoError: An image cannot be read.
        """
        check_unique_names(images)
        predictions = []
        with closing(self.stream(images)) as results:
            for _, prediction in results:
                if isinstance(prediction, PhotoError):
                    raise prediction
                predictions.append(prediction)
        return predictions

    def predict_one(self, image: ImageSource) -> PhotoPrediction:
        """Predicts the faces of one image.

        Args:
            image: A path, bytes, pixels, a Pillow image (of any mode; its EXIF orientation is applied) or a photo.

        Returns:
            The prediction.

        Raises:
            PhotoError: The image cannot be read.
        """
        return self.predict([image])[0]

    def stream(self, images: Iterable[Source]) -> Generator[tuple[Source, PhotoPrediction | PhotoError]]:
        """Predicts the faces of any number of images, in order, in constant memory.

        Close the generator where it is not exhausted (`contextlib.closing`): until then threads are running.

        Args:
            images: Taken as they are needed.

        Yields:
            An image, and its prediction or why it cannot be read.
        """
        check_several(images)

        def load(image: Source) -> tuple[Source, DetectedFaces | PhotoError]:
            try:
                return image, self._load(image)
            except PhotoError as error:
                return image, error

        def predict(
            batch: Sequence[tuple[Source, DetectedFaces | PhotoError]],
        ) -> list[tuple[Source, PhotoPrediction | PhotoError]]:
            predictions = iter(self.predict_batch([item for _, item in batch if isinstance(item, DetectedFaces)]))
            return [(image, item if isinstance(item, PhotoError) else next(predictions)) for image, item in batch]

        batches = batched(images, BATCH_SIZE)
        results = run_batches_in_parallel(batches, load, predict, num_workers=self.predictor.num_workers)
        with closing(results) as predicted:
            for batch in predicted:
                yield from batch

    @property
    def detection_side(self) -> int | None:
        """Longer side in pixels at which the detector sees an image; None where there is no such option."""
        return self.detector.side if self.detector else None

    def with_detection_side(self, side: int) -> Self:
        """Returns a face predictor that differs in the side at which its detector sees an image.

        Args:
            side: The side in pixels.

        Returns:
            A copy that shares the models.

        Raises:
            RecipeError: The detector has no such option.
            ValueError: There is no detector, or the side is out of range.
        """
        if self.detector is None:
            raise ValueError("there is no detector")
        other = copy(self)
        other.detector = self.detector.with_side(side)
        other.detector.pinned()
        return other

    def detect(self, pixels: Pixels) -> tuple[tuple[Face, ...], int]:
        """Detects the faces of an image.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.

        Returns:
            At most `max_faces` faces whose shorter side has `min_face_side` pixels or more, the largest first; and how
            many others were detected.
        """
        if self.detector is None:
            return (), 0
        found = self.detector.detect_faces(pixels, keep=self._looks_again)
        faces = [face for face in found if _shorter_side(face) >= self.min_face_side]
        chosen = tuple(sorted(faces, key=_area, reverse=True)[: self.max_faces])
        return chosen, len(found) - len(chosen)

    def preprocess(
        self, pixels: Pixels, faces: Sequence[Face] | None = None, image: ImageSource | None = None
    ) -> DetectedFaces:
        """Detects faces and makes their network inputs. May be called from many threads at once.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.
            faces: The faces where they are known already; None detects them.
            image: What the pixels were decoded from, to decode a large image again where its pixels must be exact.

        Returns:
            The faces and their inputs, for `predict_batch`.
        """
        height, width = pixels.shape[:2]
        reload = keep_or_reload(pixels if image is None else image, pixels) if self._is_approximate else None
        found, left_out = self.detect(pixels) if faces is None else (tuple(faces), 0)
        # Where there are faces, only too small, the whole image is none.
        takes_whole = self.predict_whole_image and not left_out
        regions: Sequence[Face | None] = found or ((None,) if takes_whole else ())
        inputs = tuple(self.predictor.runner.preprocess(pixels, face, reload) for face in regions)
        return DetectedFaces(width, height, found, inputs, left_out)

    def predict_batch(self, images: Sequence[DetectedFaces]) -> list[PhotoPrediction]:
        """Predicts preprocessed images, whose faces share the networks' batches.

        Args:
            images: What `preprocess` returned.

        Returns:
            The prediction of each image.
        """
        predictor = self.predictor
        inputs = [item for image in images for item in image.inputs]
        parts = [self._forward(batch) for batch in batched(inputs, predictor.batch_size)]
        rows = np.concatenate([part.combined for part in parts] or [np.empty((0, predictor.schema.num_classes))])
        ages = estimate_ages(predictor.schema, rows, concat_ages([part.ages for part in parts]))
        attributes = decide(predictor.schema, rows, predictor.abstain_below, predictor.decision_weights, ages)
        predictions, start = [], 0
        for image in images:
            indices = range(start, start + len(image.inputs))
            start = indices.stop
            faces: Sequence[Face | None] = image.faces or (None,) * len(indices)
            own = [
                FacePrediction(
                    abstain_on_small_face(attributes[index], face and face.box, predictor.min_face),
                    rows[index],
                    face,
                    item.crops[0],
                )
                for index, face, item in zip(indices, faces, image.inputs, strict=True)
            ]
            note = None if image.faces or not own else self._whole_image_note
            if note == NO_FACE_NOTE:
                own = [replace(item, attributes=abstain(item.attributes)) for item in own]
            predictions.append(PhotoPrediction(image.width, image.height, tuple(own), note, image.left_out))
        return predictions

    @property
    def _whole_image_note(self) -> str | None:
        """What is said of an image that is predicted as a whole."""
        if self.detector is None:
            return NO_DETECTOR_NOTE if self.is_detector_missing else None
        return NO_FACE_NOTE

    def _load(self, image: ImageSource) -> DetectedFaces:
        """Reads, detects and preprocesses an image.

        Raises:
            PhotoError: It cannot be read, or is too small to show a face.
        """
        pixels = load_image(image)
        height, width = pixels.shape[:2]
        if min(height, width) < MIN_FACE_SIDE:
            raise PhotoError(
                f"{width} x {height} pixels are too few for a face",
                location=image.path if isinstance(image, Photo) else None,
                hint=f"each side needs at least {MIN_FACE_SIDE:.0f}",
            )
        face = given_face(image, pixels)
        return self.preprocess(pixels, None if face is None else [face], image)


def _shorter_side(face: Face) -> float:
    return min(face.box[2] - face.box[0], face.box[3] - face.box[1])


def _area(face: Face) -> float:
    return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])
