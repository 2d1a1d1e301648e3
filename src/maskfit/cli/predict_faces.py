"""`maskfit predict photo.jpg`: a line for every face on photos that are named, or all of it as JSON."""

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

PANEL = "Photos that are named"
"""Of the help."""

FacesWord = Annotated[
    str | None,
    typer.Option(
        "--faces",
        metavar="auto|find|whole",
        help="auto answers for every face where a detector is on this machine, or else takes each photo as one face; "
        "find insists; whole looks for none.",
        rich_help_panel=PANEL,
        show_default="auto",
    ),
]
DetectorWord = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="Find faces by yunet, ultra_light or mtcnn; its weights are fetched once where they are missing.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Draw = Annotated[
    Path | None,
    typer.Option(
        "--draw",
        help="Write the photo with boxes and answers here; several photos into this folder.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]


def resolve_arguments(
    words: Sequence[str] | None, rows: bool, for_rows: Mapping[str, object], for_faces: Mapping[str, object]
) -> ResolvedInputs:
    """What a user's words stand for.

    Args:
        words: What was named.
        rows: Whether photos come from --images or the like, a row each; all words are then models.
        for_rows, for_faces: Options that are for that way alone, or for photos that are named, each with its value.

    Raises:
        DataError: An option is for the other way; or as `inference.words.sort_words`.
    """
    from maskfit.data.photo_dataset import is_photo_name
    from maskfit.inference.input_resolution import ResolvedInputs, resolve_inputs

    named = words or ()
    twice = [word for word in named if rows and is_photo_name(word)]
    if twice:
        raise DataError("photos are named, or come from --images", location=twice[0], hint="leave out one of the two")
    found = ResolvedInputs(tuple(named), None) if rows else resolve_inputs(named)
    odd = [name for name, value in (for_rows if found.photos else for_faces).items() if value]
    if odd and found.photos:
        raise DataError(f"{odd[0]} is for --images, with a row for each photo", hint="--images DIR, or leave it out")
    if odd:
        raise DataError(f"{odd[0]} is for photos that are named", hint="maskfit predict photo.jpg folder")
    return found


@dataclass
class FaceResults:
    """What came of the photos.

    Attributes:
        records: Of each that was read what JSON says; empty where lines are printed.
        unreadable: Those that cannot be read, by name.
        read: How many were read.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    unreadable: dict[str, PhotoError] = field(default_factory=dict)
    read: int = 0


def load_face_predictor(predictor: Predictor, faces: str | None, detector: str | None) -> FacePredictor:
    """The reader for words of a user; where it looks for no faces although it was to, that is said.

    Raises:
        DataError: `faces` is no such word; else as `inference.reading.open_reader`.
    """
    from maskfit.inference.face_predictor import NO_DETECTOR_HINT, FaceMode, open_face_predictor

    wanted = {word: word for word in get_args(FaceMode)}.get(faces or "auto")
    if wanted is None:
        raise DataError(f"--faces {faces} is unknown; {did_you_mean(str(faces), get_args(FaceMode))}", hint="--faces auto")
    reader = open_face_predictor(predictor, wanted, detector, say=err.print)
    if reader.detector is None and wanted != "whole":
        err.print(f"no face detector is here, so each photo is taken as one face; {NO_DETECTOR_HINT}")
    return reader


def print_face_predictions(
    reader: FacePredictor, photos: NamedPhotos, drawings: AnnotatedImageWriter | None, *, json: bool
) -> None:
    """Says what is read on photos, draws it if wanted, and says which cannot be read.

    Args:
        reader: Finds faces and answers for them.
        photos: What to look at.
        drawings: Where photos with boxes go.
        json: Print everything as JSON once all is read, instead of a line for each face as it comes.

    Raises:
        PhotoError: The one photo that was named cannot be read.
        DataError: Of several photos none can be read; or a drawing would replace something.
    """
    from maskfit.inference.face_predictor import predict_photos

    told = FaceResults()
    # Named before there is a bar: while one stands, Rich leads what is printed to standard error.
    stream = sys.stdout
    with closing(predict_photos(reader, photos)) as readings, _bar(json) as advance:
        for photo, reading in readings:
            if isinstance(reading, PhotoError):
                told.unreadable[photo.name] = reading
            else:
                told.read += 1
                drawn = drawings and drawings.write(photo, reading, reader.predictor.schema)
                if json:
                    told.records.append({"photo": photo.name, **reading.to_dict(), "drawn": drawn and str(drawn)})
                else:
                    for line in format_faces(photo.name, reading, looked=reader.detector is not None):
                        print(line, file=stream)
            advance(told.read + len(told.unreadable), len(photos))
    _refuse_none(told, photos)
    if json:
        unreadable = {name: error.message for name, error in told.unreadable.items()}
        print_json({"detector": _detector_of(reader), "photos": told.records, "unreadable": unreadable})
    if drawings:
        err.print(f"wrote {drawings.target}" + (f": {told.read} photos" if drawings.folder else ""))
    if told.unreadable:
        err.print(f"set aside, {len(told.unreadable)} that cannot be read:", style="yellow")
        for name, error in told.unreadable.items():
            err.print(f"  {name}: {error.message}")


def format_faces(name: str, reading: PhotoPrediction, *, looked: bool) -> Iterator[str]:
    """A line for each face on a photo, or one for the whole of it.

    Args:
        name: What the photo is called.
        reading: What was read on it.
        looked: Whether faces were looked for.
    """
    for number, answer in enumerate(reading.faces, start=1):
        where = f" face {number} of {reading.num_faces} ({_place(answer)})" if answer.face else ""
        if looked and not answer.face:
            where = " no face found, the whole photo"
        yield f"{name}:{where and where + ':'} {', '.join(said.full_text for said in answer.attributes)}"


def _place(answer: FacePrediction) -> str:
    left, top, right, lower = (round(edge) for edge in answer.box or (0, 0, 0, 0))
    return f"left {left}, top {top}, {right - left} x {lower - top}"


def _bar(json: bool) -> AbstractContextManager[Callable[[int, int | None], None]]:
    """A bar; none where lines come one by one on a screen, which it would tear."""
    return nullcontext(lambda done, total: None) if out.is_terminal and not json else progress("reading")


def _refuse_none(told: FaceResults, photos: NamedPhotos) -> None:
    """Stops where nothing could be read.

    Raises:
        PhotoError: The one photo that was named cannot be read.
        DataError: Of several none can.
    """
    if told.read:
        return
    if photos.single_file and told.unreadable:
        raise told.unreadable[photos.single_file.name]
    reasons = [f"{name}: {error.message}" for name, error in told.unreadable.items()]
    raise DataError(
        f"none of the {len(reasons)} photos can be read:\n{format_list(reasons)}", hint="mend or replace them"
    )


def _detector_of(reader: FacePredictor) -> str | None:
    if reader.detector is None:
        return None
    named = reader.detector.detector
    return named if isinstance(named, str) else str(named["name"])
