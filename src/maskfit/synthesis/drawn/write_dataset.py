"""Sets of drawn people on disk, laid out like the competition's training and evaluation sets."""

from __future__ import annotations

import csv
import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.synthesis.drawn.demographics import sample_demographics
from maskfit.synthesis.drawn.person import sample_person
from maskfit.synthesis.drawn.render import MIN_SIZE, SIZE, RenderedPhoto, render_photo
from maskfit.synthesis.drawn.scene import PHOTO_NAMES
from maskfit.synthesis.process_pool import parallel_map

Progress = Callable[[int, int], None]
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
    """Writes a training set: `out/images/000001_female_Drawn_45/mask1.jpg` and six more photos a person.

    `out/landmarks.csv` holds a row per photo: the path relative to `out`, then pixels; the mask's box is empty
    where there is none. The folder appears under its name when everything is written, or not at all.

    Args:
        out: A folder that is missing or empty.
        persons: How many people; each has seven photos. From six on, every gender has every age band.
        seed: Seed of the set; the same seed, number of persons and size give the same files.
        size: Width and height of the photos in pixels.
        workers: Processes that draw; up to one per core where None; 1 draws in this process. More than one needs the
            caller's script to be guarded by `if __name__ == "__main__"`, as all processes in Python do.
        progress: Called with the numbers of persons done and in all.

    Returns:
        The folder `out/images`.

    Raises:
        DataError: `out` exists and is not an empty folder, or there is no such seed, size or number of persons.
        MaskfitError: The drawing processes could not start.
    """
    jobs = [(number, gender, age) for number, (gender, age) in enumerate(sample_demographics(seed, persons), start=1)]
    _check_size(size)
    with _staging_dir(out) as folder, parallel_map(len(jobs), workers) as map_jobs:
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
    """Writes an evaluation set: photos under names that tell nothing, in an order that tells nothing.

    `out/images/<40 hex digits>.jpg`, `out/info.csv` (`ImageID,ans` with 0 for every answer), `out/truth.csv` (the same
    with the class, `6*mask + 3*gender + age`) and `out/landmarks.csv` as `write_people` writes it.

    Args:
        out: A folder that is missing or empty.
        persons: How many people; each has seven photos.
        seed: Seed of the set. A training set of another seed shares no person with it.
        size: Width and height of the photos in pixels.
        workers: Processes that draw; up to one per core where None; 1 draws in this process. More than one needs the
            caller's script to be guarded by `if __name__ == "__main__"`, as all processes in Python do.
        progress: Called with the numbers of persons done and in all.

    Returns:
        The file `out/info.csv`.

    Raises:
        DataError: `out` exists and is not an empty folder, or there is no such seed, size or number of persons.
        MaskfitError: The drawing processes could not start.
    """
    jobs = [(number, gender, age) for number, (gender, age) in enumerate(sample_demographics(seed, persons), start=1)]
    _check_size(size)
    with _staging_dir(out) as folder, parallel_map(len(jobs), workers) as map_jobs:
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
            f"a drawn photo cannot be {size[0]} x {size[1]} pixels", hint=f"give at least {MIN_SIZE} each way"
        )


@contextmanager
def _staging_dir(out: Path) -> Iterator[Path]:
    """Gives the path of a folder to make beside `out`; left without an error it takes that name, else it goes away.

    It is not made here: the processes that fill it are entered after this and must stand before anything is written,
    and must have ended before it is removed, or what one of them still saves stays behind.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            "drawn photos are only written into a new or empty folder", location=out, hint="name another folder"
        )
    folder = out.parent / f".{out.name}.{secrets.token_hex(4)}.part"
    try:
        yield folder
        if out.exists():
            out.rmdir()
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_person(images: Path, seed: int, size: tuple[int, int], job: _Job) -> _Rows:
    number, gender, age = job
    person = sample_person(seed, number, gender=gender, age=age)
    folder = images / f"{number:06d}_{gender}_{_RACE}_{age}"
    folder.mkdir()
    # The real set has some people whose photos all end in .png or .jpeg; a reader must not trip over them.
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
        photo.image.save(path, compress_level=3)
    else:
        photo.image.save(path, format="JPEG", quality=photo.quality)


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
