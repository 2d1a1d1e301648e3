"""Tests of Datumaro's JSON, in the forms that datumaro 0.5.0 and 1.13.12 write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from maskfit.data.image_opening import EXIF_ORIENTATION
from maskfit.data.importers.datumaro import DatumaroImporter
from maskfit.data.importers.interface import Confidence
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

# Photos of `write_tree` have 24 x 32 pixels.

NAMES = ("with_mask", "without_mask", "face")
NAN, LONG = float("nan"), 10**400


def faces(dataset) -> list[tuple[str, tuple[float, ...] | None, dict[str, str]]]:
    return [(row.photo.name, row.box, dict(row.labels)) for row in dataset.rows]


def left_out(dataset) -> list[tuple[str, str]]:
    return [(item.location, item.reason) for item in dataset.left_out]


def bbox(label: Any, edges: Any, **attributes: Any) -> dict[str, Any]:
    shared = {"id": 0, "type": "bbox", "attributes": attributes, "group": 0, "label_id": label, "z_order": 0}
    return shared | {"bbox": edges}


def tag(label: int, **attributes: Any) -> dict[str, Any]:
    return {"id": 0, "type": "label", "attributes": attributes, "group": 0, "label_id": label}


def item(name: str, *annotations: Any, path: str | None = None, size: Any = (32, 24), **others: Any) -> dict[str, Any]:
    image = {"path": f"{name}.jpg" if path is None else path, "size": size}
    return {"id": name, "annotations": annotations, "image": image, **others}


def datumaro(*items: Any, is_new: bool = True) -> str:
    labels = [{"name": name, "parent": "", "attributes": []} for name in NAMES]
    content = {"infos": {}, "categories": {"label": {"labels": labels, "label_groups": [], "attributes": []}}}
    if is_new:
        content = {"dm_format_version": "1.0", "media_type": 2, **content}
    else:
        items = tuple({**entry, "media": {"path": ""}} for entry in items)
    return json.dumps(content | {"items": items})


BOX, OTHER = [1.0, 2.0, 11.0, 18.0], [3.0, 4.0, 10.0, 10.0]


@pytest.mark.parametrize("is_new", [False, True])
def test_boxes_and_labels_of_subsets(write_tree, import_, is_new):
    train = datumaro(
        item("a", bbox(0, BOX, gender="female", occluded=False), bbox(1, OTHER)), item("b", tag(0)), is_new=is_new
    )
    val = datumaro(item("a", bbox(2, BOX, mask="wear", Sex="male"), tag(2)), item("d"), is_new=is_new)
    texts = {"annotations/train.json": train, "annotations/val.json": val}
    dataset = import_(
        write_tree("images/train/a.jpg", "images/train/b.jpg", "images/val/a.jpg", "images/val/d.jpg", texts=texts),
        None,
        "face=unknown",
    )
    assert dataset.format == "datumaro"
    assert [(row.photo.parent.name, *face) for row, face in zip(dataset.rows, faces(dataset), strict=True)] == [
        ("train", "a.jpg", (1, 2, 12, 20), {"mask": "wear", "gender": "female"}),
        ("train", "a.jpg", (3, 4, 13, 14), {"mask": "not_wear"}),
        ("train", "b.jpg", None, {"mask": "wear"}),
        ("val", "a.jpg", (1, 2, 12, 20), {"mask": "wear", "gender": "male"}),
    ]
    assert left_out(dataset) == [("annotations/val.json item d", "the photo has no box")]
    assert "attributes that hold no label, ignored: occluded (1)" in dataset.notes
    assert not any("not read" in note for note in dataset.notes)


def test_what_the_photo_is_holds_for_its_faces(write_tree, import_):
    text = datumaro(item("a", bbox(2, BOX, gender="male"), bbox(2, OTHER), tag(0, person="anna")))
    dataset = import_(write_tree("images/default/a.jpg", texts={"annotations/default.json": text}))
    assert faces(dataset) == [
        ("a.jpg", (1, 2, 12, 20), {"mask": "wear", "gender": "male"}),
        ("a.jpg", (3, 4, 13, 14), {"mask": "wear"}),
    ]
    assert [row.person for row in dataset.rows] == ["anna", "anna"]


def test_photos_are_those_of_their_subset(write_tree, import_):
    """Photos of two subsets have equal names; one that is missing is not that of the other subset."""
    texts = {f"annotations/{part}.json": datumaro(item("a", tag(0)), item("b", tag(1))) for part in ("train", "val")}
    root = write_tree("images/train/a.jpg", "images/train/b.jpg", "images/val/a.jpg", texts=texts)
    dataset = import_(root)
    assert [row.photo.relative_to(root / "images").as_posix() for row in dataset.rows] == [
        "train/a.jpg", "train/b.jpg", "val/a.jpg"
    ]  # fmt: skip
    assert left_out(dataset) == [("annotations/val.json item b", "the photo does not exist")]


def test_photos_are_those_of_their_folder(write_tree, import_):
    text = datumaro(item("x/a", tag(0), path="x/a.jpg"), item("b", tag(1), path="b.jpg"))
    dataset = import_(write_tree("images/train/y/a.jpg", "images/train/b.jpg", texts={"annotations/train.json": text}))
    assert faces(dataset) == [("b.jpg", None, {"mask": "not_wear"})]
    assert left_out(dataset) == [("annotations/train.json item x/a", "the photo does not exist")]


@pytest.mark.parametrize("photo", ["images/a.jpg", "images/train/a.jpg", "elsewhere/a.jpg"])
@pytest.mark.parametrize("path", ["a.jpg", "", "C:\\photos\\a.jpg"])
def test_photos_in_other_places(write_tree, import_, photo, path):
    text = datumaro(item("a", tag(0), path=path))
    root = write_tree(photo, texts={"annotations/train.json": text})
    assert faces(import_(root)) == [("a.jpg", None, {"mask": "wear"})]
    labels = root / "annotations" / "train.json"
    assert faces(import_(labels, images=root)) == [("a.jpg", None, {"mask": "wear"})]
    if "images" in photo and path == "a.jpg":
        assert faces(import_(labels)) == [("a.jpg", None, {"mask": "wear"})]


def test_items_whose_ids_became_one_name_are_left_out(write_tree, import_):
    text = datumaro(item("x/a", tag(0), path="x_a.jpg"), item("x_a", tag(1), path="x_a.jpg"), item("b", tag(0)))
    dataset = import_(write_tree("images/train/x_a.jpg", "images/train/b.jpg", texts={"annotations/train.json": text}))
    assert faces(dataset) == [("b.jpg", None, {"mask": "wear"})]
    assert left_out(dataset) == [
        (f"annotations/train.json item {name}", "several items of the file have this photo") for name in ("x/a", "x_a")
    ]


def test_rotated_boxes_become_upright(write_tree, import_):
    text = datumaro(item("a", bbox(0, [4, 8, 16, 8], rotation=90.0), bbox(1, [4, 8, 4, 4], rotation=0.0)))
    dataset = import_(write_tree("images/a.jpg", texts={"annotations/default.json": text}))
    assert [row.box for row in dataset.rows] == [(8, 4, 16, 20), (4, 8, 8, 12)]
    assert any("rotated boxes" in note and note.endswith(": 1") for note in dataset.notes)
    assert not any("rotation" in note for note in dataset.notes)


def test_boxes_turn_with_the_photo(write_tree, import_):
    """The size is height and width: of the photo as it is stored, or as it is shown."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    for size, box in (((24, 32), (4, 1, 22, 12)), ((32, 24), (1, 2, 12, 20))):
        root = write_tree(texts={"annotations/train.json": datumaro(item("a", bbox(0, BOX), size=size))})
        Image.new("RGB", (32, 24)).save(root / "a.jpg", exif=exif)
        dataset = import_(root)
        assert [row.box for row in dataset.rows] == [box]
        assert any("turned with its EXIF" in note for note in dataset.notes) == (size == (24, 32))


def test_what_is_no_box_or_label_is_left_out_alone(write_tree, import_):
    polygon = {"id": 0, "type": "polygon", "attributes": {}, "group": 0, "label_id": 0, "points": [1, 2, 12, 2, 12, 20]}
    wrong = [bbox(9, BOX), bbox(True, BOX), bbox(None, BOX), bbox(0, None), bbox(0, [1, 2, NAN, 4])]
    wrong += [bbox(0, [1, 2, LONG, 4]), polygon, "wear", tag(9), {"type": ["bbox"]}]
    text = datumaro(item("a", *wrong, bbox(0, BOX)))
    dataset = import_(write_tree("images/a.jpg", texts={"annotations/default.json": text}))
    assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear"})]
    reasons = {reason: [where.rpartition(" ")[2] for where, why in left_out(dataset) if why == reason]
               for _, reason in left_out(dataset)}  # fmt: skip
    assert reasons == {
        "the label is not in the file's list of labels": ["9", "1", "2"],
        "the box has no class": ["3"],
        "the object has no box": ["4", "5", "6"],
        "the shape is no box": ["7", "10"],
        "the entry is no JSON object": ["8"],
    }


def test_items_without_a_photo_and_damaged_files_are_left_out(write_tree, import_):
    cloud = {"id": "p", "annotations": [tag(0)], "point_cloud": {"path": "p.pcd"}}
    odd = {"id": ["a"], "annotations": {"type": "label"}, "image": ["a.jpg"], "attr": [1]}
    good = datumaro(item("a", tag(0)), cloud, "a", item("c", tag(0)), odd, {"annotations": [tag(0)]})
    texts = {"annotations/a.json": good, "annotations/b.json": good[:-1]}
    dataset = import_(write_tree("images/a.jpg", texts=texts))
    assert faces(dataset) == [("a.jpg", None, {"mask": "wear"})]
    assert left_out(dataset) == [
        ("annotations/a.json item p", "the item is no photo"),
        ("annotations/a.json item 3", "the entry is no JSON object"),
        ("annotations/a.json item c", "the photo does not exist"),
        ("annotations/a.json item ['a']", "the photo does not exist"),
        ("annotations/a.json item 6", "the entry names no photo"),
        ("annotations/b.json", "the JSON cannot be read"),
    ]


def test_lists_of_labels_longer_than_the_head_are_read(write_tree, import_):
    content = json.loads(datumaro(item("a", tag(0))))
    content["categories"]["label"]["labels"] += [{"name": f"class {number}" * 20} for number in range(800)]
    dataset = import_(write_tree("images/a.jpg", texts={"annotations/default.json": json.dumps(content)}))
    assert faces(dataset) == [("a.jpg", None, {"mask": "wear"})]


@pytest.mark.parametrize(
    "text", ['{"categories": {}, "items": []}', '[{"categories": {"label": {"labels": []}}}]', '{"items": ["a.jpg"]}']
)
def test_other_files_are_not_taken_for_it(write_tree, text):
    source = ImportSource(write_tree("a.jpg", texts={"a.json": text}))
    assert DatumaroImporter().detect(source, WordReader(LABEL_SCHEMAS["mask"])) is Confidence.NO


def test_a_source_without_such_a_file_is_refused(write_tree, import_):
    with pytest.raises(DataError, match="no JSON of Datumaro"):
        import_(write_tree("a.jpg"), "datumaro")
