"""Tests of Labelme, VIA, CreateML, Medical Mask, Hugging Face, RetinaNet, and CSVs with a column per class."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from maskfit.data.importers.interface import Confidence
from maskfit.data.importers.retinanet import RetinanetImporter
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

# Photos of `write_tree` have 24 x 32 pixels.


def faces(dataset) -> list[tuple[str, tuple[float, ...] | None, dict[str, str]]]:
    return [(row.photo.name, row.box, dict(row.labels)) for row in dataset.rows]


def left_out(dataset) -> list[tuple[str, str]]:
    return [(item.location, item.reason) for item in dataset.left_out]


def shape(label: str, points: list[list[float]], kind: str = "rectangle", **flags: bool) -> dict[str, Any]:
    return {
        "label": label, "points": points, "group_id": None, "description": "", "shape_type": kind, "flags": flags,
        "mask": None,
    }  # fmt: skip


def labelme(file: str, *shapes: dict[str, Any], size: tuple[int, int] = (24, 32), **flags: bool) -> str:
    content = {"version": "6.3.1", "flags": flags, "shapes": shapes, "imagePath": file, "imageData": None}
    return json.dumps(content | {"imageHeight": size[1], "imageWidth": size[0]}, indent=2)


NAN, LONG = float("nan"), 10**400
NO_POINTS = (
    None,
    "ab",
    [1, 2],
    [[1], [2]],
    [["1", "2"], ["12", "20"]],
    [[1, None], [12, 20]],
    [[NAN, 2], [12, 20]],
    [[12, 20], [NAN, 2]],
    [[1, 2], [LONG, 20]],
    {"0": [1, 2]},
)
"""Points of a JSON that are no points; the last number of one has more digits than a floating-point number."""


class TestLabelme:
    def test_each_shape_is_a_row(self, write_tree, import_):
        root = write_tree(
            "a.jpg", "photos/b.png",
            texts={
                "a.json": labelme(
                    "a.jpg",
                    shape("with_mask", [[12, 20], [1, 2]]),
                    shape("without_mask", [[3, 4], [13, 4], [8, 14]], "polygon"),
                    shape("incorrect_mask", [[12, 16], [12, 21]], "circle"),
                ),
                "labels/b.json": labelme("..\\photos\\b.png", shape("face", [[1, 2], [12, 20]], wear=True, male=True)),
            },
        )  # fmt: skip
        dataset = import_(root)
        assert dataset.format == "labelme"
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("a.jpg", (3, 4, 13, 14), {"mask": "not_wear"}),
            ("a.jpg", (7, 11, 17, 21), {"mask": "incorrect"}),
            ("b.png", (1, 2, 12, 20), {"mask": "wear", "gender": "male"}),
        ]
        assert not left_out(dataset)

    def test_flags_of_the_photo(self, write_tree, import_):
        root = write_tree(
            "a.jpg", "b.jpg",
            texts={
                "a.json": labelme("a.jpg", wear=True, not_wear=False, female=True, blurred=True, normal=True),
                "b.json": labelme("b.jpg", shape("face", [[1, 2], [12, 20]], male=True), wear=True, female=True),
            },
        )  # fmt: skip
        dataset = import_(root)
        assert faces(dataset) == [
            ("a.jpg", None, {"mask": "wear", "gender": "female"}),
            ("b.jpg", (1, 2, 12, 20), {"mask": "wear"}),
        ]
        assert "flags that are no label, ignored: blurred, normal" in dataset.notes

    def test_what_is_wrong_is_left_out_with_a_reason(self, write_tree, import_):
        root = write_tree(
            "a.jpg", "b.jpg", "renamed.jpg",
            texts={
                "a.json": labelme("a.jpg", shape("with_mask", [[5, 5]], "point"), shape("wear", [[1, 2], [12, 20]])),
                "b.json": labelme("b.jpg"),
                "c.json": labelme("c.jpg", shape("wear", [[1, 2], [12, 20]])),
                "d.json": "{",
                "e.json": "{}",
                "renamed.json": labelme("old.jpg", shape("wear", [[2, 4], [24, 40]]), size=(48, 64)),
            },
        )  # fmt: skip
        dataset = import_(root)
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("renamed.jpg", (1, 2, 12, 20), {"mask": "wear"}),  # drawn on a copy twice as large
        ]
        assert left_out(dataset) == [
            ("a.json shape 1", "the object has no box"),
            ("b.json", "the photo has no box"),
            ("c.json", "the photo does not exist"),
            ("d.json", "the JSON cannot be read"),
            ("e.json", "the JSON is of another format"),
        ]

    @pytest.mark.parametrize("points", NO_POINTS)
    def test_points_that_are_none_leave_out_their_shape_alone(self, write_tree, import_, points):
        shapes = ({"label": "wear", "points": points}, "wear", shape("wear", [[1, 2], [12, 20]]))
        dataset = import_(write_tree("a.jpg", texts={"a.json": labelme("a.jpg", *shapes)}))
        assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear"})]
        assert left_out(dataset) == [(f"a.json shape {number}", "the object has no box") for number in (1, 2)]


def region(shape: dict[str, Any], **labels: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": labels}


def rect(x: float, y: float, width: float, height: float) -> dict[str, Any]:
    return {"name": "rect", "x": x, "y": y, "width": width, "height": height}


def via_file(file: str, regions: Any, **attributes: Any) -> dict[str, Any]:
    return {f"{file}123": {"filename": file, "size": 123, "regions": regions, "file_attributes": attributes}}


REGIONS = [
    region(rect(1, 2, 11, 18), mask="with_mask", sex="male"),
    region({"name": "ellipse", "cx": 12, "cy": 16, "rx": 5, "ry": 4}, label="without mask", blurred={"yes": True}),
    region(
        {"name": "polygon", "all_points_x": [3, 13, 8], "all_points_y": [4, 4, 14]},
        mask={"wear": False, "incorrect": True},
    ),
    region({"name": "point", "cx": 3, "cy": 4}, mask="wear"),
]
BOXES = [
    ("a.jpg", (1, 2, 12, 20), {"mask": "wear", "gender": "male"}),
    ("a.jpg", (7, 11, 17, 21), {"mask": "not_wear"}),
    ("a.jpg", (3, 4, 13, 14), {"mask": "incorrect"}),
]


class TestVia:
    @pytest.mark.parametrize("version", ["annotations", "project", "first"])
    def test_each_region_is_a_row(self, write_tree, import_, version):
        regions = {str(number): item for number, item in enumerate(REGIONS)} if version == "first" else REGIONS
        files = via_file("a.jpg", regions) | via_file("b.jpg", [], gender="female") | via_file("c.jpg", [])
        content = {"_via_settings": {}, "_via_img_metadata": files} if version == "project" else files
        dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"via_region_data.json": json.dumps(content)}))
        assert dataset.format == "via"
        assert faces(dataset) == [*BOXES, ("b.jpg", None, {"gender": "female"})]
        assert left_out(dataset) == [
            ("via_region_data.json a.jpg region 4", "the object has no box"),
            ("via_region_data.json c.jpg", "the photo has no box"),
        ]
        assert any("does not have, ignored: blurred" in note for note in dataset.notes)

    @pytest.mark.parametrize("sign", ["", "#"])  # VIA 1 begins the header with a comment sign
    def test_csv(self, write_tree, import_, sign):
        text = io.StringIO()
        writer = csv.writer(text)
        names = ("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes")
        writer.writerow([sign + names[0], *names[1:], "region_attributes"])
        for number, item in enumerate(REGIONS):
            shape, labels = (json.dumps(item[key]) for key in ("shape_attributes", "region_attributes"))
            writer.writerow(["a.jpg", 123, "{}", len(REGIONS), number, shape, labels])
        writer.writerow(["b.jpg", 123, json.dumps({"gender": "female"}), 0, 0, "{}", "{}"])
        dataset = import_(write_tree("a.jpg", "b.jpg", texts={"via.csv": text.getvalue()}))
        assert dataset.format == "via"
        assert faces(dataset) == [*BOXES, ("b.jpg", None, {"gender": "female"})]

    def test_null_is_no_label(self, write_tree, import_):
        """As a word, `None` is one without a mask."""
        regions = [
            region(rect(1, 2, 11, 18), mask=None, gender="male"), region(rect(12, 2, 11, 18), mask=None), REGIONS[1]
        ]  # fmt: skip
        dataset = import_(write_tree("a.jpg", texts={"a.json": json.dumps(via_file("a.jpg", regions, state=None))}))
        assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"gender": "male"}), BOXES[1]]
        assert left_out(dataset) == [("a.json a.jpg region 2", "the box has no class")]

    def test_what_the_photo_is_holds_for_its_faces(self, write_tree, import_):
        regions = [region(rect(1, 2, 11, 18), mask="wear", gender="male"), region(rect(12, 2, 11, 18), mask="wear")]
        files = via_file("a.jpg", regions, gender="male")
        dataset = import_(write_tree("a.jpg", texts={"a.json": json.dumps(files)}))
        assert [dict(row.labels) for row in dataset.rows] == [{"mask": "wear", "gender": "male"}] * 2

    @pytest.mark.parametrize(
        "wrong",
        [
            "wear",
            region({"name": "rect", "x": 1, "y": 2, "width": "11", "height": 18}, mask="wear"),
            region({"name": "rect", "x": NAN, "y": 2, "width": 11, "height": 18}, mask="wear"),
            region({"name": "circle", "cx": LONG, "cy": 2, "r": 11}, mask="wear"),
            region({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, mask="wear"),
            region({"name": "polygon", "all_points_x": [1, None], "all_points_y": [1, 2]}, mask="wear"),
            {"shape_attributes": [1, 2], "region_attributes": ["wear"]},
        ],
    )
    def test_a_wrong_region_is_left_out_alone(self, write_tree, import_, wrong):
        files = via_file("a.jpg", [wrong, REGIONS[0]])
        dataset = import_(write_tree("a.jpg", texts={"a.json": json.dumps(files)}))
        assert faces(dataset) == BOXES[:1]
        assert left_out(dataset) == [("a.json a.jpg region 1", "the object has no box")]

    def test_what_names_no_photo_or_is_damaged_is_listed(self, write_tree, import_):
        good = via_file("a.jpg", REGIONS[:1])
        text = json.dumps(via_file("b.jpg", REGIONS[:1]))
        texts = {"a.json": json.dumps({**good, "b": {"size": 1}, "c": 1}), "b.json": text[:-1]}
        dataset = import_(write_tree("a.jpg", "b.jpg", texts=texts))
        assert faces(dataset) == BOXES[:1]
        assert left_out(dataset) == [
            ("a.json entry b", "the entry names no photo"),
            ("a.json entry c", "the entry names no photo"),
            ("b.json", "the JSON cannot be read"),
        ]

    def test_a_cell_of_a_csv_that_is_no_json_is_listed(self, write_tree, import_):
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["filename", "file_attributes", "region_shape_attributes", "region_attributes"])
        of_file, shape_cell, labels = (
            json.dumps(item) for item in ({"gender": "male"}, rect(1, 2, 11, 18), {"mask": "wear"})
        )
        writer.writerow(["a.jpg", of_file, shape_cell, labels])
        writer.writerow(["b.jpg", of_file, shape_cell, labels[:-2]])
        writer.writerow(["b.jpg", of_file, "[1, 2]", labels])
        dataset = import_(write_tree("a.jpg", "b.jpg", texts={"via.csv": text.getvalue()}))
        assert faces(dataset) == BOXES[:1]
        assert left_out(dataset) == [(f"via.csv row {number}", "a cell is no JSON object") for number in (3, 4)]

    def test_words_without_a_meaning_are_named(self, write_tree, import_):
        files = via_file("a.jpg", [region(rect(1, 2, 11, 18), mask="blue")])
        with pytest.raises(DataError, match="blue"):
            import_(write_tree("a.jpg", texts={"a.json": json.dumps(files)}))


class TestCreateml:
    def test_boxes_have_a_center(self, write_tree, import_):
        box = {"x": 6.5, "y": 11, "width": 11, "height": 18}
        content = [
            {"image": "a.jpg", "annotations": [{"label": "with_mask", "coordinates": box}, {"label": "wear"}]},
            {"image": "b.jpg", "annotations": []},
            {"image": "c.jpg", "annotations": [{"label": "with_mask", "coordinates": box}]},
            {"annotations": []},
        ]
        texts = {"train/_annotations.createml.json": json.dumps(content)}
        dataset = import_(write_tree("train/a.jpg", "train/b.jpg", texts=texts))
        assert dataset.format == "createml"
        assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear"})]
        assert [reason for _, reason in left_out(dataset)] == [
            "the object has no box",
            "the photo has no box",
            "the photo does not exist",
            "the entry names no photo",
        ]

    @pytest.mark.parametrize(
        "wrong", ["wear", {"label": "wear", "coordinates": {"x": 1, "y": 2, "width": LONG, "height": 3}}]
    )
    def test_what_is_wrong_is_left_out_alone(self, write_tree, import_, wrong):
        box = {"x": 6.5, "y": 11, "width": 11, "height": 18}
        good = {"label": "wear", "coordinates": box}
        content = [{"image": "a.jpg", "annotations": [wrong, good]}, "b.jpg", {"image": "b.jpg", "annotations": "wear"}]
        texts = {"a.createml.json": json.dumps(content), "b.createml.json": json.dumps(content)[:-1]}
        dataset = import_(write_tree("a.jpg", "b.jpg", texts=texts))
        assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear"})]
        assert left_out(dataset) == [
            ("a.createml.json a.jpg annotation 1", "the object has no box"),
            ("a.createml.json entry 2", "the entry names no photo"),
            ("a.createml.json b.jpg annotation 1", "the object has no box"),
            ("b.createml.json", "the JSON cannot be read"),
        ]


class TestOneHot:
    def test_roboflow(self, write_tree, import_):
        rows = ("a.jpg, 0, 1, 1", "b.jpg, 1, 0, 0", "c.jpg, 0, 0, 0", "d.jpg, 0, 1, 0")
        text = "\n".join(("filename, incorrect_mask, with_mask, female", *rows, ""))
        dataset = import_(write_tree("train/a.jpg", "train/b.jpg", "train/c.jpg", texts={"train/_classes.csv": text}))
        assert dataset.format == "one-hot"
        assert faces(dataset) == [
            ("a.jpg", None, {"mask": "wear", "gender": "female"}),
            ("b.jpg", None, {"mask": "incorrect"}),
        ]
        assert left_out(dataset) == [
            ("train/_classes.csv row 4", "no class is set"),
            ("train/_classes.csv row 5", "the photo does not exist"),
        ]

    def test_two_classes_of_one_attribute_contradict_each_other(self, write_tree, import_):
        text = "path,wear,not_wear,person\na.jpg,1,1,anna\nb.jpg,0,1,ben\n"
        dataset = import_(write_tree("a.jpg", "b.jpg", texts={"labels.csv": text}))
        assert [(row.photo.name, row.person, dict(row.labels)) for row in dataset.rows if row.labels] == [
            ("b.jpg", "ben", {"mask": "not_wear"})
        ]
        assert len(dataset.disagreements) == 1

    def test_rows_that_all_contradict_each_other_are_no_labels(self, write_tree, import_):
        with pytest.raises(DataError, match="no label at all, of 2 rows; labels that differ and stay empty: 1"):
            import_(write_tree("a.jpg", texts={"m.csv": "path,wear,not_wear\na.jpg,1,0\na.jpg,0,1\n"}))

    def test_columns_that_differ_in_case_only_count_each(self, write_tree, import_):
        text = "path,wear,WEAR,not_wear\na.jpg,1,0,0\nb.jpg,0,1,0\nc.jpg,0,0,1\n"
        dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"labels.csv": text}))
        assert [labels["mask"] for _, _, labels in faces(dataset)] == ["wear", "wear", "not_wear"]

    @pytest.mark.parametrize("header", ["image,mask,male", "image,mask,male,female", "image,Sex,with_mask"])
    def test_a_column_named_like_an_attribute_holds_codes(self, write_tree, import_, header):
        """Nobody knows whether 1 is a mask that is worn."""
        _, *names = header.split(",")
        cells = ",0" * (len(names) - 2)
        text = f"{header}\na.jpg,1,1{cells}\nb.jpg,0,0{cells}\nc.jpg,1,0{cells}\n"
        root = write_tree("a.jpg", "b.jpg", "c.jpg", texts={"x.csv": text})
        key = "gender" if "Sex" in names else "mask"
        codes = ("female", "male") if key == "gender" else ("not_wear", "wear")
        with pytest.raises(DataError, match=f"'1' of {key} .2 rows.: a code without a meaning"):
            import_(root)
        dataset = import_(root, None, f"{key}:0={codes[0]}", f"{key}:1={codes[1]}")
        assert dataset.format == "one-hot"
        assert [labels[key] for _, _, labels in faces(dataset)] == [codes[1], codes[0], codes[1]]
        assert len(faces(dataset)[0][2]) == 2

    @pytest.mark.parametrize(("name", "maps"), [("no_mask", ()), ("male", ("mask=wear",))])
    def test_a_class_may_be_named_like_an_attribute(self, write_tree, import_, name, maps):
        """Beside another value of it, or where the user says so."""
        text = f"image,mask,{name}\na.jpg,1,0\nb.jpg,0,1\n"
        dataset = import_(write_tree("a.jpg", "b.jpg", texts={"x.csv": text}), None, *maps)
        assert faces(dataset)[0] == ("a.jpg", None, {"mask": "wear"})

    def test_a_manifest_of_codes_is_none(self, write_tree, import_):
        with pytest.raises(DataError, match="this table is a manifest already"):
            import_(write_tree("a.jpg", "b.jpg", texts={"m.csv": "path,mask,gender\na.jpg,0,1\nb.jpg,1,0\n"}))


class TestMedicalMask:
    def test_faces_and_things(self, write_tree, import_):
        items = [
            {"isProtected": False, "ID": 1, "BoundingBox": [1, 2, 12, 20], "classname": "face_with_mask"},
            {"ID": 2, "BoundingBox": [3, 4, 13, 14], "classname": "face_no_mask"},
            {"ID": 3, "BoundingBox": [3, 4, 13, 14], "classname": "hat"},
            {"ID": 4, "classname": "face_with_mask"},
        ]
        texts = {
            "annotations/a.jpg.json": json.dumps({"FileName": "a.jpg", "NumOfAnno": 4, "Annotations": items}),
            "annotations/b.jpg.json": json.dumps({"FileName": "b.jpg", "NumOfAnno": 0, "Annotations": []}),
            "annotations/c.jpg.json": json.dumps({"FileName": "c.jpg", "Annotations": items}),
        }
        root = write_tree("images/a.jpg", "images/b.jpg", texts=texts)
        with pytest.raises(DataError, match="'hat' "):
            import_(root)
        dataset = import_(root, None, "hat=skip")
        assert dataset.format == "medical-mask"
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("a.jpg", (3, 4, 13, 14), {"mask": "not_wear"}),
        ]
        assert {reason for _, reason in left_out(dataset)} == {
            "the object has no box", "the photo has no box", "the photo does not exist", "left out by --map"
        }  # fmt: skip

    def test_what_is_wrong_is_left_out_alone(self, write_tree, import_):
        good = {"BoundingBox": [1, 2, 12, 20], "classname": "face_with_mask"}
        items = ["face", {"BoundingBox": [1, 2, None, 20]}, {"BoundingBox": [1, 2, LONG, 20]}, good]
        text = json.dumps({"FileName": "a.jpg", "Annotations": items})
        dataset = import_(write_tree("a.jpg", texts={"a.jpg.json": text}))
        assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear"})]
        assert left_out(dataset) == [(f"a.jpg.json annotation {n}", "the object has no box") for n in (1, 2, 3)]


class TestHuggingFace:
    def test_a_person_of_half_a_surrogate_pair_is_left_out(self, write_tree, import_):
        lines = [{"file_name": "a.jpg", "mask": "wear", "person": "\ud83d"}, {"file_name": "b.jpg", "mask": "wear"}]
        texts = {"metadata.jsonl": "\n".join(map(json.dumps, lines))}
        dataset = import_(write_tree("a.jpg", "b.jpg", texts=texts))
        assert [row.photo.name for row in dataset.rows] == ["b.jpg"]
        assert left_out(dataset) == [("metadata.jsonl line 1", "the person is not UTF-8 text")]

    @pytest.mark.parametrize("boxes", ["face", [[1, 2, 11, NAN]], [[1, 2, LONG, 18]], [7]])
    def test_what_is_no_box_is_left_out_alone(self, write_tree, import_, boxes):
        good = {"bbox": [[1, 2, 11, 18]], "category": ["wear"], "id": 7}
        lines = [
            {"file_name": "a.jpg", "objects": {"bbox": boxes, "mask": "wear"}},
            {"file_name": "b.jpg", "objects": good},
        ]
        texts = {"metadata.jsonl": "\n".join(map(json.dumps, lines))}
        dataset = import_(write_tree("a.jpg", "b.jpg", texts=texts))
        assert faces(dataset) == [("b.jpg", (1, 2, 12, 20), {"mask": "wear"})]
        assert left_out(dataset) == [("metadata.jsonl line 1 object 1", "the object has no box")]

    def test_lines_and_objects(self, write_tree, import_):
        objects = {"bbox": [[1, 2, 11, 18], [3, 4, 10, 10]], "category": ["wear", "no mask"]}
        lines = [
            {"file_name": "a.jpg", "mask": "wear", "gender": "female", "age": 34, "person": "anna", "blurred": "no"},
            {"file_name": "b.jpg", "objects": objects},
            {"file_name": "c.jpg", "label": "with_mask"},
            {"mask": "wear"},
        ]
        text = "\n".join([*map(json.dumps, lines), "{", ""])
        dataset = import_(write_tree("train/a.jpg", "train/b.jpg", texts={"train/metadata.jsonl": text}))
        assert dataset.format == "huggingface"
        assert faces(dataset) == [
            ("a.jpg", None, {"mask": "wear", "gender": "female", "age": "34"}),
            ("b.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("b.jpg", (3, 4, 13, 14), {"mask": "not_wear"}),
        ]
        assert [row.person for row in dataset.rows] == ["anna", "", ""]
        assert [reason for _, reason in left_out(dataset)] == [
            "the photo does not exist", "the line has no file_name", "the line is no JSON object"
        ]  # fmt: skip
        assert "keys that hold no label, ignored: blurred" in dataset.notes

    def test_objects_that_are_a_list(self, write_tree, import_):
        """As in COCO's annotations, a mapping for each face; what is no label is named."""
        objects = [{"bbox": [1, 2, 11, 18], "category": "wear"}, {"bbox": [3, 4, 10, 10], "mask": "no mask"}, 3]
        line = json.dumps({"file_name": "a.jpg", "objects": objects, "note": [{"by": "x"}]})
        dataset = import_(write_tree("a.jpg", texts={"metadata.jsonl": line}))
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("a.jpg", (3, 4, 13, 14), {"mask": "not_wear"}),
        ]
        assert left_out(dataset) == [("metadata.jsonl line 1 object 3", "the object has no box")]
        assert "keys that hold no label, ignored: note" in dataset.notes

    def test_codes_are_asked_for(self, write_tree, import_):
        text = '{"file_name": "a.jpg", "label": 0}\n'
        root = write_tree("a.jpg", texts={"metadata.jsonl": text})
        with pytest.raises(DataError, match="'0' "):
            import_(root)
        assert faces(import_(root, None, "0=wear")) == [("a.jpg", None, {"mask": "wear"})]


def test_columns_with_two_meanings_are_refused(write_tree, import_):
    text = "name,x1,x2,y1,y2,classname\na.jpg,1,2,12,20,face_with_mask\n"
    root = write_tree("a.jpg", texts={"train.csv": text})
    with pytest.raises(DataError, match="left, upper, right, lower in others") as error:
        import_(root)
    assert error.value.location is not None
    (root / "train.csv").write_text(text.replace("x1,x2,y1,y2", "x1,y1,x2,y2"))
    assert faces(import_(root)) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear"})]


class TestRetinanet:
    ROWS = (
        "train/a.jpg,1,2,12,20,with_mask\ntrain/a.jpg,13,2,16,20,without_mask\n"
        "train/b.jpg,,,,,\ntrain/c.jpg,1,2,3,4,with_mask\n"
    )

    def test_rows_without_a_header_are_read(self, write_tree, import_):
        texts = {"annotations.csv": self.ROWS, "classes.csv": "with_mask,0\nwithout_mask,1\n"}
        dataset = import_(write_tree("train/a.jpg", "train/b.jpg", texts=texts))
        assert dataset.format == "retinanet"
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("a.jpg", (13, 2, 16, 20), {"mask": "not_wear"}),
        ]
        assert left_out(dataset) == [
            ("annotations.csv row 3", "the photo has no box"),
            ("annotations.csv row 4", "the photo does not exist"),
        ]
        assert any("path, left, upper, right, lower, class" in note for note in dataset.notes)
        assert not any("not read" in note for note in dataset.notes)

    @pytest.mark.parametrize(
        "text",
        [
            "path,x1,y1,x2,y2,class\na.jpg,1,2,12,20,with_mask\n",
            "a.jpg,1,2,12,20,with_mask,7\n",
            "a.jpg,1,2,12,,with_mask\n",
            "a.jpg,,,,,\n",
            "a.jpg,1,2,12,20,\n",
        ],
    )
    def test_other_tables_are_not_taken_for_it(self, write_tree, text):
        source = ImportSource(write_tree("a.jpg", texts={"faces.csv": text}))
        assert RetinanetImporter().detect(source, WordReader(LABEL_SCHEMAS["mask"])) is Confidence.NO

    @pytest.mark.parametrize(
        ("bad", "place", "reason"),
        [
            ("a.jpg,1,2,1O,20,with_mask", ": x2 is not a number: '1O'", "the cells are no box"),
            ('a.jpg,1,2,"10,5",20,with_mask', ": x2 is not a number: '10,5'; it has a decimal comma, write 10.5", ""),
            ("a.jpg,1,nan,12,20,with_mask", ": y1 is not a number: 'nan'", ""),
            ("a.jpg,1,,12,20,with_mask", ": the box lacks y1", ""),
            ("a.jpg,1,2,12,20,", "", "the box has no class"),
            ("a,1,2,12,20,with_mask", "", "the photo does not exist"),
        ],
    )
    def test_a_bad_row_is_named_and_the_others_are_read(self, write_tree, import_, bad, place, reason):
        good = "a.jpg,1,2,12,20,with_mask\n"
        root = write_tree("a.jpg", "b.jpg", texts={"faces.csv": f"{good}{bad}\n{good.replace('a.jpg', 'b.jpg')}"})
        dataset = import_(root)
        assert [face[0] for face in faces(dataset)] == ["a.jpg", "b.jpg"]
        assert left_out(dataset) == [(f"faces.csv row 2{place}", reason or "the cells are no box")]
        # As a dataset it is answered with the import too, not with a word about its header.
        with pytest.raises(DataError, match="without a header row"):
            read_photos(root / "faces.csv", LABEL_SCHEMAS["mask"])

    def test_as_a_dataset_it_is_answered_with_the_import(self, write_tree):
        root = write_tree("train/a.jpg", "train/b.jpg", texts={"annotations.csv": self.ROWS})
        with pytest.raises(DataError) as caught:
            read_photos(root / "annotations.csv", LABEL_SCHEMAS["mask"])
        assert "keras-retinanet's CSV without a header row" in str(caught.value)
        assert "maskfit data import" in str(caught.value)
