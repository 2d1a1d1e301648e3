"""Writes a dataset of masked faces in the competition's layout from bare faces."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.image_decoding import open_rgb
from maskfit.errors import DataError, PhotoError
from maskfit.file_io import (
    atomic_write,
    read_csv,
    read_json,
    save_image,
    temporary_folder,
    write_csv,
    write_json,
    writing,
)
from maskfit.file_locks import is_occupied
from maskfit.synthesis.landmarks import Landmarks
from maskfit.synthesis.masks.compositing import MaskedPhoto, PreparedFace
from maskfit.synthesis.masks.face_selection import BareFace, FaceSelection
from maskfit.synthesis.masks.mask_sampling import MAX_CORRECT, MaskInstance, rng_for, sample_mask, sample_masks
from maskfit.synthesis.masks.mask_types import SCARF_STYLE, WEARING_STYLES
from maskfit.synthesis.process_pool import parallel_map

Progress = Callable[[int, int], None]
"""Progress callback: (persons done, persons in total)."""

IMAGES, MANIFEST, SET_ASIDE, SETTINGS = "images", "masks.csv", "set-aside.csv", "masks.json"
"""Contents of the output folder: photos, their manifest with the mask on each, rejected photos, settings."""

LABEL_COLUMNS = ("path", "person", "mask", "gender", "age", "kind", "way")
COLUMNS = (*LABEL_COLUMNS, "mask_left", "mask_top", "mask_right", "mask_bottom")
"""Columns of the manifest; `kind` is the mask type, `way` the wearing style, the last four the box of the mask.

They are not called `left`, `top` and so on, which in a manifest is the box of the face."""

OLD_COLUMNS = (*LABEL_COLUMNS, "left", "top", "right", "bottom")
"""Columns of the manifest in earlier versions, whose interrupted runs are resumed."""

BARE_STEM = "normal"
"""File name stem of the bare face."""

QUALITY_RANGE = (70, 97)
"""Range that the source's JPEG quality is clipped to: below it artifacts spoil the masks, above it files only grow."""

LOWER_BRIDGE = 0.8
"""A mask over half the nose must start below this fraction of the way from between the eyes to the tip."""

MIN_SCARF_VISIBLE = 0.15
"""Minimum fraction of a scarf that must lie on the photo."""

MIN_DANGLING_VISIBLE = 0.6
"""Minimum fraction of a dangling mask that must lie on the photo; otherwise the mask is worn on the chin."""

# Sum of the luminance table in annex K of the JPEG standard (quality 50); a file's own sum gives its quality.
_STANDARD_SUM = 3688

_Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class MaskDatasetResult:
    """Result of `write_masked_dataset`; the field names are the keys of the command's JSON.

    Attributes:
        images: Folder of the person folders.
        persons: Number of persons written.
        kinds: Number of masks by mask type.
        ways: Number of masks by wearing style.
        set_aside: Photos that could not be used: name to reason.
    """

    images: Path
    persons: int
    kinds: dict[str, int] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)


class _Job(NamedTuple):
    """One person to render in a worker process."""

    face: BareFace
    images: Path
    seed: int
    counts: dict[str, Any]


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
    """Writes seven photos of each face: five with a mask worn correctly, one worn incorrectly, and the bare face.

    With other counts, or a scarf, read the dataset by its manifest `masks.csv`: the competition's layout has no name
    for a
    second photo with an incorrectly worn mask, or of a bare face.

    Photos keep the size of the source. A person's folder appears once all of its photos are written. Faces on which a
    mask
    would be misplaced, and photos that cannot be read, are set aside.

    Args:
        selection: Faces from `select_faces`.
        out: Output folder, new or empty, not within the source.
        seed: Seed; together with the photo's name it determines the masks of a face.
        num_correct: Number of masks worn correctly per face, 1 to 5.
        num_incorrect: Number of masks worn incorrectly per face, each in another style, 1 to 7.
        scarf: Whether to write the bare face once more with a scarf round the neck, where the photo shows the neck.
        resume: Whether to continue an interrupted run in `out`.
        workers: Number of processes; None for up to one per core; 1 to run in this process. More than one needs the
            calling script to be guarded by `if __name__ == "__main__"`.
        progress: Called with (persons done, persons in total).

    Returns:
        The counts, and the photos that were set aside.

    Raises:
        DataError: `out` is not empty and not resumable, or lies within the source; or a count is out of its range.
        MaskfitError: The worker processes could not start.
    """
    out = Path(out)
    check_output_dir(selection.source, out, resume=resume)
    counts: dict[str, Any] = {"num_correct": num_correct, "num_incorrect": num_incorrect, "scarf": scarf}
    sample_masks(seed, "", **counts)  # validates the counts before a folder is created
    done_rows = _start_or_resume(
        selection, out, {"seed": seed, "worn": num_correct, "wrongly": num_incorrect, "scarf": scarf}
    )
    jobs = [_Job(face, out / IMAGES, seed, counts) for face in selection.faces if face.folder not in done_rows]
    set_aside = dict(selection.set_aside)
    done = len(done_rows)
    # One line per mask, flushed per person, so that an interrupted run can be resumed.
    with (
        parallel_map(len(jobs), workers) as map_jobs,
        writing(out / MANIFEST),
        (out / MANIFEST).open("a", encoding="utf-8", newline="") as stream,
    ):
        for job, rows_or_reason in zip(jobs, map_jobs(_write_person, jobs), strict=True):
            if isinstance(rows_or_reason, str):
                set_aside[job.face.name] = rows_or_reason
            else:
                done_rows[job.face.folder] = rows_or_reason
                csv.writer(stream, lineterminator="\n").writerows(rows_or_reason)
                stream.flush()
            done += 1
            if progress is not None:
                progress(done, len(selection.faces))
    rows = [row for folder in sorted(done_rows) for row in done_rows[folder]]
    write_csv(out / MANIFEST, COLUMNS, rows)
    write_csv(out / SET_ASIDE, ("path", "reason"), sorted(set_aside.items()))
    kinds, styles = (_count(rows, COLUMNS.index(name)) for name in ("kind", "way"))
    return MaskDatasetResult(out / IMAGES, len(done_rows), kinds, styles, dict(sorted(set_aside.items())))


def check_output_dir(source: Path, out: Path, *, resume: bool = False) -> None:
    """Checks that a dataset can be written into a folder, before any work is done.

    Args:
        source: Dataset that the faces come from.
        out: Output folder.
        resume: Whether an interrupted run in `out` is to be continued.

    Raises:
        DataError: `out` is not empty and not resumable, has no run to resume, or lies within the source.
    """
    if is_occupied(out):
        if not resume:
            raise DataError(
                "the output folder is not empty", location=out, hint="choose a new folder, or continue with --resume"
            )
        if not (out / SETTINGS).is_file():
            raise DataError("nothing to resume: no masks were added here", location=out, hint="choose a new folder")
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        what = "the output folder lies among the photos and would be read as one of them"
        raise DataError(what, location=out, hint="choose a folder outside the source")


def _start_or_resume(selection: FaceSelection, out: Path, counts: dict[str, Any]) -> dict[str, _Rows]:
    """Writes a new run's settings or checks those of the interrupted one; returns the rows done so far."""
    faces = [face.folder for face in selection.faces]
    settings = {**counts, "source": str(selection.source.resolve()), "faces": faces}
    path = out / SETTINGS
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        write_json(path, settings)
        write_csv(out / MANIFEST, COLUMNS, [])
        return {}
    if read_json(path) != settings:
        what = "the run in this folder differs in seed, photos, number of persons or number of masks"
        raise DataError(what, location=path, hint="repeat the original settings, or choose a new folder")
    done_rows: dict[str, _Rows] = {}
    columns = OLD_COLUMNS if _has_old_columns(out / MANIFEST) else COLUMNS
    for row in read_csv(out / MANIFEST, columns) if (out / MANIFEST).is_file() else []:
        if row[columns[-1]]:
            done_rows.setdefault(row["person"], []).append(tuple(row[name] for name in columns))
    whole = {face.folder for face in selection.faces if (out / IMAGES / face.folder).is_dir()}
    # A person's bare face is listed last: without it the person is incomplete.
    done_rows = {
        folder: rows
        for folder, rows in done_rows.items()
        if rows[-1][0].endswith(f"/{BARE_STEM}.jpg") and folder in whole
    }
    # Rewritten without a possibly truncated last line.
    write_csv(out / MANIFEST, COLUMNS, [row for rows in done_rows.values() for row in rows])
    return done_rows


def _count(rows: Sequence[Sequence[str]], column: int) -> dict[str, int]:
    names, counts = np.unique([row[column] for row in rows if row[column]], return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _write_person(job: _Job) -> _Rows | str:
    """Writes one person's folder and returns its rows, or the reason why there is none."""
    try:
        photo = open_rgb(job.face.path)
    except (PhotoError, OSError) as error:
        return error.message if isinstance(error, PhotoError) else str(error)
    face = PreparedFace(np.array(photo), job.face.landmarks)
    masked = render_all_masks(face, job.seed, job.face.name, **job.counts)
    for stem, (instance, photo_with_mask) in masked.items():
        if placement_error := find_placement_error(photo_with_mask, instance, job.face.landmarks):
            return f"{stem}: {placement_error}"
    quality = estimate_jpeg_quality(photo)
    folder = job.images / job.face.folder
    with temporary_folder(folder) as staging:
        for stem, pixels in [
            *((stem, photo_with_mask.pixels) for stem, (_, photo_with_mask) in masked.items()),
            (BARE_STEM, face.pixels),
        ]:
            # The bare face is re-encoded too: otherwise the lack of a second encoding would reveal the class.
            with atomic_write(staging / f"{stem}.jpg") as path:
                save_image(Image.fromarray(pixels), path, "JPEG", quality=quality)
        if folder.is_dir():
            shutil.rmtree(folder)  # from a run that was interrupted before it could list it
        staging.rename(folder)
    _, gender, _, age = folder.name.split("_")
    masked_rows = {
        stem: (instance.state, instance.kind, instance.style, *photo_with_mask.box)
        for stem, (instance, photo_with_mask) in masked.items()
    }
    return [
        (f"{IMAGES}/{folder.name}/{stem}.jpg", folder.name, state, gender, age, *map(str, rest))
        for stem, (state, *rest) in {**masked_rows, BARE_STEM: ("not_wear", "", "", 0, 0, 0, 0)}.items()
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
    """Renders all masks of a face, except a scarf that is hardly visible.

    Args:
        face: Bare face.
        seed: Seed of the dataset.
        name: Name of the bare photo in its dataset.
        num_correct: Number of masks worn correctly, 1 to 5.
        num_incorrect: Number of masks worn incorrectly, 1 to 7.
        scarf: Whether to add a scarf.

    Returns:
        Mask and photo by file name stem, as `sample_masks` names them.
    """
    rendered = {
        stem: _apply_with_fallback(face, instance, rng_for(seed, name, f"no room to dangle {stem}"))
        for stem, instance in sample_masks(
            seed, name, num_correct=num_correct, num_incorrect=num_incorrect, scarf=scarf
        ).items()
    }
    return {
        stem: pair
        for stem, pair in rendered.items()
        if pair[0].style != SCARF_STYLE or pair[1].visible > MIN_SCARF_VISIBLE
    }


def _apply_with_fallback(
    face: PreparedFace, instance: MaskInstance, rng: np.random.Generator
) -> tuple[MaskInstance, MaskedPhoto]:
    """Applies a mask; one that cannot dangle from its ear hangs from the other ear, or else is worn on the chin."""
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
    """Checks that a mask covers as much of the nose as its wearing style requires.

    Args:
        masked: Photo with the mask.
        instance: The mask.
        landmarks: Landmarks of the face.

    Returns:
        What is wrong; "" if nothing.
    """
    tip, bridge = landmarks.points[2], landmarks.points[:2].mean(0)
    height, width = masked.mask.shape
    if not (0 <= int(tip[0]) < width and 0 <= int(tip[1]) < height):
        return "the nose is outside the photo"
    if masked.box == (0, 0, 0, 0):
        return "the mask is outside the photo"
    lower_bridge = bridge + LOWER_BRIDGE * (tip - bridge)
    nose = WEARING_STYLES[instance.style].nose
    if nose == "half":
        if _covers(masked, lower_bridge):
            return "the mask covers the whole nose"
        mouth = landmarks.points[3:5].mean(0)
        return "" if _covers(masked, mouth) else "the mask does not cover the mouth"
    if nose == "all":
        return "" if _covers(masked, tip) else "the mask does not cover the nose"
    return "the mask covers the nose" if _covers(masked, tip) else ""


def _covers(masked: MaskedPhoto, point: NDArray[np.float64]) -> bool:
    """Whether the mask covers a point; a point outside the photo is moved to its nearest pixel."""
    height, width = masked.mask.shape
    x, y = np.clip(point.astype(int), 0, (width - 1, height - 1))
    return bool(masked.mask[y, x] > 0.5)


def estimate_jpeg_quality(photo: Image.Image) -> int:
    """Estimates the JPEG quality that a photo was saved with from its quantization table.

    Args:
        photo: The opened image.

    Returns:
        Quality clipped to `QUALITY_RANGE`; its upper end for other formats.
    """
    tables: dict[int, list[int]] = getattr(photo, "quantization", {})
    if not tables:
        return QUALITY_RANGE[1]
    scale = 100 * sum(tables[0]) / _STANDARD_SUM
    quality: float = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return round(min(max(quality, QUALITY_RANGE[0]), QUALITY_RANGE[1]))


def _has_old_columns(manifest: Path) -> bool:
    if not manifest.is_file():
        return False
    with manifest.open(encoding="utf-8", newline="") as stream:
        return stream.readline().rstrip("\r\n").split(",") == list(OLD_COLUMNS)
