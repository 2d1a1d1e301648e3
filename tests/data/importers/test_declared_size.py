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
