"""Writes datasets of drawn persons in the layout of the competition's training and evaluation sets."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from maskfit.errors import DataError
from maskfit.file_io import save_image, temporary_folder
from maskfit.file_locks import is_occupied
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.synthesis.drawn.demographics import sample_demographics
from maskfit.synthesis.drawn.person import sample_person
from maskfit.synthesis.drawn.render import MIN_SIZE, SIZE, RenderedPhoto, render_photo
from maskfit.synthesis.drawn.scene import PHOTO_NAMES
from maskfit.synthesis.process_pool import parallel_map

Progress = Callable[[int, int], None]
"""Progress callback: (persons done, persons in total)."""
_Job = tuple[int, str, int]
_Rows = list[list[str]]
LANDMARK_COLUMNS = (
    "path",
    "left_eye_x",
    "left_eye_y",
    "right_eye_x",
    "right_eye_y",
    "nose_x",
    "nose_y",
    "mouth_left_x",
    "mouth_left_y",
    "mouth_right_x",
    "mouth_right_y",
    "chin_x",
    "chin_y",
    "face_left",
    "face_top",
    "face_right",
    "face_bottom",
    "mask_left",
    "mask_top",
    "mask_right",
    "mask_bottom",
)
"""Columns of `landmarks.csv`."""
_RACE = "Drawn"


def write_train_set(
    out: Path,
    persons: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Writes a training set: `out/images/000001_female_Drawn_45/mask1.jpg` and six more photos per person.

    `out/landmarks.csv` has a row per photo: the path relative to `out`, then pixel coordinates; the mask's box is empty
    without a mask. The folder appears under its name when it is complete, or not at all.

    Args:
        out: Output folder, missing or empty.
        persons: Number of persons with seven photos each. From six on, every gender has every age band.
        seed: Seed of the dataset; the same seed, number of persons and size give the same files.
        size: Width and height of the photos in pixels, each >= 32.
        workers: Number of processes; None for up to one per core; 1 to run in this process. More than one needs the
            calling script to be guarded by `if __name__ == "__main__"`, as multiprocessing in Python does.
        progress: Called with (persons done, persons in total).

    Returns:
        The folder `out/images`.

    Raises:
        DataError: `out` is not an empty folder, or seed, size or number of persons are out of range.
        MaskfitError: The worker processes could not start.
    """
    jobs = [(number, gender, age) for number, (gender, age) in enumerate(sample_demographics(seed, persons), start=1)]
    _check_size(size)
    with _staging_dir(out) as create, parallel_map(len(jobs), workers) as map_jobs:
        folder = create()
        images = folder / "images"
        images.mkdir(parents=True)
        rows: list[list[str]] = []
        for done, part in enumerate(map_jobs(partial(_write_person, images, seed, size), jobs), start=1):
            rows.extend(part)
            if progress is not None:
                progress(done, len(jobs))
        _write_csv(folder / "landmarks.csv", LANDMARK_COLUMNS, rows)
    return Path(out) / "images"


def write_eval_set(
    out: Path,
    persons: int,
    *,
    seed: int = 1,
    size: tuple[int, int] = SIZE,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Writes an evaluation set: photos with anonymous names in random order.

    `out/images/<40 hex digits>.jpg`, `out/info.csv` (`ImageID,ans`, every answer 0), `out/truth.csv` (the same with the
    class index, `6*mask + 3*gender + age`) and `out/landmarks.csv` as written by `write_train_set`.

    Args:
        out: Output folder, missing or empty.
        persons: Number of persons with seven photos each.
        seed: Seed of the dataset. It shares no person with a training set of another seed.
        size: Width and height of the photos in pixels, each >= 32.
        workers: Number of processes; None for up to one per core; 1 to run in this process. More than one needs the
            calling script to be guarded by `if __name__ == "__main__"`, as multiprocessing in Python does.
        progress: Called with (persons done, persons in total).

    Returns:
        The file `out/info.csv`.

    Raises:
        DataError: `out` is not an empty folder, or seed, size or number of persons are out of range.
        MaskfitError: The worker processes could not start.
    """
    jobs = [(number, gender, age) for number, (gender, age) in enumerate(sample_demographics(seed, persons), start=1)]
    _check_size(size)
    with _staging_dir(out) as create, parallel_map(len(jobs), workers) as map_jobs:
        folder = create()
        images = folder / "images"
        images.mkdir(parents=True)
        rows: list[list[str]] = []
        for done, part in enumerate(map_jobs(partial(_write_anonymous, images, seed, size), jobs), start=1):
            rows.extend(part)
            if progress is not None:
                progress(done, len(jobs))
        order = np.random.default_rng(np.random.SeedSequence([seed, persons])).permutation(len(rows))
        shuffled = [rows[index] for index in order.tolist()]
        names = [row[1].removeprefix("images/") for row in shuffled]
        _write_csv(
            folder / "truth.csv",
            ("ImageID", "ans"),
            [[name, row[0]] for name, row in zip(names, shuffled, strict=True)],
        )
        _write_csv(folder / "landmarks.csv", LANDMARK_COLUMNS, [row[1:] for row in shuffled])
        _write_csv(folder / "info.csv", ("ImageID", "ans"), [[name, "0"] for name in names])
    return Path(out) / "info.csv"


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < MIN_SIZE:
        raise DataError(
            f"size must be >= {MIN_SIZE} x {MIN_SIZE} pixels, got {size[0]} x {size[1]}", hint="choose a larger size"
        )


@contextmanager
def _staging_dir(out: Path) -> Iterator[Callable[[], Path]]:
    """Yields a function that creates a temporary sibling of `out`; renamed to `out` on success, removed on error.

    Created by the caller: the worker processes start after this is entered and must be running before anything is
    written, and must have ended before the folder is removed, or files that they still save would remain.
    """
    out = Path(out)
    if is_occupied(out):
        raise DataError("the output folder must be a new or empty folder", location=out, hint="choose another folder")
    with ExitStack() as stack:
        created: list[Path] = []

        def create() -> Path:
            created.append(stack.enter_context(temporary_folder(out)))
            return created[0]

        yield create
        if out.exists():
            out.rmdir()
        created[0].rename(out)


def _write_person(images: Path, seed: int, size: tuple[int, int], job: _Job) -> _Rows:
    number, gender, age = job
    person = sample_person(seed, number, gender=gender, age=age)
    folder = images / f"{number:06d}_{gender}_{_RACE}_{age}"
    folder.mkdir()
    # As in the competition's dataset, the photos of some persons are .png or .jpeg; readers must handle them.
    kind = np.random.default_rng(np.random.SeedSequence([seed, number, 4])).random()
    ending = ".png" if kind < 0.02 else ".jpeg" if kind < 0.05 else ".jpg"
    rows = []
    for name in PHOTO_NAMES:
        photo = render_photo(person, name, size=size)
        path = folder / f"{name}{ending}"
        _save(photo, path)
        rows.append(_row(photo, path.relative_to(images.parent)))
    return rows


def _write_anonymous(images: Path, seed: int, size: tuple[int, int], job: _Job) -> _Rows:
    number, gender, age = job
    person = sample_person(seed, number, gender=gender, age=age)
    schema = LABEL_SCHEMAS["mask-gender-age"]
    rows = []
    for name in PHOTO_NAMES:
        photo = render_photo(person, name, size=size)
        path = images / f"{hashlib.sha1(f'{seed} {number} {name}'.encode(), usedforsecurity=False).hexdigest()}.jpg"
        _save(photo, path)
        codes = schema.encode({"mask": photo.mask, "gender": gender, "age": age})
        answer = int(schema.to_class_index([codes])[0])
        rows.append([str(answer), *_row(photo, path.relative_to(images.parent))])
    return rows


def _save(photo: RenderedPhoto, path: Path) -> None:
    if path.suffix == ".png":
        save_image(photo.image, path, "PNG", compress_level=3)
    else:
        save_image(photo.image, path, "JPEG", quality=photo.quality)


def _row(photo: RenderedPhoto, path: Path) -> list[str]:
    landmarks = photo.landmarks
    points = (
        landmarks.left_eye,
        landmarks.right_eye,
        landmarks.nose,
        landmarks.mouth_left,
        landmarks.mouth_right,
        landmarks.chin,
    )
    numbers = [value for point in points for value in point] + list(landmarks.face)
    box = ["", "", "", ""] if landmarks.mask_box is None else [f"{value:.2f}" for value in landmarks.mask_box]
    return [path.as_posix(), *(f"{value:.2f}" for value in numbers), *box]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
