"""Tests of columns and attributes with other names than the standard ones, which manifests know too."""

from __future__ import annotations

import json

import pytest

FULL = {"mask": "wear", "gender": "male", "age": "20 to 29"}
NAMES = [
    ("mask", "gender", "age"),
    ("mask_state", "sex", "age_group"),
    ("Maske", "Geschlecht", "Alter"),
    ("마스크 착용 여부", "성별", "연령대"),
    ("mascarilla", "Sexo", "edad"),
]


def rows(dataset) -> list[tuple[str, dict[str, str]]]:
    return [(row.photo.name, dict(row.labels)) for row in dataset.rows]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(
    ("path", "cell"), [("id", "a"), ("image_id", "a"), ("사진", "a"), ("URL", "https://x.y/a.jpg")]
)
def test_ids(write_tree, import_, names, path, cell):
    text = f"{path},{','.join(names)},note\n{cell},wear,male,20-29,x\n"
    dataset = import_(write_tree("a.jpg", texts={"l.csv": text}))
    assert dataset.format == "ids"
    assert rows(dataset) == [("a.jpg", FULL)]
    assert "l.csv: columns that are not imported: note" in dataset.notes


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("path", ["path", "Datei", "image"])
def test_boxes(write_tree, import_, names, path):
    text = f"{path},left,top,width,height,{','.join(names)},note\na.jpg,1,2,9,10,wear,male,20-29,x\n"
    dataset = import_(write_tree("a.jpg", texts={"l.csv": text}), "boxes")
    assert rows(dataset) == [("a.jpg", FULL)]
    assert dataset.rows[0].box == (1, 2, 10, 12)
    assert "l.csv: columns that are not imported: note" in dataset.notes


@pytest.mark.parametrize("names", NAMES)
def test_attributes_of_coco_cvat_and_voc(write_tree, import_, names):
    values = dict(zip((*names, "note"), ("wear", "male", "20-29", "x"), strict=True))
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 24, "height": 32}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 10], "attributes": values}],
        "categories": [{"id": 1, "name": "face"}],
    }
    entries = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in values.items())
    cvat = (
        '<annotations><image id="0" name="a.jpg" width="24" height="32">'
        f'<box label="face" xtl="1" ytl="2" xbr="10" ybr="12">{entries}</box></image></annotations>'
    )
    of_object = "".join(f"<attribute><name>{n}</name><value>{v}</value></attribute>" for n, v in values.items())
    voc = (
        "<annotation><object><name>face</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>12</ymax>"
        f"</bndbox><attributes>{of_object}</attributes></object></annotation>"
    )
    for number, (name, text) in enumerate({"c.json": json.dumps(coco), "e.xml": cvat, "a.xml": voc}.items()):
        dataset = import_(write_tree("a.jpg", texts={name: text}, folder=f"of{number}"))
        assert rows(dataset) == [("a.jpg", FULL)]
        assert "attributes that the label schema does not have were ignored: note" in dataset.notes


def test_of_two_names_of_an_attribute_the_standard_one_counts(write_tree, import_):
    """As in manifests."""
    dataset = import_(write_tree("a.jpg", texts={"l.csv": "id,sex,gender,mask\na,female,male,wear\n"}))
    assert rows(dataset) == [("a.jpg", {"mask": "wear", "gender": "male"})]
    assert "l.csv: columns that are not imported: sex" in dataset.notes


@pytest.mark.parametrize(
    ("header", "cells", "labels", "unread"),
    [
        ("Answer.category.label,Answer.gender.label", "with_mask,male", {"mask": "wear", "gender": "male"}, ""),
        ("Answer.worn.label,Answer.Sex.label", "with_mask,f", {"mask": "wear", "gender": "female"}, ""),
        ("Answer.who.label,Answer.look.label", "female,with_mask", {"mask": "wear", "gender": "female"}, ""),
        ("Answer.blur.label,Answer.look.label", "yes,with_mask", {"mask": "wear"}, "Answer.blur.label"),
        ("Answer.range.label,Answer.look.label", "20-29,with_mask", {"mask": "wear"}, "Answer.range.label"),
        ("Input.label,Answer.look.label", "without_mask,with_mask", {"mask": "wear"}, "Input.label"),
        ("Input.gender,Answer.gender.label", "male,female", {"gender": "female"}, "Input.gender"),
        ("OUTPUT:mask,OUTPUT:성별,OUTPUT:age_band", "wear,남,20-29", FULL, ""),
        ("OUTPUT:result,GOLDEN:result", "with_mask,without_mask", {"mask": "wear"}, "GOLDEN:result"),
    ],
)
def test_several_questions_of_crowdsourcing(write_tree, import_, header, cells, labels, unread):
    """Each answer counts that has an attribute's name, or is one of its values; others are named."""
    text = f"Input.image_url,{header}\nhttps://x.y/a.jpg,{cells}\n"
    dataset = import_(write_tree("a.jpg", texts={"l.csv": text}))
    assert rows(dataset) == [("a.jpg", labels)]
    assert (f"l.csv: columns that are not imported: {unread}" in dataset.notes) == bool(unread)
