"""Builds the model in the box anew, from the photos to the file that ships: any step that is done is not done again.

    python scripts/train_bundled_model.py --portraits masked-faces/train/images \
        --faces masked-faces/faces/faces.csv --faces more-faces/faces.csv --mask-photos mask-photos/photos.csv \
        --weights mobilenetv2_100.imagenet.safetensors --work box

What it is given: portraits in the competition's layout; CSVs of bare faces (`path,gender,age`); photos of which only
the mask is known (`path,mask`); MobileNetV2's ImageNet weights. What it does:

1. gather: one list of bare faces, identical files once; where copies disagree by more than five years, none of them.
2. masks: on each bare face one mask worn and one worn wrongly (`maskfit data add-masks`).
3. cuts: the portraits' faces cut out, so that a face is seen near as well as far (`maskfit data crop`).
4. lists: `photos.csv`, the real photos, judged on persons held out; `extra0.csv` and `extra1.csv`, what was made of
   them, never judged. Each face is masked once in either: worn well in one, wrongly in the other.
5. train: the recipe `bundled` with the first list; from there the same at a larger size with the second.
6. calibrate: from where on it says "not sure", on the persons held out.
7. export: ONNX with weights in 16 bits.

Everything between lies in --work. On two cores it takes about an hour and a half; stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from maskfit.data.photo_dataset import PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.evaluation.calibration import fit_calibration
from maskfit.evaluation.probability_table import read_table
from maskfit.exploration.image_stats import collect_all_image_stats
from maskfit.exploration.near_duplicates import find_near_duplicates
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN
from maskfit.model_file import read_model_metadata, update_model_metadata
from maskfit.run_dir import RunDir

MOST_YEARS_APART = 5
"""Copies of one file whose ages differ by more say nothing of an age."""

TIMES = {"wear": 4, "incorrect": 12, "not_wear": 4}
"""How often a photo of a real mask counts: there are few, and masks worn wrongly in earnest are the fewest."""

NEAR = (
    "data.image_size=144",
    "trainer.epochs=1",
    "optimizer.lr=5e-4",
    "lr_scheduler.warmup=0.05",
    "weight_averaging.decay=0.99",
)
"""The last epoch shows faces larger: it costs nearly twice as much as another."""

EARNEST = "masks in earnest"

SURE = {"mask": 0.95, "gender": 0.98, "age": 0.8}
"""How many of the answers that are not "not sure" are to be right."""

REVIEWED = Path(__file__).with_name("bundled_model_reviewed_labels.csv")
"""Photos of masks whose label was seen to be wrong, among the 53 that a first model answered otherwise: `file,mask`."""

Row = dict[str, object]


def gather(lists: Sequence[Path], out: Path) -> None:
    """Writes the bare faces, `path,gender,age`, identical files once."""
    copies: dict[bytes, list[tuple[Path, str, float]]] = defaultdict(list)
    for path in lists:
        for photo in read_photos(path, LABEL_SCHEMAS["gender-age"]):
            found = (photo.path.resolve(), str(photo.labels["gender"]), float(photo.labels["age"]))
            copies[blake2b(photo.path.read_bytes()).digest()].append(found)
    rows = []
    for same in copies.values():
        ages = [age for _, _, age in same]
        if len({gender for _, gender, _ in same}) == 1 and max(ages) - min(ages) <= MOST_YEARS_APART:
            path, gender, _ = same[0]
            source = f"bare faces of {path.parents[1].name}"
            rows.append({"path": path, "gender": gender, "age": round(sum(ages) / len(ages)), "source": source})
    write(out, rows)


def list_photos(portraits: Path, bare: Path, mask_photos: Path, out: Path) -> None:
    """Writes the real photos: portraits, bare faces, and masks in earnest."""
    rows: list[Row] = [
        {"path": photo.path.resolve(), "person": photo.person, **photo.labels, "source": "portraits"}
        for photo in read_photos(portraits, LABEL_SCHEMAS["mask-gender-age"])
    ]
    rows += [{**row, "person": row["path"], "mask": "not_wear"} for row in read(bare)]
    masks = read_photos(mask_photos, LABEL_SCHEMAS["mask"])
    seen = {row["file"]: row["mask"] for row in read(REVIEWED)}
    for photo, person in zip(masks, name_persons(masks), strict=True):
        mask = seen.get(photo.path.name, str(photo.labels["mask"]))
        row = {"path": photo.path.resolve(), "person": person, "mask": mask, "times": TIMES[mask]}
        rows.append({**row, "source": EARNEST})
    write(out, rows)


def name_persons(photos: PhotoDataset) -> list[str]:
    """A person for each photo of which nobody says who is on it: photos that are nearly the same share one."""
    twins = find_near_duplicates(photos, [stats for stats, _ in collect_all_image_stats(photos)])
    persons = [photo.name for photo in photos]
    for twin in twins.found:
        one, other = persons[twin.first], persons[twin.second]
        persons = [one if person == other else person for person in persons]
    return persons


def list_extra(bare: Path, masked: Path, portraits: Path, cuts: Path, turn: int, out: Path) -> None:
    """Writes what was made: bare faces with a mask each, and portraits cut to their faces.

    Args:
        bare: The faces, whose paths are their persons in the list of real photos.
        masked: What `maskfit data add-masks` made of them.
        portraits: The portraits.
        cuts: Their copies.
        turn: 0 or 1: which half of the faces wears its mask wrongly.
        out: The list.
    """
    sources = [row["path"] for row in read(bare)]
    rows: list[Row] = []
    for row in read(masked / "masks.csv"):
        # A folder's number is the row of the face that it was made of.
        number = int(row["person"].partition("_")[0])
        if row["mask"] == "not_wear" or (row["mask"] == "incorrect") != ((number + turn) % 2 == 0):
            continue
        person = sources[number - 1]
        known = {name: row[name] for name in ("mask", "gender", "age")}
        rows.append({"path": (masked / row["path"]).resolve(), "person": person, **known, "source": "masks put on"})
    for photo in read_photos(portraits, LABEL_SCHEMAS["mask-gender-age"]):
        copy = cuts / photo.name
        if copy.is_file():
            rows.append({"path": copy.resolve(), "person": photo.person, **photo.labels, "source": "portraits cut"})
    write(out, rows)


def calibrate(run: RunDir, photos: Path) -> None:
    """Fits temperatures and thresholds on the persons held out, and writes them into the run's model.

    The mask's by masks in earnest alone: of masks that were put on, the network is surer than it may be of others.
    """
    scheme = LABEL_SCHEMAS["mask-gender-age"]
    table = read_table(run.fold(0).probabilities)
    known = {photo.name: photo for photo in read_photos(photos, scheme)}
    earnest = {photo.name for photo, row in zip(known.values(), read(photos), strict=True) if row["source"] == EARNEST}
    truth = scheme.encode_batch(known[name].labels for name in table.names)
    truth[[name not in earnest for name in table.names], scheme.names.index("mask")] = UNKNOWN
    persons = [known[name].person for name in table.names]
    calibration, thresholds = fit_calibration(table, scheme, persons, truth, accuracy=SURE)
    for path in run.fold(0).path.glob("*.safetensors"):
        update_model_metadata(path, read_model_metadata(path).model_copy(update={"calibration": calibration}))
    print(calibration, *thresholds.items(), sep="\n")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, rows: Iterable[Row]) -> None:
    columns = ("path", "person", "mask", "gender", "age", "times", "source")
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        table.writerows(rows)


def maskfit(*words: object) -> None:
    """Runs the command itself, as anybody would."""
    line = [sys.executable, "-m", "maskfit", *map(str, words)]
    print("$ maskfit", *words, flush=True)
    done = subprocess.run(line, env=os.environ)
    if done.returncode:
        sys.exit(done.returncode)


def best(run: Path) -> Path:
    return run / "fold0" / "best.safetensors"


def train(run: Path, *words: object) -> None:
    """Trains a recipe, or goes on with its run where it was cut off."""
    if (run / "scores.json").is_file():
        return
    resume = ("--resume",) if (run / "recipe.yaml").is_file() else ()
    maskfit("train", "bundled", f"output_dir={run}", *words, *resume)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, required=True, help="folders of persons, as the competition has them")
    parser.add_argument("--faces", type=Path, action="append", required=True, help="bare faces: path,gender,age")
    parser.add_argument("--mask-photos", type=Path, required=True, help="photos of masks: path,mask")
    parser.add_argument("--weights", type=Path, required=True, help="MobileNetV2's ImageNet weights")
    parser.add_argument("--work", type=Path, default=Path("box"), help="everything between the photos and the model")
    parser.add_argument("--corrections", type=Path, action="append", default=[], help="laid over the labels")
    parser.add_argument("--out", type=Path, help="the model; WORK/bundled.onnx where left out")
    given = parser.parse_args()
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    bare, masked, cuts = work / "bare.csv", work / "masked", work / "cuts"
    photos, extra = work / "photos.csv", [work / f"extra{turn}.csv" for turn in (0, 1)]
    if not bare.is_file():
        gather(given.faces, bare)
    maskfit("data", "mask", bare, "--out", masked, "--n-correct", 1, "--n-incorrect", 1, *(["--resume"] * masked.exists()))
    maskfit("data", "crop", given.portraits, "--out", cuts, "--margin", 0.25, "--size", 224)
    if not photos.is_file():
        list_photos(given.portraits, bare, given.mask_photos, photos)
        for turn, path in enumerate(extra):
            list_extra(bare, masked, given.portraits, cuts, turn, path)
    data = [f"data.path={photos}", f"model.pretrained={given.weights}"]
    if given.corrections:
        data.append(f"data.label_corrections=[{','.join(map(str, given.corrections))}]")
    train(work / "far", *data, f"data.extra_train={extra[0]}")
    data.append(f"cv.split_file={work / 'far' / 'splits.csv'}")
    train(work / "near", *data, f"data.extra_train={extra[1]}", f"model.init_from={best(work / 'far')}", *NEAR)
    calibrate(RunDir(work / "near"), photos)
    maskfit("export", best(work / "near"), "--format", "onnx", "--half", "--out", given.out or work / "bundled.onnx")


if __name__ == "__main__":
    main()
