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


def test_a_proposed_age_becomes_the_band_that_the_tool_offers(photos) -> None:
    issue = LabelIssue(SECOND, (), "age", ("25",), ("61",), 0.7, "labeled 25; predicted 61 (55 to 66)")
    (task,) = make_tasks([issue], photos, SCHEMA)
    assert task.proposed == {"age": ">=60"}
    assert task.labels["age"] == "<30"


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


def test_a_task_that_is_listed_twice_is_an_error(folder: Path, tmp_path: Path) -> None:
    tasks = folder / "tasks.csv"
    lines = tasks.read_text().splitlines()
    tasks.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(DataError, match=f"row {len(lines) + 1}: duplicate of row 2"):
        read_decisions(folder, tmp_path / "absent.json", SCHEMA)


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
    assert f"{FIRST}/normal.jpg: gender is given as male and female; the label stays" in found.notes


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
    # The labels stand in the file as well: datumaro's reader (1.13) refuses one without.
    described = {own.findtext("name"): own.findtext("values").split("\n") for own in root.iterfind("meta//attribute")}
    assert described == allowed
    assert root.findtext("meta/task/labels/label/name") == "face"
    # What was uploaded and not looked at comes back as it was.
    assert read_decisions(folder, folder / "cvat.xml", SCHEMA).corrections == ()
    values = {entry.get("name"): entry for entry in root.findall("image")[2].findall("tag/attribute")}
    values["age"].text, values["mask"].text = "30-59", "incorrect"
    root.findall("image")[0].find("tag/attribute[@name='use']").text = "leave out"
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


def as_json(photo: str, *answers: dict[str, str]) -> list[dict]:
    annotations = [
        {"completed_by": number, "result": [choice(*item) for item in given.items()]}
        for number, given in enumerate(answers)
    ]
    return [{"id": 1, "data": {"image": "x.jpg", "photo_name": photo}, "annotations": annotations}]


def as_min(photo: str, *answers: dict[str, str]) -> list[dict]:
    return [
        {"image": "x.jpg", "photo_name": photo, "question": "?", "id": 1, "annotator": number, **given}
        for number, given in enumerate(answers)
    ]


def as_cvat(photo: str, *answers: dict[str, str], tag: str = "face") -> str:
    root = ElementTree.Element("annotations")
    for given in answers:
        element = ElementTree.SubElement(ElementTree.SubElement(root, "image", name=photo), "tag", label=tag)
        for name, value in given.items():
            ElementTree.SubElement(element, "attribute", name=name).text = value
    return ElementTree.tostring(root, encoding="unicode")


def read(folder: Path, content: list | str):
    export = folder.parent / ("export.xml" if isinstance(content, str) else "export.json")
    export.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_decisions(folder, export, SCHEMA)


FORMATS = pytest.mark.parametrize("form", [as_json, as_min, as_cvat])


@FORMATS
@pytest.mark.parametrize("values", [("female", "male"), ("male", "female"), ("male", "female", "male")])
def test_one_annotator_who_confirms_the_label_keeps_it(folder: Path, form, values) -> None:
    found = read(folder, form(f"{FIRST}/normal.jpg", *({"gender": value} for value in values)))
    assert found.corrections == ()
    assert (found.num_tasks, found.num_confirmed) == (1, 0)
    assert found.notes == (f"{FIRST}/normal.jpg: gender is given as {values[0]} and {values[1]}; the label stays",)
    agreed = read(folder, form(f"{FIRST}/normal.jpg", {"gender": "male"}, {"gender": "male"}))
    assert [(item.attribute, item.value) for item in agreed.corrections] == [("gender", "male")]


@FORMATS
def test_the_values_of_three_annotators_are_named(folder: Path, form) -> None:
    found = read(folder, form(f"{SECOND}/normal.jpg", {"age": "30-59"}, {"age": ">=60"}, {"age": "<30"}))
    assert found.corrections == ()
    assert found.notes == (f"{SECOND}/normal.jpg: age is given as 30-59, >=60 and <30; the label stays",)


@FORMATS
def test_leave_out_against_a_label_keeps_photo_and_label(folder: Path, form) -> None:
    photo = f"{SECOND}/normal.jpg"
    found = read(folder, form(photo, {"use": "leave out"}, {"mask": "incorrect"}))
    assert (found.corrections, found.num_confirmed) == ((), 0)
    assert found.notes == (f"{photo}: use is given as leave out and labeled (mask incorrect); the labels stay",)
    agreed = read(folder, form(photo, {"use": "leave out"}, {"use": "leave out"}))
    assert [(item.photo, item.attribute, item.value) for item in agreed.corrections] == [("normal.jpg", "use", "no")]


def test_photos_of_a_person_who_disagree_about_the_person(folder: Path) -> None:
    asked, other = f"{SECOND}/normal.jpg", f"{SECOND}/incorrect_mask.jpg"
    for first, second in (("30-59", ">=60"), ("<30", "30-59")):
        found = read(folder, as_json(asked, {"age": first}) + as_json(other, {"age": second}))
        assert (found.corrections, found.num_confirmed) == ((), 0)
        assert found.notes == (f"{SECOND}: age is given as {first} ({asked}) and {second} ({other}); the label stays",)
    same = read(folder, as_json(asked, {"age": "30-59"}) + as_json(other, {"age": "30-59"}))
    assert [(item.photo, item.value) for item in same.corrections] == [("", "30-59")]
    assert (same.num_confirmed, same.notes) == (0, ())


@FORMATS
def test_answers_that_cannot_be_read_confirm_nothing(folder: Path, form) -> None:
    photo = f"{FIRST}/normal.jpg"
    for given, note in (
        ({"gender": "female", "Mask": "wear"}, "controls that are none of the schema's, left out: Mask"),
        ({"gender": "Frau"}, f"{photo}: 'Frau' is no value of gender; the label stays"),
        ({"gender": "female", "use": "perhaps"}, f"{photo}: use is given as perhaps; the labels stay"),
    ):
        found = read(folder, form(photo, given))
        assert (found.corrections, found.num_tasks, found.num_confirmed) == ((), 1, 0)
        assert found.notes == (note,)
    commented = read(folder, form(photo, {"gender": "female", "Comment": "dark"}))
    assert (commented.num_confirmed, len(commented.notes)) == (1, 1)
    with pytest.raises(DataError, match="its controls are Mask and age_band") as caught:
        read(folder, form(photo, {"Mask": "wear", "age_band": "1"}))
    assert "mask, gender, age and use" in str(caught.value.hint)


def test_two_values_of_one_annotator_confirm_nothing(folder: Path) -> None:
    exported = as_json(f"{FIRST}/normal.jpg", {"gender": "female"})
    exported[0]["annotations"][0]["result"][0]["value"]["choices"] = ["female", "male"]
    found = read(folder, exported)
    assert (found.corrections, found.num_confirmed, len(found.notes)) == ((), 0, 1)


def test_other_tags_of_cvat_are_not_the_face(folder: Path) -> None:
    photo = f"{FIRST}/normal.jpg"
    with pytest.raises(DataError, match="no tag is named face; the tags are dog"):
        read(folder, as_cvat(photo, {"gender": "male"}, tag="dog"))
    both = as_cvat(photo, {"gender": "female"}).replace(
        "</image>", '<tag label="dog"><attribute name="gender">male</attribute></tag></image>'
    )
    found = read(folder, both)
    assert (found.corrections, found.num_confirmed) == ((), 1)
    assert found.notes == ("tags other than face, left out: dog",)


@FORMATS
def test_a_path_that_only_ends_like_a_task_is_another_photo(folder: Path, form) -> None:
    other = f"other/images/{FIRST}/normal.jpg"
    with pytest.raises(DataError, match="no photo of this export is one of the tasks"):
        read(folder, form(other, {"gender": "male"}))
    if form is not as_cvat:
        found = read(folder, form(other, {"gender": "male"}) + form(f"{SECOND}/normal.jpg", {"mask": "incorrect"}))
        assert [item.person for item in found.corrections] == [SECOND]
        assert found.notes == ("1 photo is no task, left out",)


def test_photos_below_one_folder_are_the_tasks(folder: Path) -> None:
    first, second = (as_json(f"images/{person}/normal.jpg", {"gender": "male"}) for person in (FIRST, SECOND))
    found = read(folder, first + second)
    assert [item.person for item in found.corrections] == [FIRST]
    assert found.notes == ("all photos of the tasks are found below images/",)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".zip"])
def test_other_exports_are_refused_with_those_that_are_read(folder: Path, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_text("image,mask\n")
    with pytest.raises(DataError, match=f"not read from {suffix}") as caught:
        read_decisions(folder, tmp_path / f"x{suffix}", SCHEMA)
    for word in ("JSON or JSON-MIN", "CVAT for images 1.1"):
        assert word in str(caught.value.hint)
