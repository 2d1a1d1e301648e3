"""`maskfit data add-masks`: synthetic masks on bare faces."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_next, print_table, print_written, progress
from maskfit.cli.dataset_options import CodesOption, parse_codes
from maskfit.file_locks import claim
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.synthesis.masks.write_dataset import MaskDatasetResult

SourceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CSV|ROOT",
        help="Bare faces: a CSV with the columns path, gender, age and, if known, race; or a folder of person folders, "
        "whose photos named normal are used.",
        show_default=False,
    ),
]

PersonsOption = Annotated[
    int | None, typer.Option("--persons", metavar="N", min=1, help="Number of faces; all by default.")
]
NumCorrectOption = Annotated[
    int, typer.Option("--n-correct", metavar="N", min=1, max=5, help="Correctly worn masks per face.")
]
NumIncorrectOption = Annotated[
    int,
    typer.Option("--n-incorrect", metavar="N", min=1, max=7, help="Wrongly worn masks per face, each in another way."),
]
ScarfOption = Annotated[bool, typer.Option("--scarf", help="Also the bare face with a scarf around the neck.")]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="Landmark detector: bundled (default), yunet, centerface or mtcnn; with --weights that of the file.",
    ),
]
WeightsOption = Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="Weights of the detector.")]
LandmarksOption = Annotated[
    Path | None,
    typer.Option(
        "--landmarks", metavar="CSV", help="Landmarks, as written by 'maskfit data synthesize'; no detector is used."
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", min=1, help="Worker processes; one per core by default.")
]

SHOWN = 10
"""Set-aside photos that are printed; the file lists all."""


def add_masks(
    source: SourceArgument,
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")],
    persons: PersonsOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
    num_correct: NumCorrectOption = 5,
    num_incorrect: NumIncorrectOption = 1,
    scarf: ScarfOption = False,
    detector: DetectorOption = None,
    weights: WeightsOption = None,
    landmarks: LandmarksOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the same command in its folder.")] = False,
    workers: WorkersOption = None,
    codes: CodesOption = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Add synthetic masks to bare faces, in the competition's layout.

    By default five correctly worn masks, one worn wrongly, and the bare face. The photos keep size, light, sharpness
    and grain. The mask depends on the seed and the photo's name. Unusable faces are set aside and listed. Other numbers
    of masks are for training the mask alone; such a dataset is read by its list, masks.csv.

    Examples:

        maskfit data add-masks faces.csv --out masked

        maskfit data add-masks faces.csv --out masked --persons 500 --seed 3

        maskfit data add-masks faces.csv --out masked --n-correct 2 --n-incorrect 3 --scarf

        maskfit data add-masks drawn --out masked --landmarks drawn/landmarks.csv
    """
    from maskfit.synthesis.masks.face_selection import select_faces
    from maskfit.synthesis.masks.landmark_sources import landmark_detector, read_landmarks
    from maskfit.synthesis.masks.write_dataset import MANIFEST, check_output_dir, write_masked_dataset

    meanings = parse_codes(codes)
    check_output_dir(source, target, resume=resume)
    claim(target)
    find_landmarks = read_landmarks(landmarks) if landmarks else landmark_detector(detector, weights)
    with progress("detecting faces", unit="faces") as advance:
        faces = select_faces(source, find_landmarks, persons=persons, codes=meanings, seed=seed, progress=advance)
    with progress("adding masks", unit="persons") as advance:
        result = write_masked_dataset(
            faces,
            target,
            seed=seed,
            num_correct=num_correct,
            num_incorrect=num_incorrect,
            scarf=scarf,
            resume=resume,
            workers=workers,
            progress=advance,
        )
    if json:
        print_json({**asdict(result), "images": str(result.images), "others": faces.others})
        return
    _print_summary(result, faces.others, target)
    # Only the competition's numbers of masks make a folder in its layout.
    is_layout = (num_correct, num_incorrect) == (5, 1)
    print_next(f"data check {shlex.quote(str(result.images if is_layout else target / MANIFEST))}")


def _print_summary(result: MaskDatasetResult, num_skipped: int, target: Path) -> None:
    from maskfit.synthesis.masks.write_dataset import MANIFEST, SET_ASIDE

    print_table("Masks", ["kind", "photos"], list(result.kinds.items()))
    out.print()
    print_table("Worn", ["style", "photos"], list(result.ways.items()))
    out.print()
    print_written(
        result.images, f"{format_count(result.persons, 'person')}, listed in {target / MANIFEST}", console=out
    )
    if num_skipped:
        err.print(f"skipped {format_count(num_skipped, 'further photo')} of the same persons", style="yellow")
    if result.set_aside:
        err.print(
            f"set aside {format_count(len(result.set_aside), 'photo')}, listed in {target / SET_ASIDE}:", style="yellow"
        )
        for name, reason in list(result.set_aside.items())[:SHOWN]:
            err.print(f"  {name}: {reason}")
