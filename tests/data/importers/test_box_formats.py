"""Tests of the formats with boxes, on files in each format's exact form: Pascal VOC, YOLO, COCO, CVAT and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from maskfit.data.image_header import read_size_and_orientation
from maskfit.data.image_opening import EXIF_ORIENTATION
from maskfit.data.importers import write_manifest
from maskfit.data.importers.box_rows import turn_box
from maskfit.data.manifest import read_manifest
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

# Photos of `write_tree` have 24 x 32 pixels.


def faces(dataset) -> list[tuple[str, tuple[float, ...] | None, Mapping[str, str]]]:
    return [(row.photo.name, row.box, dict(row.labels)) for row in dataset.rows]


def left_out(dataset) -> list[tuple[str, str]]:
    return [(item.location, item.reason) for item in dataset.left_out]


def voc_object(name: str, *edges: float) -> str:
    box = "".join(f"<{key}>{edge}</{key}>" for key, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    return (
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
        f"<bndbox>{box}</bndbox></object>"
    )


def voc(file: str, *objects: str, size: tuple[int, int] = (24, 32)) -> str:
    return (
        f"<annotation>\n\t<folder>lulu</folder>\n\t<filename>{file}</filename>\n\t<path>C:\\Users\\me\\{file}</path>\n"
        f"\t<source><database>Unknown</database></source>\n\t<size><width>{size[0]}</width><height>{size[1]}</height>"
        f"<depth>3</depth></size>\n\t<segmented>0</segmented>\n\t{''.join(objects)}\n</annotation>\n"
    )


class TestVoc:
    def test_each_object_is_a_row(self, write_tree, import_):
        root = write_tree(
            "JPEGImages/a.jpg", "JPEGImages/b.png",
            texts={
                "annotations/a.xml": voc(
                    "a.jpg", voc_object("with_mask", 1, 2, 12, 20), voc_object("without_mask", 12, 2, 23, 20)
                ),
                "annotations/b.xml": voc("old name.jpg", voc_object("mask_weared_incorrect", 3, 4, 4, 6)),
            },
        )  # fmt: skip
        dataset = import_(root)
        assert dataset.format == "voc"
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("a.jpg", (12, 2, 23, 20), {"mask": "not_wear"}),
            ("b.png", (3, 4, 4, 6), {"mask": "incorrect"}),
        ]
        assert any("which is named like the XML: 1" in note for note in dataset.notes)
        assert any("too little to show a face: 3 of 3" in note for note in dataset.notes)

    def test_attributes_as_cvat_writes_them(self, write_tree, import_):
        """Of a neutral name they are the labels; a mask that the name denies is none."""
        pairs = [("mask", "incorrect"), ("gender", "female"), ("age", ""), ("occluded", "False")]
        entries = "".join(f"<attribute><name>{n}</name><value>{v}</value></attribute>" for n, v in pairs)
        objects = [
            voc_object(name, 1, top, 12, 20).replace("</object>", f"<attributes>{entries}</attributes></object>")
            for top, name in enumerate(("face", "incorrect_mask", "with_mask"))
        ]
        dataset = import_(write_tree("a.jpg", texts={"a.xml": voc("a.jpg", *objects)}))
        both = {"mask": "incorrect", "gender": "female"}
        assert [labels for _, _, labels in faces(dataset)] == [both, both, {"gender": "female"}]
        assert [item.attribute for item in dataset.disagreements] == ["mask"]
        assert "attributes that the label schema does not have were ignored: occluded" in dataset.notes

    def test_spanish_names(self, write_tree, import_):
        names = ("con_mascarilla", "sin_mascarilla", "mascarilla_mal_puesta")
        objects = [voc_object(name, 1 + index, 2, 12, 20) for index, name in enumerate(names)]
        dataset = import_(write_tree("a.jpg", texts={"a.xml": voc("a.jpg", *objects)}))
        assert [labels["mask"] for _, _, labels in faces(dataset)] == ["wear", "not_wear", "incorrect"]

    def test_what_is_wrong_is_left_out_with_a_reason(self, write_tree, import_):
        root = write_tree(
            "a.jpg", "b.jpg", "e.jpg",
            texts={
                "a.xml": voc(
                    "a.jpg", voc_object("with_mask", -3, 2, 12, 40), voc_object("with_mask", 5, 5, 5, 9),
                    voc_object("with_mask", 30, 5, 40, 9), "<object><name>with_mask</name></object>",
                ),
                "b.xml": voc("b.jpg"),
                "c.xml": voc("c.jpg", voc_object("with_mask", 1, 2, 12, 20)),
                "d.xml": "<annotation><filename>",
            },
        )  # fmt: skip
        dataset = import_(root)
        assert faces(dataset) == [("a.jpg", (0, 2, 12, 32), {"mask": "wear"})]
        assert left_out(dataset) == [
            ("a.xml object 2", "the box is empty"),
            ("a.xml object 3", "the box lies outside of the photo"),
            ("a.xml object 4", "the object has no box"),
            ("b.xml", "the photo has no box"),
            ("c.xml", "the photo does not exist"),
            ("d.xml", "the XML cannot be read"),
        ]
        assert any("clipped to it: 1 of 1" in note for note in dataset.notes)

    def test_filename_finds_a_photo_that_is_not_named_like_the_xml(self, write_tree, import_):
        text = voc("photo one.jpg", voc_object("with_mask", 1, 2, 12, 20))
        dataset = import_(write_tree("images/photo one.jpg", texts={"labels/000001.xml": text}))
        assert faces(dataset) == [("photo one.jpg", (1, 2, 12, 20), {"mask": "wear"})]

    def test_parallel_trees_with_equal_names(self, write_tree, import_):
        texts = {
            f"{part}/labels/1.xml": voc("1.jpg", voc_object(name, 1, 2, 12, 20))
            for part, name in (("train", "with_mask"), ("val", "without_mask"))
        }
        dataset = import_(write_tree("train/images/1.jpg", "val/images/1.jpg", texts=texts))
        assert {row.photo.parts[-3]: row.labels["mask"] for row in dataset.rows} == {"train": "wear", "val": "not_wear"}

    def test_photos_elsewhere(self, write_tree, import_):
        photos = write_tree("deep/a.jpg", folder="photos")
        root = write_tree(texts={"a.xml": voc("a.jpg", voc_object("with_mask", 1, 2, 12, 20))})
        with pytest.raises(DataError) as error:
            import_(root)
        assert "--images" in error.value.hint
        assert len(import_(root, images=photos).rows) == 1

    def test_boxes_of_a_photo_that_is_stored_sideways(self, write_tree, import_):
        root = write_tree()
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6
        Image.new("RGB", (32, 24)).save(root / "a.jpg", exif=exif)
        for size, expected in (((24, 32), (1, 2, 12, 20)), ((32, 24), (4, 1, 22, 12))):
            (root / "a.xml").write_text(voc("a.jpg", voc_object("with_mask", 1, 2, 12, 20), size=size))
            dataset = import_(root)
            assert faces(dataset)[0][1] == expected
            assert any("turned with its EXIF" in note for note in dataset.notes) == (size == (32, 24))

    def test_boxes_drawn_on_a_larger_copy_are_scaled(self, write_tree, import_):
        text = voc("a.jpg", voc_object("with_mask", 10, 20, 120, 200), size=(240, 320))
        dataset = import_(write_tree("a.jpg", texts={"a.xml": text}))
        assert faces(dataset)[0][1] == (1, 2, 12, 20)
        assert any("scaled to the photo's: 1" in note for note in dataset.notes)

    @pytest.mark.parametrize("size", [("nan", 0), (0, "nan"), ("nan", "nan"), ("inf", 32), (0, 0), ("wide", "high")])
    def test_a_size_that_is_none_says_nothing(self, write_tree, import_, size):
        text = voc("a.jpg", voc_object("with_mask", 1, 2, 12, 20), size=size)
        assert faces(import_(write_tree("a.jpg", texts={"a.xml": text})))[0][1] == (1, 2, 12, 20)

    def test_an_unknown_name_is_asked_for(self, write_tree, import_):
        root = write_tree("a.jpg", texts={"a.xml": voc("a.jpg", voc_object("masque", 1, 2, 12, 20))})
        with pytest.raises(DataError, match="'masque'"):
            import_(root)
        assert faces(import_(root, None, "masque=wear"))[0][2] == {"mask": "wear"}


@pytest.mark.parametrize("orientation", range(2, 9))
def test_boxes_turn_as_pixels_do(orientation, tmp_path):
    from maskfit.data.image_decoding import open_rgb

    image = Image.new("RGB", (40, 24))
    image.paste((255, 255, 255), (3, 5, 10, 9))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    assert read_size_and_orientation(tmp_path / "a.png") == (*((24, 40) if orientation > 4 else (40, 24)), orientation)
    assert open_rgb(tmp_path / "a.png").getbbox() == turn_box((3, 5, 10, 9), orientation, (40, 24))


class TestYolo:
    LINES = "0 0.5 0.5 0.5 0.25\n1 0.25 0.25 0.25 0.25 0.9\n"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("classes.txt", "with_mask\nwithout_mask\n"),
            ("obj.names", "with_mask\nwithout_mask"),
            ("data.yaml", "train: ../train/images\nnc: 2\nnames: ['with_mask', 'without_mask']\n"),
            ("data.yaml", "path: .\nnames:\n  0: with_mask\n  1: without_mask\n"),
        ],
    )
    def test_names_of_the_classes(self, write_tree, import_, name, text):
        dataset = import_(write_tree("a.jpg", texts={"a.txt": self.LINES, name: text}))
        assert dataset.format == "yolo"
        assert faces(dataset) == [
            ("a.jpg", (6, 12, 18, 20), {"mask": "wear"}),
            ("a.jpg", (3, 4, 9, 12), {"mask": "not_wear"}),
        ]
        assert any(f"names of the classes are from {name}" in note for note in dataset.notes)

    def test_without_names_it_asks(self, write_tree, import_):
        root = write_tree("a.jpg", texts={"a.txt": self.LINES})
        with pytest.raises(DataError, match="2 words are no value"):
            import_(root)
        assert [labels["mask"] for _, _, labels in faces(import_(root, None, "0=not_wear", "1=incorrect"))] == [
            "not_wear", "incorrect",
        ]  # fmt: skip

    def test_trees_of_images_and_labels_with_splits(self, write_tree, import_):
        texts = {
            "labels/train/1.txt": "0 0.5 0.5 0.5 0.5\n",
            "labels/val/1.txt": "1 0.5 0.5 0.5 0.5\n",
            "labels/val/2.txt": "",
            "data.yaml": "names: [with_mask, without_mask]",
            "README.txt": "Masks, version 2\n",
        }
        root = write_tree("images/train/1.jpg", "images/val/1.jpg", "images/val/2.jpg", "images/val/3.jpg", texts=texts)
        dataset = import_(root)
        assert {row.photo.parts[-2]: row.labels["mask"] for row in dataset.rows} == {"train": "wear", "val": "not_wear"}
        assert left_out(dataset) == [
            ("labels/val/2.txt", "the photo has no box"),
            ("images/val/3.jpg", "the photo has no label file"),
        ]
        assert any("train, val are imported together" in note for note in dataset.notes)

    def test_names_of_the_classes_beside_a_part(self, write_tree, import_):
        texts = {"test/labels/1.txt": "1 0.5 0.5 0.5 0.5\n", "data.yaml": "names: [with_mask, without_mask]"}
        root = write_tree("test/images/1.jpg", texts=texts)
        dataset = import_(root / "test")
        assert [row.labels for row in dataset.rows] == [{"mask": "not_wear"}]
        assert "names of the classes are from ../data.yaml: 0 with_mask, 1 without_mask" in dataset.notes
        # Only of a part: another folder's parent says nothing about it.
        (root / "test").rename(root / "more")
        with pytest.raises(DataError, match="1 word is no value"):
            import_(root / "more")

    def test_polygons_and_lines_that_are_none(self, write_tree, import_):
        lines = "0 0.25 0.25 0.5 0.25 0.5 0.75\n0 a 0 0 0\n0 120 80 40 40\n\n"
        dataset = import_(write_tree("a.jpg", texts={"a.txt": lines, "classes.txt": "mask"}))
        assert faces(dataset) == [("a.jpg", (6, 8, 12, 24), {"mask": "wear"})]
        assert [reason for _, reason in left_out(dataset)] == [
            "the line is not 'class x_center y_center width height'",
            "the box is not in fractions of the photo",
        ]


def coco(**extra) -> dict:
    return {
        "info": {"year": 2021},
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 24, "height": 32},
            {"id": 2, "file_name": "gone.jpg", "width": 24, "height": 32},
            {"id": 3, "file_name": "c.jpg", "width": 24, "height": 32},
        ],
        "annotations": [
            {"id": 7, "image_id": 1, "category_id": 2, "bbox": [1, 2, 11.5, 18], "area": 207.0, "iscrowd": 0},
            {"id": 8, "image_id": 1, "category_id": 1, "bbox": [12, 2, 11, 18], "area": 198, "iscrowd": 0},
            {"id": 9, "image_id": 1, "category_id": 1, "bbox": [0, 0, 24, 32], "iscrowd": 1},
            {"id": 10, "image_id": 2, "category_id": 1, "bbox": [1, 2, 11, 18], "iscrowd": 0},
            {"id": 11, "image_id": 4, "category_id": 1, "bbox": [1, 2, 11, 18], "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "with_mask", "supercategory": ""}, {"id": 2, "name": "no mask"}],
    } | extra


class TestCoco:
    def test_each_annotation_is_a_row(self, write_tree, import_):
        root = write_tree("images/a.jpg", "images/c.jpg", texts={"annotations/instances.json": json.dumps(coco())})
        dataset = import_(root)
        assert dataset.format == "coco"
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12.5, 20), {"mask": "not_wear"}),
            ("a.jpg", (12, 2, 23, 20), {"mask": "wear"}),
        ]
        assert [reason for _, reason in left_out(dataset)] == [
            "the photo does not exist",
            "the annotation is of a crowd",
            "the annotation is of an image that is not listed",
            "the photo has no box",
        ]

    def test_attributes_of_a_neutral_category(self, write_tree, import_):
        annotations = [
            {
                "id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 11, 18],
                "attributes": {"mask": "with_mask", "gender": "female", "occluded": False},
            }
        ]  # fmt: skip
        content = coco(annotations=annotations, categories=[{"id": 1, "name": "face"}])
        dataset = import_(write_tree("a.jpg", "c.jpg", texts={"x.json": json.dumps(content)}))
        assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear", "gender": "female"})]
        assert any("were ignored: occluded" in note for note in dataset.notes)

    @pytest.mark.parametrize("categories", [[{"id": 2, "name": None}], [{"id": None, "name": "no mask"}]])
    def test_null_is_no_label(self, write_tree, import_, categories):
        """As a word, `None` is one without a mask."""
        number = categories[0]["id"]
        plain = {"id": 1, "image_id": 1, "category_id": number, "bbox": [1, 2, 11, 18]}
        others = [
            plain | {"id": 2, "attributes": {"gender": "male", "mask": None}},
            plain | {"id": 3, "category_id": 1, "bbox": [2, 2, 11, 18]},
        ]
        content = coco(annotations=[plain, *others], categories=[*categories, {"id": 1, "name": "with_mask"}])
        dataset = import_(write_tree("a.jpg", "c.jpg", texts={"x.json": json.dumps(content)}))
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"gender": "male"}),
            ("a.jpg", (2, 2, 13, 20), {"mask": "wear"}),
        ]
        assert ("x.json annotation 1", "the box has no class") in left_out(dataset)

    def test_a_word_none_is_noted(self, write_tree, import_):
        content = coco(categories=[{"id": 1, "name": "with_mask"}, {"id": 2, "name": "None"}])
        root = write_tree("a.jpg", "c.jpg", texts={"x.json": json.dumps(content)})
        note = "'None' is read as mask not_wear (1 row), but Python writes it for an empty cell too; "
        assert note + "where it has no label, --map None=unknown" in import_(root).notes
        assert not any("Python" in of for of in import_(root, None, "None=unknown").notes)
        assert not any("Python" in of for of in import_(root, None, "None=not_wear").notes)

    def test_an_id_of_several_images_or_categories_is_not_guessed(self, write_tree, import_):
        images = [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "c.jpg"}, {"id": 3, "file_name": "b.jpg"}]
        annotations = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 11, 18]} for n in (1, 3)]
        content = coco(images=images, annotations=annotations)
        root = write_tree("a.jpg", "b.jpg", "c.jpg", texts={"x.json": json.dumps(content)})
        dataset = import_(root)
        assert faces(dataset) == [("b.jpg", (1, 2, 12, 20), {"mask": "wear"})]
        assert left_out(dataset) == [
            ("x.json image a.jpg", "several images have the id of this one"),
            ("x.json image c.jpg", "several images have the id of this one"),
        ]
        content = coco(categories=[{"id": 1, "name": "with_mask"}, {"id": 1, "name": "no mask"}])
        (root / "x.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match="several categories have one id: no mask, with_mask"):
            import_(root)

    def test_entries_that_are_no_objects_and_endless_boxes_are_listed(self, write_tree, import_):
        boxes = ([1, 2, 11, 18], [1, 2, 10**400, 18], [1, 2, float("nan"), 18])
        annotations = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes)]
        content = coco(images=[{"id": 1, "file_name": "a.jpg"}, "c.jpg"], annotations=[*annotations, 7])
        dataset = import_(write_tree("a.jpg", texts={"x.json": json.dumps(content)}))
        assert faces(dataset) == [("a.jpg", (1, 2, 12, 20), {"mask": "wear"})]
        assert left_out(dataset) == [
            ("x.json images", "the entry is no JSON object"),
            ("x.json annotations", "the entry is no JSON object"),
            ("x.json annotation 1", "the object has no box"),
            ("x.json annotation 2", "the object has no box"),
        ]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><size>2</size></task></meta>
  <image id="0" name="a.jpg" width="24" height="32">
    <box label="face" source="manual" occluded="1" xtl="1.00" ytl="2.00" xbr="12.00" ybr="20.00" z_order="0">
      <attribute name="mask">incorrect_mask</attribute>
      <attribute name="quality">bad</attribute>
    </box>
    <box label="with_mask" occluded="0" xtl="5" ytl="10" xbr="15" ybr="14" rotation="90.0" z_order="0"></box>
    <polygon label="with_mask" points="1,1;2,2;3,1"></polygon>
  </image>
  <image id="1" name="b.jpg" width="24" height="32"><tag label="without_mask" source="manual"></tag></image>
  <image id="2" name="c.jpg" width="24" height="32"></image>
</annotations>
"""


class TestCvat:
    def test_boxes_attributes_and_tags(self, write_tree, import_):
        dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"annotations.xml": CVAT}))
        assert dataset.format == "cvat"
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "incorrect"}),
            ("a.jpg", (8, 7, 12, 17), {"mask": "wear"}),
            ("b.jpg", None, {"mask": "not_wear"}),
        ]
        assert [reason for _, reason in left_out(dataset)] == ["the shape is no box", "the photo has no box"]
        notes = " ".join(dataset.notes)
        assert "occluded, imported like others: 1" in notes
        assert "upright boxes around them: 1" in notes
        assert "were ignored: quality" in notes

    def test_several_jobs_are_imported_together(self, write_tree, import_):
        one = '<annotations><image name="a.jpg" width="24" height="32">{}</image></annotations>'
        box = '<box label="{}" xtl="{}" ytl="2" xbr="{}" ybr="20"/>'
        texts = {
            "job1.xml": one.format(box.format("with_mask", 1, 9)),
            "job2.xml": one.format(box.format("without_mask", 1, 9) + box.format("with_mask", 10, 20)),
        }
        dataset = import_(write_tree("a.jpg", texts=texts))
        assert faces(dataset) == [("a.jpg", (1, 2, 9, 20), {}), ("a.jpg", (10, 2, 20, 20), {"mask": "wear"})]
        assert len(dataset.disagreements) == 1
        assert any("2 exports are imported together" in note for note in dataset.notes)


class TestTable:
    def test_a_csv_with_boxes(self, write_tree, import_):
        text = "path,xmin,ymin,xmax,ymax,mask\na.jpg,1,2,12,20,wear\na.jpg,12,2,30,20,without_mask\nb.jpg,1,2,,,wear\n"
        dataset = import_(write_tree("images/a.jpg", "images/b.jpg", texts={"scenes.csv": text}))
        assert dataset.format == "boxes"
        assert faces(dataset) == [
            ("a.jpg", (1, 2, 12, 20), {"mask": "wear"}),
            ("a.jpg", (12, 2, 24, 20), {"mask": "not_wear"}),
        ]
        assert left_out(dataset) == [("scenes.csv row 4: the box lacks xmax, ymax", "the cells are no box")]

    def test_words_in_a_column_label(self, write_tree, import_):
        text = "image,x,y,w,h,label\na.jpg,1,2,11,18,barefaced\n"
        root = write_tree("a.jpg", texts={"faces.csv": text})
        with pytest.raises(DataError, match="barefaced"):
            import_(root)
        assert faces(import_(root, None, "barefaced=not_wear")) == [("a.jpg", (1, 2, 12, 20), {"mask": "not_wear"})]


def test_an_import_reads_back_as_it_was(write_tree, import_, tmp_path):
    objects = (voc_object("with_mask", 1.25, 2, 12, 20), voc_object("without_mask", 12, 2, 23, 20))
    dataset = import_(write_tree("a.jpg", texts={"a.xml": voc("a.jpg", *objects)}))
    target = write_manifest(dataset, tmp_path / "manifest.csv")
    photos = read_photos(target, LABEL_SCHEMAS["mask"])
    assert [(Path(photo.file_name).name, photo.box, photo.labels["mask"]) for photo in photos] == [
        ("a.jpg", (1.25, 2, 12, 20), "wear"),
        ("a.jpg", (12, 2, 23, 20), "not_wear"),
    ]


@pytest.mark.parametrize(("code", "mask"), [("1.0", "not_wear"), ("1.000000e+00", "not_wear"), ("0", "wear")])
def test_yolo_classes_written_as_floats(write_tree, import_, code, mask):
    texts = {
        "data.yaml": "names: [with_mask, without_mask]\n",
        "labels/1.txt": f"{code} 0.5 0.5 0.5 0.5\n1.5 0.5 0.5 0.5 0.5\n0 nan 0.5 0.5 0.5\n-1.0 0.5 0.5 0.5 0.5\n",
    }
    dataset = import_(write_tree("images/1.jpg", texts=texts))
    assert [row.labels for row in dataset.rows] == [{"mask": mask}]
    assert len(dataset.left_out) == 3


@pytest.mark.parametrize(
    "text",
    [
        'names: !!int ""\n',
        "names: &a [*a]\n",
        "names: " + "[" * 500 + "]" * 500,
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{f'*{chr(97 + i)}, ' * 10}]\n" for i in range(8)),
    ],
    ids=["no int", "itself", "deep", "nested aliases"],
)
def test_class_names_of_yolo_that_are_no_plain_yaml_are_none(write_tree, import_, text):
    root = write_tree("images/1.jpg", texts={"data.yaml": text, "labels/1.txt": "0 0.5 0.5 0.5 0.5\n"})
    assert [row.labels for row in import_(root, None, "mask:0=wear").rows] == [{"mask": "wear"}]


def test_classes_numbered_from_1_are_refused(write_tree, import_):
    """As pylabel 0.1.55 writes them from COCO; the names would be those of the classes before."""
    texts = {"data.yaml": "names: [with_mask, without_mask]\n", "labels/a.txt": "1 .5 .5 .5 .5\n2 .5 .5 .9 .9\n"}
    root = write_tree("images/a.jpg", texts=texts)
    with pytest.raises(DataError, match="numbered from 1") as error:
        import_(root)
    assert "such as unused, so that class 1 is with_mask" in error.value.hint
    (root / "data.yaml").write_text("names: [unused, with_mask, without_mask]\n")
    assert [labels["mask"] for *_, labels in faces(import_(root))] == ["wear", "not_wear"]
    # Another number without a name is asked for, as before.
    (root / "labels" / "a.txt").write_text("1 .5 .5 .5 .5\n5 .5 .5 .9 .9\n")
    with pytest.raises(DataError, match="'5' "):
        import_(root)


def test_a_class_number_of_many_digits_is_passed_over(write_tree, import_):
    texts = {"data.yaml": f"names:\n  0: with_mask\n  ? {'9' * 5000}\n  : x\n", "labels/1.txt": "0 0.5 0.5 0.5 0.5\n"}
    assert [row.labels for row in import_(write_tree("images/1.jpg", texts=texts)).rows] == [{"mask": "wear"}]


def test_boxes_of_two_annotators(write_tree, import_):
    """Equal boxes are merged, and what they disagree about is named with its box; boxes that differ are counted."""
    rows = ["a.jpg,wear,1,2,12,20", "a.jpg,not_wear,1,2,12,20", "b.jpg,wear,1,2,21,22", "b.jpg,wear,2,2,22,22"]
    table = "\n".join(["path,mask,left,upper,right,lower", *rows])
    dataset = import_(write_tree("a.jpg", "b.jpg", texts={"faces.csv": table}))
    assert [(labels, box) for _, box, labels in faces(dataset)] == [
        ({}, (1, 2, 12, 20)), ({"mask": "wear"}, (1, 2, 21, 22)), ({"mask": "wear"}, (2, 2, 22, 22)),
    ]  # fmt: skip
    (entry,) = dataset.disagreements
    assert (entry.box, entry.readings[1]) == ((1, 2, 12, 20), ("faces.csv row 3", "not_wear"))
    (note,) = [note for note in dataset.notes if "several rows" in note]
    assert note.startswith("1 face is in several rows, which were merged; labels that differ: stay empty")
    assert any(note.startswith("faces boxed twice") and "1 pair of boxes" in note for note in dataset.notes)
    assert not any("read as the box" in note for note in dataset.notes)


def test_a_manifest_keeps_what_maskfit_reads_and_other_columns_are_named(write_tree, import_, tmp_path):
    table = (
        "path,person,mask,left,upper,right,lower,Times,persons,note\na.jpg,anna,wear,1,2,12,20,2,,x\n"
        "b.jpg,,wear,,,,,,lists/who.csv,\n"
    )
    root = write_tree("photos/a.jpg", "photos/b.jpg", texts={"photos/faces.csv": table})
    (root / "photos" / "lists").mkdir()
    (root / "photos" / "lists" / "who.csv").write_text("person\nbo\ncy\n")
    dataset = import_(root)
    assert [row.person for row in dataset.rows] == ["anna", ""]
    assert "photos/faces.csv: columns that are not imported: note" in dataset.notes
    (tmp_path / "elsewhere").mkdir()
    written = write_manifest(dataset, tmp_path / "elsewhere" / "m.csv")
    photos = read_manifest(written, LABEL_SCHEMAS["mask"])
    assert [(photo.person, photo.repeat) for photo in photos] == [("anna", 2), ("bo|cy", 1)]
    # Persons of names take the place of the list: a row has one of the two.
    named = import_(root, person="([ab]).jpg")
    assert [(row.person, dict(row.extra)) for row in named.rows] == [("a", {"times": "2"}), ("b", {})]


def test_names_relative_to_a_label_file_in_a_subfolder(write_tree, import_):
    content = {
        "images": [{"id": 1, "file_name": "../photos/1.jpg", "width": 24, "height": 32}],
        "categories": [{"id": 1, "name": "with_mask"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 11, 18]}],
    }
    root = write_tree("photos/1.jpg", "labels/1.jpg", texts={"labels/coco.json": json.dumps(content)})
    for source in (root, root / "labels" / "coco.json"):
        assert [row.photo for row in import_(source).rows] == [root / "photos" / "1.jpg"]


def test_a_label_file_is_of_no_photo_of_another_part(write_tree, import_):
    texts = {f"{part}/labels/{name}.txt": "0 0.5 0.5 0.6 0.6\n" for part, name in (("train", "a"), ("valid", "b"))}
    root = write_tree("train/images/b.jpg", "valid/images/b.jpg", "valid/images/a.jpg", texts=texts)
    dataset = import_(root, "yolo", "0=wear")
    assert [row.photo.relative_to(root).as_posix() for row in dataset.rows] == ["valid/images/b.jpg"]
