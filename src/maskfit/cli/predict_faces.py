"""`maskfit predict photo.jpg`: one line for every face on the named photos, or everything as JSON."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from maskfit.calibration import MIN_FACE_SIDE
from maskfit.cli.console import check_overwrite, err, escape, out, print_json, print_set_aside, print_written, progress
from maskfit.errors import DataError, PhotoError, did_you_mean, format_list, is_model_name
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.cli.annotated_images import AnnotatedImageWriter
    from maskfit.inference.decisions import AttributePrediction
    from maskfit.inference.face_prediction import FacePrediction, PhotoPrediction
    from maskfit.inference.face_predictor import FacePredictor
    from maskfit.inference.face_table import AddPhoto
    from maskfit.inference.input_resolution import NamedPhotos, ResolvedInputs
    from maskfit.inference.predictor import Predictor
    from maskfit.labels.attribute import Attribute

PANEL = "Named photos"
"""Panel of the help."""

FacesOption = Annotated[
    str | None,
    typer.Option(
        "--faces",
        metavar="auto|find|whole",
        help="auto predicts every face, or says that each photo is taken as one face where there is no detector; "
        "find requires a detector; whole takes each photo as one face.",
        rich_help_panel=PANEL,
        show_default="auto",
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME|FILE.onnx",
        help="Face detector: a name (bundled, yunet, ...; see maskfit detectors), whose missing weights are downloaded "
        "once, or an .onnx file; with options: yunet:side=640.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
MinFaceOption = Annotated[
    float | None,
    typer.Option(
        "--min-face",
        metavar="PIXELS",
        min=1,
        help="Shorter side of the smallest face that is predicted.",
        rich_help_panel=PANEL,
        show_default=f"{MIN_FACE_SIDE:g}",
    ),
]
DrawOption = Annotated[
    Path | None,
    typer.Option(
        "--draw",
        metavar="FILE|DIR",
        help="Write the photo with boxes and predictions; several photos into this folder.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]

RotateOption = Annotated[
    int,
    typer.Option(
        "--rotate",
        metavar="90|180|270",
        help="Turn every photo by so many degrees clockwise, as of a camera mounted sideways: faces must be upright.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
FacesCsvOption = Annotated[
    Path | None,
    typer.Option(
        "--faces-csv",
        metavar="FILE",
        help="Write a CSV with a row for every face, and one with the reason for each photo without.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]


def resolve_arguments(
    arguments: Sequence[str] | None, rows: bool, for_rows: Mapping[str, object], for_faces: Mapping[str, object]
) -> ResolvedInputs:
    """Separates the arguments into models and photos.

    Args:
        arguments: The arguments.
        rows: Whether photos come from --images, one row each; all arguments are then models.
        for_rows: Options that need --images, with their values.
        for_faces: Options that need named photos, with their values.

    Returns:
        The models, and the named photos if any.

    Raises:
        DataError: An option belongs to the other mode, or an argument is neither a model nor a photo.
    """
    from maskfit.data.photo_dataset import is_photo_name
    from maskfit.inference.input_resolution import ResolvedInputs, is_photo_folder, resolve_inputs

    sources = arguments or ()
    photos = [name for name in sources if rows and is_photo_name(name)]
    if photos:
        raise DataError("photos are named and given with --images", location=photos[0], hint="use one of the two")
    folders = [name for name in sources if rows and is_photo_folder(name)]
    if folders:
        raise DataError(
            "this folder is no run: it has photos, which are not named beside --images and --image-list",
            location=folders[0],
            hint=f"leave it out, or give it as --images {shlex.quote(folders[0])}",
        )
    inputs = ResolvedInputs(tuple(sources), None) if rows else resolve_inputs(sources)
    misplaced = [name for name, value in (for_rows if inputs.photos else for_faces).items() if value]
    if misplaced and inputs.photos:
        raise DataError(
            f"{misplaced[0]} needs --images, with one row for each photo",
            hint="a table with a row for each face: --faces-csv FILE; --images DIR takes each photo as one portrait",
        )
    if misplaced:
        raise DataError(f"{misplaced[0]} needs named photos", hint="maskfit predict photo.jpg folder")
    return inputs


@dataclass
class FaceResults:
    """Results of the named photos.

    Attributes:
        records: JSON records of the photos; empty where lines are printed.
        unreadable: Errors of unreadable photos, by name.
        read: Number of photos predicted.
        faces: Number of faces found on them.
        without_face: Number of photos on which a detector found no face.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    unreadable: dict[str, PhotoError] = field(default_factory=dict)
    read: int = 0
    faces: int = 0
    without_face: int = 0
    left_out: int = 0
    only_small: int = 0


def check_faces_csv(path: Path | None, force: bool) -> None:
    """Checks that a table of faces can be written, before any model is loaded.

    Args:
        path: The file; None is accepted.
        force: Whether an existing file may be replaced.

    Raises:
        DataError: The file exists and `force` is false, it cannot be written, or its name is that of a photo or model.
    """
    from maskfit.data.photo_dataset import is_photo_name

    if path is not None and (is_photo_name(path.name) or is_model_name(path)):
        # With --force a source would be lost.
        raise DataError(
            "this is the name of a photo or model, not of a CSV", location=path, hint="--faces-csv faces.csv"
        )
    check_overwrite(path, force)


def print_training_photos(predictor: Predictor, photos: Iterable[Path]) -> None:
    """Says that photos which are predicted are those that the models were trained on, where that is known.

    Args:
        predictor: The models.
        photos: Paths of the photos; they are listed only where a model lies in a run folder.
    """
    from maskfit.inference.training_photos import describe_training_photos

    if line := describe_training_photos([member.name for member in predictor.members], photos):
        err.print(line, style="yellow", markup=False, soft_wrap=True)


def load_face_predictor(
    predictor: Predictor, faces: str | None, detector: str | None, min_face: float | None = None
) -> FacePredictor:
    """Opens the face predictor, with a note where no detector is available.

    Args:
        predictor: The models.
        faces: Value of --faces: auto, find or whole; None for auto.
        detector: Value of --detector: a name with options, or None.
        min_face: Value of --min-face in pixels; None for the default.

    Returns:
        The face predictor.

    Raises:
        DataError: `faces` is unknown, or a detector is required and not available, or `min_face` is below 1 or given
            where no faces are detected.
    """
    from maskfit.calibration import MIN_FACE_SIDE
    from maskfit.inference.face_predictor import NO_DETECTOR_HINT, FaceMode, FacePredictor

    mode = {choice: choice for choice in get_args(FaceMode)}.get(faces or "auto")
    if mode is None:
        raise DataError(
            f"--faces {faces} is unknown; {did_you_mean(str(faces), get_args(FaceMode))}", hint="--faces auto"
        )
    if min_face is not None and mode == "whole":
        raise DataError("--min-face is of no use where faces are not detected", hint="leave out one of the two")
    side = MIN_FACE_SIDE if min_face is None else min_face
    face_predictor = FacePredictor.from_predictor(predictor, mode, detector, min_face_side=side, log=err.print)
    if face_predictor.detector is None and mode != "whole":
        err.print(
            f"no face detector on this machine, so each photo is taken as one face; {NO_DETECTOR_HINT}", style="yellow"
        )
    return face_predictor


@dataclass
class AnswerCounts:
    """Answers of the first attribute, such as the mask, for the last line where each face or photo has one of its own.

    Attributes:
        attribute: The attribute.
        answers: Number of faces or photos by the answer, as it is displayed.
    """

    attribute: Attribute
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, prediction: AttributePrediction) -> None:
        """Counts one face or photo."""
        from maskfit.inference.decisions import NOT_SURE

        self.answers[prediction.display_name if prediction.is_confident else NOT_SURE] += 1

    def print(self, title: str, note: str = "") -> None:
        """Prints "7 faces on 1 photo: mask worn 5, worn wrongly 0, not worn 1, not sure 1" on standard error.

        Args:
            title: What was counted; nothing is printed of a single face or photo without a note.
            note: What was read and not counted, behind the counts or, where nothing was counted, alone.
        """
        from maskfit.inference.decisions import NOT_SURE

        if self.answers.total() < 2 and not note:
            return
        if not self.answers:
            err.print(note, soft_wrap=True)
            return
        names = [*map(self.attribute.display_name, range(len(self.attribute.values))), NOT_SURE]
        counts = ", ".join(f"{name} {self.answers[name]:,}" for name in names)
        rest = f"; {note}" if note else ""
        err.print(f"{title}: {self.attribute.name} {counts}{rest}", markup=False, highlight=False, soft_wrap=True)


def print_face_predictions(
    face_predictor: FacePredictor,
    photos: NamedPhotos,
    annotator: AnnotatedImageWriter | None,
    *,
    json: bool,
    faces_csv: Path | None = None,
) -> None:
    """Prints the predictions of named photos, writes annotated photos and a table, and lists unreadable ones.

    Args:
        face_predictor: The face predictor.
        photos: The photos.
        annotator: Writer of annotated photos, or None.
        json: Print one JSON object at the end instead of one line for each face.
        faces_csv: The table of faces to write; None for none.

    Raises:
        PhotoError: The only photo cannot be read.
        DataError: None of several photos can be read, or an annotated photo would overwrite a file.
    """
    results = FaceResults()
    counts = AnswerCounts(face_predictor.predictor.schema.attributes[0])
    # Taken before the progress bar exists: while it is shown, rich redirects standard output.
    stream = sys.stdout
    shows_progress = photos.single_file is None and (json or not out.is_terminal)
    with (
        _open_table(faces_csv, face_predictor.predictor) as add_to_table,
        closing(face_predictor.stream(photos)) as predictions,
        _progress(shows_progress) as advance,
    ):
        for photo, prediction in predictions:
            add_to_table(photo.name, prediction)
            if isinstance(prediction, PhotoError):
                results.unreadable[photo.name] = prediction
            else:
                results.read += 1
                results.faces += prediction.num_faces
                results.without_face += prediction.is_without_face
                results.left_out += prediction.left_out
                results.only_small += not prediction.faces
                for face in () if prediction.is_without_face else prediction.faces:
                    counts.add(face.attributes[0])
                annotated = annotator and annotator.write(photo, prediction, face_predictor.predictor.schema)
                if json:
                    results.records.append(
                        {"photo": photo.name, **prediction.to_dict(), "drawn": annotated and str(annotated)}
                    )
                else:
                    for line in format_faces(photo.name, prediction):
                        print(line, file=stream)
            advance(results.read + len(results.unreadable), len(photos))
        _check_any_read(results, photos)
        for name, reason in photos.set_aside.items():
            add_to_table(name, reason)
    unreadable = photos.set_aside | {name: error.message for name, error in results.unreadable.items()}
    if json:
        print_json({"detector": _detector_name(face_predictor), "photos": results.records, "unreadable": unreadable})
    elif results.read > 1 or results.faces > 1 or results.left_out:
        _print_counts(results, counts)
    if annotator:
        print_written(annotator.target, format_count(results.read, "photo") if annotator.folder else "")
    if faces_csv:
        print_written(faces_csv, format_count(results.read, "photo"))
    print_set_aside(unreadable)


def _open_table(path: Path | None, predictor: Predictor) -> AbstractContextManager[AddPhoto]:
    """A table of faces, or nothing."""
    if path is None:
        return nullcontext(lambda name, result: None)
    from maskfit.inference.face_table import open_face_table

    return open_face_table(path, predictor.schema, predictor.gives_ages)


def _print_counts(results: FaceResults, counts: AnswerCounts) -> None:
    """Prints how many faces have which answer; photos without a face are no part of that and counted beside it."""
    whole = counts.answers.total() - results.faces
    with_faces = results.read - whole - results.without_face - results.only_small
    found = f"{format_count(results.faces, 'face')} on {format_count(with_faces, 'photo')}"
    rest = f"{format_count(whole, 'photo')} taken as one face"
    title = " and ".join([*([found] if results.faces else []), *([rest] if whole else [])])
    notes = [f"{format_count(results.without_face, 'photo')} without a face found"] if results.without_face else []
    notes += [_describe_left_out(results.left_out)] if results.left_out else []
    # The line of the only photo says so itself, where it has no face.
    counts.print(title, "; ".join(notes) if results.read > 1 or results.faces else "")


def format_faces(name: str, prediction: PhotoPrediction) -> Iterator[str]:
    """Formats one line for each face on a photo, or one for the whole photo.

    Args:
        name: Name of the photo.
        prediction: Its predictions.

    Yields:
        Lines.
    """
    if not prediction.faces:
        yield f"{escape(name)}: no face that is large enough; {_describe_left_out(prediction.left_out)}"
    for number, face in enumerate(prediction.faces, start=1):
        position = f"face {number} of {prediction.num_faces} ({_format_box(face)})" if face.face else prediction.note
        position = f" {position}:" if position else ""
        yield f"{escape(name)}:{position} {', '.join(item.full_text for item in face.attributes)}"


def _describe_left_out(count: int) -> str:
    return f"{format_count(count, 'smaller face')} not predicted"


def _format_box(face: FacePrediction) -> str:
    left, top, right, bottom = (round(coordinate) for coordinate in face.box or (0, 0, 0, 0))
    return f"left {left}, top {top}, {right - left} x {bottom - top}"


def _progress(shown: bool) -> AbstractContextManager[Callable[[int, int | None], None]]:
    """A progress bar, or nothing: for one photo, and where lines are printed on the same terminal."""
    return progress("reading") if shown else nullcontext(lambda done, total: None)


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
        f"none of the {format_count(len(reasons), 'photo')} can be read:\n{format_list(reasons)}",
        hint="check or replace the files",
    )


def _detector_name(face_predictor: FacePredictor) -> str | None:

    return face_predictor.detector.detector_name if face_predictor.detector else None
