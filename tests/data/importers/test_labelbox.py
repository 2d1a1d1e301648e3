"""Tests of Labelbox's export, in the form of its documentation (version 2)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from maskfit.data.image_opening import EXIF_ORIENTATION
from maskfit.data.importers.interface import Confidence
from maskfit.data.importers.labelbox import LabelboxImporter
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

# Photos of `write_tree` have 24 x 32 pixels.

NAN, LONG = float("nan"), 10**400


def faces(dataset) -> list[tuple[str, tuple[float, ...] | None, dict[str, str]]]:
    return [(row.photo.name, row.box, dict(row.labels)) for row in dataset.rows]


def left_out(dataset) -> list[tuple[str, str]]:
    return [(item.location, item.reason) for item in dataset.left_out]


def radio(name: str, answer: str, *nested: Any) -> dict[str, Any]:
    chosen = {"feature_id": "c1", "name": answer, "value": answer.lower().replace(" ", "_"), "classifications": nested}
    return {"feature_id": "c0", "name": name, "value": name.lower(), "radio_answer": chosen}


def checklist(name: str, *answers: str) -> dict[str, Any]:
    chosen = [{"feature_id": "c1", "name": answer, "value": answer, "classifications": []} for answer in answers]
    return {"feature_id": "c0", "name": name, "value": name.lower(), "checklist_answers": chosen}


def text(name: str, content: Any) -> dict[str, Any]:
    return {"feature_id": "c0", "name": name, "value": name.lower(), "text_answer": {"content": content}}


def thing(name: str, *questions: Any, box: Any = (1, 2, 11, 18), **others: Any) -> dict[str, Any]:
    kind = {"feature_id": "o0", "name": name, "value": name.lower(), "annotation_kind": "ImageBoundingBox"}
    shape = others or {"bounding_box": dict(zip(("left", "top", "width", "height"), box, strict=True))}
    return kind | {"classifications": questions} | shape


def label(objects: Any = (), questions: Any = (), by: str = "anna@example.org", skipped: bool = False) -> Any:
    return {
        "label_kind": "Default", "version": "1.0.0", "id": f"label of {by}",
        "label_details": {"created_at": "2024-04-08T16:21:26.000+00:00", "created_by": by, "reviews": []},
        "performance_details": {"seconds_to_create": 3, "skipped": skipped},
        "annotations": {"objects": objects, "classifications": questions, "relationships": []},
    }  # fmt: skip


def row(name: str, *labels: Any, size: tuple[int, int] = (24, 32), **keys: Any) -> dict[str, Any]:
    data_row = {"id": f"id of {name}", "external_id": name, "row_data": f"https://storage.example.org/{name}?Expires=1"}
    return {
        "data_row": data_row | keys,
        "media_attributes": {"height": size[1], "width": size[0], "mime_type": "image/jpeg"},
        "attachments": [], "metadata_fields": [],
        "projects": {"p0": {"name": "masks", "labels": labels, "project_details": {"workflow_status": "DONE"}}},
    }  # fmt: skip


def lines(*rows: Any) -> str:
    return "".join(f"{json.dumps(item)}\n" for item in rows)


GOOD = thing("with_mask")
BOX = ("a.jpg", (1, 2, 12, 20), {"mask": "wear"})


@pytest.mark.parametrize("name", ["export.ndjson", "export.jsonl", "export.json"])
@pytest.mark.parametrize("is_list", [False, True])
def test_objects_and_questions(write_tree, import_, name, is_list):
    nested = radio("Mask", "Worn", radio("sex", "Female"))
    rows = [
        row("a.jpg", label([thing("Face", nested, text("age", "34")), thing("no mask", box=(3, 4, 10, 10))])),
        row("b.jpg", label(questions=[checklist("who", "with_mask", "male"), text("remark", "it is dark")])),
        row("c.jpg", label([thing("Face")], [radio("mask", "not worn")])),
    ]
    content = json.dumps(rows) if is_list else lines(*rows)
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={name: content}))
    assert dataset.format == "labelbox"
    assert faces(dataset) == [
        ("a.jpg", (1, 2, 12, 20), {"mask": "wear", "gender": "female", "age": "34"}),
        ("a.jpg", (3, 4, 13, 14), {"mask": "not_wear"}),
        ("b.jpg", None, {"mask": "wear", "gender": "male"}),
        ("c.jpg", (1, 2, 12, 20), {"mask": "not_wear"}),
    ]
    assert not left_out(dataset)
    assert "questions that hold no label, ignored: remark (1)" in dataset.notes


def test_annotators_are_rows_that_may_disagree(write_tree, import_, labels_of):
    first, second = (radio("mask", word) for word in ("worn", "not worn"))
    rows = [
        row("a.jpg", label(questions=[first, radio("sex", "male")]), label(questions=[second], by="ben@example.org")),
        row("b.jpg", label(skipped=True), label(questions=[second], by="ben@example.org")),
    ]
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"e.ndjson": lines(*rows)}))
    assert labels_of(dataset) == {"a.jpg": {"gender": "male"}, "b.jpg": {"mask": "not_wear"}}
    assert [entry.readings for entry in dataset.disagreements] == [
        (("e.ndjson line 1 by anna@example.org", "wear"), ("e.ndjson line 1 by ben@example.org", "not_wear"))
    ]
    skipped = "the task was skipped by an annotator (was_cancelled)"
    assert left_out(dataset) == [("e.ndjson line 2 by anna@example.org", skipped)]
    assert "2 annotators: ben@example.org (2), anna@example.org (1)" in dataset.notes


def test_answers_about_a_photo_with_several_boxes_are_ignored(write_tree, import_):
    questions = [radio("gender", "male"), text("person", "anna")]
    rows = row("a.jpg", label([GOOD, thing("no mask", box=(3, 4, 10, 10))], questions))
    dataset = import_(write_tree("a.jpg", texts={"e.ndjson": lines(rows)}))
    assert [labels for *_, labels in faces(dataset)] == [{"mask": "wear"}, {"mask": "not_wear"}]
    assert [row.person for row in dataset.rows] == ["anna", "anna"]
    assert "labels of the whole photo, ignored where it has several boxes: 1 photo" in dataset.notes


@pytest.mark.parametrize(
    "keys",
    [
        {"external_id": "a"},
        {"external_id": "", "global_key": "set/a.jpg"},
        {"external_id": None, "row_data": "https://storage.example.org/get?d=photos%2Fa.jpg"},
        {"external_id": "7", "row_data": "https://storage.example.org/photos/a.jpg?Signature=x%2Fy"},
    ],
)
def test_photos_are_found_by_any_of_their_names(write_tree, import_, keys):
    rows = row("a.jpg", label([GOOD]), **keys)
    assert faces(import_(write_tree("photos/a.jpg", texts={"e.ndjson": lines(rows)}))) == [BOX]


def test_data_rows_of_two_photos_with_one_name_are_left_out(write_tree, import_):
    one, other = (f"https://storage.example.org/{folder}/a.jpg?Expires=1" for folder in ("x", "y"))
    rows = [row("a.jpg", label([GOOD]), row_data=url) for url in (one, other)]
    rows += [row("b.jpg", label([GOOD]), row_data=f"https://storage.example.org/b.jpg?E={n}") for n in (1, 2)]
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"e.ndjson": lines(*rows)}))
    assert faces(dataset) == [("b.jpg", *BOX[1:])]
    reason = "data rows of several row_data have the name of this photo"
    assert left_out(dataset) == [(f"e.ndjson line {number}", reason) for number in (1, 2)]


def test_boxes_turn_with_the_photo(write_tree, import_):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    for size, box in (((32, 24), (4, 1, 22, 12)), ((24, 32), (1, 2, 12, 20))):
        root = write_tree(texts={"e.ndjson": lines(row("a.jpg", label([GOOD]), size=size))})
        Image.new("RGB", (32, 24)).save(root / "a.jpg", exif=exif)
        dataset = import_(root)
        assert [entry.box for entry in dataset.rows] == [box]
        assert any("turned with its EXIF" in note for note in dataset.notes) == (size == (32, 24))


def test_polygons_become_their_extent_and_other_shapes_are_left_out(write_tree, import_):
    corners = [{"x": 3.0, "y": 4.0}, {"x": 13.0, "y": 4.0}, {"x": 8.0, "y": 14.0}]
    shapes = [
        thing("wear", polygon=corners),
        thing("wear", point={"x": 1, "y": 2}),
        thing("wear", line=corners),
        thing("wear", mask={"url": "https://example.org/mask"}),
        thing("wear", polygon=[{"x": 1}]),
        thing("wear", bounding_box=[1, 2, 3, 4]),
        thing("wear", box=(1, 2, NAN, 4)),
        thing("wear", box=(1, 2, LONG, 4)),
        "wear",
    ]
    dataset = import_(write_tree("a.jpg", texts={"e.ndjson": lines(row("a.jpg", label(shapes)))}))
    assert faces(dataset) == [("a.jpg", (3, 4, 13, 14), {"mask": "wear"})]
    assert [(where.rpartition(" ")[2], reason) for where, reason in left_out(dataset)] == [
        *((number, "the shape is no box") for number in "234"),
        *((number, "the object has no box") for number in "56789"),
    ]


def test_what_is_wrong_is_listed(write_tree, import_):
    rows = [
        row("a.jpg", label([GOOD], [["mask"], {"name": ["x"], "radio_answer": "worn", "text_answer": [1]}, 7])),
        row("b.jpg", label([GOOD])),
        row("a.jpg"),
        row("a.jpg", label(), "label", {"annotations": [1], "label_details": "x"}),
        row("a.jpg", label(questions=[text("mood", "glad")])),
        {"data_row": "a.jpg"},
        {"data_row": {}, "projects": {}},
        row("a.jpg") | {"projects": ["p0"], "media_attributes": 7, "metadata_fields": "x"},
        ["data_row"],
    ]
    content = lines(*rows) + '{"data_row": {"external_id": "a.jpg"\n\n'
    dataset = import_(write_tree("a.jpg", texts={"e.ndjson": content}))
    assert faces(dataset) == [BOX]
    assert left_out(dataset) == [
        ("e.ndjson line 2", "the photo is named by a URL, and no photo in the folder has the name in it"),
        ("e.ndjson line 6", "the data row names no photo"),
        ("e.ndjson line 7", "the data row names no photo"),
        ("e.ndjson line 9", "the line is no JSON object"),
        ("e.ndjson line 10", "the line is no JSON object"),
        ("e.ndjson line 3", "the data row has no label"),
        ("e.ndjson line 4 by anna@example.org", "the annotation has no label"),
        ("e.ndjson line 4", "the annotation has no label"),
        ("e.ndjson line 8", "the data row has no label"),
        ("e.ndjson line 5 by anna@example.org", "the annotation has no label"),
    ]


def test_a_damaged_list_and_entries_that_are_no_data_rows_are_listed(write_tree, import_):
    good = json.dumps([row("a.jpg", label([GOOD])), "b.jpg", {"data_row": 7}])
    dataset = import_(write_tree("a.jpg", texts={"a.json": good, "b.json": good[:-1]}))
    assert faces(dataset) == [BOX]
    assert left_out(dataset) == [
        ("a.json entry 2", "the entry is no JSON object"),
        ("a.json entry 3", "the entry is no JSON object"),
        ("b.json", "the JSON cannot be read"),
    ]


def test_answers_may_be_nested_as_deep_as_a_json_may_be(write_tree, import_):
    answer: dict[str, Any] = radio("mask", "worn")
    for _ in range(200):
        answer = radio("next", "on", answer)
    dataset = import_(write_tree("a.jpg", texts={"e.ndjson": lines(row("a.jpg", label(questions=[answer])))}))
    assert faces(dataset) == [("a.jpg", None, {"mask": "wear"})]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.ndjson", '{"dataRow": {"id": "x"}, "schemaId": "y"}\n'),
        ("e.ndjson", '{"data_row": "a.jpg", "projects": {}}\n'),
        ("e.jsonl", '{"image": "a.jpg", "mask": "worn"}\n'),
        ("e.csv", 'data_row\n"{""external_id"": 1}"\n'),
    ],
)
def test_other_files_are_not_taken_for_it(write_tree, name, content):
    source = ImportSource(write_tree("a.jpg", texts={name: content}))
    assert LabelboxImporter().detect(source, WordReader(LABEL_SCHEMAS["mask"])) is Confidence.NO


def test_a_source_without_an_export_is_refused(write_tree, import_):
    with pytest.raises(DataError, match="no export of Labelbox"):
        import_(write_tree("a.jpg"), "labelbox")
