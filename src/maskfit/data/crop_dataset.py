"""Cropped copies of a set of photos, and a list of every face that was found on them.

OUT/
  (the photos, cropped)   under the names and in the folders that they have in the source
  faces.csv               a row for every face, and one for a photo without any
  faces.jpg               some of the photos with their boxes, and what was cut
  unreadable.csv          photos that were set aside; only where there are any
  manifest.csv            of a source that is a CSV: its photos and labels, for training on the copies
  crop.jsonl              what is done, so that the same command goes on where it was stopped
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from maskfit.data.backgrounds import BACKGROUNDS, Background
from maskfit.data.boxes import CropBox, crop_rotated
from maskfit.data.crop_log import CropRecord, open_crop_log, to_line
from maskfit.data.crops import CROPS, Crop
from maskfit.data.crops.face import FaceCrop
from maskfit.data.detection_sheet import DetectionRow, detection_sheet
from maskfit.data.image_decoding import Pixels, content_hash, decode
from maskfit.data.image_lists import find_images
from maskfit.data.manifest import read_manifest
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.data.weight_pinning import pin_component
from maskfit.errors import DataError, MaskfitError, PhotoError, format_list
from maskfit.file_io import atomic_write, write_csv
from maskfit.labels.schema import LabelSchema
from maskfit.registry import ComponentSpec, instantiate

FACES_FILE, SHEET_FILE, UNREADABLE_FILE, MANIFEST_FILE, LOG_FILE = (
    "faces.csv",
    "faces.jpg",
    "unreadable.csv",
    "manifest.csv",
    "crop.jsonl",
)
FORMAT_VERSION = 1
BATCH_SIZE = 32
"""Photos in memory at a time, and what an interruption can lose."""
SHEET_PHOTOS, SHEET_FALLBACKS = 18, 6
"""Photos on the sheet, and how many of them may be such as have no face."""
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "quality": 95},
    ".bmp": {"format": "BMP"},
}
"""How a copy is written, by the ending of its name; what is not here becomes a .jpg."""
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
    """What was made.

    Attributes:
        looked: Every photo that could be read.
        before: How many of them an earlier, stopped command had done.
        unreadable: Photos that were set aside, by name, and why.
        faces: The list of faces.
        sheet: The picture.
        manifest: The manifest of the copies, where the source is one.
    """

    records: tuple[CropRecord, ...]
    num_resumed: int
    unreadable: dict[str, str] = field(default_factory=dict)
    faces: Path = Path(FACES_FILE)
    sheet: Path | None = None
    manifest: Path | None = None

    @property
    def fallback_crops(self) -> tuple[str, ...]:
        """Photos on which nothing was found."""
        return tuple(item.photo for item in self.records if item.crop_box.fallback)


def write_crops(
    source: Path,
    out: Path,
    crop: ComponentSpec,
    *,
    size: tuple[int, int] | None,
    scheme: LabelSchema,
    background: ComponentSpec = NO_BACKGROUND,
    progress: Progress | None = None,
) -> CropSummary:
    """Cuts every photo of a folder or manifest; the photos themselves stay untouched.

    Called again with the same words it goes on where it was stopped, and does anew what has changed.

    Args:
        source: A folder with photos, in it or below, or a CSV manifest.
        out: A folder that is new, empty, or holds what the same call left behind; not within the source.
        crop: A part of `CROPS`.
        size: (height, width) of the copies; left out, each is as large as what it shows, and nothing is resampled
            unless it is turned.
        scheme: Says what a manifest's columns are.
        background: A part of `BACKGROUNDS`.
        progress: Called with (photos done, photos).

    Raises:
        DataError: The source is wrong or none of it readable, the folder holds other things, or weights are missing.
        RecipeError: The crop or background is unknown, or an option is refused.
        MissingExtraError: The crop or background needs an extra.
    """
    photos = _read(source, out, scheme)
    cutter = DatasetCropper(crop, size, background)
    files = _file_names(photos)
    done = open_crop_log(out / LOG_FILE, cutter.settings(source))

    def work(photo: Photo) -> CropRecord | str:
        try:
            draft = CropRecord(photo.name, content_hash(photo.path), files[photo.name], CropBox((0, 0, 1, 1)), ())
            known = done.get(photo.name)
            if known and (known.key, known.file) == (draft.key, draft.file) and (out / known.file).is_file():
                return known
            pixels = decode(photo.path)
        except (PhotoError, OSError) as error:
            return error.message if isinstance(error, PhotoError) else str(error)
        return cutter.write(pixels, out, draft)

    looked: dict[str, CropRecord] = {}
    unreadable: dict[str, str] = {}
    with ThreadPoolExecutor() as pool, (out / LOG_FILE).open("a", encoding="utf-8") as journal:
        for start in range(0, len(photos), BATCH_SIZE):
            some = photos[start : start + BATCH_SIZE]
            for photo, item in zip(some, pool.map(work, some), strict=True):
                if isinstance(item, str):
                    unreadable[photo.name] = item
                    continue
                looked[photo.name] = item
                if item is not done.get(photo.name):
                    journal.write(to_line(item))
            journal.flush()
            if progress:
                progress(start + len(some), len(photos))
    if not looked:
        lines = format_list([f"{name}: {reason}" for name, reason in unreadable.items()])
        raise DataError(
            f"no photo can be read:\n{lines}", location=source, hint="'maskfit data check' lists every problem"
        )
    before = sum(item is done.get(name) for name, item in looked.items())
    labelled = scheme if source.suffix.lower() == ".csv" else None
    return _summed_up(photos, looked, before, unreadable, out, labelled, cutter)


def _read(source: Path, out: Path, scheme: LabelSchema) -> Sequence[Photo]:
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError("this folder lies among the photos", location=out, hint="name one elsewhere")
    return list(read_manifest(source, scheme)) if source.suffix.lower() == ".csv" else find_images(source)


class DatasetCropper:
    """Finds, cuts and writes.

    Args:
        crop: A part of `CROPS`.
        size: (height, width) of the copies; None for as large as what they show.
        background: A part of `BACKGROUNDS`.
    """

    def __init__(
        self, crop: ComponentSpec, size: tuple[int, int] | None, background: ComponentSpec = NO_BACKGROUND
    ) -> None:
        built: Crop = instantiate(CROPS, crop)
        self.crop = pin_component(crop, built)
        self.size = size
        self._background: Background = instantiate(BACKGROUNDS, background)
        self.background = pin_component(background, self._background)
        # Without a size there is no aspect to widen a box to: the margins are taken as they are asked for.
        self._crop = replace(built, ignore_aspect=True) if isinstance(built, FaceCrop) and size is None else built

    def settings(self, source: Path) -> dict[str, Any]:
        """What another call must share to go on with this one's work."""
        crop, background = self.crop.model_dump(mode="json"), self.background.model_dump(mode="json")
        facts = {
            "format": FORMAT_VERSION,
            "source": str(source.resolve()),
            "crop": crop,
            "size": self.size and [*self.size],
        }
        # What was begun before there were backgrounds can be gone on with.
        return facts if self.background == NO_BACKGROUND else facts | {"background": background}

    def write(self, photo: Pixels, out: Path, draft: CropRecord) -> CropRecord:
        """Writes the copy of a photo and gives the draft with what was found."""
        height, width = self.size or photo.shape[:2]
        crop = self._crop
        faces = crop.detect_faces(photo) if isinstance(crop, FaceCrop) else ()
        found = (
            crop.box_from_faces(faces, photo, width / height)
            if isinstance(crop, FaceCrop)
            else crop.box(photo, width / height)
        )
        cut = found if isinstance(found, CropBox) else CropBox(found)
        path = out / draft.file
        with atomic_write(path) as temporary:
            Image.fromarray(extract_crop(self.remove_background(photo, cut), cut, self.size)).save(
                temporary, **SAVE_OPTIONS[path.suffix.lower()]
            )
        return replace(draft, crop_box=cut, faces=faces)

    def remove_background(self, photo: Pixels, cut: CropBox) -> Pixels:
        """The photo without its background, where that is asked for."""
        return self._background.remove_background(photo, cut)


def extract_crop(photo: Pixels, cut: CropBox, size: tuple[int, int] | None) -> Pixels:
    """The pixels of a cut: at a size, or, without one, as they are."""
    left, upper, right, lower = cut.box
    if size is not None:
        return CropResize(size=size)(photo, cut)
    if cut.angle:
        return crop_rotated(photo, cut, (round(lower - upper), round(right - left)), Image.Resampling.BICUBIC)
    rows, columns = _whole(upper, lower, photo.shape[0]), _whole(left, right, photo.shape[1])
    return np.ascontiguousarray(photo[rows, columns])


def _whole(low: float, high: float, most: int) -> slice:
    start = min(round(low), most - 1)
    return slice(start, max(round(high), start + 1))


def _file_names(photos: Sequence[Photo]) -> dict[str, str]:
    """What the copies are called, by the photos' names: the same, but never a place outside of the folder.

    Raises:
        DataError: Two copies would bear one name, or one that a list needs.
    """
    files: dict[str, str] = {}
    owners: dict[str, str] = {
        name.casefold(): "the lists" for name in (FACES_FILE, SHEET_FILE, UNREADABLE_FILE, MANIFEST_FILE, LOG_FILE)
    }
    for photo in photos:
        parts = [part for part in PurePosixPath(photo.name).parts if part not in ("..", "/", ".")]
        path = PurePosixPath(*(part.replace(":", "_") for part in parts))
        file = str(path if path.suffix.lower() in SAVE_OPTIONS else path.with_suffix(".jpg"))
        if file.casefold() in owners:
            raise DataError(
                f"the copies of {photo.name} and {owners[file.casefold()]} would both be called {file}",
                hint="rename one of the photos, or crop them into two folders",
            )
        owners[file.casefold()] = photo.name
        files[photo.name] = file
    return files


def _summed_up(
    photos: Sequence[Photo],
    looked: dict[str, CropRecord],
    before: int,
    unreadable: dict[str, str],
    out: Path,
    scheme: LabelSchema | None,
    cutter: DatasetCropper,
) -> CropSummary:
    """The lists and the sheet."""
    items = tuple(looked[photo.name] for photo in photos if photo.name in looked)
    faces = write_csv(out / FACES_FILE, COLUMNS, (row for item in items for row in _rows(item)))
    (out / UNREADABLE_FILE).unlink(missing_ok=True)
    if unreadable:
        write_csv(out / UNREADABLE_FILE, ("path", "reason"), unreadable.items())
    manifest = None
    if scheme is not None:
        rows = [
            [looked[photo.name].file, photo.person, *(_cell(photo.labels.get(name, "")) for name in scheme.names)]
            for photo in photos
            if photo.name in looked
        ]
        manifest = write_csv(out / MANIFEST_FILE, ("path", "person", *scheme.names), rows)
    paths = {photo.name: photo.path for photo in photos}
    sheet = out / SHEET_FILE
    with atomic_write(sheet) as temporary:
        cards = [_shown(item, paths[item.photo], cutter) for item in _examples(items)]
        detection_sheet(cards).save(temporary, "JPEG", quality=90)
    return CropSummary(items, before, unreadable, faces, sheet, manifest)


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


def _examples(items: Sequence[CropRecord]) -> list[CropRecord]:
    """Some photos without a face, and others at even distances."""
    guesses = [item for item in items if item.crop_box.fallback][:SHEET_FALLBACKS]
    others = [item for item in items if not item.crop_box.fallback]
    room = min(SHEET_PHOTOS - len(guesses), len(others))
    return guesses + [others[place * len(others) // room] for place in range(room)]


def _shown(item: CropRecord, path: Path, cutter: DatasetCropper) -> DetectionRow:
    try:
        pixels = decode(path)
    except MaskfitError as error:  # It was there a moment ago.
        raise DataError(
            f"a photo vanished while it was looked at: {error.message}", location=path, hint="run it again"
        ) from error
    crop = extract_crop(cutter.remove_background(pixels, item.crop_box), item.crop_box, None)
    return DetectionRow(item.photo, Image.fromarray(pixels), Image.fromarray(crop), item.crop_box, item.faces)
