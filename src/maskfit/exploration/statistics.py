"""Counts and measurements of a dataset: what the page draws, and what `--json` prints."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from maskfit.exploration.explore import ExplorationResult
from maskfit.labels.schema import UNKNOWN, Attribute, FloatArray, IntArray

MIN_AGREEMENT = 0.9
"""Fraction of persons whose photos must all have one value for an attribute to be the person's: gender, not mask."""

MAX_VALUES = 4
"""Maximum number of values of an attribute that splits the bars of the age histogram; more colors are unreadable."""

MAX_LISTED = 1000
"""Maximum number of pairs or groups that the JSON output lists; all are counted."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often a class or value occurs.

    Attributes:
        name: Its display name.
        photos: Number of photos.
        persons: Number of persons.
    """

    name: str
    photos: int
    persons: int


def count_classes(result: ExplorationResult) -> list[Count]:
    """Counts each class; photos with a missing label are not counted.

    Args:
        result: The exploration.

    Returns:
        Counts in the order of the class indices.
    """
    schema = result.schema
    names = [schema.describe(index) for index in range(schema.num_classes)]
    return _count(names, result.classes, result.persons)


def count_values(result: ExplorationResult, attribute: Attribute) -> list[Count]:
    """Counts each value of an attribute.

    Args:
        result: The exploration.
        attribute: An attribute of its schema.

    Returns:
        Counts in the order of the value codes.
    """
    column = result.codes[:, result.schema.names.index(attribute.name)]
    names = [attribute.display_name(code) for code in range(len(attribute.values))]
    return _count(names, column, result.persons)


def _count(names: list[str], values: IntArray, persons: IntArray) -> list[Count]:
    known = values != UNKNOWN
    photos = np.bincount(values[known], minlength=len(names)).tolist()
    pairs = np.unique(np.stack([values[known], persons[known]], axis=1), axis=0)
    persons_of_value = np.bincount(pairs[:, 0], minlength=len(names)).tolist()
    return [Count(*row) for row in zip(names, photos, persons_of_value, strict=True)]


def find_imbalance(classes: list[Count]) -> tuple[Count, Count] | None:
    """Finds the largest and the smallest class.

    Args:
        classes: Count of each class.

    Returns:
        The largest class and the smallest non-empty one; None where all are empty.
    """
    filled = [item for item in classes if item.photos]
    if not filled:
        return None
    return max(filled, key=lambda item: item.photos), min(filled, key=lambda item: item.photos)


def count_years(result: ExplorationResult, attribute: Attribute) -> tuple[dict[float, list[int]], tuple[str, ...]]:
    """Counts persons by age, split by another attribute of persons where there is one.

    Args:
        result: The exploration.
        attribute: A binned attribute. A person counts once for each number on the photos of the person.

    Returns:
        Age to the count of each value of the other attribute, and the names of these values; ("",) without another.
    """
    other = person_level_attribute(result, attribute)
    column = None if other is None else result.codes[:, result.schema.names.index(other.name)]
    people = {
        (value, result.persons[index], 0 if column is None else int(column[index]))
        for index, photo in enumerate(result.photos)
        if isinstance(value := photo.labels.get(attribute.name), float)
    }
    names = ("",) if other is None else tuple(other.display_name(code) for code in range(len(other.values)))
    years: dict[float, list[int]] = {}
    for value, _, code in people:
        if code != UNKNOWN:
            years.setdefault(value, [0] * len(names))[code] += 1
    return dict(sorted(years.items())), names


def person_level_attribute(result: ExplorationResult, excluded: Attribute) -> Attribute | None:
    """Finds the first other attribute of few values that is the same on all photos of a person.

    Args:
        result: The exploration.
        excluded: Attribute that is not considered.

    Returns:
        The attribute; None where there is none.
    """
    for column, attribute in enumerate(result.schema.attributes):
        codes = result.codes[:, column]
        known = codes != UNKNOWN
        if attribute.name == excluded.name or len(attribute.values) > MAX_VALUES or not known.any():
            continue
        pairs = np.unique(np.stack([result.persons[known], codes[known]], axis=1), axis=0)
        agreement = (np.bincount(pairs[:, 0])[np.unique(pairs[:, 0])] == 1).mean()
        if agreement >= MIN_AGREEMENT:
            return attribute
    return None


def count_files(result: ExplorationResult) -> dict[str, Counter[str]]:
    """Counts readable photos by image size, file suffix and format.

    Args:
        result: The exploration.

    Returns:
        Counts under `sizes`, `endings` and `formats`.
    """
    files = [(photo, item) for photo, item in zip(result.photos, result.image_stats, strict=True) if item.readable]
    return {
        "sizes": Counter(f"{item.info.size[0]} × {item.info.size[1]}" for _, item in files),
        "endings": Counter(photo.path.suffix or "none" for photo, _ in files),
        "formats": Counter(item.info.format for _, item in files),
    }


def measure(result: ExplorationResult, name: Literal["brightness", "contrast", "chroma", "bytes"]) -> FloatArray:
    """Collects one measurement of every readable photo.

    Args:
        result: The exploration.
        name: Attribute of `ImageStats`.

    Returns:
        float64 (photos,).
    """
    return np.array([getattr(item, name) for item in result.image_stats if item.readable], dtype=np.float64)


def to_json(result: ExplorationResult) -> dict[str, Any]:
    """Converts the statistics to plain values for JSON; photos are given by name.

    Args:
        result: The exploration.

    Returns:
        The values.
    """
    photos, schema = result.photos, result.schema
    classes = count_classes(result)
    ends = find_imbalance(classes)
    return {
        "source": str(photos.root),
        "photos": len(photos),
        "persons": len(photos.persons),
        "bytes": sum(item.bytes for item in result.image_stats),
        "labels_missing_everywhere": list(result.unlabeled_attributes),
        "classes": _counts_to_dict(classes),
        "imbalance": ends
        and {"largest": ends[0].name, "smallest": ends[1].name, "ratio": round(ends[0].photos / ends[1].photos, 2)},
        "empty_classes": [item.name for item in classes if not item.photos],
        "attributes": {item.name: _counts_to_dict(count_values(result, item)) for item in schema.attributes},
        "years": {item.name: _years_to_dict(result, item) for item in schema.attributes if item.bin_edges},
        **{name: dict(counts.most_common()) for name, counts in count_files(result).items()},
        "brightness": _percentiles(measure(result, "brightness")),
        "contrast": _percentiles(measure(result, "contrast")),
        "colour": _percentiles(measure(result, "chroma")),
        "unreadable": [
            {"photo": photos[index].name, "reason": error.message}
            for index in result.unreadable
            if (error := result.image_stats[index].info.error)
        ],
        "identical": {
            "groups": len(result.identical),
            "across_persons": sum(map(result.spans_persons, result.identical)),
            "listed": [[photos[index].name for index in group] for group in result.identical[:MAX_LISTED]],
        },
        "near_across_persons": _near_duplicates_to_dict(result),
        # The JSON keys are British; scripts read them.
        "oddities": {
            "grey" if kind == "gray" else kind: [photos[index].name for index in indices]
            for kind, indices in result.outliers.items()
        },
        "problems": [asdict(problem) for problem in result.problems],
        "seconds": round(result.seconds, 2),
    }


def _near_duplicates_to_dict(result: ExplorationResult) -> dict[str, Any]:
    found = result.near_duplicates
    return {
        "pairs_of_persons": len(found.found),
        "proposed_by_hash": found.num_candidates,
        "complete": not found.truncated,
        "listed": [
            {
                "photos": [result.photos[item.first].name, result.photos[item.second].name],
                "bits": item.hash_distance,
                "mirrored": item.mirrored,
                "likeness": round(item.similarity, 3),
                "pairs_of_photos": item.num_pairs,
            }
            for item in found.found[:MAX_LISTED]
        ],
    }


def _counts_to_dict(counts: list[Count]) -> dict[str, dict[str, int]]:
    return {item.name: {"photos": item.photos, "persons": item.persons} for item in counts}


def _years_to_dict(result: ExplorationResult, attribute: Attribute) -> dict[str, dict[str, int]]:
    years, names = count_years(result, attribute)
    return {
        f"{year:g}": dict(zip((name or "persons" for name in names), counts, strict=True))
        for year, counts in years.items()
    }


def _percentiles(values: FloatArray) -> dict[str, float]:
    names = {"least": 0, "low": 5, "median": 50, "high": 95, "greatest": 100}
    return {name: round(float(np.percentile(values, percent)), 1) for name, percent in names.items()}
