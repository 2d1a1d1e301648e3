"""Values of the page's sections with pictures: mean faces, duplicates, outliers and contact sheets.

Each function returns the variables of its section in `page.html.j2`, or None where the section is left out. Texts are
plain strings that the template escapes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from maskfit.exploration.count_sections import Values
from maskfit.exploration.explore import ExplorationResult
from maskfit.exploration.mean_faces import MAX_CLASSES, open_pictures
from maskfit.exploration.near_duplicates import MIN_EDGE_SIMILARITY
from maskfit.exploration.outliers import OUTLIER_KINDS
from maskfit.html.page import breakable_name
from maskfit.labels.schema import UNKNOWN, LabelSchema
from maskfit.text import format_count

MAX_NEAR_DUPLICATES, MAX_GROUPS, MAX_OUTLIERS = 24, 12, 24
"""Maximum number of near-duplicate persons, groups of identical files, and outliers of each kind that are shown."""

MAX_GROUP_PHOTOS = 4
"""Maximum number of photos shown of a group of identical files; all are named."""

MAX_FILTER_VALUES = 12
"""Maximum number of values of an attribute that the contact sheets can be filtered by; more buttons are unusable."""


def data_uri(jpeg: bytes) -> str:
    """Encodes a JPEG as a `data:` URI.

    Args:
        jpeg: The JPEG.

    Returns:
        The URI.
    """
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


def mean_face_values(result: ExplorationResult) -> Values | None:
    """Collects the variables of the section with the mean face of every class and of every value.

    Args:
        result: The exploration.

    Returns:
        The variables of the section; None where it is left out.
    """
    schema = result.schema
    of_values = [
        _mean_face(mean, f"{attribute.name}: {attribute.display_name(code)}")
        for attribute in schema.attributes
        for code in range(len(attribute.values))
        if (mean := result.mean_faces.of_value(attribute.name, code))
    ]
    if not of_values:
        return None
    of_classes, columns = [], 0
    if len(schema.names) > 1 and schema.num_classes <= MAX_CLASSES:
        columns = schema.num_classes // len(schema.attributes[0].values)
        of_classes = [
            _mean_face(result.mean_faces.of_class(index), schema.describe(index)) for index in range(schema.num_classes)
        ]
    return {"of_values": of_values, "of_classes": of_classes, "columns": columns}


def _mean_face(mean: tuple[bytes, int] | None, name: str) -> Values:
    """A mean face with its name; without a picture where there are no photos."""
    if mean is None:
        return {"name": name, "source": "", "photos": 0}
    jpeg, photos = mean
    return {"name": name, "source": data_uri(jpeg), "photos": photos}


def duplicate_values(result: ExplorationResult) -> Values:
    """Collects the variables of the section with near-duplicates of two persons, and with identical files.

    Args:
        result: The exploration.

    Returns:
        The variables of the section.
    """
    found = result.near_duplicates
    return {
        "similarity": f"{MIN_EDGE_SIMILARITY:g}",
        "truncated": found.truncated,
        "candidates": f"{found.num_candidates:,}",
        "near": _near_duplicates(result),
        "identical": _identical(result),
    }


def _near_duplicates(result: ExplorationResult) -> Values | None:
    found = result.near_duplicates.found
    shown = found[:MAX_NEAR_DUPLICATES]
    if not shown:
        return None
    pictures = open_pictures(result.photos, (index for item in shown for index in (item.first, item.second)), 200)
    figures = []
    for item in shown:
        caption = f"edge similarity {item.similarity:.0%} · {item.hash_distance} of 64 hash bits differ"
        caption += " · mirrored" if item.mirrored else ""
        caption += f" · {item.num_pairs:,} pairs of photos with similar hashes" if item.num_pairs > 1 else ""
        figures.append(_side_by_side(result, (item.first, item.second), pictures, caption))
    note = f"{len(shown):,} of {len(found):,}, the most similar first" if len(found) > len(shown) else ""
    return {"figures": figures, "note": note}


def _identical(result: ExplorationResult) -> Values | None:
    # Files that appear under several persons are a leak and come first.
    groups = sorted(result.identical, key=lambda group: not result.spans_persons(group))
    shown = groups[:MAX_GROUPS]
    if not shown:
        return None
    pictures = open_pictures(result.photos, (index for group in shown for index in group[:MAX_GROUP_PHOTOS]), 160)
    figures = []
    for group in shown:
        kind = "of several persons" if result.spans_persons(group) else "of one person"
        copies = len({result.photos[index].file_name for index in group})
        caption = f"the same file {copies} times, {kind}"
        rest = [result.photos[index].name for index in group[MAX_GROUP_PHOTOS:]]
        caption += f": also {', '.join(rest)}" if rest else ""
        figures.append(_side_by_side(result, group[:MAX_GROUP_PHOTOS], pictures, caption))
    note = f"{len(shown):,} of {len(groups):,}" if len(groups) > len(shown) else ""
    return {"figures": figures, "note": note}


def _side_by_side(
    result: ExplorationResult, indices: Iterable[int], pictures: Mapping[int, bytes], caption: str
) -> Values:
    photos = [{**_photo(result, index, pictures), "labels": format_labels(result, index)} for index in indices]
    return {"photos": photos, "caption": caption}


def _photo(result: ExplorationResult, index: int, pictures: Mapping[int, bytes]) -> Values:
    name = result.photos[index].name
    return {"name": name, "breakable_name": breakable_name(name), "source": data_uri(pictures[index])}


def format_labels(result: ExplorationResult, index: int) -> str:
    """Formats the labels of a photo as text, with the number of a binned attribute where it is known.

    Args:
        result: The exploration.
        index: The photo.

    Returns:
        For example "worn, female, 45".
    """
    labels = result.photos[index].labels
    texts = []
    for attribute, code in zip(result.schema.attributes, result.codes[index].tolist(), strict=True):
        value = labels.get(attribute.name)
        texts.append(f"{value:g}" if isinstance(value, float) else attribute.display_name(code))
    return ", ".join(texts)


def outlier_values(result: ExplorationResult) -> list[Values]:
    """Collects the variables of the section with outliers, for each kind that has any.

    Args:
        result: The exploration.

    Returns:
        One set of variables for each part of the section; empty where there is none.
    """
    groups: list[Values] = []
    for kind in OUTLIER_KINDS:
        indices = result.outliers[kind.name]
        if not indices:
            continue
        shown = one_per_person(result, indices)[:MAX_OUTLIERS]
        pictures = open_pictures(result.photos, shown, 128)
        persons = len({result.photos[index].person for index in indices})
        groups.append(
            {
                "name": kind.name.capitalize(),
                "note": f"{kind.description} · {format_count(len(indices), 'photo')} of "
                f"{format_count(persons, 'person')}",
                # Cropping would hide an unusual aspect ratio.
                "whole": kind.name == "shape",
                "photos": [_photo(result, index, pictures) for index in shown],
            }
        )
    return groups


def one_per_person(result: ExplorationResult, indices: Sequence[int]) -> list[int]:
    """Reorders photos so that the first of each person comes before the second of any.

    Args:
        result: The exploration.
        indices: Photos.

    Returns:
        The same photos; otherwise their order is kept.
    """
    seen: dict[str, int] = {}
    rounds = []
    for index in indices:
        person = result.photos[index].person
        seen[person] = seen.get(person, 0) + 1
        rounds.append((seen[person], index))
    return [index for _, index in sorted(rounds, key=lambda item: item[0])]


def sheet_values(result: ExplorationResult) -> tuple[Values, str]:
    """Collects the variables of the section with the contact sheets, and its CSS.

    The CSS holds the pictures as backgrounds, and the rules by which radio buttons filter the sheets without a script.
    It contains only numbers and base64.

    Args:
        result: The exploration.

    Returns:
        The variables of the section, and its CSS.
    """
    schema = result.schema
    styles, sheets = [], []
    for number, (class_index, sheet) in enumerate(result.contact_sheets.items()):
        count = len(sheet.indices)
        styles.append(f".s{number} i{{background-image:url({data_uri(sheet.strip)})}}")
        step = 100 / max(count - 1, 1)
        cells = [
            (f"{result.photos[index].name}: {format_labels(result, index)}", f"{step * position:.2f}")
            for position, index in enumerate(sheet.indices)
        ]
        codes = schema.to_attribute_indices([class_index])[0].tolist()
        sheets.append(
            {
                "number": number,
                "kinds": " ".join(f"v{column}-{code}" for column, code in enumerate(codes)),
                "name": "class not fully known" if class_index == UNKNOWN else schema.describe(class_index),
                "note": f"{count:,} of {format_count(int((result.classes == class_index).sum()), 'photo')}",
                "count": count,
                "cells": cells,
            }
        )
    filters, rules = _filters(schema) if len(sheets) > 1 else ([], [])
    return {"sheets": sheets, "filters": filters}, "\n".join([*styles, *rules])


def _filters(schema: LabelSchema) -> tuple[list[Values], list[str]]:
    """A row of radio buttons for each attribute, and the CSS rules by which they hide sheets."""
    filters, rules = [], []
    for column, attribute in enumerate(schema.attributes):
        if len(attribute.values) > MAX_FILTER_VALUES:
            continue
        options = [("all", f"f{column}--1")]
        for code in range(len(attribute.values)):
            button = f"f{column}-{code}"
            options.append((attribute.display_name(code), button))
            rules.append(f"#sheets:has(#{button}:checked) .sheet:not(.v{column}-{code}){{display:none}}")
        filters.append({"name": attribute.name, "group": f"f{column}", "options": options})
    return filters, rules
