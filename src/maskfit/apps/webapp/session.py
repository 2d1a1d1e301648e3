"""One visitor's session: uploaded photos, their results, and sample photos. Everything stays in memory."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

from maskfit.apps.webapp.app_state import MAX_UPLOAD_MB, AppState, PredictionSettings
from maskfit.calibration import WeightMap
from maskfit.data.image_decoding import Pixels, decode
from maskfit.errors import MaskfitError
from maskfit.inference.annotation import FaceAnnotation, draw_annotations
from maskfit.inference.decisions import AttributePrediction, abstain, abstain_on_small_face, decide
from maskfit.inference.face_prediction import FacePrediction, PhotoPrediction
from maskfit.labels.schema import LabelSchema
from maskfit.synthesis.drawn import render_photo, sample_person

MAX_PHOTOS = 40
"""Photos that are shown at a time."""

MAX_PIXELS = 50_000_000
"""Width x height of a photo that is still decoded: as many as current phones take."""

PREVIEW_SIDE = 1400
"""The longer side in pixels of a photo on the page."""

MIN_SHOWN_SIDE, MAX_ENLARGEMENT = 900, 8
"""Pixels of the longer side to which a smaller photo is enlarged on the page, at most so many times: its faces can be
seen, and its labels are drawn in the resolution of the page."""

MAX_CACHED_RESULTS = 3 * MAX_PHOTOS
"""Results that a session keeps, so that going back to an earlier setting predicts nothing again."""

SAMPLE_PERSONS = (
    (15, "male", 34, "mask1"),
    (11, "female", 63, "incorrect_mask"),
    (20, "female", 24, "normal"),
    (15, "female", 45, "mask3"),
    (20, "male", 70, "normal"),
    (19, "male", 21, "incorrect_mask"),
)
"""Seed, gender, age and mask state of each sample person: every mask state, gender and age band is among them."""

SAMPLE_COLUMNS, SAMPLE_CELL_SIZE = 3, (360, 480)
"""Layout of the group photo: persons per row, and (width, height) of each in pixels."""

FacePredictions = tuple[tuple[AttributePrediction, ...], ...]
"""For each face the prediction of each attribute."""


@dataclass(frozen=True, eq=False)
class UploadedPhoto:
    """An uploaded photo.

    Attributes:
        name: The file's name; see `deduplicate_names`.
        content: The file's bytes.
    """

    name: str
    content: bytes

    @cached_property
    def content_hash(self) -> str:
        """BLAKE2b digest of the content in hexadecimal."""
        return hashlib.blake2b(self.content, digest_size=16).hexdigest()


def deduplicate_names(photos: Sequence[UploadedPhoto]) -> list[UploadedPhoto]:
    """Numbers repeated names.

    Args:
        photos: Uploaded photos.

    Returns:
        The photos; of several with one name, all but the first have a number appended.
    """
    counts: Counter[str] = Counter()
    renamed = []
    for photo in photos:
        counts[photo.name] += 1
        count = counts[photo.name]
        renamed.append(photo if count == 1 else replace(photo, name=f"{photo.name} ({count})"))
    return renamed


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """Result of a photo.

    Attributes:
        content_hash: Hash of the photo's content.
        prediction: The prediction; None where the photo could not be read.
        preview: The photo as JPEG for the page, without metadata.
        frames: For each face the model input in each of the models' crops, uint8 of shape (height, width, 3).
        error: Why the photo could not be read; empty where it could.
        hint: What to do about it.
    """

    content_hash: str
    prediction: PhotoPrediction | None = None
    preview: bytes = b""
    frames: tuple[tuple[Pixels, ...], ...] = ()
    error: str = ""
    hint: str = ""

    @property
    def faces(self) -> tuple[FacePrediction, ...]:
        """The prediction of each face, the largest first, or of the whole photo."""
        return self.prediction.faces if self.prediction else ()

    @property
    def is_without_face(self) -> bool:
        """Whether the whole photo was predicted although no face was found on it."""
        return self.prediction is not None and self.prediction.is_without_face


def reapply_thresholds(
    schema: LabelSchema,
    result: PhotoResult,
    abstain_below: Mapping[str, float],
    decision_weights: WeightMap | None = None,
    min_face: Mapping[str, float] | None = None,
) -> FacePredictions:
    """Decides on stored probabilities with other thresholds; no model runs again.

    Args:
        schema: The label schema.
        result: The result of a photo.
        abstain_below: Probability below which the prediction is "not sure", by attribute.
        decision_weights: Decision weights by attribute; None selects the most probable values.
        min_face: By attribute, the shorter side in pixels of a face below which the prediction is "not sure".

    Returns:
        For each face the prediction of each attribute; "not sure" under any threshold where no face was found.
    """
    faces = result.faces
    if not faces:
        return ()
    rows = np.stack([face.probabilities for face in faces])
    decided = decide(schema, rows, abstain_below, decision_weights, [face.age for face in faces])
    if result.is_without_face:
        return tuple(map(abstain, decided))
    pairs = zip(decided, faces, strict=True)
    return tuple(abstain_on_small_face(attributes, face.box, min_face or {}) for attributes, face in pairs)


def predict_photo(app_state: AppState, photo: UploadedPhoto, settings: PredictionSettings) -> PhotoResult:
    """Predicts a photo; an error becomes part of the result.

    Args:
        app_state: The models.
        photo: The photo.
        settings: The visitor's settings.

    Returns:
        The result.
    """
    face_predictor = app_state.face_predictor(settings)
    try:
        pixels = decode(photo.content, name=photo.name, max_pixels=MAX_PIXELS, max_bytes=MAX_UPLOAD_MB * 2**20)
        detected = face_predictor.preprocess(pixels)
        (prediction,) = face_predictor.predict_batch([detected])
    except MaskfitError as error:
        return PhotoResult(photo.content_hash, error=error.message, hint=error.hint or "")
    frames = tuple(tuple(views[0] for views in item.tta_views) for item in detected.inputs)
    return PhotoResult(photo.content_hash, prediction, _preview(pixels), frames)


def _preview(pixels: Pixels) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    return to_jpeg(image)


def to_jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Encodes an image as JPEG without metadata.

    Args:
        image: An RGB image.
        quality: 1 to 95.

    Returns:
        The file's bytes.
    """
    stream = BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _annotated_jpeg(result: PhotoResult, annotations: tuple[FaceAnnotation, ...]) -> bytes:
    """Returns the preview with annotated faces, as JPEG; a small photo enlarged."""
    with Image.open(BytesIO(result.preview), formats=("JPEG",)) as image:
        scale = min(MIN_SHOWN_SIDE / max(image.size), MAX_ENLARGEMENT)
        if scale <= 1 and not annotations:
            return result.preview
        size = (round(image.width * scale), round(image.height * scale))
        shown = image.resize(size, Image.Resampling.BICUBIC) if scale > 1 else image
        return to_jpeg(draw_annotations(shown, annotations))


class Session:
    """What one visitor's page remembers while it is open.

    Args:
        app_state: The models.

    Attributes:
        app_state: The models.
        whole_photo_hashes: Content hashes of photos without a face that are predicted as one portrait all the same.
        annotated_jpeg: Returns a result's preview with annotations; cached.
    """

    def __init__(self, app_state: AppState) -> None:
        self.app_state = app_state
        self.whole_photo_hashes: set[str] = set()
        self.annotated_jpeg = lru_cache(maxsize=MAX_CACHED_RESULTS)(_annotated_jpeg)
        self._cache: OrderedDict[tuple[str, PredictionSettings], PhotoResult] = OrderedDict()

    def is_cached(self, photo: UploadedPhoto, settings: PredictionSettings) -> bool:
        """Returns whether a photo was already predicted with these settings.

        Args:
            photo: The photo.
            settings: The visitor's settings.

        Returns:
            True where `predict` runs no model.
        """
        return (photo.content_hash, self._effective_settings(photo, settings)) in self._cache

    def predict(self, photo: UploadedPhoto, settings: PredictionSettings) -> PhotoResult:
        """Predicts a photo, or returns the cached result.

        Args:
            photo: The photo.
            settings: The visitor's settings.

        Returns:
            The result.
        """
        settings = self._effective_settings(photo, settings)
        key = (photo.content_hash, settings)
        if key not in self._cache:
            self._cache[key] = predict_photo(self.app_state, photo, settings)
        self._cache.move_to_end(key)
        while len(self._cache) > MAX_CACHED_RESULTS:
            self._cache.popitem(last=False)
        return self._cache[key]

    def _effective_settings(self, photo: UploadedPhoto, settings: PredictionSettings) -> PredictionSettings:
        return replace(settings, whole_without_face=photo.content_hash in self.whole_photo_hashes)


@cache
def sample_photos() -> tuple[UploadedPhoto, ...]:
    """Renders two sample photos of synthetic faces, once per process.

    Returns:
        A group of six persons, and the second of them alone.
    """
    portraits = [
        render_photo(sample_person(seed, number, gender=gender, age=age), name, size=SAMPLE_CELL_SIZE).image
        for number, (seed, gender, age, name) in enumerate(SAMPLE_PERSONS, start=1)
    ]
    width, height = SAMPLE_CELL_SIZE
    num_rows = -(-len(portraits) // SAMPLE_COLUMNS)
    group = Image.new("RGB", (SAMPLE_COLUMNS * width, num_rows * height))
    for index, portrait in enumerate(portraits):
        group.paste(portrait, (index % SAMPLE_COLUMNS * width, index // SAMPLE_COLUMNS * height))
    return UploadedPhoto("drawn group.jpg", to_jpeg(group)), UploadedPhoto("drawn portrait.jpg", to_jpeg(portraits[1]))
