"""`maskfit data add-masks`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_table, progress

if TYPE_CHECKING:
    from maskfit.synthesis.masks.write_dataset import MaskDatasetResult

Faces = Annotated[
    Path,
    typer.Argument(
        metavar="CSV|ROOT",
        help="Bare faces: a CSV with the columns path, gender, age and, if known, race; or a folder of person folders, "
        "of which the photos called normal are taken.",
        show_default=False,
    ),
]

Persons = Annotated[
    int | None, typer.Option("--persons", metavar="N", min=1, help="How many faces; all where left out.")
]
Worn = Annotated[int, typer.Option("--n-correct", metavar="N", min=1, max=5, help="Masks worn well for each face.")]
Wrongly = Annotated[
    int,
    typer.Option(
        "--n-incorrect", metavar="N", min=1, max=7, help="Masks worn wrongly for each face, each in another way."
    ),
]
Scarf = Annotated[bool, typer.Option("--scarf", help="The bare face once more, with a scarf about the neck.")]
DetectorName = Annotated[
    str, typer.Option("--detector", metavar="NAME", help="What finds eyes, nose and mouth: yunet or mtcnn.")
]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="The detector's weights, in place of its own.")
]
LandmarksFile = Annotated[
    Path | None,
    typer.Option("--landmarks", metavar="CSV", help="Landmarks, as 'data draw' writes them, and no detector."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", min=1, help="Processes; one per core where left out.")
]

SHOWN = 10
"""Photos set aside that are named on the screen; the file names all."""


def add_masks(
    source: Faces,
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is new or empty.")],
    persons: Persons = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other faces and masks.")] = 0,
    worn: Worn = 5,
    wrongly: Wrongly = 1,
    scarf: Scarf = False,
    detector: DetectorName = "yunet",
    weights: Weights = None,
    landmarks: LandmarksFile = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a folder in which the same was begun.")] = False,
    workers: Workers = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Put masks on bare faces: five worn well, one worn wrongly, and the bare face, in the competition's layout.

    The photos keep their size, light, sharpness and grain. What a face wears follows from the seed and the photo's
    name. Faces that cannot be used are set aside and listed. Other numbers of masks are for trainings of the mask
    alone; such a set is read by its list, masks.csv.

    **Examples**

    `maskfit data add-masks faces.csv --out masked`

    `maskfit data add-masks faces.csv --out masked --persons 500 --seed 3`

    `maskfit data add-masks faces.csv --out masked --n-correct 2 --n-incorrect 3 --scarf`

    `maskfit data add-masks drawn --out masked --landmarks drawn/landmarks.csv`
    """
    from maskfit.synthesis.masks.face_selection import select_faces
    from maskfit.synthesis.masks.landmark_sources import landmark_detector, read_landmarks
    from maskfit.synthesis.masks.write_dataset import check_output_dir, write_masked_dataset

    check_output_dir(source, target, resume=resume)
    find = read_landmarks(landmarks) if landmarks else landmark_detector(detector, str(weights) if weights else None)
    with progress("looking for faces", unit="faces") as advance:
        chosen = select_faces(source, find, persons=persons, seed=seed, progress=advance)
    with progress("putting on masks", unit="persons") as advance:
        made = write_masked_dataset(
            chosen,
            target,
            seed=seed,
            num_correct=worn,
            num_incorrect=wrongly,
            scarf=scarf,
            resume=resume,
            workers=workers,
            progress=advance,
        )
    if json:
        print_json({**asdict(made), "images": str(made.images), "others": chosen.others})
        return
    _print_made(made, chosen.others, target)


def _print_made(made: MaskDatasetResult, others: int, target: Path) -> None:
    from maskfit.synthesis.masks.write_dataset import MANIFEST, SET_ASIDE

    print_table("Masks", ["kind", "photos"], list(made.kinds.items()))
    out.print()
    print_table("Worn", ["way", "photos"], list(made.ways.items()))
    out.print()
    out.print(f"written: {made.persons} persons to {made.images}, listed in {target / MANIFEST}", soft_wrap=True)
    if others:
        err.print(f"passed over, {others} further photos of the same persons", style="yellow")
    if made.set_aside:
        err.print(f"set aside, {len(made.set_aside)} photos, listed in {target / SET_ASIDE}:", style="yellow")
        for name, reason in list(made.set_aside.items())[:SHOWN]:
            err.print(f"  {name}: {reason}")
