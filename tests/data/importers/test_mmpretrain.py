"""Tests of MMPretrain's JSON."""

from __future__ import annotations

import json

import pytest

from maskfit.errors import DataError


def write(write_tree, content):
    return write_tree("train/a.jpg", "train/b.jpg", texts={"train.json": json.dumps(content)})


def test_tasks_with_categories_and_partial_labels(write_tree, import_, labels_of):
    tasks = [
        {"name": "gender", "type": "single-label", "categories": ["female", "male"]},
        {"name": "mask", "type": "single-label", "categories": ["with_mask", "without_mask"]},
        {"name": "wear", "type": "multi-label", "categories": ["hat", "glasses"]},
    ]
    items = [
        {"img_path": "a.jpg", "gt_label": {"gender": 0, "mask": 1, "wear": [1, 0]}},
        {"img_path": "b.jpg", "gt_label": {"gender": 1}},
        {"img_path": "c.jpg", "gt_label": {"gender": 1}},
    ]
    dataset = import_(write(write_tree, {"metainfo": {"tasks": tasks}, "data_list": items}))
    assert dataset.format == "mmpretrain"
    assert labels_of(dataset) == {"a.jpg": {"gender": "female", "mask": "not_wear"}, "b.jpg": {"gender": "male"}}
    assert "tasks that are no attribute of the label schema, ignored: wear (1)" in dataset.notes
    assert [item.location for item in dataset.left_out] == ["train.json item 2"]


def test_indices_without_categories_are_asked_for(write_tree, import_, labels_of):
    items = [{"img_path": "a.jpg", "gt_label": {"gender": 0, "age": 2, "mask": [0, 0, 1]}}]
    root = write(write_tree, {"metainfo": {"tasks": ["gender", "age", "mask"]}, "data_list": items})
    with pytest.raises(DataError) as error:
        import_(root)
    assert "'0' of gender (1 row): a code without a meaning" in error.value.message
    assert "'2' of age_band" in error.value.message
    dataset = import_(root, None, "gender:0=female", "age_band:2=>=60", "mask:2=incorrect")
    assert labels_of(dataset) == {"a.jpg": {"gender": "female", "age": ">=60", "mask": "incorrect"}}


def test_a_class_whose_name_is_null_is_no_label(write_tree, import_, labels_of):
    """As a word, `None` is one without a mask."""
    items = [{"img_path": "a.jpg", "gt_label": 1}, {"img_path": "b.jpg", "gt_label": [0]}]
    root = write(write_tree, {"metainfo": {"classes": [None, "with_mask"]}, "data_list": items})
    dataset = import_(root)
    assert labels_of(dataset) == {"a.jpg": {"mask": "wear"}}
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("train.json item 1", "the class has no name")
    ]
    tasks = [{"name": "gender", "categories": ["male"]}, {"name": "state", "categories": [None, "with_mask"]}]
    items = [{"img_path": f"{name}.jpg", "gt_label": {"gender": 0, "state": n}} for n, name in enumerate("ab")]
    dataset = import_(write(write_tree, {"metainfo": {"tasks": tasks}, "data_list": items}))
    assert labels_of(dataset) == {"a.jpg": {"gender": "male"}, "b.jpg": {"gender": "male", "mask": "wear"}}


def test_one_task_with_classes(write_tree, import_, labels_of):
    content = {
        "metainfo": {"classes": ["mask_weared_incorrect", "with_mask"]},
        "data_list": [{"img_path": "a.jpg", "gt_label": 1}, {"img_path": "b.jpg", "gt_label": [0]}],
    }
    assert labels_of(import_(write(write_tree, content))) == {"a.jpg": {"mask": "wear"}, "b.jpg": {"mask": "incorrect"}}
