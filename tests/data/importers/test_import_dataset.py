"""Tests of what all formats share: detection, merging, persons, and the manifest."""

from __future__ import annotations

import csv
import json

import pytest

from maskfit.data.importers import write_manifest
from maskfit.data.read_dataset import read_photos, scan_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

HEADER = "file,age,gender,race,service_test\n"


def test_the_manifest_reads_back_as_it_was_imported(write_tree, import_, tmp_path):
    rows = "a.jpg,3-9,Male,White,True\nb.jpg,more than 70,Female,White,True\nc.jpg,25-32,Female,White,True\n"
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"labels.csv": HEADER + rows}))
    target = write_manifest(dataset, tmp_path / "manifests" / "m.csv")
    assert target.read_text().splitlines()[:2] == ["path,gender,age", "../source/a.jpg,male,3 to 9"]
    photos = read_photos(target, LABEL_SCHEMAS["gender-age"])
    assert photos.attribute_indices(LABEL_SCHEMAS["gender-age"]).tolist() == [[0, 0], [1, 2], [1, -1]]


def test_two_formats_are_a_question(write_tree, import_):
    tasks = [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": []}]}]
    root = write_tree("with_mask/a.jpg", texts={"labels.csv": HEADER, "export.json": json.dumps(tasks)})
    with pytest.raises(DataError, match=r"not certain; it may be label-studio .*fairface .*folders") as error:
        import_(root)
    assert error.value.hint == "name it: --format label-studio"


def test_names_do_not_come_before_the_labels_of_boxes(write_tree, import_):
    root = write_tree("000001_mask1.jpg", texts={"000001_mask1.xml": "<annotation></annotation>"})
    with pytest.raises(DataError, match=r"it may be voc .*, flat ") as error:
        import_(root)
    assert error.value.hint == "name it: --format voc"


def test_the_competition_layout_needs_no_import(write_tree, import_):
    root = write_tree("images/000001_female_Asian_45/mask1.jpg", "images/000001_female_Asian_45/normal.jpg")
    for folder in (root, root / "images"):
        with pytest.raises(DataError, match="competition's layout, which needs no import") as error:
            import_(folder)
        assert f"as it is: maskfit data check {folder}" in error.value.hint


def test_a_source_of_no_format(write_tree, import_):
    with pytest.raises(
        DataError, match=r"none of the formats that can be imported \(1 photo and 1 other file\)"
    ) as error:
        import_(write_tree("a.jpg", texts={"notes.md": "x"}))
    assert "--format: folders, flat" in error.value.hint
    with pytest.raises(DataError, match="no such folder or file"):
        import_(write_tree() / "nowhere")


def test_a_table_that_needs_no_import(write_tree, import_):
    table = write_tree("a.jpg", texts={"m.csv": "path;mask\na.jpg;wear\n"}) / "m.csv"
    with pytest.raises(DataError, match="a manifest already, since column path names the photos") as error:
        import_(table)
    assert f"use it as it is; what has to be changed in it, if anything, is listed by: maskfit data check {table}" in (
        error.value.hint
    )


@pytest.mark.parametrize(
    ("name", "text", "message", "hint"),
    [
        ("m.csv", "foo,mask\n1,wear\n", "no path column; its columns are foo, mask", "add one; then maskfit data"),
        ("m.csv", "a.jpg,wear\nb.jpg,wear\n", "first row is no header, but names a photo", "such as path,mask; then"),
        ("m.csv", "path,mask\n", "the manifest has no rows", "one row per photo; then maskfit data"),
        (
            "m.csv",
            "path,note\na.jpg,x\n",
            "it has no column of labels, but note",
            "name a column mask, gender, age or class; then",
        ),
        ("m.csv", "path\na.jpg\n", "it has no column of labels", "name a column mask, gender, age or class; then"),
        (
            "m.csv",
            "path,mask=wear\na.jpg,wear\n",
            "holds values of mask: wear",
            "rename column mask=wear to mask; then",
        ),
        (
            "m.csv",
            "path,mask=wear,mask=not_wear\na.jpg,1,0\n",
            "votes or probabilities of mask",
            "maskfit data majority",
        ),
        ("m.csv", "path,mask=wear\na.jpg,0.7\n", "mask=wear: votes or probabilities of mask", "data.soft_labels=FILE"),
        ("m.tsv", "path\tmask\na.jpg\twear\n", "a manifest already", "rename it to m.csv, use it as it is"),
    ],
)
def test_what_a_table_lacks_is_said_and_not_sent_back_and_forth(write_tree, import_, name, text, message, hint):
    """`data check` and `data import` named each other as the next step of such a table."""
    table = write_tree("a.jpg", texts={name: text}) / name
    with pytest.raises(DataError, match=message) as error:
        import_(table)
    assert hint in error.value.hint
    problems = scan_photos(table, LABEL_SCHEMAS["mask"])[1]
    if "mask=" in text:
        assert [problem.severity for problem in problems if problem.kind == "labels"] == ["warning"]
    assert "data import" not in " ".join(problem.hint for problem in problems)
    if name == "m.tsv":
        assert problems[0].hint == "rename it so that it ends in .csv; tabs are read"


def test_what_was_not_read_is_said(write_tree, import_):
    root = write_tree("with_mask/a.jpg", texts={"with_mask/b.gif": "x", "with_mask/c.gif": "x", "table.xlsx": "x"})
    notes = import_(root).notes
    assert "1 file that may hold labels was not read: table.xlsx" in notes
    assert "images in formats that maskfit does not read: .gif (2)" in notes


def test_an_age_out_of_range_leaves_its_row_out(write_tree, import_):
    rows = "a.jpg,34,Male,White,True\nb.jpg,300,Male,White,True\n"
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"labels.csv": HEADER + rows}))
    assert [row.photo.name for row in dataset.rows] == ["a.jpg"]
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("labels.csv row 3", "a value out of range: age must be in [0, 120]")
    ]


def test_persons_from_paths(write_tree, import_, tmp_path):
    root = write_tree("with_mask/anna_1.jpg", "no_mask/anna_2.jpg", "no_mask/bob_1.jpg", "no_mask/9.jpg")
    dataset = import_(root, person="([a-z]+)_[^/]*$")
    assert [row.person for row in dataset.rows] == ["", "anna", "bob", "anna"]
    assert "persons are read from the paths of 3 of 4 rows: 2 persons, such as anna, bob" in dataset.notes
    with write_manifest(dataset, tmp_path / "m.csv").open() as stream:
        assert [row["person"] for row in csv.DictReader(stream)] == ["", "anna", "bob", "anna"]


def test_versions_of_a_photo_are_one_person(write_tree, import_):
    photos = ["no_mask/a_jpg.rf.0a1.jpg", "no_mask/a_jpg.rf.b2C.jpg", "with_mask/b_jpg.rf.0a1.jpg", "with_mask/c.jpg"]
    dataset = import_(write_tree(*photos))
    assert [row.person for row in dataset.rows] == ["a_jpg", "a_jpg", "b_jpg", ""]
    assert any("3 photos are augmented versions of 2" in note for note in dataset.notes)
    named = import_(write_tree(*photos), person="/(.)[^/]*$")
    assert [row.person for row in named.rows] == ["a", "a", "b", "c"]


def test_names_with_a_hash_alone_say_nothing_about_persons(write_tree, import_):
    dataset = import_(write_tree("no_mask/a_jpg.rf.0a1.jpg", "with_mask/b_jpg.rf.0a1.jpg"))
    assert not any(row.person for row in dataset.rows)


def test_a_single_value_is_said(write_tree, import_):
    assert "mask is wear wherever it is known" in import_(write_tree("with_mask/a.jpg", "with_mask/b.jpg")).notes


def test_nobody_says_who_is_on_the_photos(write_tree, import_):
    assert [note for note in import_(write_tree("with_mask/a.jpg", "no_mask/b.jpg")).notes if "folds may leak" in note]


def test_a_file_of_the_source_is_never_the_target(write_tree, import_):
    root = write_tree("a.jpg", texts={"labels.csv": HEADER + "a.jpg,3-9,Male,White,True\n"})
    dataset = import_(root)
    with pytest.raises(DataError, match="a file of the source"):
        write_manifest(dataset, root / "labels.csv")
    assert (root / "labels.csv").read_text().startswith("file,age")


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("coco", {"images": [], "annotations": [], "categories": [{"id": [1], "name": "with_mask"}]}),
        ("coco", {"images": [{"id": {}, "file_name": "gone.jpg"}], "annotations": [], "categories": []}),
        ("mmpretrain", {"metainfo": [], "data_list": [{"img_path": "a.jpg", "gt_label": {"gender": 0}}]}),
        ("label-studio", [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [[]]}]}]),
    ],
)
def test_values_of_a_type_that_the_format_does_not_have(write_tree, import_, format, content):
    root = write_tree("a.jpg", texts={"labels.json": json.dumps(content)})
    with pytest.raises(DataError) as caught:
        import_(root, format)
    assert "is not in the form of" in caught.value.message or format != "coco"
    assert caught.value.hint
    # Other formats are looked for all the same.
    with pytest.raises(DataError):
        import_(root)


ONE_HOT = "filename, with_mask, without_mask\n{}.jpg, {}, {}\n"
CREATEML = '[{{"image": "{}.jpg", "annotations": [{{"label": "{}", "coordinates": {}}}]}}]'
COORDINATES = '{"x": 10, "y": 10, "width": 16, "height": 16}'


@pytest.mark.parametrize("parts", [("train", "valid"), ("train2017", "val2017"), ("Training", "Testing")])
@pytest.mark.parametrize("form", ["one-hot", "createml", "boxes", "folders"])
def test_parts_that_are_imported_together_are_named_in_every_format(write_tree, import_, form, parts):
    one, two = parts
    texts = {
        "one-hot": {f"{one}/_classes.csv": ONE_HOT.format("a", 1, 0), f"{two}/_classes.csv": ONE_HOT.format("b", 0, 1)},
        "createml": {
            f"{one}/_annotations.createml.json": CREATEML.format("a", "with_mask", COORDINATES),
            f"{two}/_annotations.createml.json": CREATEML.format("b", "without_mask", COORDINATES),
        },
        "boxes": {
            f"{one}/_annotations.csv": "filename,class,xmin,ymin,xmax,ymax\na.jpg,with_mask,2,2,18,18\n",
            f"{two}/_annotations.csv": "filename,class,xmin,ymin,xmax,ymax\nb.jpg,without_mask,2,2,18,18\n",
        },
        "folders": {},
    }[form]
    photos = (f"{one}/a.jpg", f"{two}/b.jpg")
    if form == "folders":
        photos = (f"{one}/with_mask/a.jpg", f"{two}/without_mask/b.jpg")
    root = write_tree(*photos, texts=texts)
    dataset = import_(root, form)
    assert {row.photo.name: row.labels["mask"] for row in dataset.rows} == {"a.jpg": "wear", "b.jpg": "not_wear"}
    (note,) = (note for note in dataset.notes if note.startswith("the parts"))
    assert note.startswith(f"the parts {', '.join(sorted(parts))} are imported together; maskfit splits persons itself")
    assert not [note for note in import_(root / one, form).notes if note.startswith("the parts")]
