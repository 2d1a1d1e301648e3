"""Checks that a dataset labels every attribute of the schema that it is to train."""

from __future__ import annotations

from pathlib import Path

from maskfit.data.photo_dataset import PhotoDataset
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, LabelSchema


def check_labels(photos: PhotoDataset, schema: LabelSchema, path: Path) -> None:
    """Checks that each attribute has a label on some photo.

    Args:
        photos: The photos.
        schema: The label schema.
        path: Where they were read from, for the error.

    Raises:
        DataError: An attribute has none; the error names the label schema that has the others only.
    """
    targets = photos.attribute_indices(schema)
    known = {name: bool((column != UNKNOWN).any()) for name, column in zip(schema.names, targets.T, strict=True)}
    unlabeled = [name for name, is_known in known.items() if not is_known]
    if not unlabeled:
        return
    labeled = [attribute for attribute in schema.attributes if known[attribute.name]]
    fitting = [name for name, other in LABEL_SCHEMAS.items() if list(other.attributes) == labeled]
    smaller = f"data.label_schema={fitting[0]}" if fitting else "a smaller label schema such as data.label_schema=mask"
    hint = f"train what is labeled: {smaller}; or add the label to a manifest" if fitting else f"choose {smaller}"
    raise DataError(
        f"no photo has a label for {' or '.join(unlabeled)}, so it cannot be trained",
        location=path,
        hint=next((note.hint for note in photos.notes if note.kind == "labels"), hint),
    )
