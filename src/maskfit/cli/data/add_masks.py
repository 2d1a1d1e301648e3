"""`maskfit data add-masks`: synthetic masks on bare faces."""

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
        "whose photos named normal are used.",
        show_default=False,
    ),
]

Persons = Annotated[int | None, typer.Option("--persons", metavar="N", min=1, help="Number of faces; all by default.")]
Worn = Annotated[int, typer.Option("--n-correct", metavar="N", min=1, max=5, help="Correctly worn masks per face.")]
Wrongly = Annotated[
    int,
    typer.Option("--n-incorrect", metavar="N", min=1, max=7, help="Wrongly worn masks per face, each in another way."),
]
Scarf = Annotated[bool, typer.Option("--scarf", help="Also the bare face with a scarf around the neck.")]
DetectorName = Annotated[str, typer.Option("--detector", metavar="NAME", help="Landmark detector: yunet or mtcnn.")]
Weights = Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="Weights of the detector.")]
LandmarksFile = Annotated[
    Path | None,
    typer.Option("--landmarks", metavar="CSV", help="Landmarks, as 'data draw' writes them, and no detector."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", min=1, help="Worker processes; one per core by default.")
]

SHOWN = 10
"""Set-aside photos that are printed; the file lists all."""


def add_masks(
    source: Faces,
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")],
    persons: Persons = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
    worn: Worn = 5,
    wrongly: Wrongly = 1,
    scarf: Scarf = False,
    detector: DetectorName = "yunet",
    weights: Weights = None,
    landmarks: LandmarksFile = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the same command in its folder.")] = False,
    workers: Workers = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Add synthetic masks to bare faces, in the competition's layout.

    By default five correctly worn masks, one worn wrongly, and the bare face. The photos keep size, light, sharpness
    and grain. The mask depends on the seed and the photo's name. Unusable faces are set aside and listed. Other numbers
    of masks are for training the mask alone; such a dataset is read by its list, masks.csv.

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
    with progress("detecting faces", unit="faces") as advance:
        chosen = select_faces(source, find, persons=persons, seed=seed, progress=advance)
    with progress("adding masks", unit="persons") as advance:
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
        err.print(f"skipped {others} further photos of the same persons", style="yellow")
    if made.set_aside:
        err.print(f"set aside {len(made.set_aside)} photos, listed in {target / SET_ASIDE}:", style="yellow")
        for name, reason in list(made.set_aside.items())[:SHOWN]:
            err.print(f"  {name}: {reason}")
