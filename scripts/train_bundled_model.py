"""Builds the bundled model, from the photos to the file that ships; finished steps are skipped.

    python scripts/train_bundled_model.py --portraits masked-faces/train/images \
        --faces masked-faces/faces/faces.csv --faces more-faces/faces.csv --mask-photos mask-photos/photos.csv \
        --weights mobilenetv2_100.imagenet.safetensors --work box

Inputs: portraits in the competition's layout; CSVs of faces without masks (`path,gender,age`); photos with a mask label
only (`path,mask`); ImageNet weights of MobileNetV2. Steps:

1. collect: one list of faces without masks, identical files once; left out if their ages differ by more than 5 years.
2. masks: a correctly and an incorrectly worn synthetic mask for each of these faces (`maskfit data add-masks`).
3. crops: the portraits' faces cropped, so that faces are seen at close range too (`maskfit data crop`).
4. lists: `photos.csv` holds the real photos, with held-out persons; `extra0.csv` and `extra1.csv` hold the photos of
   steps 2 and 3, for training only. Each face has its correct mask in one of them and its incorrect mask in the other.
5. train: the recipe `bundled` with the first list; then from its weights at a larger image size with the second.
6. street, with --scenes: two more epochs with the faces of street photos, from the weights of step 5 or of --start;
   with --from-weights five epochs from --weights, which are those of `face_trained_weights.py`, at once.
   Part of the photos of real masks are crops of street photos: no copy of a held-out photo or of a held-out face is
   trained on (`street_faces.py`). With --teacher also on soft labels (`bundled_soft_labels.py`), and with both masks of
   each face; where the teacher's table is missing, the script ends with how to make it.
7. calibrate: temperatures, abstention thresholds and ages in years on the held-out persons.
8. export: ONNX with 16-bit weights. With --start, the weights of the result are a mean of that file's and of step 6's
   (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"): better on every set than either alone or nearly so.
   With --from-weights they are the mean of the last three epochs (Izmailov et al. 2018, "Averaging weights leads to
   wider optima and better generalization"). `evaluate_bundled_model.py --fit-calibration`, then `--fit-ages`, calibrate
   such a mean.

Intermediate files are in --work. On two cores this takes about an hour and a half; the same command resumes it.

The third edition, which ships. Before the first command is there a list of bare faces, so the second ends with the
command that makes the teacher's table, and is run again; the last two calibrate the file:

    python scripts/train_bundled_model.py --portraits masked-faces/train/images \
        --faces masked-faces/faces/faces.csv --faces more-faces/faces.csv --mask-photos mask-photos/photos.csv \
        --weights face_mobilenetv1.safetensors --from-weights --scenes street-scenes/scenes.csv --work third \
        --teacher third/teacher.csv --real-mask-factor 3
    python scripts/face_trained_weights.py --photos third/bare.csv --out face_mobilenetv1.safetensors
    python scripts/evaluate_bundled_model.py third/bundled.onnx --work third --fit-calibration
    python scripts/evaluate_bundled_model.py third/bundled.onnx --work third --fit-ages

The second edition continued from the file of the first:

    python scripts/train_bundled_model.py --portraits masked-faces/train/images \
        --faces masked-faces/faces/faces.csv --faces more-faces/faces.csv --mask-photos mask-photos/photos.csv \
        --weights mobilenetv2_100.imagenet.safetensors --scenes street-scenes/scenes.csv \
        --start bundled.onnx --work second --masked-faces 3100

Without --portraits the model never sees them: a twin that recipes can start from and still be judged on the portraits
(`--detector-weights FILE` where the cache holds no landmark detector). A small one:

    python scripts/train_bundled_model.py --faces masked-faces/faces/faces.csv --faces more-faces/faces.csv \
        --mask-photos mask-photos/photos.csv --weights mobilenetv2_100.imagenet.safetensors --work twin \
        --one-size --masked-faces 1000 --override trainer.epochs=3 --override data.image_size=96
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from average_weights import average_epochs, average_networks
from bundled_soft_labels import photos_to_teach, read_rows, write_soft_labels
from street_faces import REPETITIONS as STREET_REPETITIONS
from street_faces import choose_faces, read_faces

from maskfit.data.photo_dataset import PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.evaluation.ages import fit_ages
from maskfit.evaluation.calibration import fit_calibration
from maskfit.evaluation.probability_table import read_table
from maskfit.exploration.image_stats import collect_all_image_stats
from maskfit.exploration.near_duplicates import find_near_duplicates
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN
from maskfit.model_file import read_model_metadata, update_model_metadata
from maskfit.run_dir import RunDir

MAX_AGE_DIFFERENCE = 5
"""Copies of one file whose ages differ by more years have no reliable age."""

REPETITIONS = {"wear": 4, "incorrect": 12, "not_wear": 4}
"""How often a photo of a real mask is in an epoch: they are few, those of incorrectly worn masks the fewest."""

LARGER_SIZE_OVERRIDES = (
    "data.image_size=144",
    "trainer.epochs=1",
    "optimizer.lr=5e-4",
    "lr_scheduler.warmup=0.05",
    "weight_averaging.decay=0.99",
)
"""Overrides of the last epoch, at a larger image size; it takes nearly twice as long as another epoch."""

STREET_OVERRIDES = (
    "data.image_size=144",
    "trainer.epochs=2",
    "optimizer.lr=4e-4",
    "lr_scheduler.warmup=0.15",
    "weight_averaging.decay=0.998",
)
"""Overrides of the epochs with street faces; the second edition had a rate of 5e-4 and a warmup of 0.1."""

IMAGENET_OVERRIDES = ("model.backbone={name: mobilenetv2_100, pad_type: same}", "data.image_size=112")
"""Overrides of the first two editions."""

FACE_OVERRIDES = (
    "trainer.epochs=5",
    "optimizer.lr=6e-4",
    "lr_scheduler.warmup=0.1",
    "heads.mask.loss_weight=2",
    "trainer.save_top_k=5",
    "progressive_resizing={name: linear, initial_scale: 0.75, delay_fraction: 0.45, finetune_fraction: 0.25}",
)
"""Overrides of the training from a network that recognizes faces: masks, which it never saw, weigh more."""

MEAN_EPOCHS = 3
"""Last epochs whose weights are averaged after that training."""

OLDEST_REPETITIONS, OLDEST = 2, 57
"""How often a face of at least so many years is in an epoch with street faces: the oldest band has the fewest."""

REAL_MASKS = "real masks"
"""Value of the column `source` for photos of real masks."""

SYNTHETIC_MASKS = "synthetic masks"
"""Value of the column `source` for faces with synthetic masks."""

TARGET_ACCURACY = {"mask": 0.95, "gender": 0.98, "age": 0.8}
"""Accuracy of the predictions that are not abstained, by attribute."""

REVIEWED_LABELS = Path(__file__).with_name("bundled_model_reviewed_labels.csv")
"""Corrected mask labels, `file,mask`, from a review of the 53 photos whose label a first model contradicted."""

Row = dict[str, object]


def collect_faces(lists: Sequence[Path], out: Path) -> None:
    """Writes the faces without masks, `path,gender,age`, identical files once."""
    copies: dict[bytes, list[tuple[Path, str, float]]] = defaultdict(list)
    for path in lists:
        for photo in read_photos(path, LABEL_SCHEMAS["gender-age"]):
            face = (photo.path.resolve(), str(photo.labels["gender"]), float(photo.labels["age"]))
            copies[blake2b(photo.path.read_bytes()).digest()].append(face)
    rows = []
    for group in copies.values():
        ages = [age for _, _, age in group]
        if len({gender for _, gender, _ in group}) == 1 and max(ages) - min(ages) <= MAX_AGE_DIFFERENCE:
            path, gender, _ = group[0]
            source = f"faces of {path.parents[1].name}"
            rows.append({"path": path, "gender": gender, "age": round(sum(ages) / len(ages)), "source": source})
    write_manifest(out, rows)


def choose_faces_to_mask(faces: Sequence[dict[str, str]], count: int) -> list[Row]:
    """Chooses faces at random, two fifths of them of the oldest persons, of whom there are few."""
    shuffled = random.Random(0).sample(list(faces), len(faces))
    old = [row for row in shuffled if float(row["age"]) >= OLDEST][: 2 * count // 5]
    others = [row for row in shuffled if float(row["age"]) < OLDEST][: count - len(old)]
    return [dict(row) for row in random.Random(1).sample(old + others, len(old) + len(others))]


def list_photos(portraits: Path | None, bare: Path, mask_photos: Path, out: Path) -> None:
    """Writes the real photos: portraits, faces without masks, and photos of real masks."""
    rows: list[Row] = [
        {"path": photo.path.resolve(), "person": photo.person, **photo.labels, "source": "portraits"}
        for photo in (read_photos(portraits, LABEL_SCHEMAS["mask-gender-age"]) if portraits else ())
    ]
    rows += [{**row, "person": row["path"], "mask": "not_wear"} for row in read_rows(bare)]
    masks = read_photos(mask_photos, LABEL_SCHEMAS["mask"])
    corrected = {row["file"]: row["mask"] for row in read_rows(REVIEWED_LABELS)}
    for photo, person in zip(masks, assign_persons(masks), strict=True):
        mask = corrected.get(photo.path.name, str(photo.labels["mask"]))
        row = {"path": photo.path.resolve(), "person": person, "mask": mask, "times": REPETITIONS[mask]}
        rows.append({**row, "source": REAL_MASKS})
    write_manifest(out, rows)


def assign_persons(photos: PhotoDataset) -> list[str]:
    """Returns a person for each photo without a person label: near duplicates get the same one."""
    duplicates = find_near_duplicates(photos, [stats for stats, _ in collect_all_image_stats(photos)])
    persons = [photo.name for photo in photos]
    for pair in duplicates.found:
        one, other = persons[pair.first], persons[pair.second]
        persons = [one if person == other else person for person in persons]
    return persons


def list_extra(bare: Path, masked: Path, portraits: Path | None, crops: Path, parity: int, out: Path) -> None:
    """Writes the derived photos: faces with synthetic masks, and cropped portraits.

    Args:
        bare: List of the faces without masks; their paths are their persons in the list of real photos.
        masked: Output of `maskfit data add-masks`.
        portraits: The portraits, or None.
        crops: Their crops.
        parity: 0 or 1: which half of the faces has the incorrectly worn mask.
        out: The list to write.
    """
    sources = [row["path"] for row in read_rows(bare)]
    rows: list[Row] = []
    for row in read_rows(masked / "masks.csv"):
        # The number of a folder is the row number of its face.
        number = int(row["person"].partition("_")[0])
        if row["mask"] == "not_wear" or (row["mask"] == "incorrect") != ((number + parity) % 2 == 0):
            continue
        person = sources[number - 1]
        labels = {name: row[name] for name in ("mask", "gender", "age")}
        rows.append({"path": (masked / row["path"]).resolve(), "person": person, **labels, "source": SYNTHETIC_MASKS})
    for photo in read_photos(portraits, LABEL_SCHEMAS["mask-gender-age"]) if portraits else ():
        crop = crops / photo.name
        if crop.is_file():
            rows.append({"path": crop.resolve(), "person": photo.person, **photo.labels, "source": "portrait crops"})
    write_manifest(out, rows)


def list_other_masks(extra: Path, out: Path) -> Path:
    """Writes the faces with synthetic masks of a list without its portrait crops, which the other list has too."""
    write_manifest(out, [dict(row) for row in read_rows(extra) if row["source"] == SYNTHETIC_MASKS])
    return out


def list_street(photos: Path, splits: Path, scenes: Path, kept: Path, street: Path, *, factor: int = 1) -> None:
    """Writes the list of street faces, and the real photos without copies of held-out street faces.

    Args:
        photos: The list of real photos.
        splits: Their split, person -> fold.
        scenes: Street photos with boxes: `path,xmin,ymin,xmax,ymax,mask`.
        kept: The list of real photos to write, in which the oldest persons occur more often.
        street: The list of street faces to write.
        factor: How many times as often as otherwise photos of real masks and street faces are in an epoch.
    """
    folds = read_splits(splits).fold_of_person
    rows = read_rows(photos)
    masks = [row for row in rows if row["source"] == REAL_MASKS]
    faces = read_faces(scenes)
    held_out = [folds[row["person"]] == 0 for row in masks]
    chosen, may_train = choose_faces(faces, [Path(row["path"]) for row in masks], held_out)
    # A held-out photo is not trained on in any case, so it stays.
    left_out = {row["path"] for row, own, may in zip(masks, held_out, may_train, strict=True) if not (own or may)}
    print(f"{len(chosen)} of {len(faces)} street faces; {len(left_out)} photos of real masks left out")
    for row in rows:
        if row["age"] and float(row["age"]) >= OLDEST:
            row["times"] = str(OLDEST_REPETITIONS)
        if row["source"] == REAL_MASKS:
            row["times"] = str(factor * int(row["times"]))
    write_manifest(kept, [dict(row) for row in rows if row["path"] not in left_out])
    with street.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("path", "left", "upper", "right", "lower", "person", "mask", "times"))
        table.writerows(
            (
                face.path.resolve(),
                *face.box,
                f"street {face.path.name}",
                face.mask,
                factor * STREET_REPETITIONS[face.mask],
            )
            for face in chosen
        )


def calibrate(run: RunDir, photos: Path) -> None:
    """Fits temperatures, thresholds and ages in years on the held-out persons, and writes them into the run's models.

    Those of the mask use photos of real masks only: on synthetic masks the network is overconfident.
    """
    schema = LABEL_SCHEMAS["mask-gender-age"]
    table = read_table(run.fold(0).probabilities)
    photo_of = {photo.name: photo for photo in read_photos(photos, schema)}
    real = {
        photo.name
        for photo, row in zip(photo_of.values(), read_rows(photos), strict=True)
        if row["source"] == REAL_MASKS
    }
    targets = schema.encode_batch(photo_of[name].labels for name in table.names)
    targets[[name not in real for name in table.names], schema.names.index("mask")] = UNKNOWN
    persons = [photo_of[name].person for name in table.names]
    calibration, thresholds = fit_calibration(table, schema, persons, targets, accuracy=TARGET_ACCURACY)
    trained, scored = read_model_metadata(run.fold(0).model).label_schema["age"], schema["age"]
    narrow = read_table(run.fold(0).age_bands).reindex(table.names).probabilities
    bands = schema.marginals(calibration.apply_temperature(schema, table.probabilities))["age"]
    labels = [photo_of[name].labels.get("age") for name in table.names]
    years = np.array([float(label) if isinstance(label, int | float) else np.nan for label in labels])
    ages = fit_ages(trained, narrow, scored.bin_edges, bands, years, persons)
    calibration = calibration.model_copy(update={"ages": ages})
    for path in run.fold(0).path.glob("*.safetensors"):
        update_model_metadata(path, read_model_metadata(path).model_copy(update={"calibration": calibration}))
    print(calibration, *thresholds.items(), sep="\n")


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows as a manifest."""
    columns = ("path", "person", "mask", "gender", "age", "times", "source")
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        table.writerows(rows)


def maskfit(*arguments: object) -> None:
    """Runs maskfit; ends the script if it fails."""
    command = [sys.executable, "-m", "maskfit", *map(str, arguments)]
    print("$ maskfit", *arguments, flush=True)
    done = subprocess.run(command, env=os.environ)
    if done.returncode:
        sys.exit(done.returncode)


def best_model(run: Path) -> Path:
    """Returns the model file of a run."""
    return run / "fold0" / "best.safetensors"


def train(run: Path, *overrides: object) -> None:
    """Trains the recipe `bundled`, or resumes its run; does nothing if the run is finished."""
    if (run / "scores.json").is_file():
        return
    resume = ("--resume",) if (run / "recipe.yaml").is_file() else ()
    maskfit("train", "bundled", f"output_dir={run}", *overrides, *resume)


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, help="photos in the competition's layout; default: none")
    parser.add_argument(
        "--faces", type=Path, action="append", required=True, help="CSV of faces without masks: path,gender,age"
    )
    parser.add_argument("--mask-photos", type=Path, required=True, help="CSV of photos with a mask label: path,mask")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of MobileNetV2")
    parser.add_argument("--work", type=Path, default=Path("box"), help="folder of intermediate files")
    parser.add_argument("--corrections", type=Path, action="append", default=[], help="CSV of label corrections")
    parser.add_argument("--detector-weights", type=Path, help="weights of the landmark detector; default: the cache's")
    parser.add_argument("--masked-faces", type=int, metavar="N", help="faces that get synthetic masks; default: all")
    parser.add_argument("--override", action="append", default=[], metavar="KEY=VALUE", help="changes of the recipe")
    parser.add_argument("--one-size", action="store_true", help="leave out the last epoch at a larger image size")
    parser.add_argument("--scenes", type=Path, help="CSV of street photos with boxes: path,xmin,ymin,xmax,ymax,mask")
    parser.add_argument("--start", type=Path, help="with --scenes: model file to go on from")
    parser.add_argument(
        "--from-weights", action="store_true", help="with --scenes: go on from --weights at once, without step 5"
    )
    parser.add_argument(
        "--teacher", type=Path, metavar="FILE", help="with --scenes: table of a teacher (face_teacher.py)"
    )
    parser.add_argument(
        "--real-mask-factor",
        type=int,
        default=1,
        metavar="N",
        help="with --scenes: photos of real masks and street faces N times as often as otherwise; default: 1",
    )
    parser.add_argument(
        "--share", type=float, default=0.5, help="with --start: weight of the new network in the mean; default: 0.5"
    )
    parser.add_argument("--out", type=Path, help="the model file; default: WORK/bundled.onnx")
    return parser.parse_args()


def prepare(args: argparse.Namespace) -> tuple[Path, list[Path]]:
    """Makes the photos and lists of steps 1 to 4; returns the list of real photos and those of derived ones."""
    work: Path = args.work
    work.mkdir(parents=True, exist_ok=True)
    bare, masked, crops = work / "bare.csv", work / "masked", work / "cuts"
    photos, extra = work / "photos.csv", [work / f"extra{parity}.csv" for parity in (0, 1)]
    if not bare.is_file():
        collect_faces(args.faces, bare)
    weights = ("--weights", args.detector_weights) if args.detector_weights else ()
    resume = ("--resume",) if masked.exists() else ()
    to_mask = bare
    if args.masked_faces:
        to_mask = work / "to_mask.csv"
        if not to_mask.is_file():
            write_manifest(to_mask, choose_faces_to_mask(read_rows(bare), args.masked_faces))
    counts = ("--n-correct", 1, "--n-incorrect", 1)
    maskfit("data", "add-masks", to_mask, "--out", masked, *counts, *weights, *resume)
    if args.portraits:
        maskfit("data", "crop", args.portraits, "--out", crops, "--margin", 0.25, "--size", 224)
    if not photos.is_file():
        list_photos(args.portraits, bare, args.mask_photos, photos)
        for parity, path in enumerate(extra):
            list_extra(to_mask, masked, args.portraits, crops, parity, path)
    return photos, extra


def main() -> None:
    """Runs all steps."""
    args = parse_arguments()
    work: Path = args.work
    photos, extra = prepare(args)
    data = [f"data.path={photos}", f"model.pretrained={args.weights}"]
    if args.corrections:
        data.append(f"data.label_corrections=[{','.join(map(str, args.corrections))}]")
    if args.start or args.from_weights:
        start, splits = args.start, work / "splits.csv"
        if not splits.is_file():
            maskfit("data", "split", photos, "--folds", 1, "--holdout", 0.1, "--out", splits)
    else:
        start, splits = train_from_imagenet(args, data, extra), work / "far" / "splits.csv"
    if args.scenes:
        kept, street = work / "kept.csv", work / "street.csv"
        if not street.is_file():
            list_street(photos, splits, args.scenes, kept, street, factor=args.real_mask_factor)
        last = work / "street"
        derived = [extra[1], street]
        if args.teacher:
            derived.append(list_other_masks(extra[0], work / "extra0_masks.csv"))
        lists = [
            f"data.path={kept}",
            f"data.extra_train=[{','.join(map(str, derived))}]",
            f"cv.split_file={splits}",
        ]
        if args.teacher:
            lists.append(f"data.soft_labels={make_soft_labels(args.teacher, photos, extra, splits, work)}")
        if start:
            lists.append(f"model.init_from={start}")
        overrides = FACE_OVERRIDES if args.from_weights else (*IMAGENET_OVERRIDES, *STREET_OVERRIDES)
        train(last, *data[1:], *lists, *overrides, *args.override)
        start = best_model(last)
    calibrate(RunDir(Path(start).parent.parent), photos)
    if args.from_weights:
        start = average_epochs(Path(start).parent, MEAN_EPOCHS, work / "mean.safetensors")
    out = args.out or work / "bundled.onnx"
    maskfit("export", start, "--format", "onnx", "--half", "--out", out)
    if args.start:
        average_networks(args.start, out, args.share, out)


def make_soft_labels(teacher: Path, photos: Path, extra: Sequence[Path], splits: Path, work: Path) -> Path:
    """Writes the soft labels of all photos; ends the script where the teacher's table is missing."""
    if not teacher.is_file():
        to_teach = work / "to_teach.csv"
        write_manifest(to_teach, [dict(row) for row in photos_to_teach(read_rows(photos))])
        raise SystemExit(
            f"{teacher} is missing: make it by this command, with the file of scripts/face_trained_weights.py as FILE, "
            f"then run this one again:\npython scripts/face_teacher.py {to_teach} --splits {splits} --weights FILE "
            f"--out {teacher}"
        )
    soft = work / "soft.csv"
    derived = [row for path in extra for row in read_rows(path)]
    write_soft_labels(read_rows(teacher), read_rows(photos), derived, read_splits(splits).fold_of_person, soft)
    return soft


def train_from_imagenet(args: argparse.Namespace, data: list[str], extra: Sequence[Path]) -> Path:
    """Trains the first edition from ImageNet weights, step 5; returns its model file."""
    work: Path = args.work
    last = work / "far"
    # Without a second training both lists are for the first.
    first = f"[{extra[0]},{extra[1]}]" if args.one_size else extra[0]
    train(last, *data, *IMAGENET_OVERRIDES, f"data.extra_train={first}", *args.override)
    if not args.one_size:
        data.append(f"cv.split_file={work / 'far' / 'splits.csv'}")
        start = f"model.init_from={best_model(last)}"
        last = work / "near"
        train(last, *data, *IMAGENET_OVERRIDES, f"data.extra_train={extra[1]}", start, *LARGER_SIZE_OVERRIDES)
    return best_model(last)


if __name__ == "__main__":
    main()
