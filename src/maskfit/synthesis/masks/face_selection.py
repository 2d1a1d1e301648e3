"""Selects the faces that get masks: bare faces of a dataset with known gender, age and landmarks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from maskfit.data.competition_layout import FOLDER_REGEX
from maskfit.data.image_decoding import open_rgb
from maskfit.data.label_codes import CodesOption
from maskfit.data.manifest import PATH_COLUMNS
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, PhotoError
from maskfit.file_io import read_csv
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.synthesis.landmarks import Landmarks
from maskfit.synthesis.masks.landmark_sources import LandmarkDetector
from maskfit.text import format_count
from maskfit.thread_pool import thread_pool

Progress = Callable[[int, int], None]
"""Progress callback: (faces found, faces wanted)."""

UNKNOWN_RACE = "Unknown"
"""Race in the folder name where the dataset does not give it."""

CHUNK_SIZE = 32
"""Number of photos held in memory at a time."""


@dataclass(frozen=True, slots=True)
class BareFace:
    """A bare face that gets masks.

    Attributes:
        path: Path of the photo.
        name: Name of the photo in its dataset; seeds the choice of masks together with the seed.
        folder: Name of the person's output folder, such as `000001_female_Asian_45`.
        landmarks: Facial landmarks.
    """

    path: Path
    name: str
    folder: str
    landmarks: Landmarks


@dataclass(frozen=True)
class FaceSelection:
    """The faces that get masks.

    Attributes:
        source: Dataset that they come from.
        faces: The faces, in the order of their folder names.
        set_aside: Photos that cannot be used: name to reason.
        others: Number of further photos of persons that are already selected; each person gets one folder.
    """

    source: Path
    faces: tuple[BareFace, ...]
    set_aside: dict[str, str] = field(default_factory=dict)
    others: int = 0


def select_faces(
    source: Path,
    landmark_source: LandmarkDetector | dict[str, Landmarks],
    *,
    persons: int | None = None,
    codes: CodesOption | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FaceSelection:
    """Selects usable bare faces, one per person, and finds their landmarks.

    Args:
        source: Manifest, or folder in the competition's layout, of which the bare photos are used. A photo of unknown
            mask state counts as bare.
        landmark_source: Landmark detector, called from several threads at once; or the landmarks by absolute path.
        persons: Number of faces to select, at random by `seed`; None for all.
        codes: Meanings of codes without words, as for `read_photos`.
        seed: Seed of the selection.
        progress: Called with (faces found, faces wanted).

    Returns:
        The faces, and the photos that could not be used.

    Raises:
        DataError: The source is invalid, or no face in it can be used.
    """
    photos = read_photos(source, LABEL_SCHEMAS["mask-gender-age"], codes)
    set_aside: dict[str, str] = {}
    candidates, others = _find_candidates(photos, _read_races(source), set_aside)
    order = np.random.default_rng(seed).permutation(len(candidates)) if persons else np.arange(len(candidates))
    target_count = len(candidates) if persons is None else min(persons, len(candidates))
    found: dict[int, BareFace] = {}
    jobs = [(int(index), *candidates[int(index)]) for index in order]
    for index, photo, folder, landmarks in _find_landmarks(jobs, landmark_source):
        if isinstance(landmarks, str):
            set_aside[photo.name] = landmarks
        else:
            found[index] = BareFace(photo.path, photo.name, folder, landmarks)
        if progress is not None:
            progress(len(found), target_count)
        if len(found) == target_count:
            break
    if not found:
        reason = next(iter(set_aside.values()), "no photo shows a bare face")
        raise DataError(
            f"none of {format_count(len(photos), 'photo')} can be used; the first reason: {reason}",
            location=source,
            hint="use bare faces with known gender and age in years, eyes at least 8 pixels apart",
        )
    faces = tuple(found[index] for index in sorted(found))
    return FaceSelection(Path(source), faces, dict(sorted(set_aside.items())), others)


def _find_candidates(
    photos: PhotoDataset, races: dict[str, str], set_aside: dict[str, str]
) -> tuple[list[tuple[Photo, str]], int]:
    """Returns one bare photo per person with its output folder's name, and the number of further photos."""
    found: list[tuple[Photo, str]] = []
    persons: set[str] = set()
    others = 0
    for number, photo in enumerate(photos, start=1):
        gender, age = photo.labels.get("gender"), photo.labels.get("age")
        if photo.labels.get("mask", "not_wear") != "not_wear":
            continue
        if photo.box is not None:
            set_aside[photo.name] = (
                "the row is about a part of a photo; 'maskfit data crop' writes such faces as photos"
            )
        elif gender is None or not isinstance(age, float):
            set_aside[photo.name] = "gender or age in years is unknown"
        elif photo.person in persons:
            others += 1
        else:
            persons.add(photo.person)
            match = FOLDER_REGEX.fullmatch(photo.person)
            race = match["race"] if match else races.get(photo.name, UNKNOWN_RACE)
            found.append((photo, f"{number:06d}_{gender}_{race}_{age:g}"))
    return found, others


def _read_races(source: Path) -> dict[str, str]:
    """Reads the manifest's `race` column, by the photo's path; {} where there is none."""
    if not source.is_file():
        return {}
    rows = read_csv(source, ())
    columns = {name.casefold(): name for name in rows[0]} if rows else {}
    path = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    if path is None or "race" not in columns:
        return {}
    cells = {PurePosixPath(row[path].replace("\\", "/")).as_posix(): row[columns["race"]] for row in rows}
    return {name: "-".join(race.replace("/", " ").replace("_", " ").split()) for name, race in cells.items() if race}


def _find_landmarks(
    jobs: Sequence[tuple[int, Photo, str]], landmark_source: LandmarkDetector | dict[str, Landmarks]
) -> Iterator[tuple[int, Photo, str, Landmarks | str]]:
    """Yields the jobs in order with the landmarks found, or why the photo cannot be used."""

    def landmarks_or_reason(photo: Photo) -> Landmarks | str:
        try:
            pixels = np.array(open_rgb(photo.path))
        except (PhotoError, OSError) as error:
            return error.message if isinstance(error, PhotoError) else str(error)
        landmarks = (
            landmark_source.get(os.path.abspath(photo.path))
            if isinstance(landmark_source, dict)
            else landmark_source(pixels)
        )
        return "no face found" if landmarks is None else landmarks.invalid_reason or landmarks

    with thread_pool() as pool:
        for start in range(0, len(jobs), CHUNK_SIZE):
            batch = jobs[start : start + CHUNK_SIZE]
            for job, landmarks in zip(
                batch, pool.map(landmarks_or_reason, [photo for _, photo, _ in batch]), strict=True
            ):
                yield (*job, landmarks)
