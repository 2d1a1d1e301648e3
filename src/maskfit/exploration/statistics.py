"""The figures of a set: what the page draws, and what `--json` prints."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from maskfit.exploration.explore import ExplorationResult
from maskfit.labels.schema import UNKNOWN, Attribute, FloatArray, IntArray

STEADY = 0.9
"""An attribute that has one value in all photos of this share of the persons is the person's: gender, not mask."""

MOST_LISTED = 1000
"""The most pairs or groups that JSON lists; all are counted."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often something is there.

    Attributes:
        name: In words.
        photos: How many photos.
        persons: Of how many persons.
    """

    name: str
    photos: int
    persons: int


def count_classes(findings: ExplorationResult) -> list[Count]:
    """Each class, in order; a photo whose class is not fully known counts for none."""
    scheme = findings.scheme
    names = [scheme.describe(number) for number in range(scheme.classes)]
    return _count(names, findings.classes, findings.persons)


def count_values(findings: ExplorationResult, attribute: Attribute) -> list[Count]:
    """Each value of an attribute, in order."""
    column = findings.codes[:, findings.scheme.names.index(attribute.name)]
    names = [attribute.display_name(code) for code in range(len(attribute.values))]
    return _count(names, column, findings.persons)


def _count(names: list[str], values: IntArray, persons: IntArray) -> list[Count]:
    known = values != UNKNOWN
    photos = np.bincount(values[known], minlength=len(names)).tolist()
    pairs = np.unique(np.stack([values[known], persons[known]], axis=1), axis=0)
    people = np.bincount(pairs[:, 0], minlength=len(names)).tolist()
    return [Count(*row) for row in zip(names, photos, people, strict=True)]


def find_imbalance(classes: list[Count]) -> tuple[Count, Count] | None:
    """The largest class and the smallest one that is not empty; None where no photo's class is known."""
    held = [item for item in classes if item.photos]
    return (max(held, key=lambda item: item.photos), min(held, key=lambda item: item.photos)) if held else None


def count_years(findings: ExplorationResult, attribute: Attribute) -> tuple[dict[float, list[int]], tuple[str, ...]]:
    """How many persons are of each age, split by another attribute of persons where there is one.

    Args:
        findings: The set.
        attribute: One with bands, whose numbers are counted: a person once for each number that its photos bear.

    Returns:
        Number to the count of each value of the other attribute, and the words for these; (`""`,) where there is none.
    """
    other = person_level_attribute(findings, attribute)
    column = None if other is None else findings.codes[:, findings.scheme.names.index(other.name)]
    people = {
        (value, findings.persons[number], 0 if column is None else int(column[number]))
        for number, photo in enumerate(findings.photos)
        if isinstance(value := photo.labels.get(attribute.name), float)
    }
    words = ("",) if other is None else tuple(other.display_name(code) for code in range(len(other.values)))
    years: dict[float, list[int]] = {}
    for value, _, code in people:
        if code != UNKNOWN:
            years.setdefault(value, [0] * len(words))[code] += 1
    return dict(sorted(years.items())), words


def person_level_attribute(findings: ExplorationResult, besides: Attribute) -> Attribute | None:
    """The first other attribute of few values that belongs to persons, rather than to photos."""
    for place, attribute in enumerate(findings.scheme.attributes):
        column = findings.codes[:, place]
        known = column != UNKNOWN
        if attribute.name == besides.name or len(attribute.values) > 4 or not known.any():
            continue
        pairs = np.unique(np.stack([findings.persons[known], column[known]], axis=1), axis=0)
        steady = (np.bincount(pairs[:, 0])[np.unique(pairs[:, 0])] == 1).mean()
        if steady >= STEADY:
            return attribute
    return None


def count_files(findings: ExplorationResult) -> dict[str, Counter[str]]:
    """Readable photos by size, by ending of the name, and by format of the content."""
    looks = [(photo, look) for photo, look in zip(findings.photos, findings.image_stats, strict=True) if look.readable]
    return {
        "sizes": Counter(f"{look.facts.size[0]} × {look.facts.size[1]}" for _, look in looks),
        "endings": Counter(photo.path.suffix or "none" for photo, _ in looks),
        "formats": Counter(look.facts.format for _, look in looks),
    }


def measure(findings: ExplorationResult, name: str) -> FloatArray:
    """One measure of every readable photo: `brightness`, `contrast`, `colour` or `bytes`; float64 (photos,)."""
    return np.array([getattr(look, name) for look in findings.image_stats if look.readable], dtype=np.float64)


def to_json(findings: ExplorationResult) -> dict[str, Any]:
    """All figures as plain values, for JSON. Photos go by their names."""
    photos, scheme = findings.photos, findings.scheme
    classes = count_classes(findings)
    ends = find_imbalance(classes)
    return {
        "source": str(photos.root),
        "photos": len(photos),
        "persons": len(photos.persons),
        "bytes": sum(look.bytes for look in findings.image_stats),
        "labels_missing_everywhere": list(findings.unlabelled_attributes),
        "classes": _tell(classes),
        "imbalance": ends
        and {"largest": ends[0].name, "smallest": ends[1].name, "ratio": round(ends[0].photos / ends[1].photos, 2)},
        "empty_classes": [item.name for item in classes if not item.photos],
        "attributes": {item.name: _tell(count_values(findings, item)) for item in scheme.attributes},
        "years": {item.name: _tell_years(findings, item) for item in scheme.attributes if item.bin_edges},
        **{name: dict(counts.most_common()) for name, counts in count_files(findings).items()},
        **{name: _spread(measure(findings, name)) for name in ("brightness", "contrast", "colour")},
        "unreadable": [
            {"photo": photos[number].name, "reason": error.message}
            for number in findings.unreadable
            if (error := findings.image_stats[number].facts.error)
        ],
        "identical": {
            "groups": len(findings.identical),
            "across_persons": sum(map(findings.crosses, findings.identical)),
            "listed": [[photos[number].name for number in group] for group in findings.identical[:MOST_LISTED]],
        },
        "near_across_persons": {
            "pairs_of_persons": len(findings.twins.found),
            "proposed_by_hash": findings.twins.proposed,
            "complete": not findings.twins.cut,
            "listed": [
                {
                    "photos": [photos[twin.first].name, photos[twin.second].name],
                    "bits": twin.bits,
                    "mirrored": twin.mirrored,
                    "likeness": round(twin.likeness, 3),
                    "pairs_of_photos": twin.pairs,
                }
                for twin in findings.twins.found[:MOST_LISTED]
            ],
        },
        "oddities": {kind: [photos[n].name for n in numbers] for kind, numbers in findings.oddities.items()},
        "problems": [asdict(problem) for problem in findings.problems],
        "seconds": round(findings.seconds, 2),
    }


def _tell(counts: list[Count]) -> dict[str, dict[str, int]]:
    return {item.name: {"photos": item.photos, "persons": item.persons} for item in counts}


def _tell_years(findings: ExplorationResult, attribute: Attribute) -> dict[str, dict[str, int]]:
    years, words = count_years(findings, attribute)
    return {
        f"{year:g}": dict(zip((word or "persons" for word in words), counts, strict=True))
        for year, counts in years.items()
    }


def _spread(values: FloatArray) -> dict[str, float]:
    names = {"least": 0, "low": 5, "median": 50, "high": 95, "greatest": 100}
    return {name: round(float(np.percentile(values, share)), 1) for name, share in names.items()}
