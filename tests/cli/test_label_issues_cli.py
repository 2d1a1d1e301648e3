"""`maskfit label-issues` as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from maskfit.data.label_corrections import read_corrected
from maskfit.data.read_dataset import read_photos
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEME = LABEL_SCHEMAS["mask-gender-age"]


STEMS = ("incorrect_mask", "mask1", "mask2", "mask3", "mask4", "mask5", "normal")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Thirty persons in the competition's layout. Names are all that suspects need: no photo is opened."""
    for number in range(30):
        folder = (
            tmp_path / "images" / f"{number:06d}_{'male' if number % 2 else 'female'}_Asian_{20 + 45 * number // 30}"
        )
        folder.mkdir(parents=True)
        for stem in STEMS:
            (folder / f"{stem}.jpg").touch()
    return tmp_path / "images"


@pytest.fixture
def table(people: Path, tmp_path: Path) -> tuple[Path, str]:
    """What a good model says of people; of the first person it says the other gender."""
    photos = read_photos(people, SCHEME)
    truth = SCHEME.to_class_index(photos.attribute_indices(SCHEME))
    first = photos[0].person
    seen = np.array([(k // 6) * 6 + (k + 3) % 6 if one.person == first else k for k, one in zip(truth, photos)])  # noqa: B905
    rows = np.full((len(photos), 18), 0.01 / 17)
    rows[np.arange(len(photos)), seen] = 0.99
    names = tuple(photo.name for photo in photos)
    return ProbabilityTable(names, rows, truth).write(tmp_path / "oof.csv"), first


def test_a_wrong_label_comes_first_and_its_correction_fits(command, table, people, tmp_path):
    path, first = table
    target, proposed = tmp_path / "issues.csv", tmp_path / "corrections.csv"
    words = ("label-issues", path, "--data", people, "--out", target, "--corrections", proposed)
    said = command(*words, "--min-score", "0.2")
    assert said.code == 0, said.err
    with target.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["person", "attribute", "label", "proposed", "score", "reason"]
    assert (rows[0]["person"], rows[0]["attribute"]) == (first, "gender")
    assert first in said.out
    before, after = read_photos(people, SCHEME), read_corrected(people, SCHEME, [proposed])[0]
    changed = {a.person for a, b in zip(before, after, strict=True) if a.labels["gender"] != b.labels["gender"]}
    assert changed == {first}
    again = command(*words)
    assert (again.code, "the file exists" in again.err) == (2, True)
    plain = json.loads(command("label-issues", path, "--json").out)
    assert (plain[0]["person"], plain[0]["photos"]) == (first, [])


def test_what_cannot_be_judged_is_said(command, table, people, tmp_path):
    path, _ = table
    blind = tmp_path / "blind.csv"
    blind.write_text(
        "ImageID," + ",".join(f"p{k}" for k in range(18)) + "\n" + "a.jpg" + ",0.0555555" * 17 + ",0.055556\n"
    )
    for words, why in (
        ((blind,), "no labels"),
        ((path, "--noise", "0.9"), "noise"),
        ((tmp_path / "none",), "none"),
        ((blind, "--data", people), "are not there"),
    ):
        said = command("label-issues", *words)
        assert (said.code, why in said.err) == (2, True), said.err
