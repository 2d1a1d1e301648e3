"""Tests of tables and lines that say the size of the photo that their boxes were drawn on."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from maskfit.data.image_opening import EXIF_ORIENTATION

# Photos of `write_tree` have 24 x 32 pixels.

BOX = {"xmin": 20, "ymin": 40, "xmax": 200, "ymax": 300}
ITEM = {"filename": "a.jpg", "width": 240, "height": 320, "class": "with_mask", **BOX}


def table(*items: dict) -> str:
    return "\n".join(",".join(map(str, row)) for row in (items[0], *(item.values() for item in items))) + "\n"


def metadata(item: dict) -> str:
    box = [item["xmin"], item["ymin"], item["xmax"] - item["xmin"], item["ymax"] - item["ymin"]]
    size = {"width": item["width"], "height": item["height"]}
    return json.dumps({"file_name": "a.jpg", **size, "objects": {"bbox": [box], "label": ["with_mask"]}})


def line(item: dict) -> str:
    return json.dumps({"image" if key == "filename" else "label" if key == "class" else key: item[key] for key in item})


FILES = {
    "_annotations.csv": table,
    "ids.csv": lambda item: table({"id": "a", **{key: item[key] for key in item if key != "filename"}}),
    "metadata.jsonl": metadata,
    "lines.jsonl": line,
}


@pytest.mark.parametrize("name", FILES)
def test_boxes_of_a_larger_original_are_scaled(write_tree, import_, name):
    dataset = import_(write_tree("a.jpg", texts={name: FILES[name](ITEM)}))
    assert [row.box for row in dataset.rows] == [(2, 4, 20, 30)]
    assert any("scaled to the photo's: 1" in note for note in dataset.notes)
    assert not any("width" in note for note in dataset.notes if "not imported" in note or "ignored" in note)


@pytest.mark.parametrize("name", FILES)
def test_boxes_on_stored_pixels_are_turned(write_tree, import_, name):
    item = ITEM | {"width": 32, "height": 24, "xmin": 1, "ymin": 2, "xmax": 12, "ymax": 20}
    root = write_tree(texts={name: FILES[name](item)})
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new("RGB", (32, 24)).save(root / "a.jpg", exif=exif)
    dataset = import_(root)
    assert [row.box for row in dataset.rows] == [(4, 1, 22, 12)]
    assert any("turned with its EXIF" in note for note in dataset.notes)


@pytest.mark.parametrize(
    "sizes", [{"width": 18, "height": 26}, {"width": 19, "height": 27}, {"width": "", "height": ""}, {"width": 240}]
)
def test_the_size_of_the_box_and_cells_without_a_size_change_nothing(write_tree, import_, sizes):
    item = {"filename": "a.jpg", **sizes, "class": "with_mask", "xmin": 2, "ymin": 4, "xmax": 20, "ymax": 30}
    for name, text in (("t.csv", table(item)), ("t.jsonl", line(item))):
        dataset = import_(write_tree("a.jpg", texts={name: text}, folder=name.replace(".", "_")))
        assert [row.box for row in dataset.rows] == [(2, 4, 20, 30)]


def test_a_size_of_its_own_name_counts_beside_the_width_of_the_box(write_tree, import_):
    row = {"path": "a.jpg", "label": "wear", "x": 20, "y": 40, "width": 180, "height": 260}
    sizes = {"image_width": 240, "image_height": 320}
    assert [row.box for row in import_(write_tree("a.jpg", texts={"t.csv": table(row | sizes)})).rows] == [
        (2, 4, 20, 30)
    ]


def coco(root, *photos: tuple[int, tuple[int, int], tuple[int, int]]) -> None:
    """Writes photos with an EXIF orientation and a stored size, and a COCO file with their declared sizes."""
    images, boxes = [], []
    for number, (orientation, stored, (width, height)) in enumerate(photos):
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        Image.new("RGB", stored).save(root / f"{number}.jpg", exif=exif)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": width, "height": height})
        boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [0, 0, width / 2, height / 4]})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "with_mask"}]}
    (root / "coco.json").write_text(json.dumps(content))


SIDEWAYS, UPRIGHT = (6, (200, 160), (200, 160)), (6, (200, 160), (160, 200))
UPSIDE_DOWN, SQUARE, PLAIN = (3, (200, 160), (200, 160)), (6, (160, 160), (160, 160)), (1, (200, 160), (200, 160))


def test_boxes_of_a_set_on_stored_pixels_are_all_turned(write_tree, import_):
    root = write_tree()
    coco(root, UPSIDE_DOWN, SIDEWAYS, SQUARE, PLAIN, (3, (200, 160), (2000, 1600)))
    dataset = import_(root)
    assert [row.box for row in dataset.rows] == [
        (100, 120, 200, 160),
        (120, 0, 160, 100),
        (120, 0, 160, 80),
        (0, 0, 100, 40),
        (100, 120, 200, 160),
    ]
    assert any("turned with its EXIF orientation: 4" in note for note in dataset.notes)
    assert not any("look at one" in note for note in dataset.notes)


def test_boxes_of_a_set_on_upright_photos_stay(write_tree, import_):
    root = write_tree()
    coco(root, UPSIDE_DOWN, UPRIGHT, SQUARE)
    dataset = import_(root)
    assert [row.box for row in dataset.rows] == [(0, 0, 100, 40), (0, 0, 80, 50), (0, 0, 80, 40)]
    assert not any("turned" in note or "look at one" in note for note in dataset.notes)


@pytest.mark.parametrize(("others", "count"), [((), 2), ((SIDEWAYS, UPRIGHT), 2)])
def test_boxes_whose_orientation_nothing_tells_are_counted(write_tree, import_, others, count):
    root = write_tree()
    coco(root, UPSIDE_DOWN, SQUARE, PLAIN, *others)
    dataset = import_(root)
    assert [row.box for row in dataset.rows][:3] == [(0, 0, 100, 40), (0, 0, 80, 40), (0, 0, 100, 40)]
    assert any(note.endswith(f"look at one: {count}") for note in dataset.notes)


def test_boxes_of_a_larger_original_on_stored_pixels_are_scaled_and_turned(write_tree, import_):
    root = write_tree()
    coco(root, (6, (200, 160), (2000, 1600)))
    dataset = import_(root)
    assert [row.box for row in dataset.rows] == [(120, 0, 160, 100)]
    assert sum("turned with its EXIF" in note or "scaled to the photo's" in note for note in dataset.notes) == 2


FRACTIONS = {"xmin": 0.25, "ymin": 0.125, "xmax": 0.75, "ymax": 0.5}
CREATEML = [{"label": "with_mask", "coordinates": {"x": 0.5, "y": 0.3125, "width": 0.5, "height": 0.375}}]
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 240, "height": 320}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0.25, 0.125, 0.5, 0.375]}],
    "categories": [{"id": 1, "name": "with_mask"}],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", table({"path": "a.jpg", "label": "wear", **FRACTIONS})),
        ("t.csv", table({"id": "a", "label": "wear", **FRACTIONS})),
        ("_annotations.csv", table(ITEM | FRACTIONS)),
        ("t.jsonl", line({"filename": "a.jpg", "class": "wear", **FRACTIONS})),
        ("metadata.jsonl", metadata(ITEM | FRACTIONS)),
        ("t.json", json.dumps([{"image": "a.jpg", "annotations": CREATEML}])),
        ("coco.json", json.dumps(COCO)),
    ],
)
def test_boxes_in_fractions_of_the_photo_become_pixels(write_tree, import_, name, text):
    dataset = import_(write_tree("a.jpg", texts={name: text}))
    assert [row.box for row in dataset.rows] == [(6, 4, 18, 16)]
    assert "boxes within 0 and 1, read as fractions of the photo: 1" in dataset.notes
    assert not any("scaled" in note or "too little" in note for note in dataset.notes)


def test_fractions_of_stored_pixels_are_turned(write_tree, import_):
    root = write_tree()
    coco(root, SIDEWAYS)
    content = json.loads((root / "coco.json").read_text())
    content["annotations"][0]["bbox"] = [0, 0, 0.5, 0.25]
    (root / "coco.json").write_text(json.dumps(content))
    assert [row.box for row in import_(root).rows] == [(120, 0, 160, 100)]


def test_fractions_among_boxes_in_pixels_are_listed(write_tree, import_):
    """They may be fractions of another tool, or what stands for no face; which is unknown."""
    rows = [{"path": "a.jpg", "label": word, "left": 0, "upper": 0, "right": x, "lower": x} for word, x in (
        ("wear", 1), ("not_wear", 20), ("wear", 0))]  # fmt: skip
    dataset = import_(write_tree("a.jpg", texts={"t.csv": table(*rows)}))
    assert [(row.box, row.labels["mask"]) for row in dataset.rows] == [((0, 0, 20, 20), "not_wear")]
    assert sorted(item.reason for item in dataset.left_out) == [
        "the box is empty",
        "the box lies within 0 and 1, as fractions of the photo do, and others are in pixels",
    ]


def test_small_boxes_of_formats_that_define_their_unit_are_no_fractions(write_tree, import_):
    texts = {"a.txt": "0 .02 .02 .02 .02", "classes.txt": "mask"}
    dataset = import_(write_tree("a.jpg", texts=texts))
    assert [row.box for row in dataset.rows] == [(0.24, 0.32, 0.72, 0.96)]
