"""Evaluates a model on the persons that `train_bundled_model.py` held out: each attribute, by source of the photos.

python scripts/evaluate_bundled_model.py box/bundled.onnx --work box
python scripts/evaluate_bundled_model.py box/near/fold0/best.safetensors --work box --tta flip
python scripts/evaluate_bundled_model.py box/bundled.onnx --work box --fit-ages
python scripts/evaluate_bundled_model.py box/bundled.onnx --work box --fit-decisions
python scripts/evaluate_bundled_model.py box/bundled.onnx --work box --fit-calibration

`--fit-ages` fits the calibration of ages in years on the held-out persons of an exported model and writes it into the
file's metadata; the printed figures are cross-fitted over persons. `--fit-decisions` does so with decision weights for
macro F1, on all held-out photos whose attributes are known; they are written where they gain on other persons.
`--fit-calibration` fits temperatures and abstention thresholds, as `train_bundled_model.py` does for a run; ages come
after it. `--card` writes the texts of the recipe `bundled`'s card into the file's.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from train_bundled_model import REAL_MASKS, TARGET_ACCURACY

from maskfit.calibration import weighted_classes
from maskfit.config.loader import read_recipe
from maskfit.data.photo_dataset import Photo
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.evaluation.ages import fit_ages, score_ages
from maskfit.evaluation.calibration import fit_calibration
from maskfit.evaluation.fit_decisions import describe_fit, fit_decisions, kept_decisions
from maskfit.evaluation.metrics import accuracy, f1_per_class, macro_f1
from maskfit.evaluation.scores import score
from maskfit.file_io import atomic_write
from maskfit.inference.image_loading import load_image
from maskfit.inference.predictor import Predictor
from maskfit.labels.age_distribution import AgeEstimate, find_age_attribute
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, softmax
from maskfit.model_file import read_model_metadata
from maskfit.model_metadata import METADATA_KEY
from maskfit.training.calibrate_run import card_scores, worst_classes

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


CALIBRATION_SOURCES = ("portraits", "faces of faces", "faces of more-faces", REAL_MASKS)
"""Sources of the photos, not derived from others, that temperatures and thresholds are fitted on; real masks last."""


def held_out_photos(work: Path) -> dict[str, list[Photo]]:
    """Returns the photos of the held-out persons by source: real photos and those derived from them."""
    splits = next(path for path in (work / "far" / "splits.csv", work / "splits.csv") if path.is_file())
    folds = read_splits(splits).fold_of_person
    photos_of: dict[str, dict[Path, Photo]] = defaultdict(dict)
    for name in ("photos.csv", "extra0.csv", "extra1.csv"):
        with (work / name).open(encoding="utf-8", newline="") as stream:
            sources = [row["source"] for row in csv.DictReader(stream)]
        for photo, source in zip(read_photos(work / name, SCHEMA), sources, strict=True):
            if folds.get(photo.person) == 0:
                # Both lists of derived photos have the crops.
                photos_of[source][photo.path] = photo
    return {source: list(photos.values()) for source, photos in photos_of.items()}


def evaluate(predictor: Predictor, photos: list[Photo]) -> None:
    """Prints the scores of one set of photos, attribute by attribute; photos without a label are left out.

    Each attribute is predicted from its own marginal probabilities, as for users.
    """
    predictions = predictor.predict(photos)
    probabilities = predictions.table.probabilities
    targets = SCHEMA.encode_batch(photo.labels for photo in photos)
    marginals = SCHEMA.marginals(probabilities)
    for index, attribute in enumerate(SCHEMA.attributes):
        marginal = marginals[attribute.name]
        known = targets[:, index] != UNKNOWN
        if not known.any():
            continue
        target, predicted = targets[known, index], marginal[known].argmax(axis=1)
        sure = marginal[known].max(axis=1) >= predictor.abstain_below.get(attribute.name, 0.0)
        size = len(attribute.values)
        counts = np.bincount(target, minlength=size)
        per_value = zip(attribute.values, f1_per_class(target, predicted, size), counts, strict=True)
        print(
            f"  {attribute.name}: accuracy {accuracy(target, predicted, size):.3f}, "
            f"macro F1 {macro_f1(target, predicted, size):.3f} "
            f"({', '.join(f'{value} {f1:.3f} of {count}' for value, f1, count in per_value if count)}); "
            f"not abstained: {sure.mean():.0%}, their accuracy {accuracy(target[sure], predicted[sure], size):.3f}"
        )
    persons = [photo.person for photo in photos]
    estimates = predictions.age_estimates()
    ages = None if estimates is None else score_ages(quantile_rows(estimates), years_of(photos), persons)
    if ages is not None:
        error, coverage = ages.mean_absolute_error, ages.coverage
        print(
            f"  years: mean absolute error {error.value:.2f} ({error.low:.2f} to {error.high:.2f}), coverage "
            f"{coverage.value:.3f} ({coverage.low:.3f} to {coverage.high:.3f}), width {ages.width:.1f}"
        )
    classes = SCHEMA.to_class_index(targets)
    if (classes != UNKNOWN).any():
        predicted = probabilities.argmax(axis=1)
        right = accuracy(classes, predicted, SCHEMA.num_classes)
        weighted = weighted_classes(SCHEMA, probabilities, predictions.decision_weights)
        argmax, decided = (macro_f1(classes, own, SCHEMA.num_classes) for own in (predicted, weighted))
        print(f"  18 classes: accuracy {right:.3f}, macro F1 {argmax:.3f}, with the file's decisions {decided:.3f}")


def years_of(photos: list[Photo]) -> NDArray[np.float64]:
    """Returns the true age of each photo, NaN where it is not known."""
    labels = [photo.labels.get("age") for photo in photos]
    return np.array([float(label) if isinstance(label, int | float) else np.nan for label in labels])


def quantile_rows(estimates: list[AgeEstimate]) -> NDArray[np.int64]:
    """Returns the quantiles of each photo, (photos, quantiles)."""
    return np.array([estimate.quantiles for estimate in estimates])


def fit_file_ages(path: Path, photos: list[Photo]) -> None:
    """Fits the calibration of ages and writes it into an exported model; the network stays as it is."""
    metadata = read_model_metadata(path)
    trained, scored = find_age_attribute(metadata.label_schema), find_age_attribute(SCHEMA)
    if trained is None or scored is None:
        raise SystemExit("this model predicts no ages")
    (member,) = Predictor.load(path).members
    photos = [photo for photo in photos if isinstance(photo.labels.get("age"), int | float)]
    narrow, bands = [], []
    predictor = Predictor([member])
    for start in range(0, len(photos), 64):
        inputs = [predictor.preprocess(load_image(photo)) for photo in photos[start : start + 64]]
        frames = np.stack([item.tta_views[0][0] for item in inputs])
        narrow.append(softmax(member.engine.logits(frames)[trained.name]))
        bands.append(SCHEMA.marginals(predictor.forward(inputs))[scored.name])
    fitted = fit_ages(
        trained,
        np.concatenate(narrow),
        scored.bin_edges,
        np.concatenate(bands),
        years_of(photos),
        [photo.person for photo in photos],
    )
    print(fitted)
    update_calibration(path, {"ages": fitted})


def fit_file_calibration(path: Path, photos_of: dict[str, list[Photo]]) -> None:
    """Fits temperatures and abstention thresholds of an exported model, those of the mask on photos of real masks."""
    update_calibration(path, {"temperatures": {}, "abstain_below": {}, "decisions": {}, "ages": None})
    photos = [photo for source in CALIBRATION_SOURCES for photo in photos_of[source]]
    table = Predictor.load(path).predict(photos).table
    targets = SCHEMA.encode_batch(photo.labels for photo in photos)
    targets[: len(photos) - len(photos_of[REAL_MASKS]), SCHEMA.names.index("mask")] = UNKNOWN
    persons = [photo.person for photo in photos]
    fitted, thresholds = fit_calibration(table, SCHEMA, persons, targets, accuracy=TARGET_ACCURACY)
    print(fitted, *thresholds.items(), sep="\n")
    kept = {"ages", "min_face"}
    update_calibration(path, {name: getattr(fitted, name) for name in type(fitted).model_fields if name not in kept})
    codes = SCHEMA.encode_batch(photo.labels for photo in photos)
    calibrated = fitted.apply_temperature(SCHEMA, table.probabilities)
    scores = score(SCHEMA, codes, probabilities=calibrated, persons=persons)
    card = read_model_metadata(path).card.model_copy(
        update={"scores": card_scores(scores), "worst_groups": worst_classes(scores)}
    )
    update_metadata(path, {"card": card})


def fit_file_decisions(path: Path, photos: list[Photo]) -> None:
    """Fits decision weights for macro F1, and writes them into an exported model where they gain on other persons."""
    predictions = Predictor.load(path).predict(photos)
    truth = SCHEMA.to_class_index(SCHEMA.encode_batch(photo.labels for photo in photos))
    fit = fit_decisions(SCHEMA, predictions.table.probabilities, truth, [photo.person for photo in photos])
    print(describe_fit(fit, SCHEMA))
    update_calibration(path, {"decisions": kept_decisions({fit.objective: fit})})


def update_calibration(path: Path, values: dict[str, object]) -> None:
    """Changes the calibration in an exported model's metadata; the network stays as it is."""
    update_metadata(path, {"calibration": read_model_metadata(path).calibration.model_copy(update=values)})


def update_metadata(path: Path, values: dict[str, object]) -> None:
    """Changes an exported model's metadata; the network stays as it is."""
    changed = read_model_metadata(path).model_copy(update=values)
    model = onnx.load(path)
    for item in model.metadata_props:
        if item.key == METADATA_KEY:
            item.value = changed.to_metadata()[METADATA_KEY]
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def main() -> None:
    """Runs the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model file")
    parser.add_argument("--work", type=Path, default=Path("box"), help="working folder of train_bundled_model.py")
    parser.add_argument("--tta", default="original", help="test-time augmentation")
    parser.add_argument("--max-images", type=int, help="approximate number of photos per source; default: all")
    parser.add_argument("--card", action="store_true", help="write the texts of the recipe's model card into the model")
    parser.add_argument("--fit-ages", action="store_true", help="fit ages in years and write them into the model")
    parser.add_argument("--fit-decisions", action="store_true", help="fit decision weights and write those that gain")
    parser.add_argument("--fit-calibration", action="store_true", help="fit temperatures and thresholds and write them")
    parser.add_argument(
        "--min-face",
        metavar="ATTRIBUTE=PIXELS",
        action="append",
        help='write the shorter side of a detected face below which an attribute is "not sure" (score_small_faces.py)',
    )
    args = parser.parse_args()
    if args.min_face:
        pairs = (item.split("=") for item in args.min_face)
        update_calibration(Path(args.model), {"min_face": {name: float(pixels) for name, pixels in pairs}})
        return
    if args.card:
        texts = read_recipe("bundled").card.model_dump()
        card = read_model_metadata(args.model).card
        update_metadata(Path(args.model), {"card": card and card.model_copy(update=texts)})
        return
    if args.fit_calibration:
        fit_file_calibration(Path(args.model), held_out_photos(args.work))
        return
    if args.fit_decisions:
        every = [photo for photos in held_out_photos(args.work).values() for photo in photos]
        labels = SCHEMA.encode_batch(photo.labels for photo in every)
        known = (labels != UNKNOWN).all(axis=1).tolist()
        fit_file_decisions(Path(args.model), [photo for photo, use in zip(every, known, strict=True) if use])
        return
    if args.fit_ages:
        fit_file_ages(Path(args.model), [photo for own in held_out_photos(args.work).values() for photo in own])
        return
    predictor = Predictor.load(args.model, tta=args.tta)
    for source, photos in held_out_photos(args.work).items():
        chosen = photos[:: max(len(photos) // args.max_images, 1)] if args.max_images else photos
        print(f"{source}: {len(chosen)} photos of {len({photo.person for photo in chosen})} persons")
        evaluate(predictor, chosen)


if __name__ == "__main__":
    main()
