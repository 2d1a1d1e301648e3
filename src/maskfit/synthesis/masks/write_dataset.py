"""Sets of people with masks put on, on disk: the competition's layout out of bare faces."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.image_decoding import open_rgb
from maskfit.errors import DataError, PhotoError
from maskfit.file_io import atomic_write, read_csv, read_json, write_csv, write_json
from maskfit.synthesis.landmarks import Landmarks
from maskfit.synthesis.masks.compositing import MaskedPhoto, PreparedFace
from maskfit.synthesis.masks.face_selection import BareFace, FaceSelection
from maskfit.synthesis.masks.mask_sampling import MAX_CORRECT, MaskInstance, rng_for, sample_mask, sample_masks
from maskfit.synthesis.masks.mask_types import SCARF_STYLE, WEARING_STYLES
from maskfit.synthesis.process_pool import parallel_map

Progress = Callable[[int, int], None]

IMAGES, MANIFEST, SET_ASIDE, SETTINGS = "images", "masks.csv", "set-aside.csv", "masks.json"
"""What lies in the folder: the photos, a manifest of them that says which mask is on each, the photos that were not
used, and what was asked for."""

COLUMNS = ("path", "person", "mask", "gender", "age", "kind", "way", "left", "top", "right", "bottom")
BARE_STEM = "normal"

QUALITY_RANGE = (70, 97)
"""Between which the JPEG quality of a photo is kept: with less the masks are spoilt, with more files only grow."""

LOWER_BRIDGE = 0.8
"""Where a mask over half the nose must end at the latest: this far from between the eyes to the tip."""

MIN_SCARF_VISIBLE = 0.15
"""Share of a scarf that must lie on the photo."""

MIN_DANGLING_VISIBLE = 0.6
"""Share of a dangling mask that must lie on the photo; on tighter ones the mask is worn on the chin."""

# The luminance table of the JPEG standard's annex K at quality 50, as a sum: a file's own sum tells its quality.
_STANDARD_SUM = 3688

_Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class MaskDatasetResult:
    """What was made.

    Attributes:
        images: The folder of the person folders.
        persons: How many persons are in it.
        kinds: How many masks of each kind.
        ways: How many masks worn in each way.
        set_aside: Photos that were not used, by name, and why.
    """

    images: Path
    persons: int
    kinds: dict[str, int] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)


class _Job(NamedTuple):
    face: BareFace
    images: Path
    seed: int
    numbers: dict[str, Any]


def write_masked_dataset(
    selection: FaceSelection,
    out: Path,
    *,
    seed: int = 0,
    num_correct: int = MAX_CORRECT,
    num_incorrect: int = 1,
    scarf: bool = False,
    resume: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> MaskDatasetResult:
    """Writes seven photos of each face: five masks worn well, one worn wrongly, and the bare face.

    With other numbers of masks, or a scarf, the set is read by its manifest, `masks.csv`: the competition's layout has
    no name for a second photo of a mask worn wrongly, or of a bare face.

    The photos are as large as the bare ones. A person's folder appears when all of its photos are there. A face on
    which a mask would not lie as it should is set aside, as are photos that can no longer be read.

    Args:
        chosen: The faces, from `choose_faces`.
        out: A folder that is new or empty, and not among the faces.
        seed: Another seed, other masks. What a face wears follows from the seed and the photo's name alone.
        worn: Masks worn well for each face, 1 to 5.
        wrongly: Masks worn wrongly for each face, each in another way.
        scarf: Writes the bare face once more, with a scarf about the neck, where the photo shows one.
        resume: Goes on with a folder in which the same was begun.
        workers: Processes that work; up to one per core where None; 1 works in this process. More than one needs the
            caller's script to be guarded by `if __name__ == "__main__"`.
        progress: Called with the numbers of persons done and in all.

    Raises:
        DataError: `out` holds something that is not to be gone on with, or lies among the faces; or a number of masks
            is out of its range.
        MaskfitError: The processes could not start.
    """
    out = Path(out)
    check_output_dir(selection.source, out, resume=resume)
    numbers: dict[str, Any] = {"num_correct": num_correct, "num_incorrect": num_incorrect, "scarf": scarf}
    sample_masks(seed, "", **numbers)  # says what is wrong with the numbers before there is a folder
    known = _start_or_resume(
        selection, out, {"seed": seed, "worn": num_correct, "wrongly": num_incorrect, "scarf": scarf}
    )
    jobs = [_Job(face, out / IMAGES, seed, numbers) for face in selection.faces if face.folder not in known]
    set_aside = dict(selection.set_aside)
    done = len(known)
    # A line a mask, as they come: what was made must be known when the rest is made another day.
    with (
        parallel_map(len(jobs), workers) as map_jobs,
        (out / MANIFEST).open("a", encoding="utf-8", newline="") as stream,
    ):
        for job, made in zip(jobs, map_jobs(_write_person, jobs), strict=True):
            if isinstance(made, str):
                set_aside[job.face.name] = made
            else:
                known[job.face.folder] = made
                csv.writer(stream, lineterminator="\n").writerows(made)
                stream.flush()
            done += 1
            if progress is not None:
                progress(done, len(selection.faces))
    rows = [row for folder in sorted(known) for row in known[folder]]
    write_csv(out / MANIFEST, COLUMNS, rows)
    write_csv(out / SET_ASIDE, ("path", "reason"), sorted(set_aside.items()))
    kinds, styles = (_count(rows, COLUMNS.index(name)) for name in ("kind", "way"))
    return MaskDatasetResult(out / IMAGES, len(known), kinds, styles, dict(sorted(set_aside.items())))


def check_output_dir(source: Path, out: Path, *, resume: bool = False) -> None:
    """Looks whether a set can be written there, before any work is done.

    Raises:
        DataError: It cannot.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not resume:
            raise DataError(
                "this folder is not empty", location=out, hint="name a new one, or go on with it by --resume"
            )
        if not (out / SETTINGS).is_file():
            raise DataError("nothing to go on with: no masks were put on here", location=out, hint="name a new folder")
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        what = "this folder lies among the photos, and would be read as one of them"
        raise DataError(what, location=out, hint="name one elsewhere")


def _start_or_resume(selection: FaceSelection, out: Path, numbers: dict[str, Any]) -> dict[str, _Rows]:
    """Writes down what is asked for, or compares it with what was; gives the rows of the persons who are done."""
    faces = [face.folder for face in selection.faces]
    asked = {**numbers, "source": str(selection.source.resolve()), "faces": faces}
    path = out / SETTINGS
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        write_json(path, asked)
        write_csv(out / MANIFEST, COLUMNS, [])
        return {}
    if read_json(path) != asked:
        what = "what was begun here is another set: its seed, photos or numbers of persons or masks differ"
        raise DataError(what, location=path, hint="give what was given then, or name a new folder")
    known: dict[str, _Rows] = {}
    for row in read_csv(out / MANIFEST, COLUMNS) if (out / MANIFEST).is_file() else []:
        if row["bottom"]:
            known.setdefault(row["person"], []).append(tuple(row[name] for name in COLUMNS))
    whole = {face.folder for face in selection.faces if (out / IMAGES / face.folder).is_dir()}
    # The bare face is written down last.
    known = {
        folder: rows for folder, rows in known.items() if rows[-1][0].endswith(f"/{BARE_STEM}.jpg") and folder in whole
    }
    # Without the line that a cut may have left half-written, so that the next one begins anew.
    write_csv(out / MANIFEST, COLUMNS, [row for rows in known.values() for row in rows])
    return known


def _count(rows: Sequence[Sequence[str]], column: int) -> dict[str, int]:
    names, counts = np.unique([row[column] for row in rows if row[column]], return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _write_person(job: _Job) -> _Rows | str:
    """The rows of one person's photos, whose folder is there then; or why there is none."""
    try:
        photo = open_rgb(job.face.path)
    except (PhotoError, OSError) as error:
        return error.message if isinstance(error, PhotoError) else str(error)
    face = PreparedFace(np.array(photo), job.face.landmarks)
    masked = render_all_masks(face, job.seed, job.face.name, **job.numbers)
    for stem, (instance, made) in masked.items():
        if invalid_reason := find_placement_error(made, instance, job.face.landmarks):
            return f"{stem}: {invalid_reason}"
    quality = estimate_jpeg_quality(photo)
    folder = job.images / job.face.folder
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=job.images))
    try:
        part.chmod(job.images.stat().st_mode & 0o777)
        for stem, pixels in [*((stem, made.pixels) for stem, (_, made) in masked.items()), (BARE_STEM, face.pixels)]:
            # The bare face is coded anew as well, or its lack of a second coding would give it away.
            with atomic_write(part / f"{stem}.jpg") as path:
                Image.fromarray(pixels).save(path, "JPEG", quality=quality)
        if folder.is_dir():
            shutil.rmtree(folder)  # from a run that was cut before it could list it
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _, gender, _, age = folder.name.split("_")
    num_correct = {
        stem: (instance.state, instance.kind, instance.style, *made.box) for stem, (instance, made) in masked.items()
    }
    return [
        (f"{IMAGES}/{folder.name}/{stem}.jpg", folder.name, state, gender, age, *map(str, rest))
        for stem, (state, *rest) in {**num_correct, BARE_STEM: ("not_wear", "", "", 0, 0, 0, 0)}.items()
    ]


def render_all_masks(
    face: PreparedFace,
    seed: int,
    name: str,
    *,
    num_correct: int = MAX_CORRECT,
    num_incorrect: int = 1,
    scarf: bool = False,
) -> dict[str, tuple[MaskInstance, MaskedPhoto]]:
    """The masked photos of a face by their stems, as `draw_wearings` names them, without a scarf that hardly shows."""
    made = {
        stem: _apply_with_fallback(face, instance, rng_for(seed, name, f"no room to dangle {stem}"))
        for stem, instance in sample_masks(
            seed, name, num_correct=num_correct, num_incorrect=num_incorrect, scarf=scarf
        ).items()
    }
    return {
        stem: pair for stem, pair in made.items() if pair[0].style != SCARF_STYLE or pair[1].visible > MIN_SCARF_VISIBLE
    }


def _apply_with_fallback(
    face: PreparedFace, instance: MaskInstance, rng: np.random.Generator
) -> tuple[MaskInstance, MaskedPhoto]:
    """The face with a mask on; one that cannot dangle from its ear hangs on the other one, or else on the chin."""
    masked = face.apply_mask(instance)
    if instance.style == "dangling":
        for instead in (
            replace(instance, side=-instance.side),
            sample_mask(instance.kind, "on the chin", rng),
        ):
            if masked.visible >= MIN_DANGLING_VISIBLE and not find_placement_error(masked, instance, face.landmarks):
                break
            instance, masked = instead, face.apply_mask(instead)
    return instance, masked


def find_placement_error(masked: MaskedPhoto, instance: MaskInstance, landmarks: Landmarks) -> str:
    """What is wrong with how a mask came to lie; "" where as much of the nose is covered as its way says."""
    tip, bridge = landmarks.points[2], landmarks.points[:2].mean(0)
    height, width = masked.mask.shape
    if not (0 <= int(tip[0]) < width and 0 <= int(tip[1]) < height):
        return "the nose does not lie on the photo"
    if masked.box == (0, 0, 0, 0):
        return "the mask would not lie on the photo"
    lower_bridge = bridge + LOWER_BRIDGE * (tip - bridge)
    nose = WEARING_STYLES[instance.style].nose
    if nose == "half":
        if _covers(masked, lower_bridge):
            return "the mask would cover all of the nose"
        mouth = landmarks.points[3:5].mean(0)
        return "" if _covers(masked, mouth) else "the mask would not cover the mouth"
    if nose == "all":
        return "" if _covers(masked, tip) else "the mask would not cover the nose"
    return "the mask would cover the nose" if _covers(masked, tip) else ""


def _covers(masked: MaskedPhoto, point: NDArray[np.float64]) -> bool:
    """Whether the mask lies on a point; one below or beside the photo counts as the nearest on it."""
    height, width = masked.mask.shape
    x, y = np.clip(point.astype(int), 0, (width - 1, height - 1))
    return bool(masked.mask[y, x] > 0.5)


def estimate_jpeg_quality(photo: Image.Image) -> int:
    """The JPEG quality that a photo was saved with, kept within `QUALITIES`; their upper end for other files."""
    tables: dict[int, list[int]] = getattr(photo, "quantization", {})
    if not tables:
        return QUALITY_RANGE[1]
    scale = 100 * sum(tables[0]) / _STANDARD_SUM
    quality: float = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return round(min(max(quality, QUALITY_RANGE[0]), QUALITY_RANGE[1]))
