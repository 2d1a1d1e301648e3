"""Label issues as tasks of labeling tools, and back: what nobody changed is no correction."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from maskfit.data.image_header import read_upright_size
from maskfit.data.label_corrections import apply_corrections
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.evaluation.label_issues import LabelIssue
from maskfit.inference.labeling_tasks import make_tasks, read_decisions, write_tasks
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
FIRST, SECOND = "000001_female_Asian_45", "000002_male_Asian_25"


@pytest.fixture
def photos(tmp_path: Path):
    for person in (FIRST, SECOND):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for name in ("mask1", "mask2", "incorrect_mask", "normal"):
            Image.new("RGB", (24, 32)).save(tmp_path / "photos" / person / f"{name}.jpg")
    return read_photos(tmp_path / "photos", SCHEMA)


ISSUES = [
    LabelIssue(FIRST, (), "gender", ("female",), ("male",), 0.98, "all photos look male"),
    LabelIssue(
        SECOND,
        (f"{SECOND}/incorrect_mask.jpg", f"{SECOND}/normal.jpg"),
        "mask",
        ("incorrect", "not_wear"),
        ("not_wear", "incorrect"),
        0.9,
        "swapped",
    ),
    LabelIssue(SECOND, (), "age", ("<30",), ("30-59",), 0.7, "looks older"),
]


@pytest.fixture
def folder(tmp_path: Path, photos) -> Path:
    write_tasks(tmp_path / "tasks", make_tasks(ISSUES, photos, SCHEMA), photos, SCHEMA)
    return tmp_path / "tasks"


def test_mask_values_are_those_of_the_schema() -> None:
    assert {value for issue in ISSUES for value in issue.label} <= {v for a in SCHEMA.attributes for v in a.values}


def test_a_task_for_each_photo_and_person(photos) -> None:
    tasks = make_tasks(ISSUES, photos, SCHEMA)
    assert [task.photo for task in tasks] == [
        f"{FIRST}/normal.jpg",
        f"{SECOND}/incorrect_mask.jpg",
        f"{SECOND}/normal.jpg",
    ]
    assert tasks[0].labels == {"mask": "not_wear", "gender": "female", "age": "30-59"}
    assert tasks[2].proposed == {"mask": "incorrect", "age": "30-59"}
    assert tasks[2].whole_person == ("age",)
    assert tasks[2].score == 0.9


def answer(folder: Path, choose) -> list[dict]:
    """An export of Label Studio, in which `choose` says what was chosen for a photo."""
    exported = []
    for number, task in enumerate(json.loads((folder / "label-studio.json").read_text()), start=1):
        chosen = choose(task["data"]["photo_name"], task["predictions"][0]["result"])
        result = [{**item, "id": f"r{index}", "origin": "manual"} for index, item in enumerate(chosen)]
        annotations = [{"id": number, "completed_by": 1, "was_cancelled": False, "result": result}] if chosen else []
        exported.append({"id": number, "data": task["data"], "annotations": annotations, "predictions": []})
    return exported


def choice(name: str, value: str) -> dict:
    return {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [value]}}


def test_accepted_proposals_of_label_studio_become_corrections(folder: Path, photos, tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    export.write_text(json.dumps(answer(folder, lambda name, proposed: proposed)))
    found = read_decisions(folder, export, SCHEMA)
    assert sorted((item.person, item.photo, item.attribute, item.value) for item in found.corrections) == [
        (FIRST, "", "gender", "male"),
        (SECOND, "", "age", "30-59"),
        (SECOND, "incorrect_mask.jpg", "mask", "not_wear"),
        (SECOND, "normal.jpg", "mask", "incorrect"),
    ]
    assert (found.num_tasks, found.num_confirmed) == (3, 0)
    corrected = apply_corrections(photos, found.corrections, SCHEMA)
    labels = {photo.name: photo.labels for photo in corrected.photos}
    assert {labels[f"{FIRST}/{name}.jpg"]["gender"] for name in ("mask1", "normal")} == {"male"}
    assert labels[f"{SECOND}/normal.jpg"]["mask"] == "incorrect"
    assert corrected.relabeled == 8


def test_confirmed_labels_open_tasks_and_photos_to_leave_out(folder: Path, tmp_path: Path) -> None:
    def choose(name: str, proposed: list) -> list:
        if name.startswith(FIRST):
            return [choice("mask", "not_wear"), choice("gender", "female"), choice("age", "30-59")]
        return [choice("use", "leave out")] if name.endswith("normal.jpg") else []

    export = tmp_path / "export.json"
    export.write_text(json.dumps(answer(folder, choose)))
    found = read_decisions(folder, export, SCHEMA)
    assert [(item.person, item.photo, item.attribute, item.value) for item in found.corrections] == [
        (SECOND, "normal.jpg", "use", "no")
    ]
    assert (found.num_tasks, found.num_confirmed) == (2, 1)


def test_annotators_who_disagree_decide_nothing(folder: Path, tmp_path: Path) -> None:
    exported = answer(folder, lambda name, proposed: proposed)
    other = [choice("gender", "female")]
    exported[0]["annotations"].append({"id": 9, "completed_by": 2, "was_cancelled": False, "result": other})
    exported[1]["annotations"][0]["was_cancelled"] = True
    export = tmp_path / "export.json"
    export.write_text(json.dumps(exported))
    found = read_decisions(folder, export, SCHEMA)
    assert "gender" not in {item.attribute for item in found.corrections}
    assert "incorrect_mask.jpg" not in {item.photo for item in found.corrections}
    assert any("gender is given as male and female" in note for note in found.notes)


def test_the_short_export_of_label_studio(folder: Path, tmp_path: Path) -> None:
    rows = [
        {**item["data"], "id": 1, "annotation_id": 2, "annotator": 1, "lead_time": 1.5}
        | {entry["from_name"]: entry["value"]["choices"][0] for entry in item["annotations"][0]["result"]}
        for item in answer(folder, lambda name, proposed: proposed)
    ]
    (tmp_path / "full.json").write_text(json.dumps(answer(folder, lambda name, proposed: proposed)))
    (tmp_path / "min.json").write_text(json.dumps(rows))
    full = read_decisions(folder, tmp_path / "full.json", SCHEMA)
    assert read_decisions(folder, tmp_path / "min.json", SCHEMA).corrections == full.corrections


def test_cvat_there_and_back(folder: Path, photos, tmp_path: Path) -> None:
    labels = json.loads((folder / "cvat-labels.json").read_text())
    allowed = {item["name"]: item["values"] for item in labels[0]["attributes"]}
    root = ElementTree.parse(folder / "cvat.xml").getroot()
    for image in root.findall("image"):
        photo = next(item for item in photos if item.name == image.get("name"))
        assert (int(image.get("width")), int(image.get("height"))) == read_upright_size(photo.path)
        for entry in image.findall("tag/attribute"):
            assert (entry.text or "") in allowed[entry.get("name")]
    # What was uploaded and not looked at comes back as it was.
    assert read_decisions(folder, folder / "cvat.xml", SCHEMA).corrections == ()
    values = {entry.get("name"): entry for entry in root.findall("image")[2].findall("tag/attribute")}
    values["age"].text, values["mask"].text = "30-59", "incorrect"
    root.findall("image")[0].find("tag/attribute[@name='use']").text = "leave out"
    root.findall("image")[1].set("name", f"some/folder/{root.findall('image')[1].get('name')}")
    ElementTree.ElementTree(root).write(tmp_path / "annotations.xml")
    found = read_decisions(folder, tmp_path / "annotations.xml", SCHEMA)
    assert sorted((item.person, item.photo, item.attribute, item.value) for item in found.corrections) == [
        (FIRST, "normal.jpg", "use", "no"),
        (SECOND, "", "age", "30-59"),
        (SECOND, "normal.jpg", "mask", "incorrect"),
    ]
    assert (found.num_tasks, found.num_confirmed) == (3, 1)


def test_label_studio_finds_photos_below_a_url(photos, tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks", make_tasks(ISSUES[:1], photos, SCHEMA), photos, SCHEMA, "https://host/a b/?d=")
    data = json.loads((tmp_path / "tasks" / "label-studio.json").read_text())[0]["data"]
    assert data["image"] == f"https://host/a b/?d={FIRST}/normal.jpg"
    assert data["question"] == "labeled gender: female; proposed gender: male"
    interface = ElementTree.parse(tmp_path / "tasks" / "label-studio.xml").getroot()
    choices = {item.get("name"): [x.get("value") for x in item] for item in interface.findall("Choices")}
    assert choices == {**{a.name: list(a.values) for a in SCHEMA.attributes}, "use": ["leave out"]}


def test_what_is_no_export_of_these_tasks_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(
        json.dumps([{"data": {"image": "x.jpg"}, "annotations": [{"result": [choice("mask", "wear")]}]}])
    )
    with pytest.raises(DataError, match="no photo of this export is one of the tasks"):
        read_decisions(folder, tmp_path / "other.json", SCHEMA)
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(DataError, match="no decision"):
        read_decisions(folder, tmp_path / "empty.json", SCHEMA)
    (tmp_path / "bad.xml").write_text("<annotations>")
    with pytest.raises(DataError, match="cannot be read"):
        read_decisions(folder, tmp_path / "bad.xml", SCHEMA)
    with pytest.raises(DataError):
        read_decisions(tmp_path, tmp_path / "empty.json", SCHEMA)
