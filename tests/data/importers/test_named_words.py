"""Tests of bands and numbers under names that are no attribute's, in every format that has names of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maskfit.data.importers.interface import ANY
from maskfit.data.importers.named_words import NamedWords
from maskfit.data.importers.word_reader import WordReader
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


def json_lines(name: str, word: Any) -> dict[str, str]:
    return {"t.jsonl": json.dumps({"image": "a.jpg", "mask": "wear", name: word}) + "\n"}


def hugging_face(name: str, word: Any) -> dict[str, str]:
    return {"metadata.jsonl": json.dumps({"file_name": "a.jpg", "mask": "wear", name: word}) + "\n"}


def via(name: str, word: Any) -> dict[str, str]:
    item = {"filename": "a.jpg", "size": 1, "regions": [], "file_attributes": {"mask": "wear", name: word}}
    return {"via.json": json.dumps({"a.jpg1": item})}


def label_studio(name: str, word: Any) -> dict[str, str]:
    results = [
        {"id": "x", "type": "choices", "value": {"choices": [of]}, "to_name": "image", "from_name": control}
        for control, of in (("mask", "wear"), (name, word))
    ]
    answer = {"id": 1, "completed_by": 1, "result": results, "was_cancelled": False, "lead_time": 1}
    return {"e.json": json.dumps([{"id": 1, "annotations": [answer], "data": {"image": "a.jpg"}}])}


def labelbox(name: str, word: Any) -> dict[str, str]:
    answers = [{"name": of, "text_answer": {"content": text}} for of, text in (("mask", "wear"), (name, word))]
    labels = [{"annotations": {"objects": [], "classifications": answers, "relationships": []}}]
    line = {"data_row": {"id": "1", "external_id": "a.jpg"}, "projects": {"p": {"labels": labels}}}
    return {"e.ndjson": json.dumps(line) + "\n"}


def datumaro(name: str, word: Any) -> dict[str, str]:
    label = {"id": 0, "type": "label", "attributes": {"mask": "wear", name: word}, "group": 0, "label_id": 0}
    categories = {"label": {"labels": [{"name": "face", "parent": "", "attributes": []}], "attributes": []}}
    item = {"id": "a", "annotations": [label], "image": {"path": "a.jpg", "size": [32, 24]}}
    return {"annotations/t.json": json.dumps({"info": {}, "categories": categories, "items": [item]})}


def supervisely(name: str, word: Any) -> dict[str, str]:
    tags = [{"name": "mask", "value": "wear"}, {"name": name, "value": word}]
    size = {"height": 32, "width": 24}
    content = {"description": "", "size": size, "tags": tags, "objects": [], "customBigData": {}}
    return {"ds/ann/a.jpg.json": json.dumps(content), "meta.json": json.dumps({"classes": [], "tags": []})}


def mmpretrain(name: str, word: Any) -> dict[str, str]:
    tasks = [{"name": "mask", "categories": ["wear"]}, {"name": name, "categories": [word]}]
    items = [{"img_path": "a.jpg", "gt_label": {"mask": 0, name: 0}}]
    return {"t.json": json.dumps({"metainfo": {"tasks": tasks}, "data_list": items})}


FORMATS = (json_lines, hugging_face, via, label_studio, labelbox, datumaro, supervisely, mmpretrain)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("name", "word", "age"),
    [
        ("distance", "2-5", None),
        ("quality", "90+", None),
        ("lighting", "0,5", None),
        ("time", "<30", None),
        ("exposure", "20s", None),
        ("track", "7", None),
        ("age_group", "2-5", "2 to 5"),
        ("Alter", "70+", "70+"),
    ],
)
def test_a_band_is_an_age_where_its_name_says_so(write_tree, import_, labels_of, form, name, word, age):
    photo = "ds/img/a.jpg" if form is supervisely else "images/t/a.jpg" if form is datumaro else "a.jpg"
    dataset = import_(write_tree(photo, texts=form(name, word)), None, *(["face=unknown"] if form is datumaro else []))
    assert labels_of(dataset) == {"a.jpg": {"mask": "wear"} | ({"age": age} if age else {})}
    assert any("ignored" in note and name in note for note in dataset.notes) == (age is None)


@pytest.mark.parametrize("form", FORMATS[:3])
def test_a_key_of_labels_of_any_kind_may_hold_a_band(write_tree, import_, labels_of, form):
    assert labels_of(import_(write_tree("a.jpg", texts=form("label", "2-5")))) == {
        "a.jpg": {"mask": "wear", "age": "2 to 5"}
    }


def test_a_band_among_other_words_of_a_name():
    """A name that another word makes one of labels asks for words, not for bands; a tag without a value is a word."""
    pairs = [("state", "female"), ("view", "with mask"), ("view", "2-5"), ("label", "20-29"), ("30-39", "")]
    names = NamedWords(WordReader(SCHEMA), pairs)
    assert names.read(pairs) == [
        (ANY, "female"), (ANY, "with mask"), (ANY, "20-29"), (ANY, "30-39")
    ]  # fmt: skip
    assert names.notes("tags") == ["tags that hold no label, ignored: view (1)"]
    mapped = NamedWords(WordReader(SCHEMA, maps=["2-5=<30"]), [("distance", "2-5")])
    assert mapped.read([("distance", "2-5")]) == [(ANY, "2-5")]


@pytest.mark.parametrize("form", [json_lines, hugging_face, labelbox, datumaro, supervisely])
@pytest.mark.parametrize(
    ("value", "person"),
    [
        (1, "1"), (1.0, "1"), ("1", "1"), (0, "0"), (1234567.0, "1234567"), (12345678901, "12345678901"),
        (1.5, "1.5"), (float("nan"), ""), ("anna", "anna"), (None, ""),
    ],
)  # fmt: skip
def test_a_number_is_one_person_however_it_is_written(write_tree, import_, form, value, person):
    """1 and 1.0 were two persons, and 1234567.0 and 1234568.0 one."""
    photo = "ds/img/a.jpg" if form is supervisely else "images/t/a.jpg" if form is datumaro else "a.jpg"
    dataset = import_(
        write_tree(photo, texts=form("person", value)), None, *(["face=unknown"] if form is datumaro else [])
    )
    assert [row.person for row in dataset.rows] == [person]


def test_a_number_is_one_person_in_label_studios_data(write_tree, import_):
    result = {"id": "x", "type": "choices", "value": {"choices": ["wear"]}, "to_name": "image", "from_name": "mask"}
    answer = {"id": 1, "completed_by": 1, "result": [result], "was_cancelled": False, "lead_time": 1}
    tasks = [
        {"id": number, "annotations": [answer], "data": {"image": f"{name}.jpg", "person": person}}
        for number, (name, person) in enumerate((("a", 1), ("b", 1.0), ("c", 0), ("d", None)))
    ]
    dataset = import_(write_tree(*(f"{name}.jpg" for name in "abcd"), texts={"e.json": json.dumps(tasks)}))
    assert [row.person for row in dataset.rows] == ["1", "1", "0", ""]
