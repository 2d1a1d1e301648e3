"""Tests of Supervisely's projects, in the form that supervisely 6.74.51 writes."""

from __future__ import annotations

import base64
import io
import json
import zlib
from typing import Any

import pytest
from PIL import Image

from maskfit.data.image_opening import EXIF_ORIENTATION
from maskfit.data.importers.interface import Confidence
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.supervisely import SuperviselyImporter
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

# Photos of `write_tree` have 24 x 32 pixels.

NAN, LONG = float("nan"), 10**400
META = {"meta.json": json.dumps({"classes": [{"title": "face", "shape": "rectangle"}], "tags": []})}


def faces(dataset) -> list[tuple[str, tuple[float, ...] | None, dict[str, str]]]:
    return [(row.photo.name, row.box, dict(row.labels)) for row in dataset.rows]


def left_out(dataset) -> list[tuple[str, str]]:
    return [(item.location, item.reason) for item in dataset.left_out]


def tag(name: str, value: Any = None) -> dict[str, Any]:
    return {"name": name} if value is None else {"name": name, "value": value}


def shape(title: str, points: Any, *tags: Any, kind: str = "rectangle", **others: Any) -> dict[str, Any]:
    place = points if kind == "oriented_bbox" else {"exterior": points, "interior": []}
    of_class = {"classTitle": title, "description": "", "tags": tags, "points": place}
    return of_class | {"geometryType": kind, "shape": kind, "nnCreated": False, **others}


def bitmap(title: str, origin: Any, data: Any) -> dict[str, Any]:
    figure = {"origin": origin, "data": data}
    return {"classTitle": title, "tags": [], "bitmap": figure, "geometryType": "bitmap", "shape": "bitmap"}


def annotation(*objects: Any, tags: Any = (), size: Any = (24, 32)) -> str:
    sides = {"height": size[1], "width": size[0]}
    return json.dumps({"description": "", "size": sides, "tags": tags, "objects": objects, "customBigData": {}})


def packed_png(width: int, height: int) -> str:
    stream = io.BytesIO()
    Image.new("1", (width, height), 1).save(stream, "PNG")
    return base64.b64encode(zlib.compress(stream.getvalue())).decode()


RECTANGLE = [[1, 2], [11, 19]]
GOOD = shape("with_mask", RECTANGLE)
BOX = ("a.jpg", (1, 2, 12, 20), {"mask": "wear"})


def test_objects_and_tags_of_several_datasets(write_tree, import_):
    tags = [tag("with_mask"), tag("age", 34), tag("train"), tag("person", "anna")]
    texts = {
        "ds0/ann/a.jpg.json": annotation(
            shape("face", RECTANGLE, tag("mask", "worn"), tag("Gender", "female")), shape("no mask", [[12, 13], [3, 4]])
        ),
        "ds0/ann/b.jpg.json": annotation(tags=tags),
        "ds0/ann/d.jpg.json": annotation(),
        "ds0/datasets/inner/ann/a.jpg.json": annotation(shape("face", RECTANGLE), tags=[tag("mask", "not worn")]),
    }
    names = [f"ds0/img/{name}.jpg" for name in "abd"]
    root = write_tree(*names, "ds0/datasets/inner/img/a.jpg", texts=texts | META)
    dataset = import_(root)
    assert dataset.format == "supervisely"
    assert faces(dataset) == [
        ("a.jpg", (1, 2, 12, 20), {"mask": "wear", "gender": "female"}),
        ("a.jpg", (3, 4, 13, 14), {"mask": "not_wear"}),
        ("b.jpg", None, {"mask": "wear", "age": "34"}),
        ("a.jpg", (1, 2, 12, 20), {"mask": "not_wear"}),
    ]
    assert [row.person for row in dataset.rows] == ["", "", "anna", ""]
    assert dataset.rows[-1].photo == root / "ds0/datasets/inner/img/a.jpg"
    assert left_out(dataset) == [("ds0/ann/d.jpg.json", "the photo has no box")]
    assert "tags that hold no label, ignored: train (1)" in dataset.notes
    assert not any("not read" in note for note in dataset.notes)


def test_shapes_become_their_extent(write_tree, import_):
    turned = shape("wear", [[4, 8], [19, 15]], kind="oriented_bbox", angle=1.5707963267948966)
    shapes = [
        shape("wear", [[3, 4], [13, 4], [8, 14]], kind="polygon"),
        shape("wear", [[1.5, 2.25], [11.0, 19.5]]),
        turned,
        bitmap("wear", [4, 3], packed_png(10, 12)),
        shape("wear", [[4, 3]], kind="point"),
        shape("wear", [[4, 3], [9, 9]], kind="line"),
    ]
    texts = {"ds/ann/a.jpg.json": annotation(*shapes)}
    dataset = import_(write_tree("ds/img/a.jpg", texts=texts))
    assert [row.box for row in dataset.rows] == [
        (3, 4, 14, 15), (1.5, 2.25, 11, 19.5), (8, 4, 16, 20), (4, 3, 14, 15)
    ]  # fmt: skip
    assert left_out(dataset) == [(f"ds/ann/a.jpg.json object {n}", "the shape is no box") for n in (5, 6)]


def test_words_of_a_tag_are_asked_for_where_one_of_them_is_a_label(write_tree, import_, labels_of):
    """Whatever the order of the photos."""
    texts = {
        "ds/ann/a.jpg.json": annotation(tags=[tag("state", "half"), tag("mood", "glad")]),
        "ds/ann/b.jpg.json": annotation(tags=[tag("state", "with mask")]),
    }
    root = write_tree("ds/img/a.jpg", "ds/img/b.jpg", texts=texts)
    with pytest.raises(DataError, match="'half' "):
        import_(root)
    dataset = import_(root, None, "half=incorrect")
    assert labels_of(dataset) == {"a.jpg": {"mask": "incorrect"}, "b.jpg": {"mask": "wear"}}


def test_boxes_turn_with_the_photo(write_tree, import_):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    for size, box in (((32, 24), (4, 1, 22, 12)), ((24, 32), (1, 2, 12, 20))):
        root = write_tree(texts={"ds/ann/a.jpg.json": annotation(GOOD, size=size)})
        (root / "ds/img").mkdir(exist_ok=True)
        Image.new("RGB", (32, 24)).save(root / "ds/img/a.jpg", exif=exif)
        dataset = import_(root)
        assert [row.box for row in dataset.rows] == [box]
        assert any("turned with its EXIF" in note for note in dataset.notes) == (size == (32, 24))


@pytest.mark.parametrize("name", ["a.jpg.json", "a.json"])  # old projects left the photo's suffix out
def test_a_dataset_or_a_file_alone_is_read(write_tree, import_, name):
    root = write_tree("project/ds/img/a.jpg", texts={f"project/ds/ann/{name}": annotation(GOOD)})
    assert faces(import_(root / "project/ds")) == [BOX]
    assert faces(import_(root / "project/ds/ann" / name, images=root)) == [BOX]
    if name == "a.jpg.json":
        assert faces(import_(root / "project/ds/ann" / name)) == [BOX]


@pytest.mark.parametrize(
    "wrong",
    [
        "wear",
        shape("wear", None),
        shape("wear", [[1, 2]]),
        shape("wear", [[1, 2], [NAN, 20]]),
        shape("wear", [[1, 2], [LONG, 20]]),
        {"classTitle": "wear", "geometryType": "rectangle", "points": [1, 2], "tags": {"name": "wear"}},
        bitmap("wear", [4], packed_png(10, 12)),
        bitmap("wear", [4, 3], "%%%"),
        bitmap("wear", [4, 3], ["eJz"]),
        bitmap("wear", [4, 3], base64.b64encode(zlib.compress(b"no png" * 9)).decode()),
        {"classTitle": "wear", "geometryType": "bitmap", "bitmap": ["wear"]},
    ],
)
def test_a_wrong_object_is_left_out_alone(write_tree, import_, wrong):
    texts = {"ds/ann/a.jpg.json": annotation(wrong, GOOD, tags={"name": "blurred"})}
    dataset = import_(write_tree("ds/img/a.jpg", texts=texts))
    assert faces(dataset) == [BOX]
    assert left_out(dataset) == [("ds/ann/a.jpg.json object 1", "the object has no box")]


def test_what_names_no_photo_or_is_damaged_is_listed(write_tree, import_):
    texts = {
        "ds/ann/a.jpg.json": annotation(GOOD, tags=["glad", {"name": ["a"]}, 7], size=("x", None)),
        "ds/ann/b.jpg.json": annotation(GOOD)[:-1],
        "ds/ann/c.jpg.json": annotation(GOOD),
        "ds/ann/d.jpg.json": '{"size": {}, "objects": {}}',
        "ds/ann/e.jpg.json": "[]",
    }
    dataset = import_(write_tree("ds/img/a.jpg", "ds/img/b.jpg", texts=texts))
    assert faces(dataset) == [BOX]
    assert left_out(dataset) == [
        ("ds/ann/b.jpg.json", "the JSON cannot be read"),
        ("ds/ann/c.jpg.json", "the photo does not exist"),
        ("ds/ann/d.jpg.json", "the JSON is of another format"),
        ("ds/ann/e.jpg.json", "the JSON is of another format"),
    ]


@pytest.mark.parametrize("name", ["a.jpg.json", "labels/a.jpg.json", "ann/a.txt"])
def test_other_files_are_not_taken_for_it(write_tree, name):
    source = ImportSource(write_tree("img/a.jpg", texts={name: annotation(GOOD)}))
    assert SuperviselyImporter().detect(source, WordReader(LABEL_SCHEMAS["mask"])) is Confidence.NO


def test_a_source_without_annotations_is_refused(write_tree, import_):
    with pytest.raises(DataError, match="no annotation of Supervisely"):
        import_(write_tree("a.jpg"), "supervisely")


def test_no_photo_of_another_dataset_is_taken(write_tree, import_, tmp_path):
    """Photos of several datasets have the same names; one may not be there."""
    texts = {
        "one/ann/a.jpg.json": annotation(shape("with_mask", [[2, 2], [20, 20]])),
        "two/ann/b.jpg.json": annotation(shape("without_mask", [[2, 2], [20, 20]])),
        "two/ann/c.json": annotation(shape("without_mask", [[2, 2], [20, 20]])),
    }
    project = write_tree("two/img/a.jpg", "two/img/b.jpg", "one/img/c.jpg", texts=texts)
    apart = write_tree("two/img/a.jpg", "two/img/b.jpg", "one/img/c.jpg", folder="apart")
    labels = write_tree(texts=texts, folder="labels")
    for dataset in (import_(project), import_(labels, images=apart)):
        assert [name for name, *_ in faces(dataset)] == ["b.jpg"]
        assert [name for name, _ in left_out(dataset)] == ["one/ann/a.jpg.json", "two/ann/c.json"]
