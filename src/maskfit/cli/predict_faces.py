"""`maskfit predict photo.jpg`: one line for every face on the named photos, or everything as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from maskfit.cli.console import err, out, print_json, progress
from maskfit.errors import DataError, PhotoError, did_you_mean, format_list

if TYPE_CHECKING:
    from maskfit.cli.annotated_images import AnnotatedImageWriter
    from maskfit.inference.face_predictor import FacePrediction, FacePredictor, PhotoPrediction
    from maskfit.inference.input_resolution import NamedPhotos, ResolvedInputs
    from maskfit.inference.predictor import Predictor

PANEL = "Named photos"
"""Panel of the help."""

FacesWord = Annotated[
    str | None,
    typer.Option(
        "--faces",
        metavar="auto|find|whole",
        help="auto predicts every face if a detector is on this machine, otherwise takes each photo as one face; "
        "find requires a detector; whole uses none.",
        rich_help_panel=PANEL,
        show_default="auto",
    ),
]
DetectorWord = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="Face detector: yunet, ultra_light or mtcnn; missing weights are downloaded once.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Draw = Annotated[
    Path | None,
    typer.Option(
        "--draw",
        help="Write the photo with boxes and predictions; several photos into this folder.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]


def resolve_arguments(
    words: Sequence[str] | None, rows: bool, for_rows: Mapping[str, object], for_faces: Mapping[str, object]
) -> ResolvedInputs:
    """Separates the arguments into models and photos.

    Args:
        words: The arguments.
        rows: Whether photos come from --images, one row each; all arguments are then models.
        for_rows: Options that need --images, with their values.
        for_faces: Options that need named photos, with their values.

    Returns:
        The models, and the named photos if any.

    Raises:
        DataError: An option belongs to the other mode, or an argument is neither a model nor a photo.
    """
    from maskfit.data.photo_dataset import is_photo_name
    from maskfit.inference.input_resolution import ResolvedInputs, resolve_inputs

    named = words or ()
    repeated = [word for word in named if rows and is_photo_name(word)]
    if repeated:
        raise DataError("photos are named and given with --images", location=repeated[0], hint="use one of the two")
    found = ResolvedInputs(tuple(named), None) if rows else resolve_inputs(named)
    misplaced = [name for name, value in (for_rows if found.photos else for_faces).items() if value]
    if misplaced and found.photos:
        raise DataError(
            f"{misplaced[0]} needs --images, with one row for each photo", hint="add --images DIR, or drop it"
        )
    if misplaced:
        raise DataError(f"{misplaced[0]} needs named photos", hint="maskfit predict photo.jpg folder")
    return found


@dataclass
class FaceResults:
    """Results of the named photos.

    Attributes:
        records: JSON records of the photos; empty where lines are printed.
        unreadable: Errors of unreadable photos, by name.
        read: Number of photos predicted.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    unreadable: dict[str, PhotoError] = field(default_factory=dict)
    read: int = 0


def load_face_predictor(predictor: Predictor, faces: str | None, detector: str | None) -> FacePredictor:
    """Opens the face predictor, with a note where no detector is available.

    Args:
        predictor: The models.
        faces: Value of --faces: auto, find or whole; None for auto.
        detector: Value of --detector: a name with options, or None.

    Returns:
        The face predictor.

    Raises:
        DataError: `faces` is unknown, or a detector is required and not available.
    """
    from maskfit.inference.face_predictor import NO_DETECTOR_HINT, FaceMode, FacePredictor

    mode = {word: word for word in get_args(FaceMode)}.get(faces or "auto")
    if mode is None:
        raise DataError(
            f"--faces {faces} is unknown; {did_you_mean(str(faces), get_args(FaceMode))}", hint="--faces auto"
        )
    reader = FacePredictor.from_predictor(predictor, mode, detector, log=err.print)
    if reader.detector is None and mode != "whole":
        err.print(f"no face detector is here, so each photo is taken as one face; {NO_DETECTOR_HINT}")
    return reader


def print_face_predictions(
    reader: FacePredictor, photos: NamedPhotos, drawings: AnnotatedImageWriter | None, *, json: bool
) -> None:
    """Prints the predictions of named photos, writes annotated photos, and lists unreadable ones.

    Args:
        reader: The face predictor.
        photos: The photos.
        drawings: Writer of annotated photos, or None.
        json: Print one JSON object at the end instead of one line for each face.

    Raises:
        PhotoError: The only photo cannot be read.
        DataError: None of several photos can be read, or an annotated photo would overwrite a file.
    """
    results = FaceResults()
    # Taken before the progress bar exists: while it is shown, rich redirects standard output.
    stream = sys.stdout
    with closing(reader.stream(photos)) as readings, _bar(json) as advance:
        for photo, reading in readings:
            if isinstance(reading, PhotoError):
                results.unreadable[photo.name] = reading
            else:
                results.read += 1
                drawn = drawings and drawings.write(photo, reading, reader.predictor.schema)
                if json:
                    results.records.append({"photo": photo.name, **reading.to_dict(), "drawn": drawn and str(drawn)})
                else:
                    for line in format_faces(photo.name, reading, looked=reader.detector is not None):
                        print(line, file=stream)
            advance(results.read + len(results.unreadable), len(photos))
    _check_any_read(results, photos)
    if json:
        unreadable = {name: error.message for name, error in results.unreadable.items()}
        print_json({"detector": _detector_of(reader), "photos": results.records, "unreadable": unreadable})
    if drawings:
        err.print(f"wrote {drawings.target}" + (f": {results.read} photos" if drawings.folder else ""))
    if results.unreadable:
        err.print(f"set aside {len(results.unreadable)} unreadable photos:", style="yellow")
        for name, error in results.unreadable.items():
            err.print(f"  {name}: {error.message}")


def format_faces(name: str, reading: PhotoPrediction, *, looked: bool) -> Iterator[str]:
    """Formats one line for each face on a photo, or one for the whole photo.

    Args:
        name: Name of the photo.
        reading: Its predictions.
        looked: Whether face detection ran.

    Yields:
        Lines.
    """
    for number, answer in enumerate(reading.faces, start=1):
        where = f" face {number} of {reading.num_faces} ({_place(answer)})" if answer.face else ""
        if looked and not answer.face:
            where = " no face found, whole photo"
        yield f"{name}:{where and where + ':'} {', '.join(said.full_text for said in answer.attributes)}"


def _place(answer: FacePrediction) -> str:
    left, top, right, lower = (round(edge) for edge in answer.box or (0, 0, 0, 0))
    return f"left {left}, top {top}, {right - left} x {lower - top}"


def _bar(json: bool) -> AbstractContextManager[Callable[[int, int | None], None]]:
    """A progress bar, or none where lines are printed on the same terminal."""
    return nullcontext(lambda done, total: None) if out.is_terminal and not json else progress("reading")


def _check_any_read(results: FaceResults, photos: NamedPhotos) -> None:
    """Raises where no photo could be read.

    Raises:
        PhotoError: The only photo cannot be read.
        DataError: None of several photos can be read.
    """
    if results.read:
        return
    if photos.single_file and results.unreadable:
        raise results.unreadable[photos.single_file.name]
    reasons = [f"{name}: {error.message}" for name, error in results.unreadable.items()]
    raise DataError(
        f"none of the {len(reasons)} photos can be read:\n{format_list(reasons)}", hint="check or replace the files"
    )


def _detector_of(reader: FacePredictor) -> str | None:
    if reader.detector is None:
        return None
    named = reader.detector.detector
    return named if isinstance(named, str) else str(named["name"])
