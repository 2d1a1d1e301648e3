"""Tests of boxes in manifests: what is clipped, set aside or an error, and that faces of one photo stay together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from maskfit.data.label_corrections import Correction, apply_corrections
from maskfit.data.manifest import read_rows
from maskfit.data.read_dataset import read_photos, scan_photos
from maskfit.data.splits import make_person_splits
from maskfit.data.validation import validate_dataset
from maskfit.errors import DataError


@pytest.fixture
def manifest(tmp_path: Path, write_photo) -> Callable[..., Path]:
    """Writes faces.csv beside a.jpg to f.jpg of 72 x 96 pixels."""
    for seed, name in enumerate("abcdef"):
        write_photo(tmp_path / f"{name}.jpg", seed=seed)

    def write(*rows: str, header: str = "path,mask,left,upper,right,lower") -> Path:
        path = tmp_path / "faces.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


def notes_of(problems, kind: str) -> list[str]:
    return [problem.message for problem in problems if problem.kind == kind]


def test_a_photo_has_a_row_for_each_face(manifest, schema):
    path = manifest("a.jpg,wear,1,2,30,40", "a.jpg,not_wear,31.5,2,60,40", "b.jpg,wear,,,,")
    photos, problems = scan_photos(path, schema)
    assert [(photo.name, photo.box) for photo in photos] == [
        ("a.jpg[1,2,30,40]", (1, 2, 30, 40)),
        ("a.jpg[31.5,2,60,40]", (31.5, 2, 60, 40)),
        ("b.jpg", None),
    ]
    assert [photo.file_name for photo in photos] == ["a.jpg", "a.jpg", "b.jpg"]
    assert [photo.person for photo in photos] == ["a.jpg", "a.jpg", "b.jpg"]
    assert not [problem for problem in problems if problem.severity == "fatal"]
    assert not notes_of(problems, "boxes")
    assert notes_of(problems, "faces") == [
        "2 faces on 1 photo, 1 with several; without a person, the faces of one photo stay on one side of a split"
    ]
    assert set(read_rows(path, schema)) == {photo.name for photo in photos}


def test_boxes_are_clipped_set_aside_and_counted(manifest, schema):
    path = manifest(
        "a.jpg,wear,-4,2,30,40", "a.jpg,wear,50,50,90,96", "b.jpg,wear,5,5,5,50", "c.jpg,wear,72,5,80,50",
        "d.jpg,wear,10,10,11,12", "e.jpg,wear,1,1,60,60",
    )  # fmt: skip
    photos, problems = scan_photos(path, schema)
    assert [photo.file_name for photo in photos] == ["a.jpg", "a.jpg", "d.jpg", "e.jpg"]
    assert "boxes that leave their photo, clipped to it: 2 of 6" in notes_of(problems, "boxes")
    (empty,) = notes_of(problems, "empty boxes")
    assert empty.startswith("2 rows are set aside")
    assert "row 4: b.jpg[5,5,5,50] is empty" in empty
    assert "row 5: c.jpg[72,5,80,50] lies outside of its photo of 72 x 96 pixels" in empty
    assert notes_of(problems, "tiny boxes")[0].endswith("but used: 1 of 6")
    # A training prints the same.
    assert any("set aside" in note.message for note in photos.notes)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("path,mask,left,upper,right", "a.jpg,wear,1,2,30", "left, upper, right lack lower"),
        ("path,mask,left,upper,right,lower", "a.jpg,wear,1,2,30,", "the box lacks lower"),
        ("path,mask,left,upper,right,lower", "a.jpg,wear,1,2,x,4", "right is not a number: 'x'"),
        ("path,mask,left,upper,right,lower", 'a.jpg,wear,1,2,"3,5",4', "'3,5'; it has a decimal comma, write 3.5"),
        ("path,mask,left,upper,right,lower", "a.jpg,wear,0.1,0.2,0.5,0.9", "looks like fractions of the photos' sizes"),
        ("path,mask,x,y,w,h", "a.jpg,wear,0.1,0.2,0.5,0.9", "looks like fractions of the photos' sizes"),
        ("path,mask,xc,yc,w,h", "a.jpg,wear,10,20,5,9", "center and size"),
    ],
)
def test_wrong_boxes_are_errors(manifest, schema, header, row, message):
    with pytest.raises(DataError, match=message):
        read_photos(manifest(row, header=header), schema)


def test_the_same_box_twice_is_an_error_and_another_is_not(manifest, schema):
    with pytest.raises(DataError, match=r"a.jpg\[1,2,30,40\] is already in row 2"):
        read_photos(manifest("a.jpg,wear,1,2,30,40", "./a.jpg,wear,1.0,2,30,40"), schema)
    assert len(read_photos(manifest("a.jpg,wear,1,2,30,40", "a.jpg,wear,1,2,30,41"), schema)) == 2


def test_labels_of_the_same_box_that_disagree_are_named(manifest, schema):
    with pytest.raises(DataError, match=r"already in row 2, and the labels disagree about mask") as caught:
        read_photos(manifest("a.jpg,wear,1,2,30,40", "a.jpg,not_wear,1,2,30,40"), schema)
    assert "maskfit data import merges" in str(caught.value)
    with pytest.raises(DataError) as caught:
        read_photos(manifest("a.jpg,wear,1,2,30,40", "a.jpg,wear,1,2,30,40"), schema)
    assert "disagree about" not in str(caught.value)
    # Two annotators of a whole table: one problem for what agrees, and one for what does not.
    boxes = [f"1,2,30,{edge}" for edge in range(40, 50)]
    rows = [f"a.jpg,{label},{box}" for label in ("wear", "not_wear") for box in boxes] + [
        f"a.jpg,wear,{box}" for box in boxes
    ]
    fatal = [problem.message for problem in scan_photos(manifest(*rows), schema)[1] if problem.severity == "fatal"]
    assert [message.partition("; ")[2] for message in fatal] == [
        "10 rows have this problem: 12, 13, 14, 15, 16, 17, 18, 19, ...",
        "10 rows have this problem: 22, 23, 24, 25, 26, 27, 28, 29, ...",
    ]
    assert ["disagree about mask" in message for message in fatal] == [True, False]


@pytest.mark.parametrize(
    ("edges", "is_said"), [("left,upper,right,lower", False), ("Left,Upper,Right,Lower", False), ("x1,y1,x2,y2", True)]
)
def test_only_box_columns_of_other_names_are_said(manifest, schema, edges, is_said):
    path = manifest("a.jpg,wear,1,2,30,40", header=f"path,mask,{edges}")
    assert any("read as the box" in problem.message for problem in scan_photos(path, schema)[1]) == is_said


def test_faces_of_one_photo_are_never_split(manifest, schema):
    rows = [f"{name}.jpg,wear,{left},2,{left + 20},40" for name in "abcdef" for left in (0, 20, 40)]
    photos = read_photos(manifest(*rows), schema)
    for seed in range(5):
        splits = make_person_splits(photos, schema, 3, seed=seed)
        for fold in range(3):
            train, val = splits.split(photos, fold)
            assert not {photos[i].file_name for i in train} & {photos[i].file_name for i in val}


def test_named_persons_on_one_photo_may_be_split_and_are_told(manifest, schema):
    header = "path,person,mask,left,upper,right,lower"
    path = manifest(
        "a.jpg,anna,wear,0,2,20,40", "a.jpg,ben,wear,30,2,60,40", "b.jpg,anna,wear,0,2,20,40", header=header
    )
    photos, problems = scan_photos(path, schema)
    assert [photo.person for photo in photos] == ["anna", "ben", "anna"]
    assert notes_of(problems, "shared photos")[0].startswith(
        "photos with faces of different persons, whom a split can separate: 1 of 2"
    )
    path = manifest("a.jpg,anna,wear,0,2,20,40", "b.jpg,ben,wear,30,2,60,40", header=header)
    assert notes_of(scan_photos(path, schema)[1], "shared photos") == []


def test_check_finds_no_duplicates_among_the_faces_of_a_photo(manifest, schema, tmp_path):
    rows = ["a.jpg,wear,0,2,20,40", "a.jpg,not_wear,30,2,60,40"]
    report = validate_dataset(manifest(*rows), schema)
    assert report.num_fatal == 0
    assert not notes_of(report.problems, "duplicate") + notes_of(report.problems, "duplicate across persons")
    # Of a copy of the photo there is one warning, and it compares the labels of the same box.
    shutil.copy(tmp_path / "a.jpg", tmp_path / "copy.jpg")
    rows += ["copy.jpg,wear,0,2,20,40", "copy.jpg,wear,30,2,60,40"]
    report = validate_dataset(manifest(*rows), schema)
    (message,) = notes_of(report.problems, "duplicate across persons")
    assert message.startswith("the same file as copy.jpg, under 2 persons")
    assert message.endswith("the labels disagree about mask")


def test_an_unreadable_photo_is_one_problem_for_all_its_faces(manifest, schema, tmp_path):
    path = manifest("a.jpg,wear,0,2,20,40", "a.jpg,not_wear,30,2,60,40", "b.jpg,wear,0,2,20,40")
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    problems = [item for item in validate_dataset(path, schema).problems if item.kind == "unreadable"]
    assert [item.location for item in problems] == ["a.jpg"]


def test_corrections_name_a_face_or_exclude_all_of_a_photo(manifest, schema):
    photos = read_photos(manifest("a.jpg,wear,0,2,20,40", "a.jpg,wear,30,2,60,40", "b.jpg,wear,0,2,20,40"), schema)

    def apply(photo: str, attribute: str, value: str, person: str = "a.jpg") -> list[str]:
        result = apply_corrections(photos, [Correction(person, photo, attribute, value)], schema)
        return [f"{item.name} {item.labels['mask']}" for item in result.photos]

    assert apply("a.jpg[30,2,60,40]", "mask", "not_wear") == [
        "a.jpg[0,2,20,40] wear", "a.jpg[30,2,60,40] not_wear", "b.jpg[0,2,20,40] wear",
    ]  # fmt: skip
    assert apply("a.jpg", "use", "no") == ["b.jpg[0,2,20,40] wear"]
    assert apply("b.jpg", "mask", "incorrect", "b.jpg")[-1] == "b.jpg[0,2,20,40] incorrect"
    with pytest.raises(DataError, match=r"a.jpg has 2 faces; name one of them: a.jpg\[0,2,20,40\]"):
        apply("a.jpg", "mask", "not_wear")


def test_nobody_named_is_still_told(manifest, schema):
    report = validate_dataset(manifest("a.jpg,wear,0,2,20,40", "b.jpg,wear,30,2,60,40"), schema)
    assert "each of the 2 counts as a person" in notes_of(report.problems, "persons")[0]
