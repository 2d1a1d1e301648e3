"""How many planted wrong ages `label-issues` finds, by age bands and by years, on faces that the model never saw.

    uv run python benchmarks/planted_ages.py --work box        # the working folder of scripts/train_bundled_model.py

Draws 600 held-out bare faces, gives some of them a wrong age, ranks all age labels with the bundled model's
predictions, and counts the planted ones at the top of the list; the mean over many draws. Two kinds of wrong ages: of
another band, as in a dataset of classes; and off by at least twelve years, which may stay within the band.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from maskfit.evaluation.label_issues import find_label_issues
from maskfit.inference.predictor import Predictor
from maskfit.labels.age_distribution import AgeTable
from maskfit.labels.schema import LABEL_SCHEMAS, FloatArray

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from evaluate_bundled_model import held_out_photos, years_of

SCHEMA = LABEL_SCHEMAS["age"]
EDGES = SCHEMA["age"].bin_edges
PERSONS = 600
MIN_DISTANCE = 12
TOPS = (8, 16, 24, 40)


def bands_of(years: FloatArray) -> np.ndarray:
    """Returns the age band of each age."""
    return np.searchsorted(EDGES, years, side="right")


def plant(
    years: FloatArray, pool: FloatArray, planted: np.ndarray, kind: str, random: np.random.Generator
) -> FloatArray:
    """Returns the labels with wrong ages, drawn from the ages of all faces."""
    labels = years.copy()
    for index in planted:
        far = np.abs(pool - years[index]) >= MIN_DISTANCE
        other = bands_of(pool) != bands_of(years[index : index + 1])
        labels[index] = random.choice(pool[other if kind == "another band" else far])
    return labels


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("box"), help="working folder of train_bundled_model.py")
    parser.add_argument("--planted", type=int, default=8, help="wrong ages among the 600")
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    photos = [
        photo for source, own in held_out_photos(args.work).items() if source.startswith("faces") for photo in own
    ]
    predictions = Predictor.default().predict(photos)
    assert predictions.ages is not None
    marginals = LABEL_SCHEMAS["mask-gender-age"].marginals(predictions.table.probabilities)["age"]
    ages, years = predictions.ages.fit_bands(EDGES, marginals), years_of(photos)
    print(f"{len(photos):,} held-out faces; {args.planted} of {PERSONS} labels planted, mean of {args.draws} draws")
    for kind in ("another band", f"off by {MIN_DISTANCE} years or more"):
        random, found = np.random.default_rng(0), np.zeros((2, len(TOPS)))
        for _ in range(args.draws):
            rows = random.choice(len(photos), PERSONS, replace=False)
            planted = random.choice(PERSONS, args.planted, replace=False)
            labels = plant(years[rows], years, planted, kind, random)
            names = [str(number) for number in range(PERSONS)]
            own = (names, names, marginals[rows], bands_of(labels), SCHEMA, labels)
            for way, table in enumerate((None, AgeTable(ages.first, ages.shares[rows]))):
                ranked = [int(item.person) for item in find_label_issues(*own, ages=table)]
                found[way] += [len(set(ranked[:top]) & set(planted.tolist())) for top in TOPS]
        for name, counts in zip(("by bands", "by years"), found / args.draws, strict=True):
            tops = ", ".join(f"{count:.2f} in the first {top}" for top, count in zip(TOPS, counts, strict=True))
            print(f"{kind}, {name}: {tops}")


if __name__ == "__main__":
    main()
