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
