"""Pseudo-labels: only what is sure, one gender and age a person, and a manifest that training can read."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.pseudo_labels import read_persons, select_pseudo_labels, write_pseudo_labels
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEME = LABEL_SCHEMAS["mask-gender-age"]


def row(mask: tuple[float, ...], gender: tuple[float, ...], age: tuple[float, ...]) -> np.ndarray:
    """Probabilities of 18 classes from those of each attribute."""
    return np.einsum("m,g,a->mga", mask, gender, age).reshape(-1)


WORN, BARE = (0.98, 0.01, 0.01), (0.01, 0.01, 0.98)
WOMAN, PERHAPS_MAN = (0.01, 0.99), (0.55, 0.45)
YOUNG, OLD, UNDECIDED = (0.99, 0.01, 0.0), (0.0, 0.01, 0.99), (0.0, 0.5, 0.5)


def table_of(*rows: np.ndarray) -> ProbabilityTable:
    return ProbabilityTable(tuple(f"{place}.jpg" for place in range(len(rows))), np.stack(rows))


def test_what_is_sure_enough_is_taken_with_its_class():
    table = table_of(row(WORN, WOMAN, YOUNG), row(WORN, WOMAN, UNDECIDED), row(BARE, WOMAN, OLD))
    made = select_pseudo_labels(table, SCHEME, 0.95)
    assert made.names == ("0.jpg", "2.jpg")
    assert made.classes.tolist() == [3, 17]
    assert made.confidence == pytest.approx(table.confidence[[0, 2]])
    assert (made.num_below_threshold, made.num_disagreeing, made.persons) == (1, 0, ("", ""))


@pytest.mark.parametrize("threshold", [0.2, 0.6, 0.9, 0.99])
def test_the_threshold_is_reached_and_nothing_above_it_is_lost(threshold):
    probabilities = np.random.default_rng(0).dirichlet(np.full(18, 0.05), size=300)
    table = ProbabilityTable(tuple(map(str, range(300))), probabilities)
    made = select_pseudo_labels(table, SCHEME, threshold)
    assert made.names == tuple(str(place) for place in range(300) if probabilities[place].max() >= threshold)
    assert made.classes.tolist() == [int(probabilities[int(name)].argmax()) for name in made.names]
    assert made.num_below_threshold == 300 - len(made.names)


def test_gender_and_age_are_the_persons_and_the_mask_the_photos():
    """Two clear photos carry a third that by itself says something else."""
    rows = [row(WORN, WOMAN, OLD), row(BARE, WOMAN, OLD), row(WORN, PERHAPS_MAN, OLD), row(WORN, PERHAPS_MAN, OLD)]
    persons = dict.fromkeys(("0.jpg", "1.jpg", "2.jpg"), "anna")
    made = select_pseudo_labels(table_of(*rows), SCHEME, 0.75, persons=persons)
    assert made.names == ("0.jpg", "1.jpg", "2.jpg")
    assert made.classes.tolist() == [5, 17, 5]
    assert made.persons == ("anna",) * 3
    wanted = 0.98 * 0.99 * (0.99 + 0.99 + 0.45) / 3
    assert made.confidence == pytest.approx([wanted] * 3)
    # The fourth is somebody else, and not sure.
    assert made.num_below_threshold == 1


def test_agree_leaves_out_persons_whose_photos_disagree():
    rows = [row(WORN, WOMAN, OLD), row(WORN, PERHAPS_MAN, OLD), row(WORN, WOMAN, OLD), row(BARE, WOMAN, OLD)]
    persons = {"0.jpg": "anna", "1.jpg": "anna", "2.jpg": "berta", "3.jpg": "berta"}
    assert len(select_pseudo_labels(table_of(*rows), SCHEME, 0.6, persons=persons).names) == 4
    made = select_pseudo_labels(table_of(*rows), SCHEME, 0.6, persons=persons, agree=True)
    # Masks may differ: they are the photo's.
    assert made.names == ("2.jpg", "3.jpg")
    assert (made.num_disagreeing, made.num_below_threshold) == (2, 0)
    with pytest.raises(DataError, match="2 are of persons whose photos disagree"):
        select_pseudo_labels(table_of(*rows[:2]), SCHEME, 0.6, persons=persons, agree=True)


def test_the_mean_is_that_of_a_slow_loop():
    chance = np.random.default_rng(1)
    probabilities = chance.dirichlet(np.full(18, 0.3), size=40)
    table = ProbabilityTable(tuple(map(str, range(40))), probabilities)
    persons = {str(place): f"p{place // 5}" for place in range(30)} | {"39": ""}
    made = select_pseudo_labels(table, SCHEME, 1e-9, persons=persons)
    for place in range(40):
        cube = probabilities[place].reshape(3, 6)
        group = [other for other in range(30) if other // 5 == place // 5] if place < 30 else [place]
        if len(group) > 1:
            mean = np.mean([probabilities[other].reshape(3, 6).sum(axis=0) for other in group], axis=0)
            cube = cube.sum(axis=1)[:, None] * mean[None]
        assert made.classes[place] == cube.argmax()
        assert made.confidence[place] == pytest.approx(cube.max())


@pytest.mark.parametrize("name", ["gender-age", "mask-gender", "mask", "age"])
def test_other_schemes(name):
    scheme = LABEL_SCHEMAS[name]
    probabilities = np.random.default_rng(2).dirichlet(np.full(scheme.num_classes, 0.3), size=6)
    table = ProbabilityTable(tuple(map(str, range(6))), probabilities)
    made = select_pseudo_labels(table, scheme, 0.01, persons=dict.fromkeys(map(str, range(6)), "one"))
    codes = scheme.to_attribute_indices(made.classes)
    for column, attribute in enumerate(scheme.names):
        assert attribute == "mask" or len(set(codes[:, column].tolist())) == 1
    if name == "mask":
        assert made.classes.tolist() == probabilities.argmax(axis=1).tolist()


def test_what_cannot_be_is_refused():
    table = table_of(row(WORN, PERHAPS_MAN, UNDECIDED))
    with pytest.raises(DataError, match=r"the highest probability is 0\.270"):
        select_pseudo_labels(table, SCHEME, 0.95)
    for threshold in (0.0, 1.1, float("nan")):
        with pytest.raises(DataError, match="threshold"):
            select_pseudo_labels(table, SCHEME, threshold)
    with pytest.raises(DataError, match="18 classes, the schema 3"):
        select_pseudo_labels(table, LABEL_SCHEMAS["mask"], 0.9)
    with pytest.raises(DataError, match="none of the table's photos"):
        select_pseudo_labels(table, SCHEME, 0.1, persons={"other.jpg": "anna"})


def test_persons_are_read_by_either_column(tmp_path):
    for column in ("ImageID", "path"):
        (tmp_path / "p.csv").write_text(f"{column},person\na.jpg,anna\nb.jpg,\n")
        assert read_persons(tmp_path / "p.csv") == {"a.jpg": "anna", "b.jpg": ""}
    for text, why in (
        ("photo,person\na,b\n", "no column"),
        ("ImageID,person\na,b\na,c\n", "row 3: duplicate of row 2, a"),
        ("ImageID\na\n", "person"),
    ):
        (tmp_path / "p.csv").write_text(text)
        with pytest.raises(DataError, match=why):
            read_persons(tmp_path / "p.csv")


def test_the_manifest_is_one_that_training_reads(tmp_path: Path):
    images = tmp_path / "eval" / "images"
    images.mkdir(parents=True)
    for place in range(3):
        (images / f"{place}.jpg").touch()
    table = table_of(row(WORN, WOMAN, YOUNG), row(WORN, WOMAN, UNDECIDED), row(BARE, WOMAN, OLD))
    made = select_pseudo_labels(table, SCHEME, 0.95, persons={"0.jpg": "anna"})
    path = write_pseudo_labels(tmp_path / "made" / "pseudo.csv", made, SCHEME, images)
    rows = list(csv.DictReader(path.open()))
    assert [item["path"] for item in rows] == ["../eval/images/0.jpg", "../eval/images/2.jpg"]
    assert list(rows[0]) == ["path", "person", "mask", "gender", "age_band"]
    photos = read_photos(path, SCHEME)
    assert SCHEME.to_class_index(photos.attribute_indices(SCHEME)).tolist() == [3, 17]
    assert photos[0].person == "anna"
    (images / "2.jpg").unlink()
    with pytest.raises(DataError, match=r"2\.jpg"):
        write_pseudo_labels(tmp_path / "again.csv", made, SCHEME, images)
    assert not (tmp_path / "again.csv").exists()


def test_persons_of_faces_are_listed_with_their_boxes(tmp_path):
    path = tmp_path / "persons.csv"
    path.write_text("ImageID,person,left,upper,right,lower\na.jpg,anna,1,2,3,4\na.jpg,ben,5,2,9,4\nb.jpg,ben,,,,\n")
    assert read_persons(path) == {"a.jpg[1,2,3,4]": "anna", "a.jpg[5,2,9,4]": "ben", "b.jpg": "ben"}
