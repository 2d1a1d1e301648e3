"""Soft labels of `train_bundled_model.py`: a teacher's genders, and distributions of ages around label and teacher.

A teacher (`face_teacher.py`) sees the bare face of a person; all photos of the person, also those with a
synthetic mask, get its soft labels. An age label becomes a normal distribution around it (label distribution learning,
Geng 2016, arXiv:1408.6027), mixed with the teacher's distribution. The teacher's is moved first, since its ages are
too close to the middle: a line is fitted to labels and ages of the persons that are trained on, for each source of
photos.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.file_io import write_csv
from maskfit.labels.schema import FloatArray

YEARS = np.arange(18, 81)
"""Years of the distributions; the first and last stand for all beyond."""

STD_YEARS = 3.0
"""Standard deviation of the normal distribution around a labeled age."""

TEACHER_SHARE = 0.5
"""Share of the teacher in a distribution of ages; genders are the teacher's."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class Teaching:
    """What a teacher says of a person, and the label.

    Attributes:
        source: Source of the photos.
        age: Labeled age.
        is_held_out: Whether the person is held out.
        genders: Probabilities of male and female.
        ages: (81,) probabilities of the ages 0 to 80.
    """

    source: str
    age: float
    is_held_out: bool
    genders: tuple[float, float]
    ages: FloatArray

    @property
    def mean_age(self) -> float:
        """The teacher's mean age in years."""
        return float(self.ages @ np.arange(len(self.ages)))


def photos_to_teach(photos: Iterable[Row]) -> Iterator[Row]:
    """Selects the photos of bare faces with gender and age, of which each person has one.

    Args:
        photos: Rows of the list of real photos.

    Yields:
        Their rows.
    """
    return (row for row in photos if row["mask"] == "not_wear" and row["age"])


def write_soft_labels(
    teacher: Sequence[Row], photos: Sequence[Row], derived: Iterable[Row], folds: Mapping[str, int], out: Path
) -> None:
    """Writes the soft labels of all photos whose person the teacher has seen.

    Args:
        teacher: Rows of the teacher's table.
        photos: Rows of the list of real photos.
        derived: Rows of the lists of photos derived from them, whose persons are theirs.
        folds: Person -> fold; 0 is held out.
        out: The table to write, for `data.soft_labels`.
    """
    said = {row["path"]: row for row in teacher}
    persons = {
        row["person"]: Teaching(
            source=row["source"],
            age=float(row["age"]),
            is_held_out=folds.get(row["person"]) == 0,
            genders=(float(said[row["path"]]["gender=male"]), float(said[row["path"]]["gender=female"])),
            ages=np.array([float(said[row["path"]][f"age={year}"]) for year in range(YEARS[-1] + 1)]),
        )
        for row in photos_to_teach(photos)
        if row["path"] in said
    }
    lines = {source: fit_line(persons.values(), source) for source in {person.source for person in persons.values()}}
    paths = {row["path"]: row["person"] for row in (*photos, *derived) if row["person"] in persons}

    def rows() -> Iterator[list[str]]:
        for path, name in paths.items():
            person = persons[name]
            values = [*person.genders, *age_distribution(person, lines[person.source])]
            yield [path, *(f"{value:.5f}" for value in values)]

    write_csv(out, ["path", "gender=male", "gender=female", *(f"age={year}" for year in YEARS)], rows())


def fit_line(persons: Iterable[Teaching], source: str) -> tuple[float, float]:
    """Fits the labeled age as a line over the teacher's, on the persons of a source that are trained on.

    Args:
        persons: All persons.
        source: The source.

    Returns:
        Intercept and slope.
    """
    own = [person for person in persons if person.source == source and not person.is_held_out]
    slope, intercept = np.polyfit([person.mean_age for person in own], [person.age for person in own], 1)
    return float(intercept), float(slope)


def age_distribution(person: Teaching, line: tuple[float, float]) -> NDArray[np.float64]:
    """Mixes the distribution around the label with the teacher's.

    Args:
        person: Label and teacher's distribution.
        line: As from `fit_line`.

    Returns:
        (years,) probabilities of `YEARS`.
    """
    intercept, slope = line
    shift = intercept + slope * person.mean_age - person.mean_age
    years = np.clip(np.round(np.arange(len(person.ages)) + shift), YEARS[0], YEARS[-1]).astype(np.int64)
    teacher = np.bincount(years - YEARS[0], weights=person.ages, minlength=len(YEARS))
    edges = [-math.inf, *(YEARS[1:] - 0.5), math.inf]
    below = np.array([0.5 * (1 + math.erf((edge - person.age) / (STD_YEARS * math.sqrt(2)))) for edge in edges])
    mixed = (1 - TEACHER_SHARE) * np.diff(below) + TEACHER_SHARE * teacher / teacher.sum()
    return np.asarray(mixed / mixed.sum())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a CSV.

    Args:
        path: The file.

    Returns:
        Its rows.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
