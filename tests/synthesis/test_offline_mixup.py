"""Blends: of one class and two persons, never the same pair twice, and the source is not changed."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.config.loader import read_recipe
from maskfit.data.photo_dataset import PERSON_SEPARATOR
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.synthesis.offline_mixup import OversampleResult, _draw_pairs, blend_photos, write_oversampled
from maskfit.training.plan import make_plan

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
STEMS = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")
AGES = (20, 20, 22, 25, 45, 52, 60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven women in the competition's layout: four young ones, two of middle age, one old."""
    shades = iter(range(5, 250, 5))
    for number, age in enumerate(AGES):
        folder = tmp_path / "images" / f"00000{number}_female_Asian_{age}"
        folder.mkdir(parents=True)
        for stem in STEMS:
            Image.new("RGB", (36, 48), (next(shades), 100, 40 * number)).save(folder / f"{stem}.png")
    return tmp_path / "images"


def rows_of(made: OversampleResult) -> list[dict[str, str]]:
    return list(csv.DictReader(made.manifest.open(encoding="utf-8")))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rare_classes_are_oversampled_and_the_source_is_unchanged(root, tmp_path):
    before = content(root)
    calls: list[tuple[int, int]] = []
    made = write_oversampled(root, SCHEMA, tmp_path / "blends", 9, progress=lambda *pair: calls.append(pair))
    assert content(root) == before
    # Worn, incorrect and bare, of young, middle-aged and old women: 20, 10 and 5; 4, 2 and 1; the same.
    assert made.original_counts == {3: 20, 4: 10, 5: 5, 9: 4, 10: 2, 11: 1, 15: 4, 16: 2, 17: 1}
    # 4 photos of 4 persons are 6 pairs, 2 are 1; a person alone has none.
    assert made.blend_counts == {5: 0, 9: 5, 10: 1, 11: 0, 15: 5, 16: 1, 17: 0}
    rows = rows_of(made)
    assert len(rows) == 12
    assert {path.name for path in (tmp_path / "blends").iterdir()} == {"manifest.csv", *(row["path"] for row in rows)}
    assert calls[-1] == (19 + 12, 19 + 12)
    assert (made.unreadable, made.unlabeled) == ({}, 0)


def test_blends_have_one_class_and_two_persons(root, tmp_path):
    made = write_oversampled(root, SCHEMA, tmp_path / "blends", 30)
    photos = read_photos(made.manifest, SCHEMA)
    classes = SCHEMA.to_class_index(photos.attribute_indices(SCHEMA))
    assert Counter(classes.tolist()) == {number: count for number, count in made.blend_counts.items() if count}
    ages = {f"00000{number}_female_Asian_{age}": float(age) for number, age in enumerate(AGES)}
    for photo, number in zip(photos, classes, strict=True):
        one, other = photo.person.split(PERSON_SEPARATOR)
        assert one != other
        both = {ages[one], ages[other]}
        # The age if equal, else the common band.
        assert photo.labels["age"] == (both.pop() if len(both) == 1 else ("<30", "30-59", ">=60")[number % 3])
    pixels = {photo.name: np.asarray(Image.open(photo.path)).astype(int) for photo in photos}
    sources = {photo.person: [] for photo in read_photos(root, SCHEMA)}
    for photo in read_photos(root, SCHEMA):
        sources[photo.person].append(np.asarray(Image.open(photo.path)).astype(int)[0, 0])
    for photo in photos:
        one, other = photo.person.split(PERSON_SEPARATOR)
        blues = sources[one][0][2], sources[other][0][2]
        blue = pixels[photo.name][..., 2].mean()
        share = (blue - blues[1]) / (blues[0] - blues[1])
        assert 0.25 < share < 0.75


@pytest.mark.parametrize("asked", [10, 500])
def test_pairs_are_unique_and_uniform(asked):
    group = np.arange(100, 120)
    persons = np.repeat(np.arange(10), 2)
    pairs = [pair for pair, _ in zip(_draw_pairs(group, persons, np.random.default_rng(0)), range(asked), strict=False)]
    # 190 pairs, ten of them of a person with itself.
    assert len(pairs) == min(asked, 180)
    places = {(pair.first, pair.second) for pair in pairs}
    assert len(places) == len({tuple(sorted(pair)) for pair in places}) == len(pairs)
    assert all(persons[first - 100] != persons[second - 100] for first, second in places)
    assert all(0.3 <= pair.lam <= 0.7 for pair in pairs)
    firsts = [next(_draw_pairs(group, persons, np.random.default_rng(seed))) for seed in range(400)]
    assert len({(pair.first, pair.second) for pair in firsts}) > 140


def test_seed_determines_the_blends(root, tmp_path):
    made = [
        content(write_oversampled(root, SCHEMA, tmp_path / str(place), 9, seed=seed).manifest.parent)
        for place, seed in enumerate((3, 3, 4))
    ]
    assert made[0] == made[1] != made[2]


def test_blend_is_the_weighted_mean_at_the_first_photos_size():
    first, second = Image.new("RGB", (8, 10), (200, 0, 40)), Image.new("RGB", (30, 20), (100, 80, 40))
    assert np.asarray(blend_photos(first, second, 0.75)).tolist() == [[[175, 20, 40]] * 8] * 10


def test_unreadable_photos_are_listed_and_skipped(root, tmp_path):
    bad = root / "000001_female_Asian_20" / "incorrect_mask.png"
    bad.write_bytes(bad.read_bytes()[:60])
    made = write_oversampled(root, SCHEMA, tmp_path / "blends", 9)
    assert list(made.unreadable) == ["000001_female_Asian_20/incorrect_mask.png"]
    assert "damaged" in next(iter(made.unreadable.values()))
    assert made.blend_counts[9] == 3
    assert not any("000001" in row["person"] and row["path"].startswith("09") for row in rows_of(made))


def test_photos_of_unknown_class_are_skipped(root, tmp_path):
    photos = [photo.relative_to(tmp_path).as_posix() for photo in sorted(root.rglob("normal.png"))]
    lines = [f"{path},p{place},normal,female,{'' if place > 1 else 20}" for place, path in enumerate(photos)]
    manifest = tmp_path / "photos.csv"
    manifest.write_text("\n".join(["path,person,mask,gender,age", *lines]))
    made = write_oversampled(manifest, SCHEMA, tmp_path / "blends", 3)
    assert made.unlabeled == 5
    assert made.blend_counts == {15: 1}
    assert rows_of(made)[0]["person"] in ("p0|p1", "p1|p0")


def test_invalid_output_folders_raise(root, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "precious").touch()
    for out, why in ((taken, "not empty"), (root / "blends", "among the photos"), (root, "not empty")):
        with pytest.raises(DataError, match=why):
            write_oversampled(root, SCHEMA, out, 9)
    with pytest.raises(DataError, match="nothing to blend"):
        write_oversampled(root, SCHEMA, tmp_path / "new", 1)
    assert not (tmp_path / "new").exists()
    assert not (root / "blends").exists()


def test_training_excludes_blends_of_held_out_persons(root, tmp_path):
    made = write_oversampled(root, SCHEMA, tmp_path / "blends", 30)
    plan = make_plan(read_recipe("fast", [f"data.path={root}", f"data.extra_train={made.manifest}", "cv.num_folds=2"]))
    for fold in range(2):
        train, valid = plan.split(fold)
        held_out = {plan.photos[int(place)].person for place in valid}
        used = [plan.photos[int(place)].person for place in train if place >= plan.num_scored_photos]
        assert used
        assert not any(held_out & set(person.split(PERSON_SEPARATOR)) for person in used)
        assert len(used) < sum(made.blend_counts.values())
