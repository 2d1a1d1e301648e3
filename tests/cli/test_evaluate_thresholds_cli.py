"""Tests of `maskfit evaluate thresholds`: what is read as truth and table, what is printed, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from maskfit.data.splits import PersonSplits
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.run_dir import RunDir

MASKS = LABEL_SCHEMAS["mask"]
STATES = ["wear", "wear", "wear", "incorrect", "incorrect", "not_wear"]
PROBABILITIES = np.array(
    [
        [0.9, 0.05, 0.05],
        [0.7, 0.2, 0.1],
        [0.4, 0.5, 0.1],
        [0.3, 0.6, 0.1],
        [0.6, 0.3, 0.1],
        [0.1, 0.1, 0.8],
    ]
)
NAMES = [f"p{number}/a.jpg" for number in range(6)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return ProbabilityTable(tuple(NAMES), PROBABILITIES).write(tmp_path / "table.csv")


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "photos.csv"
    rows = [f"{name},{name[:2]},{state}" for name, state in zip(NAMES, STATES, strict=True)]
    path.write_text("\n".join(["path,person,mask", *rows]) + "\n")
    return path


def run(command, *words):
    return command("evaluate", "thresholds", *words)


def points(result):
    assert result.code == 0, result.err
    return {item["chosen_by"]: item for item in json.loads(result.out)["points"]}


def test_several_values_deserve_the_alarm_together(command, truth, table):
    result = run(command, truth, table, "--alarm", "mask=incorrect,not_wear", "--schema", "mask", "--json")
    record = json.loads(result.out)
    assert (record["photos"], record["persons"], record["deserved"]) == (6, 6, 3)
    found = points(result)
    # Alarm probabilities 0.1, 0.3, 0.6 of those who wear one, and 0.7, 0.4, 0.9 of the others.
    assert (found["the most probable value"]["num_caught"], found["the most probable value"]["num_false"]) == (2, 1)
    assert found["false alarms of at most 1%"]["num_caught"] == 2
    assert 0.6 < found["false alarms of at most 1%"]["threshold"] <= 0.7
    assert found["at least 95% caught"]["num_false"] == 1
    assert 0.3 < found["at least 95% caught"]["threshold"] <= 0.4


def test_one_value_and_the_limits_that_are_asked_for(command, truth, table):
    words = ("--max-false-alarms", "0", "--min-caught", "1", "--threshold", "0.55")
    result = run(command, truth, table, "--alarm", "mask=worn wrongly", "--schema", "mask", "--json", *words)
    found = points(result)
    assert list(found) == ["the most probable value", "given", "false alarms of at most 0%", "at least 100% caught"]
    assert (found["given"]["threshold"], found["given"]["num_caught"], found["given"]["num_false"]) == (0.55, 1, 0)
    assert found["false alarms of at most 0%"]["num_caught"] == 1
    assert (found["at least 100% caught"]["num_caught"], found["at least 100% caught"]["num_false"]) == (2, 1)
    assert "judge a threshold" not in result.err


def test_the_table_of_the_terminal_and_every_threshold_as_csv(command, truth, table, tmp_path):
    curve = tmp_path / "curve.csv"
    result = run(command, truth, table, "--alarm", "mask=incorrect", "--schema", "mask", "--out", curve)
    assert result.code == 0, result.err
    assert "alarm: mask worn wrongly; 2 of 6 photos deserve it" in result.out
    assert "mask.probabilities.incorrect" in result.out
    assert "judge a threshold on photos of other persons" in result.err
    with curve.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["threshold"], row["num_caught"], row["num_false"]) for row in rows[:3]] == [
        ("0.6", "1", "0"), ("0.5", "1", "1"), ("0.3", "2", "1"),
    ]  # fmt: skip
    assert (rows[-1]["caught"], rows[-1]["false_alarms"]) == ("1.000000", "1.000000")
    assert run(command, truth, table, "--alarm", "mask=incorrect", "--schema", "mask", "--out", curve).code == 2


def test_a_table_of_18_classes_is_judged_where_only_the_mask_is_known(command, truth, tmp_path):
    joint = np.repeat(PROBABILITIES / 6, 6, axis=1)
    table = ProbabilityTable(tuple(NAMES), joint).write(tmp_path / "joint.csv")
    found = points(run(command, truth, table, "--alarm", "mask=incorrect,not_wear", "--json"))
    assert found["at least 95% caught"]["num_false"] == 1


def test_a_truth_of_classes_is_read_in_the_schema_of_the_table(command, tmp_path):
    joint = np.repeat(PROBABILITIES / 6, 6, axis=1)
    table = ProbabilityTable(tuple(NAMES), joint).write(tmp_path / "joint.csv")
    truth = tmp_path / "truth.csv"
    classes = [6 * MASKS.attributes[0].values.index(state) + 5 for state in STATES]
    truth.write_text("ImageID,ans\n" + "".join(f"{name},{c}\n" for name, c in zip(NAMES, classes, strict=True)))
    result = run(command, truth, table, "--alarm", "mask=incorrect,not_wear", "--json")
    assert points(result)["at least 95% caught"]["num_false"] == 1
    assert json.loads(result.out)["persons"] is None
    assert "who is on which photo is not known" in result.err


def test_a_run_is_judged_on_its_held_out_photos_with_intervals_over_its_persons(command, run_dir):
    names = tuple(f"00000{number // 2}_male_Asian_70/{number % 2}.jpg" for number in range(6))
    classes = np.array([6 * MASKS.attributes[0].values.index(state) + 2 for state in STATES])
    run_folder = RunDir(run_dir)
    ProbabilityTable(names, np.repeat(PROBABILITIES / 6, 6, axis=1), classes).write(run_folder.oof_probabilities)
    PersonSplits({name.split("/")[0]: 0 for name in names}, 1).write(run_folder.splits)
    result = run(command, run_dir, "--alarm", "mask=incorrect,not_wear", "--json")
    assert points(result)["at least 95% caught"]["num_false"] == 1
    assert (json.loads(result.out)["photos"], json.loads(result.out)["persons"]) == (6, 3)


def test_photos_without_the_label_take_no_part_and_are_counted(command, truth, table):
    text = truth.read_text()
    truth.write_text(text.replace("p0/a.jpg,p0,wear", "p0/a.jpg,p0,"))
    result = run(command, truth, table, "--alarm", "mask=incorrect", "--schema", "mask", "--json")
    assert json.loads(result.out)["photos"] == 5
    assert "take no part: 1" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--alarm", "mask"), "expected NAME=VALUE"),
        (("--alarm", "hat=red"), "hat"),
        (("--alarm", "mask=wronly"), "mask has no value 'wronly'"),
        (("--alarm", "mask=wear,incorrect,not_wear"), "every value"),
        (("--alarm", "mask=incorrect", "--threshold", "1.5"), "from 0 to 1"),
        (("--alarm", "mask=incorrect", "--min-caught", "0"), "from 0 to 1"),
    ],
)
def test_what_cannot_be_an_alarm_or_a_limit_is_refused(command, truth, table, words, said):
    result = run(command, truth, table, "--schema", "mask", *words)
    assert result.code == 2
    assert said in result.err


def test_other_mistakes_are_refused_with_the_next_step(command, truth, table, tmp_path):
    alarm = ("--alarm", "mask=incorrect")
    assert run(command, truth, table, *alarm).code == 0  # the only schema of three classes with masks
    assert "is not clear" in run(command, truth, table, "--alarm", "gender=male").err
    assert "no column truth" in run(command, table, *alarm, "--schema", "mask").err
    assert "3 classes, and the label schema 18" in run(command, truth, table, *alarm, "--schema", "mask-gender-age").err
    assert run(command, truth, table, table, *alarm).code == 2
    short = ProbabilityTable(tuple(NAMES[:5]), PROBABILITIES[:5]).write(tmp_path / "short.csv")
    result = run(command, truth, short, *alarm, "--schema", "mask")
    assert (result.code, "1 photo has no prediction" in result.err) == (2, True)
    (tmp_path / "bare.csv").write_text("path,person,mask\n" + "".join(f"{name},{name[:2]},wear\n" for name in NAMES))
    result = run(command, tmp_path / "bare.csv", table, *alarm, "--schema", "mask")
    assert (result.code, "none of 6 do" in result.err) == (2, True)
