"""The table of faces: a row for each face, as the web app and `maskfit predict --faces-csv` write it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from maskfit.errors import PhotoError, printable
from maskfit.file_io import atomic_write
from maskfit.inference.decisions import NOT_SURE, AttributePrediction
from maskfit.inference.face_prediction import NO_DETECTOR_NOTE, FacePrediction, PhotoPrediction
from maskfit.labels.age_distribution import age_column_names, find_age_attribute
from maskfit.labels.schema import LabelSchema

NO_FACE = "no face found"
"""Text of the column `problem` for a photo without a face."""

ONLY_SMALL = "no face that is large enough"
"""The same for a photo whose faces are all too small to be predicted."""

NO_DETECTOR = "no face detector: taken as one face"
"""The same for a photo that was taken as one face because no detector is on this machine."""

AddPhoto = Callable[[str, PhotoPrediction | PhotoError | str], None]
"""Takes a photo's name, and its prediction or why it cannot be read."""


def face_table_columns(schema: LabelSchema, ages: bool = False) -> list[str]:
    """Returns the columns of the table.

    Each attribute has three: the answer, which may be "not sure", the chosen value, and its probability.

    Args:
        schema: The label schema.
        ages: Whether the age in years follows: its mean and quantiles.

    Returns:
        Names of the columns.
    """
    of_attributes = [f"{name}{suffix}" for name in schema.names for suffix in ("", "_guess", "_probability")]
    of_years = find_age_attribute(schema) if ages else None
    years = age_column_names(of_years.name) if of_years else ()
    return ["photo", "face", "left", "upper", "right", "lower", "score", *of_attributes, *years, "problem"]


def face_table_rows(
    columns: Sequence[str],
    name: str,
    faces: Sequence[FacePrediction],
    predictions: Sequence[Sequence[AttributePrediction]],
    problem: str,
) -> Iterator[list[object]]:
    """Makes the rows of a photo.

    Args:
        columns: What `face_table_columns` returned.
        name: The photo's name.
        faces: Its faces.
        predictions: For each face the prediction of each attribute.
        problem: Why there is no face, or why the whole photo stands for one; empty where that is not so.

    Yields:
        The cells of each face; of a photo without one the reason alone. Boxes are in pixels of the upright photo.
    """
    if not predictions:
        yield [name, *[""] * (len(columns) - 2), problem]
    for number, (face_prediction, attributes) in enumerate(zip(faces, predictions, strict=True), start=1):
        face = face_prediction.face
        box = [""] * 5 if face is None else [f"{edge:.1f}" for edge in face.box] + [f"{face.score:.4f}"]
        cells: list[object] = [
            cell
            for item in attributes
            for cell in (item.value if item.is_confident else NOT_SURE, item.value, f"{item.probability:.4f}")
        ]
        age = next((item.age for item in attributes if item.age is not None), None)
        years = [] if age is None else [f"{age.mean:.2f}", *age.quantiles]
        row = [name, number, *box, *cells, *years]
        # The columns of years stay empty where the model gives none for this face.
        yield [*row, *[""] * (len(columns) - 1 - len(row)), problem]


@contextmanager
def open_face_table(path: Path, schema: LabelSchema, ages: bool) -> Iterator[AddPhoto]:
    """Opens a table of faces, which appears when the context is left without an error.

    Args:
        path: The file; an existing one is replaced.
        schema: The label schema of the predictions.
        ages: Whether the predictions have ages in years.

    Yields:
        A function that writes the rows of a photo.
    """
    columns = face_table_columns(schema, ages)
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)

        def add(name: str, result: PhotoPrediction | PhotoError | str) -> None:
            # Escaped as in the printed lines: a name that is no UTF-8 cannot be written otherwise.
            name = printable(name)
            if not isinstance(result, PhotoPrediction):
                reason = result if isinstance(result, str) else result.message
                writer.writerows(face_table_rows(columns, name, (), (), printable(reason)))
                return
            faces = result.faces
            writer.writerows(
                face_table_rows(columns, name, faces, [face.attributes for face in faces], _find_problem(result))
            )

        yield add


def _find_problem(prediction: PhotoPrediction) -> str:
    if not prediction.faces:
        return ONLY_SMALL
    if prediction.is_without_face:
        return NO_FACE
    return NO_DETECTOR if prediction.note == NO_DETECTOR_NOTE else ""
