"""JSON Lines of any program, of Ground Truth and of Prodigy."""

from __future__ import annotations

import json

import pytest

from maskfit.data.importers.box_rows import NO_BOX, NO_FACE
from maskfit.data.importers.json_lines import (
    DAMAGED_LINE,
    EMBEDDED,
    NO_CLASS,
    NO_NAME,
    NOT_ACCEPTED,
    OTHER_BOXES,
    SEVERAL_PHOTOS,
)
from maskfit.data.importers.photo_finder import NOT_FOUND, SEVERAL_NAMES
from maskfit.errors import DataError


def lines(*items) -> str:
    return "".join(f"{item if isinstance(item, str) else json.dumps(item)}\n" for item in items)


def rows(dataset) -> list[tuple[str, str, dict[str, str], object]]:
    return [(row.photo.name, row.person, dict(row.labels), row.box) for row in dataset.rows]


def reasons(dataset) -> list[str]:
    return [item.reason for item in dataset.left_out]


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.ndjson", "labels.json"])
def test_a_line_has_a_photo_and_labels(write_tree, import_, name):
    """Labels are under an attribute's name, under `label`, in a list, or a word that is a value whatever its key is."""
    text = lines(
        {"image": "img/a.jpg", "mask": "with_mask", "Sex": "F", "age": 31, "person": "p1", "score": 0.5},
        {"image": "https://a.example/img/b.jpg?x=1", "label": ["without_mask", "male"], "note": {"x": 1}},
        {"image": "img/absent.jpg", "label": "with_mask"},
        {"label": "with_mask"},
        "{damaged",
        {"image": "data:image/png;base64,AAAA", "label": "with_mask"},
    )
    dataset = import_(write_tree("img/a.jpg", "img/b.jpg", "img/c.jpg", texts={name: text}))
    assert dataset.format == "json-lines"
    assert rows(dataset) == [
        ("a.jpg", "p1", {"mask": "wear", "gender": "female", "age": "31"}, None),
        ("b.jpg", "", {"mask": "not_wear", "gender": "male"}, None),
    ]
    assert reasons(dataset) == [NOT_FOUND, NO_NAME, DAMAGED_LINE, EMBEDDED]
    assert "keys that hold no label, ignored: score, note" in dataset.notes
    assert "1 photo has no row: img/c.jpg" in dataset.notes


def test_a_photos_name_in_a_urls_query_is_read_as_in_tables(write_tree, import_):
    """In every format: of lines, and of boxes."""
    url = "https://a.example/view/42?file=a.jpg&w=b"
    texts = {
        "lines/t.jsonl": lines({"image": url, "mask": "with_mask"}),
        "boxes/t.csv": f"path,mask,left,upper,right,lower\n{url},wear,1,2,20,24\n",
    }
    root = write_tree("a.jpg", "42.jpg", texts=texts)
    for part, name in (("lines", "t.jsonl"), ("boxes", "t.csv")):
        dataset = import_(root / part / name, images=root)
        assert [(row.photo.name, row.labels["mask"]) for row in dataset.rows] == [("a.jpg", "wear")]


def test_ground_truths_indexes_are_read_by_their_names(write_tree, import_):
    """The number of a class says nothing: the metadata beside it has the name."""
    size = [{"width": 24, "height": 32, "depth": 3}]
    boxes = [{"class_id": 1, "left": 2, "top": 4, "width": 10, "height": 12}, {"class_id": 7, "left": "x"}, 3]
    text = lines(
        {"source-ref": "s3://b/a.jpg", "mask-job": 0, "mask-job-metadata": {"class-name": "with_mask"}},
        {"source-ref": "s3://b/b.jpg", "who": [0, 2], "who-metadata": {"class-map": {"0": "female", "2": "with_mask"}}},
        {
            "source-ref": "s3://b/c.jpg",
            "faces": {"image_size": size, "annotations": boxes},
            "faces-metadata": {"class-map": {"1": "without_mask"}, "type": "groundtruth/object-detection"},
        },
        {"source-ref": "s3://b/a.jpg", "mask-job": 5, "mask-job-metadata": {"failure-reason": "ClientError"}},
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"output.manifest": text}))
    assert dataset.format == "json-lines"
    assert rows(dataset) == [
        ("a.jpg", "", {"mask": "wear"}, None),
        ("b.jpg", "", {"mask": "wear", "gender": "female"}, None),
        ("c.jpg", "", {"mask": "not_wear"}, (2.0, 4.0, 12.0, 16.0)),
    ]
    assert {NO_BOX, NO_CLASS} <= set(reasons(dataset))


def test_boxes_without_a_name_of_their_class_are_listed(write_tree, import_):
    """A number that the metadata does not name, none at all, and a span of Prodigy without a label."""
    place = {"left": 2, "top": 4, "width": 10, "height": 12}
    boxes = [{"class_id": number, **place} for number in (1, 5)] + [place]
    metadata = {"class-map": {"1": "without_mask"}, "type": "groundtruth/object-detection"}
    spans = [{"points": [[2, 4], [2, 16], [12, 16], [12, 4]]}]
    text = lines(
        {"source-ref": "s3://b/a.jpg", "faces": {"annotations": boxes}, "faces-metadata": metadata},
        {"image": "b.jpg", "spans": spans, "answer": "accept"},
        {"image": "c.jpg", "spans": spans, "label": "with_mask", "answer": "accept"},
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"output.manifest": text}))
    assert [(row.photo.name, row.labels["mask"]) for row in dataset.rows] == [("a.jpg", "not_wear"), ("c.jpg", "wear")]
    assert [(item.location.removeprefix("output.manifest"), item.reason) for item in dataset.left_out] == [
        (" line 1 box 2", NO_CLASS),
        (" line 1 box 3", "the box has no class"),
        (" line 2 box 1", "the box has no class"),
    ]


def test_prodigys_choices_spans_and_answers_are_read(write_tree, import_):
    square = [[2, 4], [2, 16], [12, 16], [12, 4]]
    text = lines(
        {"image": "a.jpg", "options": [{"id": "with_mask"}], "accept": ["with_mask"], "answer": "accept"},
        {"image": "b.jpg", "label": "with_mask", "answer": "reject"},
        {"image": "b.jpg", "label": "with_mask", "answer": "ignore"},
        {
            "image": "c.jpg",
            "width": 24,
            "height": 32,
            "spans": [{"label": "without_mask", "points": square}, {"label": "with_mask"}],
            "answer": "accept",
        },
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"annotations.jsonl": text}))
    assert rows(dataset) == [
        ("a.jpg", "", {"mask": "wear"}, None),
        ("c.jpg", "", {"mask": "not_wear"}, (2.0, 4.0, 12.0, 16.0)),
    ]
    assert reasons(dataset) == [NOT_ACCEPTED, NOT_ACCEPTED, NO_BOX]


def test_a_label_of_a_box_is_none_of_the_photo(write_tree, import_):
    """Four numbers of a box may be corners or sides; four named ones are read."""
    text = lines(
        {"image": "a.jpg", "bbox": [2, 4, 12, 16], "label": "with_mask"},
        {"image": "b.jpg", "xmin": 2, "ymin": 4, "xmax": 12, "ymax": 16, "label": "with_mask"},
        {"image": "b.jpg", "xmin": 2, "ymin": None, "xmax": 12, "ymax": 16, "label": "with_mask"},
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"t.jsonl": text}))
    assert rows(dataset) == [("b.jpg", "", {"mask": "wear"}, (2.0, 4.0, 12.0, 16.0))]
    assert reasons(dataset) == [OTHER_BOXES, NO_BOX]


@pytest.mark.parametrize(
    "text",
    [
        '{"image": "a.jpg", "text": "hello"}\n',
        '{"data_row": {"external_id": "a.jpg"}, "image": "a.jpg", "label": "with_mask"}\n',
        '{"text": "a.jpg", "label": "with_mask"}\n',
        '[{"image": "a.jpg", "label": "with_mask"}]\n',
        "1\n2\n",
    ],
)
def test_other_lines_are_not_taken_for_it(write_tree, import_, text):
    with pytest.raises(DataError, match=r"none of the formats|no JSON Lines"):
        import_(write_tree("a.jpg", texts={"t.jsonl": text}))


def test_lines_of_other_types_are_left_out(write_tree, import_):
    text = lines(
        {"image": "a.jpg", "mask": "with_mask"},
        {"image": ["a.jpg"], "mask": "with_mask"},
        {"image": "a.jpg", "mask": None, "x": True, "x-metadata": [], "spans": "no"},
        {"image": "a.jpg", "faces": {"annotations": "no", "image_size": 3}, "faces-metadata": {}},
        {"image": "a.jpg", "spans": [3, {"points": [[1]]}]},
        [1],
    )
    dataset = import_(write_tree("a.jpg", texts={"t.jsonl": text}))
    assert [labels for *_, labels, _ in rows(dataset)] == [{"mask": "wear"}]
    assert [reason for reason in reasons(dataset) if reason in (NO_NAME, NO_BOX, DAMAGED_LINE)] == [
        NO_NAME,
        DAMAGED_LINE,
        NO_BOX,
        NO_BOX,
    ]


def test_a_photo_that_several_names_end_in_is_that_of_the_nearest(write_tree, import_):
    """Downloaded into one folder, `a/1.jpg` and `b/1.jpg` may be either photo."""
    near = lines(
        {"image": "s3://x/a/1.jpg", "mask": "with_mask"},
        {"image": "s3://x/b/1.jpg", "mask": "without_mask"},
        {"image": "s3://x/b/2.jpg", "mask": "without_mask"},
        {"image": "2.jpg", "image_url": "https://x.example/3f/2.jpg", "mask": "without_mask"},
    )
    dataset = import_(write_tree("b/1.jpg", "b/2.jpg", texts={"t.jsonl": near}))
    assert rows(dataset) == [("1.jpg", "", {"mask": "not_wear"}, None), ("2.jpg", "", {"mask": "not_wear"}, None)]
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("t.jsonl line 1: s3://x/a/1.jpg", SEVERAL_NAMES)
    ]
    dataset = import_(write_tree("1.jpg", "2.jpg", texts={"t.jsonl": near}, folder="flat"))
    assert reasons(dataset) == [SEVERAL_NAMES, SEVERAL_NAMES]


def test_objects_in_other_forms_are_no_labels_of_the_photo(write_tree, import_):
    """Their lines are left out, or their keys named; a photo without an object has no face."""
    size = {"image_size": [{"width": 24, "height": 32}], "annotations": []}
    text = lines(
        {"image": "a.jpg", "mask": "with_mask", "landmarks": [[1, 2], [3, 4]], "image_size": [{"width": 3}]},
        {"image": "b.jpg", "mask": "with_mask", "labels": [{"name": "without_mask", "box": [1, 2, 3, 4]}]},
        {"image": "b.jpg", "mask": "with_mask", "faces": [{"x": 1, "y": 2, "mask": "without_mask"}]},
        {"image": "b.jpg", "spans": []},
        {"image": "b.jpg", "faces": size, "faces-metadata": {"class-map": {"0": "with_mask"}}},
        {"image": "b.jpg", "file_name": "a.jpg", "mask": "with_mask"},
        {"image": "b.jpg", "file_name": "b.jpg", "mask": "with_mask"},
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"t.jsonl": text}))
    assert rows(dataset) == [("a.jpg", "", {"mask": "wear"}, None), ("b.jpg", "", {"mask": "wear"}, None)]
    assert sorted(reasons(dataset)) == sorted([OTHER_BOXES, OTHER_BOXES, NO_FACE, NO_FACE, SEVERAL_PHOTOS])
    assert "keys that hold no label, ignored: landmarks, image_size" in dataset.notes


def test_truth_values_answers_and_keys_in_capitals(write_tree, import_):
    text = lines(
        {"Image": "a.jpg", "Person": "p1", "Mask": True, "male": True, "female": False},
        {"Image": "b.jpg", "Person": 2, "Mask": False, "answer": "female", "_session_id": "male"},
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"t.jsonl": text}))
    assert rows(dataset) == [
        ("a.jpg", "p1", {"mask": "wear", "gender": "male"}, None),
        ("b.jpg", "2", {"mask": "not_wear", "gender": "female"}, None),
    ]


def test_a_mapped_number_is_no_label_under_any_key(write_tree, import_):
    text = lines({"image": "a.jpg", "id": 0, "fold": "1", "label": 1}, {"image": "b.jpg", "id": 1, "label": 0})
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"t.jsonl": text}), None, "0=not_wear", "1=wear")
    assert rows(dataset) == [("a.jpg", "", {"mask": "wear"}, None), ("b.jpg", "", {"mask": "not_wear"}, None)]
    assert "keys that hold no label, ignored: id, fold" in dataset.notes


def test_lines_of_a_printed_json_are_none(write_tree, import_):
    text = '{\n"data": [\n{"image": "a.jpg", "label": "with_mask"},\n{"image": "a.jpg", "label": "male"}\n]\n}\n'
    with pytest.raises(DataError, match="no JSON Lines"):
        import_(write_tree("a.jpg", texts={"t.json": text}), "json-lines")


def test_lines_that_another_format_does_not_read_are_named(write_tree, import_):
    texts = {"t.jsonl": "{}\n", "labels.csv": "id,mask\na,with_mask\n"}
    dataset = import_(write_tree("a.jpg", texts=texts), "ids")
    assert "1 file that may hold labels was not read: t.jsonl" in dataset.notes


def test_predictions_are_no_labels(write_tree, import_):
    line = {"photo": "a.jpg", "class": 15, "answer": "not worn", "probability": 0.9, "attributes": {"mask": {}}}
    with pytest.raises(DataError, match="predictions of maskfit"):
        import_(write_tree("a.jpg", texts={"p.jsonl": lines(line)}))


def test_a_name_is_no_photo_of_another_part(write_tree, import_):
    """Parts may have photos of equal names; names with folders are found wherever they lead."""
    texts = {
        "train/t.jsonl": lines({"image": "a.jpg", "mask": "wear"}, {"image": "b.jpg", "mask": "not_wear"}),
        "test/t.jsonl": lines({"image": "b.jpg", "mask": "wear"}, {"image": "../train/c.jpg", "mask": "wear"}),
        "labels/val/t.jsonl": lines({"image": "a.jpg", "mask": "not_wear"}),
    }
    root = write_tree("train/a.jpg", "train/c.jpg", "test/b.jpg", "images/dev/a.jpg", texts=texts)
    dataset = import_(root)
    assert {row.photo.relative_to(root).as_posix(): dict(row.labels) for row in dataset.rows} == {
        "train/a.jpg": {"mask": "wear"},
        "train/c.jpg": {"mask": "wear"},
        "test/b.jpg": {"mask": "wear"},
        "images/dev/a.jpg": {"mask": "not_wear"},
    }
    assert [item.location for item in dataset.left_out] == ["train/t.jsonl line 2: b.jpg"]


def test_photo_labels_and_person_may_stand_one_object_deeper(write_tree, import_):
    text = lines(
        {
            "image": {"file_name": "a.jpg", "width": 4},
            "annotation": {"mask": "wear", "age": 31},
            "meta": {"person": "p1"},
        },
        {
            "file_name": "b.jpg",
            "attributes": {"mask": ["not_wear"], "gender": "female"},
            "metadata": {"person_id": "p2"},
        },
        {"file_name": "c.jpg", "mask": "wear", "attributes": {"mask": "not_wear"}, "info": {"label": "not_wear"}},
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"labels.jsonl": text}))
    assert dataset.format == "json-lines"
    assert rows(dataset) == [
        ("a.jpg", "p1", {"mask": "wear", "age": "31"}, None),
        ("b.jpg", "p2", {"mask": "not_wear", "gender": "female"}, None),
        ("c.jpg", "", {"mask": "wear"}, None),
    ]
    # What is not taken is named.
    assert any("attributes" in note and "info" in note for note in dataset.notes)


def test_an_object_with_a_box_is_no_object_of_labels(write_tree, import_):
    text = lines(
        {"image": "a.jpg", "mask": "wear", "annotation": {"bbox": [1, 2, 3, 4], "mask": "not_wear"}},
        {"image": "b.jpg", "mask": "wear"},
    )
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"labels.jsonl": text}))
    assert reasons(dataset) == [OTHER_BOXES]
    assert rows(dataset) == [("b.jpg", "", {"mask": "wear"}, None)]
