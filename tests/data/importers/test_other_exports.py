"""Tests of exports that are refused with the way that works."""

from __future__ import annotations

import json

import pytest

from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

WIDER = "0--Parade/a.jpg\n1\n449 330 122 149 0 0 0 0 0 0 \n0--Parade/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"
SAMPLE = {"_id": {"$oid": "6"}, "filepath": "data/a.jpg", "ground_truth": {"_cls": "Classification", "label": "wear"}}
DETECTION = {"label": "wear", "bounding_box": [0.1, 0.1, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("name", "text", "message", "step"),
    [
        ("labels.json", json.dumps({"classes": ["wear"], "labels": {"a": 0}}), "FiftyOne", "CSVDataset"),
        (
            "labels.json",
            json.dumps({"classes": None, "labels": {"a": [DETECTION]}}),
            "FiftyOne",
            "COCODetectionDataset",
        ),
        ("samples.json", json.dumps({"samples": [SAMPLE]}), "FiftyOne", "COCODetectionDataset"),
        ("wider_face_train_bbx_gt.txt", WIDER, "no label of mask", "maskfit predict"),
    ],
)
@pytest.mark.parametrize("is_file", [False, True])
def test_the_tool_is_named_with_what_works(write_tree, import_, name, text, message, step, is_file):
    root = write_tree("data/a.jpg", texts={name: text})
    with pytest.raises(DataError, match=message) as error:
        import_(root / name if is_file else root)
    assert error.value.location.endswith(name)
    assert step in error.value.hint
    # The same is said where the dataset is used as it is.
    with pytest.raises(DataError, match=message) as error:
        read_photos(root / name if is_file else root, LABEL_SCHEMAS["mask"])
    assert step in error.value.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.json", json.dumps({"a.jpg": "wear"})),
        ("samples.json", json.dumps([1])),
        ("list.txt", "a.jpg\n1\n449 330"),
        ("list.txt", "a.jpg\n"),
    ],
)
def test_other_files_are_none_of_these(write_tree, import_, name, text):
    with pytest.raises(DataError) as error:
        import_(write_tree(texts={name: text}) / name)
    assert "FiftyOne" not in error.value.message
    assert "WIDER" not in error.value.message
