"""`maskfit label-issues` as a user types it."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data.label_corrections import read_corrected
from maskfit.data.read_dataset import read_photos
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


STEMS = ("incorrect_mask", "mask1", "mask2", "mask3", "mask4", "mask5", "normal")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Thirty persons in the competition's layout. Only file names are read."""
    for number in range(30):
        folder = (
            tmp_path / "images" / f"{number:06d}_{'male' if number % 2 else 'female'}_Asian_{20 + 45 * number // 30}"
        )
        folder.mkdir(parents=True)
        for stem in STEMS:
            (folder / f"{stem}.jpg").touch()
    return tmp_path / "images"


@pytest.fixture
def table(people: Path, tmp_path: Path) -> tuple[Path, str]:
    """Predictions of a good model, with the other gender for the first person."""
    photos = read_photos(people, SCHEMA)
    truth = SCHEMA.to_class_index(photos.attribute_indices(SCHEMA))
    first = photos[0].person
    seen = np.array([(k // 6) * 6 + (k + 3) % 6 if one.person == first else k for k, one in zip(truth, photos)])  # noqa: B905
    rows = np.full((len(photos), 18), 0.01 / 17)
    rows[np.arange(len(photos)), seen] = 0.99
    names = tuple(photo.name for photo in photos)
    return ProbabilityTable(names, rows, truth).write(tmp_path / "oof.csv"), first


def test_wrong_label_is_ranked_first_and_corrected(command, table, people, tmp_path):
    path, first = table
    target, proposed = tmp_path / "issues.csv", tmp_path / "corrections.csv"
    args = ("label-issues", path, "--data", people, "--out", target, "--corrections", proposed)
    result = command(*args, "--min-score", "0.2")
    assert result.code == 0, result.err
    with target.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["person", "photos", "attribute", "label", "proposed", "score", "reason"]
    assert (rows[0]["person"], rows[0]["attribute"]) == (first, "gender")
    assert all(float(row["score"]) >= 0.2 for row in rows)
    assert first in result.out
    assert "with a score of at least 0.2" in result.out
    before, after = read_photos(people, SCHEMA), read_corrected(people, SCHEMA, [proposed])[0]
    changed = {a.person for a, b in zip(before, after, strict=True) if a.labels["gender"] != b.labels["gender"]}
    assert changed == {first}
    again = command(*args)
    assert (again.code, "the file exists" in again.err) == (2, True)
    plain = json.loads(command("label-issues", path, "--json").out)
    assert (plain[0]["person"], plain[0]["photos"]) == (first, [])


def test_the_file_says_what_is_not_in_it_and_the_next_command_writes_it_again(command, table, people, tmp_path):
    path, _ = table
    ranked = len(json.loads(command("label-issues", path, "--data", people, "--json").out))
    target, proposed = tmp_path / "my issues.csv", tmp_path / "corrections.csv"
    args = ("label-issues", path, "--data", people, "--out", target, "--corrections", proposed)
    result = command(*args, "--min-score", "1")
    assert (
        f"written: {target}: 0 label issues, the most likely first, without the {ranked} of a lower score" in result.err
    )
    (line,) = [line for line in result.out.splitlines() if line.startswith("next: maskfit label-issues")]
    assert line.endswith(f" --out '{target}' --force")
    words = shlex.split(line.removeprefix("next: maskfit "))
    again = command(*words)
    assert again.code == 0, again.err
    assert target.read_text().count("\n") > 1
    everything = command(*args, "--min-score", "0", "--force")
    assert "of a lower score" not in everything.err
    assert "next: maskfit label-issues" not in everything.out


def test_labels_that_were_not_held_out_are_counted(command, table, people, tmp_path):
    path, _ = table
    assert "held out" not in command("label-issues", path, "--data", people).err
    header, *rows = path.read_text().splitlines(keepends=True)
    part = tmp_path / "part.csv"
    part.write_text(header + "".join(rows[:28]))
    result = command("label-issues", part, "--data", people)
    assert "28 of 210 labeled photos were held out and are judged, the other 182 were not" in result.err
    assert "cv.num_folds=5" in result.err


def test_the_list_names_photos_and_leaves_out_low_scores(command, people, tmp_path):
    """One photo of a mask predicted with near certainty as another mask state, another one with a little doubt."""
    photos = read_photos(people, SCHEMA)
    truth = SCHEMA.to_class_index(photos.attribute_indices(SCHEMA))
    seen = truth.copy()
    wrong, doubtful = (
        next(k for k in range(start, start + 7) if photos[k].name.endswith("mask3.jpg")) for start in (0, 7)
    )
    rows = np.full((len(photos), 18), 0.01 / 17)
    seen[wrong] = (truth[wrong] + 12) % 18
    rows[np.arange(len(photos)), seen] = 0.99
    rows[doubtful] = 0.001 / 16
    rows[doubtful, [truth[doubtful], (truth[doubtful] + 12) % 18]] = 0.53, 0.469
    table = ProbabilityTable(tuple(photo.name for photo in photos), rows / rows.sum(axis=1, keepdims=True), truth)
    path = table.write(tmp_path / "oof.csv")
    result = command("label-issues", path, "--data", people, "--out", tmp_path / "issues.csv")
    assert result.code == 0, result.err
    assert "1 label issue with a score of at least 0.5" in result.out
    assert "mask3.jpg" in result.out
    # The next ones may be wrong as well: how many there are, up to which score, and the commands that show them.
    assert re.search(r"labels? scores? lower, at most 0\.\d+, and may be wrong too", result.out)
    more = re.search(r"next: .*maskfit label-issues (.*)", result.out)
    assert more is not None
    assert f"review {people} --probabilities {path}" in result.out
    with (tmp_path / "issues.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    shown = command("label-issues", *more[1].split())
    assert (shown.code, "1 label issue " in shown.out, "label issues with a score" in shown.out) == (0, False, True)
    assert (row["photos"], row["attribute"]) == (photos[wrong].name, "mask")
    everything = json.loads(command("label-issues", path, "--data", people, "--json").out)
    assert len(everything) > 1
    assert len(json.loads(command("label-issues", path, "--json", "--min-score", 0.5).out)) == 1
    none = command("label-issues", path, "--data", people, "--min-score", 1)
    assert none.out.startswith("0 label issues with a score of at least 1\n")
    assert "may be wrong too" in none.out
    assert "next: " not in command("label-issues", path, "--data", people, "--json").out


def test_user_errors(command, table, people, tmp_path):
    path, _ = table
    unlabeled = tmp_path / "unlabeled.csv"
    unlabeled.write_text(
        "ImageID," + ",".join(f"p{k}" for k in range(18)) + "\n" + "a.jpg" + ",0.0555555" * 17 + ",0.055556\n"
    )
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text(re.sub(r"^0", "images/0", path.read_text(), flags=re.MULTILINE))
    for args, message in (
        ((unlabeled,), "no labels"),
        ((path, "--noise", "0.9"), "noise"),
        ((tmp_path / "none",), "none"),
        ((unlabeled, "--data", people), "1 photo of the table is missing, such as a.jpg"),
        ((elsewhere, "--data", people), "these names differ in their folders, but may mean one photo: images/0"),
    ):
        result = command("label-issues", *args)
        assert (result.code, message in result.err) == (2, True), result.err


def test_tasks_for_labeling_tools_and_their_decisions(command, table, people, tmp_path):
    path, _ = table
    for photo in read_photos(people, SCHEMA):  # The tools want to know how large a photo is.
        Image.new("RGB", (24, 32)).save(photo.path)
    tasks, target = tmp_path / "tasks", tmp_path / "corrections.csv"
    result = command("label-issues", path, "--data", people, "--tasks", tasks, "--min-score", 0.2)
    assert result.code == 0, result.err
    assert f"data corrections {tasks} EXPORT" in result.out
    made = json.loads((tasks / "label-studio.json").read_text())
    assert made
    exported = [
        {
            "id": 1,
            "data": item["data"],
            "annotations": [{"completed_by": 1, "result": item["predictions"][0]["result"]}],
        }
        for item in made
    ]
    (tmp_path / "export.json").write_text(json.dumps(exported))
    result = command("data", "corrections", tasks, tmp_path / "export.json", "--out", target, "--json")
    assert result.code == 0, result.err
    counts = json.loads(result.out)
    assert counts["tasks"] == len(made)
    proposed = tmp_path / "proposed.csv"
    assert command("label-issues", path, "--data", people, "--corrections", proposed, "--min-score", 0.2).code == 0

    def key(file):
        return {tuple(line.split(",")[:4]) for line in file.read_text().splitlines()[1:]}

    assert key(target) == key(proposed)
    assert command("data", "corrections", tasks, tmp_path / "export.json", "--out", target).code == 2
    for item in exported:
        item["annotations"][0]["result"] = [{"from_name": "Mask", "type": "choices", "value": {"choices": ["wear"]}}]
    (tmp_path / "export.json").write_text(json.dumps(exported))
    (tmp_path / "x.csv").write_text("image,mask\n")
    for name, message in (("export.json", "its controls are Mask"), ("x.csv", "next: export as JSON or JSON-MIN")):
        result = command("data", "corrections", tasks, tmp_path / name, "--out", tmp_path / "none.csv")
        assert (result.code, message in result.err, (tmp_path / "none.csv").exists()) == (2, True, False), result.err
    assert command("label-issues", path, "--data", people, "--tasks", tasks).code == 2


def mask_table(path, names, persons=None):
    """Predictions of the mask alone, of which the first contradicts the label."""
    schema = LABEL_SCHEMAS["mask"]
    truth = np.array([0 if "with_mask" in name else 2 for name in names])
    rows = np.full((len(names), schema.num_classes), 0.005)
    rows[np.arange(len(names)), np.where(np.arange(len(names)) == 0, 2 - truth, truth)] = 0.99
    ProbabilityTable(tuple(names), rows, truth).write(path)
    if persons:
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([f"{header},person", *map(",".join, zip(lines, persons, strict=True))]) + "\n")
    return path


def test_a_table_of_the_mask_alone_needs_its_schema(command, tmp_path):
    names = [f"{kind}/{number}.jpg" for number in range(15) for kind in ("with_mask", "without_mask")]
    path = mask_table(tmp_path / "mask.csv", names, [f"p{number // 2}" for number in range(30)])
    refused = command("label-issues", path)
    assert refused.code == 2
    assert "--schema" in refused.err
    found = json.loads(command("label-issues", path, "--schema", "mask", "--json").out)
    assert (found[0]["person"], found[0]["attribute"], found[0]["photos"]) == ("p0", "mask", [names[0]])
    assert command("label-issues", path, "--schema", "hat").code == 2


def test_class_folders_are_not_taken_for_persons(command, tmp_path):
    names = [f"{kind}/{number}.jpg" for number in range(15) for kind in ("with_mask", "without_mask")]
    path = mask_table(tmp_path / "mask.csv", names)
    refused = command("label-issues", path, "--schema", "mask")
    assert refused.code == 2
    assert "the persons on the photos are not known; folders that say a label" in refused.err
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    args = ("--data", tmp_path / "photos", "--tasks", tmp_path / "t", "--min-score", "0")
    result = command("label-issues", path, "--schema", "mask", *args)
    assert result.code == 0, result.err
    assert "nobody says who is on the photos, so each counts as a person of its own" in result.err
    # A person that is the photo would be the same name twice.
    assert result.out.splitlines()[1].split() == ["photos", "attribute", "label", "proposed", "score"]
    assert "with_mask/0.jpg" in (tmp_path / "t" / "label-studio.json").read_text()
    assert "gender" not in (tmp_path / "t" / "label-studio.xml").read_text()
    # The folders of persons still are.
    persons = [f"person{number // 2}/with_mask{number}.jpg" for number in range(30)]
    path = mask_table(tmp_path / "persons.csv", persons)
    assert json.loads(command("label-issues", path, "--schema", "mask", "--json").out)[0]["person"] == "person0"
    lines = command("label-issues", path, "--schema", "mask", "--min-score", "0").out.splitlines()
    assert lines[1].split()[0] == "person"
    # All in one folder are not one person.
    path = mask_table(tmp_path / "images.csv", [f"images/with_mask{number}.jpg" for number in range(30)])
    assert command("label-issues", path, "--schema", "mask").code == 2
