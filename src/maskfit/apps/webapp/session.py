"""A photo that somebody brought, and what came of it. It stays in the memory of that visit and goes nowhere else."""

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
from maskfit.data.image_decoding import Pixels, decode
from maskfit.errors import MaskfitError
from maskfit.inference.annotation import FaceAnnotation, draw_annotations
from maskfit.inference.decisions import AttributePrediction, decide
from maskfit.inference.face_predictor import FacePrediction, PhotoPrediction
from maskfit.labels.schema import LabelSchema
from maskfit.synthesis.drawn import render_photo, sample_person

MAX_PHOTOS = 40
"""Photos that are shown at a time."""


MAX_PIXELS = 50_000_000
"""Width x height that is still decoded: what a good telephone takes."""

PREVIEW_SIDE = 1400
"""The longer side in pixels of a photo as it is shown."""

MAX_CACHED_RESULTS = 3 * MAX_PHOTOS
"""Results that a visit keeps, so that a setting that is tried and taken back costs nothing."""


@dataclass(frozen=True, eq=False)
class UploadedPhoto:
    """A photo as it was brought.

    Attributes:
        name: What it is called; of several with one name all but the first get a number.
        content: Its bytes.
    """

    name: str
    content: bytes

    @cached_property
    def content_hash(self) -> str:
        """Stands for the content."""
        return hashlib.blake2b(self.content, digest_size=16).hexdigest()


def deduplicate_names(items: Sequence[UploadedPhoto]) -> list[UploadedPhoto]:
    """The same photos, no two of one name."""
    seen: Counter[str] = Counter()
    named = []
    for item in items:
        seen[item.name] += 1
        times = seen[item.name]
        named.append(item if times == 1 else replace(item, name=f"{item.name} ({times})"))
    return named


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """What came of a photo.

    Attributes:
        key: Of its content.
        reading: The answers; None where it could not be read.
        preview: A JPEG of it as it is shown, without anything that the file said of itself.
        frames: Of each answer what the models saw, in each of their framings, (height, width, 3).
        problem: Why it could not be read; empty where it could.
        fix: What to do about that.
    """

    content_hash: str
    prediction: PhotoPrediction | None = None
    preview: bytes = b""
    frames: tuple[tuple[Pixels, ...], ...] = ()
    error: str = ""
    hint: str = ""

    @property
    def faces(self) -> tuple[FacePrediction, ...]:
        """One for each face, the largest first, or one for the whole photo."""
        return self.prediction.faces if self.prediction else ()


FacePredictions = tuple[tuple[AttributePrediction, ...], ...]
"""Of each answer, what is said of each attribute."""


def reapply_thresholds(
    scheme: LabelSchema, answers: Sequence[FacePrediction], unsure_below: Mapping[str, float]
) -> FacePredictions:
    """Answers under other thresholds; nothing is read anew for that."""
    if not answers:
        return ()
    return tuple(decide(scheme, np.stack([answer.probabilities for answer in answers]), unsure_below))


def predict_photo(studio: AppState, item: UploadedPhoto, settings: PredictionSettings) -> PhotoResult:
    """Reads a photo; what is wrong with it becomes a part of the result."""
    reader = studio.face_predictor(settings)
    try:
        pixels = decode(item.content, name=item.name, max_pixels=MAX_PIXELS, max_bytes=MAX_UPLOAD_MB * 2**20)
        looked = reader.preprocess(pixels)
        (reading,) = reader.predict_batch([looked])
    except MaskfitError as error:
        return PhotoResult(item.content_hash, error=error.message, hint=error.hint or "")
    frames = tuple(tuple(views[0] for views in sight.tta_views) for sight in looked.inputs)
    return PhotoResult(item.content_hash, reading, _preview(pixels), frames)


def _preview(pixels: Pixels) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    return to_jpeg(image)


def to_jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """A picture as JPEG that holds nothing but pixels."""
    stream = BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _picture(result: PhotoResult, marks: tuple[FaceAnnotation, ...]) -> bytes:
    """A photo with its faces marked, as JPEG."""
    if not marks:
        return result.preview
    with Image.open(BytesIO(result.preview), formats=("JPEG",)) as image:
        return to_jpeg(draw_annotations(image, marks))


class Session:
    """What one visitor's page remembers while it is open.

    Args:
        studio: Reads the photos.

    Attributes:
        whole: Keys of photos without a face that are to be read as one portrait all the same.
        picture: Gives a result's photo with marks on it; asked for again, the same one.
    """

    def __init__(self, studio: AppState) -> None:
        self.app_state = studio
        self.whole_photo_hashes: set[str] = set()
        self.annotated_jpeg = lru_cache(maxsize=MAX_CACHED_RESULTS)(_picture)
        self._kept: OrderedDict[tuple[str, PredictionSettings], PhotoResult] = OrderedDict()

    def is_cached(self, item: UploadedPhoto, settings: PredictionSettings) -> bool:
        """Whether a photo was read with these settings already."""
        return (item.content_hash, self._own(item, settings)) in self._kept

    def predict(self, item: UploadedPhoto, settings: PredictionSettings) -> PhotoResult:
        """What comes of a photo, from memory where it was read before."""
        settings = self._own(item, settings)
        key = (item.content_hash, settings)
        if key not in self._kept:
            self._kept[key] = predict_photo(self.app_state, item, settings)
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_CACHED_RESULTS:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _own(self, item: UploadedPhoto, settings: PredictionSettings) -> PredictionSettings:
        return replace(settings, find_faces=False) if item.content_hash in self.whole_photo_hashes else settings


SAMPLE_PERSONS = (
    (15, "male", 34, "mask1"),
    (11, "female", 63, "incorrect_mask"),
    (20, "female", 24, "normal"),
    (15, "female", 45, "mask3"),
    (20, "male", 70, "normal"),
    (19, "male", 21, "incorrect_mask"),
)
"""Seed, gender, age and photo of each drawn person: every mask state, gender and age band is among them."""

SAMPLE_COLUMNS, SAMPLE_CELL_SIZE = 3, (360, 480)


@cache
def sample_photos() -> tuple[UploadedPhoto, ...]:
    """A group of six, and the second of them alone; drawn when somebody first asks."""
    photos = [
        render_photo(sample_person(seed, number, gender=gender, age=age), name, size=SAMPLE_CELL_SIZE).image
        for number, (seed, gender, age, name) in enumerate(SAMPLE_PERSONS, start=1)
    ]
    width, height = SAMPLE_CELL_SIZE
    group = Image.new("RGB", (SAMPLE_COLUMNS * width, -(-len(photos) // SAMPLE_COLUMNS) * height))
    for place, photo in enumerate(photos):
        group.paste(photo, (place % SAMPLE_COLUMNS * width, place // SAMPLE_COLUMNS * height))
    return UploadedPhoto("drawn group.jpg", to_jpeg(group)), UploadedPhoto("drawn portrait.jpg", to_jpeg(photos[1]))
