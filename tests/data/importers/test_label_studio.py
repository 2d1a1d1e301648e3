"""Tests of Label Studio's exports; JSON-MIN and CSV have the form that label-studio-sdk 2.1.2 writes of these tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from maskfit.data.image_opening import EXIF_ORIENTATION
from maskfit.errors import DataError

PHOTOS = ("8f3a1c01-a.jpg", "b.jpg", "c.jpg", "d.jpg", "photos/e f.jpg", "g.jpg")


def choices(name: str, *words: str, region: str = "x", **place: float) -> dict[str, Any]:
    value = {"choices": list(words), **place}
    return {"id": region, "type": "choices", "value": value, "to_name": "image", "from_name": name}


def rectangle(word: str, region: str, **place: float) -> dict[str, Any]:
    value = {**place, "rotation": 0, "rectanglelabels": [word]}
    size = {"original_width": 200, "original_height": 100}
    return {"id": region, "type": "rectanglelabels", "value": value, "from_name": "label", "to_name": "image", **size}


def annotation(by: Any, *results: dict[str, Any], skipped: bool = False) -> dict[str, Any]:
    return {"id": 1, "completed_by": by, "result": list(results), "was_cancelled": skipped, "lead_time": 3.1}


def task(number: int, image: str, *annotations: dict[str, Any], **data: str) -> dict[str, Any]:
    return {"id": number, "annotations": list(annotations), "data": {"image": image, **data}, "project": 1}


AGE = {"id": "n", "type": "number", "value": {"number": 34}, "to_name": "image", "from_name": "age"}
TASKS = [
    task(1, "/data/upload/1/8f3a1c01-a.jpg", annotation(1, choices("mask", "wear"), choices("sex", "female"), AGE)),
    task(
        2,
        "/data/upload/1/8f3a1c02-b.jpg",
        annotation(
            {"id": 1, "email": "ann@example.org"}, choices("mask", "wear"), choices("state", "beard", "glasses")
        ),
        annotation({"id": 2, "email": "bob@example.org"}, choices("mask", "incorrect")),
    ),
    task(3, "/data/upload/1/8f3a1c03-c.jpg", annotation(1, skipped=True)),
    task(4, "/data/upload/1/8f3a1c04-d.jpg", annotation(2, choices("mask", "wear", "incorrect"))),
    task(5, "/data/local-files/?d=photos/e%20f.jpg", annotation(2, choices("mask", "not_wear")), person="eve"),
    task(6, "/data/upload/1/8f3a1c06-gone.jpg", annotation(2, choices("mask", "not_wear"))),
]
"""Two annotators of task 2, a skipped task, several choices in one control."""

FIELDS = {"created_at": "2026-01-01", "updated_at": "2026-01-01", "lead_time": 3.1}
MIN = [
    {"image": "/data/upload/1/8f3a1c01-a.jpg", "id": 1, "mask": "wear", "sex": "female", "age": [{"number": 34}]}
    | {"annotator": 1, "annotation_id": 1} | FIELDS,
    {"image": "/data/upload/1/8f3a1c02-b.jpg", "id": 2, "mask": "wear", "state": {"choices": ["beard", "glasses"]}}
    | {"annotator": 1, "annotation_id": 2} | FIELDS,
    {"image": "/data/upload/1/8f3a1c02-b.jpg", "id": 2, "mask": "incorrect", "annotator": 2}
    | {"annotation_id": 3} | FIELDS,
    {"image": "/data/upload/1/8f3a1c04-d.jpg", "id": 4, "mask": {"choices": ["wear", "incorrect"]}}
    | {"annotator": 2, "annotation_id": 5} | FIELDS,
    {"image": "/data/local-files/?d=photos/e%20f.jpg", "id": 5, "mask": "not_wear", "annotator": 2}
    | {"annotation_id": 6} | FIELDS | {"person": "eve"},
]  # fmt: skip
HEADER = "age annotation_id annotator created_at id image lead_time mask person sex state updated_at"
CSV = (
    ",".join(f'"{name}"' for name in HEADER.split())
    + """
"[{""number"":34}]",1,"1","2026-01-01",1,"/data/upload/1/8f3a1c01-a.jpg",3.1,"wear","","female","","2026-01-01"
"",2,"1","2026-01-01",2,"/data/upload/1/8f3a1c02-b.jpg",3.1,"wear","","","{""choices"":[""beard"",""glasses""]}",""
"",3,"2","2026-01-01",2,"/data/upload/1/8f3a1c02-b.jpg",3.1,"incorrect","","","","2026-01-01"
"",5,"2","2026-01-01",4,"/data/upload/1/8f3a1c04-d.jpg",3.1,"{""choices"":[""wear"",""incorrect""]}","","","",""
"",6,"2","2026-01-01",5,"/data/local-files/?d=photos/e%20f.jpg",3.1,"not_wear","eve","","","2026-01-01"
"""
)
EXPORTS = {"JSON": ("e.json", json.dumps(TASKS)), "JSON-MIN": ("e.json", json.dumps(MIN)), "CSV": ("e.csv", CSV)}


@pytest.mark.parametrize("export", EXPORTS)
def test_all_exports_give_the_same_labels(write_tree, import_, labels_of, export):
    name, text = EXPORTS[export]
    photos = write_tree(*PHOTOS, folder="photos")
    path = write_tree(texts={name: text}, folder="exports") / name
    dataset = import_(path, images=photos)
    assert dataset.format == "label-studio"
    assert labels_of(dataset) == {
        "8f3a1c01-a.jpg": {"mask": "wear", "gender": "female", "age": "34"},
        "b.jpg": {},
        "d.jpg": {},
        "e f.jpg": {"mask": "not_wear"},
    }
    assert [row.person for row in dataset.rows] == ["", "", "", "eve"]
    said = {
        (item.photo.name, item.attribute, tuple(cell for _, cell in item.readings)) for item in dataset.disagreements
    }
    assert said == {("b.jpg", "mask", ("wear", "incorrect")), ("d.jpg", "mask", ("wear", "incorrect"))}
    assert "controls or columns that hold no label, ignored: state (1)" in dataset.notes
    assert "mask: the rows of one photo agree in 0 of 1 photo" in dataset.notes
    assert "2 photos have no row: c.jpg, g.jpg" in dataset.notes


def test_skipped_and_missing_tasks_are_listed(write_tree, import_):
    root = write_tree(*PHOTOS, texts={"export.json": json.dumps(TASKS)})
    dataset = import_(root / "export.json")
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("task 3 by 1", "the task was skipped by an annotator (was_cancelled)"),
        ("export.json task 6: /data/upload/1/8f3a1c06-gone.jpg", "the photo does not exist"),
    ]
    assert "by bob@example.org" in dataset.disagreements[1].readings[1][0]


def test_annotators_who_agree_are_one_row(write_tree, import_, labels_of):
    answers = [annotation(number, choices("mask", "wear")) for number in (1, 2, 3)]
    root = write_tree("b.jpg", texts={"export.json": json.dumps([task(1, "b.jpg", *answers)])})
    dataset = import_(root)
    assert labels_of(dataset) == {"b.jpg": {"mask": "wear"}}
    assert "mask: the rows of one photo agree in 1 of 1 photo" in dataset.notes
    assert dataset.disagreements == ()


@pytest.fixture
def export(write_tree, write_photo) -> Callable[..., Path]:
    """Writes a photo g.jpg and an export of one task with results; the photo has the size of `rectangle` by default."""

    def write(*results: dict[str, Any], size: tuple[int, int] = (200, 100), text: str = "") -> Path:
        text = text or json.dumps([task(6, "g.jpg", annotation(1, *results))])
        root = write_tree(texts={"export.json": text})
        write_photo(root / "g.jpg", size=size)
        return root

    return write


def test_boxes_in_percent_become_pixels_with_the_labels_of_their_region(export, import_):
    first, second = {"x": 10, "y": 20, "width": 30, "height": 40}, {"x": 50, "y": 0, "width": 50, "height": 100}
    results = [
        rectangle("with_mask", "r1", **first),
        rectangle("no mask", "r2", **second),
        choices("gender", "male", region="r1", **first),
        choices("gender", "female", region="r2", **second),
    ]
    root = export(*results)
    assert [(row.box, dict(row.labels)) for row in import_(root).rows] == [
        ((20, 20, 80, 60), {"mask": "wear", "gender": "male"}),
        ((100, 0, 200, 100), {"mask": "not_wear", "gender": "female"}),
    ]


def test_boxes_on_another_size_are_scaled_turned_and_clipped(export, import_):
    """As in the other formats; of a photo that is stored sideways, or of a larger original."""
    results = [rectangle("with_mask", "r1", x=50, y=50, width=60, height=20)]
    dataset = import_(export(*results, size=(100, 50)))
    assert [row.box for row in dataset.rows] == [(50, 25, 100, 35)]
    assert any("scaled to the photo's: 1" in note for note in dataset.notes)
    assert any("clipped to it: 1 of 1" in note for note in dataset.notes)
    root = export(*results)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new("RGB", (200, 100)).save(root / "g.jpg", exif=exif)
    dataset = import_(root)
    assert [row.box for row in dataset.rows] == [(30, 100, 50, 200)]
    assert any("turned with its EXIF orientation: 1" in note for note in dataset.notes)


@pytest.mark.parametrize("is_min", [False, True])
def test_boxes_without_a_label_beside_others_are_listed(export, import_, is_min):
    place = {"x": 50, "y": 50, "width": 20, "height": 20, "rotation": 0}
    size = {"original_width": 200, "original_height": 100}
    labelled = rectangle("with_mask", "r1", x=5, y=5, width=20, height=20)
    bare = {"id": "r2", "type": "rectangle", "value": place, "from_name": "box", "to_name": "image", **size}
    text = ""
    if is_min:
        item = {"image": "g.jpg", "id": 1, "annotation_id": 1, "annotator": 1, "lead_time": 1.0}
        text = json.dumps([item | {"label": [labelled["value"] | size], "box": [place | size]}])
    dataset = import_(export(labelled, bare, text=text))
    assert [row.box for row in dataset.rows] == [(10, 5, 50, 25)]
    ((location, reason),) = [(item.location, item.reason) for item in dataset.left_out]
    assert location.endswith(" by 1 box 100, 50, 140, 70")
    assert reason == "the box has no label"


def test_labels_of_one_region_in_json_min_are_of_its_box(export, import_):
    size = {"original_width": 200, "original_height": 100, "rotation": 0}
    places = [{"x": x, "y": 5, "width": 20, "height": 20, **size} for x in (5, 50)]
    item = {"image": "g.jpg", "id": 1, "annotation_id": 1, "annotator": 1, "lead_time": 1.0}
    item["mask"] = [place | {"choices": [word]} for place, word in zip(places, ("wear", "not_wear"), strict=True)]
    item["box"] = places
    dataset = import_(export(text=json.dumps([item])))
    assert [(row.box[0], row.labels["mask"]) for row in dataset.rows] == [(10, "wear"), (100, "not_wear")]


def test_polygons_and_rotated_rectangles_are_bounded_and_other_shapes_ignored(export, import_):
    size = {"original_width": 200, "original_height": 100, "from_name": "label", "to_name": "image"}
    points = {"points": [[10, 20], [40, 30], [20, 80]], "closed": True, "polygonlabels": ["with_mask"]}
    results = [
        {"id": "p", "type": "polygonlabels", "value": points, **size},
        {"id": "b", "type": "brushlabels", "value": {"format": "rle", "brushlabels": ["no_mask"]}, **size},
        rectangle("no mask", "r", x=50, y=10, width=20, height=40) | {"id": "r"},
    ]
    results[2]["value"]["rotation"] = 90
    root = export(*results)
    assert [(row.box, row.labels["mask"]) for row in import_(root).rows] == [
        ((20, 20, 80, 80), "wear"),
        ((60, 10, 100, 50), "not_wear"),
    ]


def test_a_label_of_the_whole_photo_is_given_to_no_face_of_several(export, import_):
    place = {"x": 0, "y": 0, "width": 50, "height": 50}
    other = place | {"x": 50}
    results = [rectangle("with_mask", "r1", **place), rectangle("no mask", "r2", **other), choices("gender", "male")]
    root = export(*results)
    dataset = import_(root)
    assert all("gender" not in row.labels for row in dataset.rows)
    assert [note for note in dataset.notes if "whole photo" in note]


def test_words_that_are_no_value_are_asked_for_where_the_control_is_a_label(write_tree, import_, labels_of):
    tasks = [
        task(1, "a.jpg", annotation(1, choices("choice", "Masked"))),
        task(2, "b.jpg", annotation(1, choices("choice", "chin"))),
    ]
    root = write_tree("a.jpg", "b.jpg", texts={"export.json": json.dumps(tasks)})
    with pytest.raises(DataError, match="'chin' "):
        import_(root)
    assert labels_of(import_(root, None, "chin=incorrect")) == {
        "a.jpg": {"mask": "wear"},
        "b.jpg": {"mask": "incorrect"},
    }


def test_words_that_answer_other_questions_are_no_label(write_tree, import_, labels_of):
    """Glasses that are worn, and a photo that is not blurred, say nothing about the mask."""
    answers = [choices("mask", "incorrect"), choices("blurred", "no"), choices("glasses", "worn")]
    root = write_tree("a.jpg", texts={"export.json": json.dumps([task(1, "a.jpg", annotation(1, *answers))])})
    dataset = import_(root)
    assert labels_of(dataset) == {"a.jpg": {"mask": "incorrect"}}
    assert "controls or columns that hold no label, ignored: blurred (1), glasses (1)" in dataset.notes


def test_no_label_at_all_is_an_error(write_tree, import_):
    text = json.dumps([task(1, "a.jpg", annotation(1, choices("mood", "happy"))), task(2, "b.jpg")])
    with pytest.raises(DataError, match="no label at all") as error:
        import_(write_tree("a.jpg", "b.jpg", texts={"export.json": text}), "label-studio")
    assert "mood (1)" in error.value.message
