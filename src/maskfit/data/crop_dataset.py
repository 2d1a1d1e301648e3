"""Writes cropped copies of a dataset, and a list of all detected faces.

OUT/
  (cropped photos)   with the names and folders of the source
  faces.csv          one row per face, and one for a photo without any
  faces.jpg          sample photos with their boxes and crops
  unreadable.csv     photos that could not be read; only if there are any
  manifest.csv       for a source that is a manifest: the copies with their labels, for training
  crop.jsonl         log of the finished photos, from which an interrupted command resumes
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from maskfit.data.backgrounds import BACKGROUNDS, Background
from maskfit.data.boxes import Box, CropBox, crop_rotated
from maskfit.data.crop_log import CropRecord, open_crop_log, to_line
from maskfit.data.crops import CROPS, Crop
from maskfit.data.crops.face import FaceCrop, crop_single_face
from maskfit.data.detection_sheet import DetectionRow, detection_sheet
from maskfit.data.detectors import Face
from maskfit.data.face_boxes import face_of, file_name_with_box
from maskfit.data.image_decoding import Pixels, decode
from maskfit.data.image_lists import ImageFolder
from maskfit.data.image_opening import content_hash
from maskfit.data.label_codes import CodesOption
from maskfit.data.manifest import REPEAT_COLUMN, read_manifest
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError, MaskfitError, PhotoError, format_list
from maskfit.file_io import atomic_write, save_image, write_csv, writing
from maskfit.labels.schema import LabelSchema
from maskfit.pretrained_weights import pin_component
from maskfit.registry import ComponentSpec, instantiate
from maskfit.thread_pool import thread_pool

FACES_FILE, SHEET_FILE, UNREADABLE_FILE, MANIFEST_FILE, LOG_FILE = (
    "faces.csv",
    "faces.jpg",
    "unreadable.csv",
    "manifest.csv",
    "crop.jsonl",
)
FORMAT_VERSION = 1
BATCH_SIZE = 32
"""Photos in memory at a time: the maximum that an interruption loses."""
SHEET_PHOTOS, SHEET_FALLBACKS = 18, 6
"""Maximum photos on the sheet, and maximum photos without a face among them."""
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "quality": 95},
    ".bmp": {"format": "BMP"},
}
"""Pillow's save options by the suffix of a copy; photos with other suffixes become .jpg."""
LANDMARK_COLUMNS = tuple(
    f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
)
COLUMNS = (
    "path",
    "file",
    "faces",
    "face",
    "chosen",
    "fallback",
    "score",
    "left",
    "upper",
    "right",
    "lower",
    *LANDMARK_COLUMNS,
    "crop_left",
    "crop_upper",
    "crop_right",
    "crop_lower",
    "crop_angle",
)

NO_BACKGROUND = ComponentSpec.create("none")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CropSummary:
    """The result of `write_crops`.

    Attributes:
        records: One record per readable photo.
        num_resumed: Number of photos that an earlier, interrupted command had finished.
        unreadable: Name of each unreadable photo to the reason.
        faces: The list of faces, a CSV.
        sheet: The sheet of sample photos, a JPEG.
        manifest: The manifest of the copies, if the source is a manifest.
    """

    records: tuple[CropRecord, ...]
    num_resumed: int
    unreadable: dict[str, str] = field(default_factory=dict)
    faces: Path = Path(FACES_FILE)
    sheet: Path | None = None
    manifest: Path | None = None

    @property
    def fallback_crops(self) -> tuple[str, ...]:
        """Names of the photos on which nothing was found."""
        return tuple(item.photo for item in self.records if item.crop_box.fallback)


def write_crops(
    source: Path,
    out: Path,
    crop: ComponentSpec,
    *,
    size: tuple[int, int] | None,
    schema: LabelSchema,
    codes: CodesOption | None = None,
    background_removal: ComponentSpec = NO_BACKGROUND,
    force: bool = False,
    progress: Progress | None = None,
) -> CropSummary:
    """Crops every photo of a folder or manifest into copies; the originals are not modified.

    A call with the same arguments resumes an interrupted one, and processes changed photos again.

    Args:
        source: A folder with photos, also in subfolders, or a CSV manifest.
        out: A new or empty folder, or the output of an earlier call with the same arguments; not inside the source.
        crop: A component of `CROPS`.
        size: (height, width) of the copies in pixels; None for the size of each crop box, without resampling unless the
            box is rotated.
        schema: The label schema of a manifest.
        codes: Meanings of codes without words in a manifest, as for `read_manifest`.
        background_removal: A component of `BACKGROUNDS`.
        force: Whether a manifest of the copies is replaced that is another than the one to write, as if it was edited.
        progress: Called with (photos done, all photos).

    Returns:
        What was written.

    Raises:
        DataError: The source is invalid or no photo is readable, the folder holds other files or an edited manifest, or
            weights are missing.
        RecipeError: The crop or background is unknown, or an option is invalid.
        MissingExtraError: The crop or background needs an extra.
    """
    photos, set_aside = _read(source, out, schema, codes)
    cropper = DatasetCropper(crop, size, background_removal)
    files = _file_names(photos)
    done = open_crop_log(out / LOG_FILE, cropper.settings(source))

    def process(photo: Photo) -> CropRecord | str:
        try:
            draft = CropRecord(photo.name, content_hash(photo.path), files[photo.name], CropBox((0, 0, 1, 1)), ())
            known = done.get(photo.name)
            if known and (known.key, known.file) == (draft.key, draft.file) and (out / known.file).is_file():
                return known
            pixels = decode(photo.path)
            face = face_of(photo, pixels.shape[1], pixels.shape[0])
        except (PhotoError, OSError) as error:
            return error.message if isinstance(error, PhotoError) else str(error)
        return cropper.write(pixels, out, draft, face)

    records: dict[str, CropRecord] = {}
    unreadable = dict(set_aside)
    log = out / LOG_FILE
    with thread_pool() as pool, writing(log), log.open("a", encoding="utf-8") as journal:
        for start in range(0, len(photos), BATCH_SIZE):
            batch = photos[start : start + BATCH_SIZE]
            for photo, item in zip(batch, pool.map(process, batch), strict=True):
                if isinstance(item, str):
                    unreadable[photo.name] = item
                    continue
                records[photo.name] = item
                if item is not done.get(photo.name):
                    journal.write(to_line(item))
            journal.flush()
            if progress:
                progress(start + len(batch), len(photos))
    if not records:
        lines = format_list([f"{name}: {reason}" for name, reason in unreadable.items()])
        raise DataError(
            f"no photo can be read:\n{lines}", location=source, hint="'maskfit data check' lists every problem"
        )
    num_resumed = sum(item is done.get(name) for name, item in records.items())
    manifest_schema = schema if source.suffix.lower() == ".csv" else None
    rows = _manifest_rows(photos, records, manifest_schema) if manifest_schema else None
    if rows and not force:
        _check_manifest(out / MANIFEST_FILE, rows)
    return _write_lists(photos, records, num_resumed, unreadable, out, rows, cropper)


def _manifest_rows(
    photos: Sequence[Photo], records: Mapping[str, CropRecord], schema: LabelSchema
) -> list[Sequence[str]]:
    """The manifest of the copies, its header first."""
    cropped = [photo for photo in photos if photo.name in records]
    repeats = any(photo.repeat > 1 for photo in cropped)
    rows = [
        (
            *(records[photo.name].file, photo.person),
            *(_cell(photo.labels.get(name, "")) for name in schema.names),
            *([str(photo.repeat)] if repeats else []),
        )
        for photo in cropped
    ]
    return [("path", "person", *schema.names, *([REPEAT_COLUMN] if repeats else [])), *rows]


def _check_manifest(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Checks that the manifest of an earlier call, where labels may have been filled in since, is the one to write."""
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            is_same = list(map(tuple, csv.reader(stream))) == rows
    except (OSError, ValueError, csv.Error):
        is_same = False
    if not is_same:
        raise DataError(
            "the manifest of the copies differs from the one that would be written; it, or its source, was edited",
            location=path,
            hint="train on it as it is, move it away, or add --force to replace it; the copies are complete",
        )


def _read(
    source: Path, out: Path, schema: LabelSchema, codes: CodesOption | None
) -> tuple[Sequence[Photo], Mapping[str, str]]:
    """The photos, and what of a folder is set aside."""
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError("the output folder is among the photos", location=out, hint="give a folder outside of them")
    if source.suffix.lower() == ".csv":
        return list(read_manifest(source, schema, codes)), {}
    if codes:
        message = "a folder is cropped without reading labels, so that meanings of codes have no use"
        raise DataError(message, location="--codes", hint="leave --codes out, or give a manifest")
    images = ImageFolder(source)
    return list(images), images.set_aside


class DatasetCropper:
    """Crops photos and writes the copies.

    Args:
        crop: A component of `CROPS`.
        size: (height, width) of the copies in pixels; None for the size of each crop box.
        background: A component of `BACKGROUNDS`.

    Attributes:
        crop: The crop with pinned weights.
        size: As in the arguments.
        background: The background removal with pinned weights.
    """

    def __init__(
        self, crop: ComponentSpec, size: tuple[int, int] | None, background: ComponentSpec = NO_BACKGROUND
    ) -> None:
        built: Crop = instantiate(CROPS, crop)
        self.crop = pin_component(crop, built)
        self.size = size
        self._background: Background = instantiate(BACKGROUNDS, background)
        self.background = pin_component(background, self._background)
        # Without a size there is no aspect ratio to widen the box to: the margins are applied as given.
        self._crop = replace(built, ignore_aspect=True) if isinstance(built, FaceCrop) and size is None else built

    def settings(self, source: Path) -> dict[str, Any]:
        """Returns the settings that another call must have in common to resume this one.

        Args:
            source: The source of the photos.

        Returns:
            Plain values.
        """
        crop, background = self.crop.model_dump(mode="json"), self.background.model_dump(mode="json")
        facts = {
            "format": FORMAT_VERSION,
            "source": str(source.resolve()),
            "crop": crop,
            "size": self.size and [*self.size],
        }
        # Omitted by default, so that logs of versions without background removal can be resumed.
        return facts if self.background == NO_BACKGROUND else facts | {"background": background}

    def write(self, photo: Pixels, out: Path, draft: CropRecord, face: Face | None = None) -> CropRecord:
        """Crops a photo and writes the copy.

        Args:
            photo: Image of shape (height, width, 3).
            out: The output folder.
            draft: The record with name, hash and file of the photo.
            face: The face of a row with a box, which is cropped in place of a detected one.

        Returns:
            The record with the crop box and the faces.
        """
        height, width = self.size or photo.shape[:2]
        crop = self._crop
        faces: tuple[Face, ...] = ()
        found: Box | CropBox
        if face is not None:
            faces, found = (face,), crop_single_face(crop, photo, face, width / height)
        elif isinstance(crop, FaceCrop):
            faces = crop.detect_faces(photo)
            found = crop.box_from_faces(faces, photo, width / height)
        else:
            found = crop.box(photo, width / height)
        crop_box = found if isinstance(found, CropBox) else CropBox(found)
        path = out / draft.file
        with atomic_write(path) as temporary:
            copy = extract_crop(self.remove_background(photo, crop_box), crop_box, self.size)
            save_image(Image.fromarray(copy), temporary, **SAVE_OPTIONS[path.suffix.lower()])
        return replace(draft, crop_box=crop_box, faces=faces)

    def remove_background(self, photo: Pixels, crop_box: CropBox) -> Pixels:
        """Removes the background of a photo, if the settings say so.

        Args:
            photo: Image of shape (height, width, 3).
            crop_box: The crop box of the photo.

        Returns:
            The photo at its original size.
        """
        return self._background.remove_background(photo, crop_box)


def extract_crop(photo: Pixels, crop_box: CropBox, size: tuple[int, int] | None) -> Pixels:
    """Extracts the pixels of a crop box.

    Args:
        photo: Image of shape (height, width, 3).
        crop_box: The crop box.
        size: (height, width) of the result; None for the size of the box, without resampling unless it is rotated.

    Returns:
        The image, uint8 (height, width, 3).
    """
    left, upper, right, lower = crop_box.box
    if size is not None:
        return CropResize(size=size)(photo, crop_box)
    if crop_box.angle:
        return crop_rotated(photo, crop_box, (round(lower - upper), round(right - left)), Image.Resampling.BICUBIC)
    rows, columns = _to_slice(upper, lower, photo.shape[0]), _to_slice(left, right, photo.shape[1])
    return np.ascontiguousarray(photo[rows, columns])


def _to_slice(low: float, high: float, length: int) -> slice:
    start = min(round(low), length - 1)
    return slice(start, max(round(high), start + 1))


def _file_names(photos: Sequence[Photo]) -> dict[str, str]:
    """File name of each copy by the photo's name; equal to it, but never outside of the output folder.

    Raises:
        DataError: Two copies would have the same name, or the name of a list.
    """
    files: dict[str, str] = {}
    owners: dict[str, str] = {
        name.casefold(): "the lists" for name in (FACES_FILE, SHEET_FILE, UNREADABLE_FILE, MANIFEST_FILE, LOG_FILE)
    }
    for photo in photos:
        parts = [part for part in PurePosixPath(file_name_with_box(photo.name)).parts if part not in ("..", "/", ".")]
        path = PurePosixPath(*(part.replace(":", "_") for part in parts))
        file = str(path if path.suffix.lower() in SAVE_OPTIONS else path.with_suffix(".jpg"))
        if file.casefold() in owners:
            raise DataError(
                f"the copies of {photo.name} and {owners[file.casefold()]} would both be named {file}",
                hint="rename one of the photos, or crop them into two folders",
            )
        owners[file.casefold()] = photo.name
        files[photo.name] = file
    return files


def _write_lists(
    photos: Sequence[Photo],
    records: dict[str, CropRecord],
    num_resumed: int,
    unreadable: dict[str, str],
    out: Path,
    manifest_rows: Sequence[Sequence[str]] | None,
    cropper: DatasetCropper,
) -> CropSummary:
    """Writes the lists and the sheet."""
    items = tuple(records[photo.name] for photo in photos if photo.name in records)
    faces = write_csv(out / FACES_FILE, COLUMNS, (row for item in items for row in _rows(item)))
    (out / UNREADABLE_FILE).unlink(missing_ok=True)
    if unreadable:
        write_csv(out / UNREADABLE_FILE, ("path", "reason"), unreadable.items())
    manifest = None
    if manifest_rows:
        manifest = write_csv(out / MANIFEST_FILE, manifest_rows[0], manifest_rows[1:])
    paths = {photo.name: photo.path for photo in photos}
    sheet = out / SHEET_FILE
    with atomic_write(sheet) as temporary:
        cards = [_sheet_row(item, paths[item.photo], cropper) for item in _sheet_samples(items)]
        save_image(detection_sheet(cards), temporary, "JPEG", quality=90)
    return CropSummary(items, num_resumed, unreadable, faces, sheet, manifest)


def _cell(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else value


def _rows(item: CropRecord) -> Iterator[list[object]]:
    crop = [f"{edge:g}" for edge in (*item.crop_box.box, item.crop_box.angle)]
    start: list[object] = [item.photo, item.file, len(item.faces)]
    if not item.faces:
        yield [*start, 0, 0, int(item.crop_box.fallback), *[""] * (5 + len(LANDMARK_COLUMNS)), *crop]
    for number, face in enumerate(item.faces, start=1):
        marks = [f"{value:.1f}" for point in face.landmarks or () for value in point] or [""] * len(LANDMARK_COLUMNS)
        box = [f"{edge:.1f}" for edge in face.box]
        yield [*start, number, int(number == 1), int(item.crop_box.fallback), f"{face.score:.4f}", *box, *marks, *crop]


def _sheet_samples(items: Sequence[CropRecord]) -> list[CropRecord]:
    """Some photos without a face, and others at equal distances."""
    guesses = [item for item in items if item.crop_box.fallback][:SHEET_FALLBACKS]
    others = [item for item in items if not item.crop_box.fallback]
    room = min(SHEET_PHOTOS - len(guesses), len(others))
    return guesses + [others[place * len(others) // room] for place in range(room)]


def _sheet_row(item: CropRecord, path: Path, cropper: DatasetCropper) -> DetectionRow:
    try:
        pixels = decode(path)
    except MaskfitError as error:  # It existed a moment ago.
        raise DataError(
            f"a photo vanished during the command: {error.message}", location=path, hint="run it again"
        ) from error
    crop = extract_crop(cropper.remove_background(pixels, item.crop_box), item.crop_box, None)
    return DetectionRow(item.photo, Image.fromarray(pixels), Image.fromarray(crop), item.crop_box, item.faces)
