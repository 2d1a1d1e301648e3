"""`maskfit data ...` as a user types it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from maskfit.cli import data_group
from maskfit.errors import DataError

STEMS = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six persons in the competition's layout, no two photos alike."""
    colors = iter(range(0, 256, 5))
    for number in range(6):
        folder = tmp_path / "images" / f"00000{number}_{'male' if number % 2 else 'female'}_Asian_{20 + 8 * number}"
        folder.mkdir(parents=True)
        for stem in STEMS:
            Image.new("RGB", (72, 96), (next(colors), number, 0)).save(folder / f"{stem}.png")
    return tmp_path / "images"


def run(*args: object):
    return CliRunner().invoke(data_group, [str(word) for word in args])


def test_check_counts_faces_and_photos(tmp_path):
    Image.new("RGB", (72, 96)).save(tmp_path / "a.png")
    table = tmp_path / "faces.csv"
    table.write_text("path,mask,left,upper,right,lower\na.png,wear,0,0,30,30\na.png,wear,40,0,70,30\n")
    assert "2 rows on 1 photo of 1 person; " in run("check", table).stdout
    table.write_text("path,mask,left,upper,right,lower\na.png,wear,0,0,30,30\n")
    assert "1 row on 1 photo of 1 person; " in run("check", table).stdout


def test_check_without_problems(root):
    result = run("check", root)
    assert result.exit_code == 0, result.output
    assert "42 photos of 6 persons; 15 of 18 classes; no problems" in result.stdout


def test_check_lists_every_problem_by_kind_and_exits_with_2(root):
    (root / "odd [name]").mkdir()
    (root / "000000_female_Asian_20" / "mask1.png").write_bytes(b"")
    result = run("check", root)
    assert result.exit_code == 2
    assert "folder name (fatal, 1)" in result.stdout
    assert "odd [name]  expected ID_gender_race_age" in result.stdout
    assert "000000_female_Asian_20/mask1.png  the file is empty" in result.stdout
    assert "2 fatal, 1 warning" in result.stdout


def test_warnings_alone_leave_the_exit_code_0(root):
    (root / "000000_female_Asian_20" / "mask1.png").unlink()
    assert run("check", root).exit_code == 0


def test_check_json_keys(root):
    (root / "odd").mkdir()
    result = run("check", root, "--json")
    data = json.loads(result.stdout)
    assert result.exit_code == 2
    assert (data["photos"], data["persons"], data["labels"]["age"]) == (42, 6, 42)
    assert data["classes"]["worn, female, <30"] == 5
    assert data["problems"][0]["where"] == "odd"
    assert set(data["problems"][0]) == {"severity", "kind", "where", "what", "fix"}


def test_check_counts_known_labels_where_some_are_missing(root, tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("path,mask\nimages/000000_female_Asian_20/mask1.png,wear\n")
    assert "labels known: mask 1, gender 0, age 0" in run("check", path).stdout
    assert "1 of 3 classes" in run("check", path, "--schema", "mask").stdout


def test_split_writes_folds_and_prints_strata(root, tmp_path):
    target = tmp_path / "folds.csv"
    result = run("split", root, "--folds", 3, "--out", target)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(target.open()))
    assert sorted(row["fold"] for row in rows) == ["0", "0", "1", "1", "2", "2"]
    assert len({row["person"] for row in rows}) == 6
    assert "female, <30" in result.stdout
    assert "written:" in result.stdout


def test_split_holds_out_a_fraction(root, tmp_path):
    result = run("split", root, "--folds", 1, "--holdout", 0.5, "--out", tmp_path / "folds.csv")
    assert result.exit_code == 0
    assert "train only" in result.stdout
    assert sorted(row["fold"] for row in csv.DictReader((tmp_path / "folds.csv").open())) == ["-1"] * 3 + ["0"] * 3


def test_split_overwrites_only_with_force(root, tmp_path):
    target = tmp_path / "folds.csv"
    target.write_text("precious")
    result = run("split", root, "--folds", 3, "--out", target)
    assert isinstance(result.exception, DataError)
    assert "--force" in str(result.exception)
    assert target.read_text() == "precious"
    assert run("split", root, "--folds", 3, "--out", target, "--force").exit_code == 0
    assert target.read_text() != "precious"


def test_synthesized_dataset_has_no_problems(tmp_path):
    result = run("synthesize", tmp_path / "drawn", "--persons", 1, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert ": 1 person\n" in result.stdout
    assert "7 photos of 1 person;" in run("check", tmp_path / "drawn").stdout
    again = run("synthesize", tmp_path / "drawn", "--persons", 1)
    assert isinstance(again.exception, DataError)


def test_rare_classes_are_oversampled_and_photos_unchanged(root, tmp_path):
    (root / "000000_female_Asian_20" / "normal.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    result = run("oversample", root, "--out", tmp_path / "blends", "--count", 7)
    assert result.exit_code == 0, result.output
    assert "manifest.csv: 2 photos" in result.stdout
    assert "skipped 1 unreadable photo" in result.stderr
    assert "000000_female_Asian_20/normal.png" in result.stderr
    assert {path: path.read_bytes() for path in root.rglob("*.png")} == before
    assert "no problems" in run("check", tmp_path / "blends" / "manifest.csv").stdout
    assert isinstance(run("oversample", root, "--out", tmp_path / "blends", "--count", 7).exception, DataError)


@pytest.mark.parametrize("command_name", ["check", "split", "synthesize", "oversample", "add-masks"])
def test_every_command_has_examples(command_name):
    result = run(command_name, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"maskfit data {command_name}" in result.stdout


def test_user_errors_have_no_traceback(root, tmp_path):
    args = [sys.executable, "-m", "maskfit", "data", "split", root, "--folds", "3", "--schema", "masks"]
    result = subprocess.run([*args, "--out", tmp_path / "f.csv"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "label schema 'masks' is unknown; did you mean 'mask'" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_codes_without_words_are_read_as_the_option_says(root, tmp_path):
    path = tmp_path / "photos.csv"
    names = [f"images/000000_female_Asian_20/{stem}.png" for stem in STEMS[:3]]
    path.write_text("path,mask,gender\n" + "".join(f"{name},{number % 2},0\n" for number, name in enumerate(names)))
    result = run("check", path)
    assert result.exit_code == 2
    assert "gender: 0 = male, 1 = female (codes without words)" in result.stdout
    assert "column mask holds only the codes 0 and 1" in result.stdout
    result = run("check", path, "--codes", "{mask: {0: not_wear, 1: wear}, gender: {0: female, 1: male}}", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["labels"]) == (0, {"mask": 3, "gender": 3, "age": 0})
    assert "mask: 0 = not_wear, 1 = wear (data.codes)" in [problem["what"] for problem in report["problems"]]
    assert "must map columns" in str(run("check", path, "--codes", "{mask: [0]}").exception)


def test_check_and_split_warn_that_folds_may_leak(root, tmp_path):
    path = tmp_path / "photos.csv"
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(
            (root / "000000_female_Asian_20" / f"{STEMS[number]}.png").read_bytes()
        )
    path.write_text("path,subject,mask\n" + "".join(f"{number}.png,{number % 2},wear\n" for number in range(4)))
    for words in (("check", path), ("split", path, "--folds", 2, "--out", tmp_path / "folds.csv")):
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert "folds may leak" in result.output
        assert "rename column subject to person" in result.output
    path.write_text(path.read_text().replace("subject", "person"))
    assert "leak" not in run("check", path).output


def test_a_manifest_without_labels_fails_the_check(root, tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("path,choice\nimages/000000_female_Asian_20/mask1.png,wear\n")
    result = run("check", path)
    assert result.exit_code == 2
    assert "no photo has a label" in result.stdout
    assert "rename column choice to mask" in result.stdout


def test_a_source_without_a_photo_ends_with_what_is_wrong(command, tmp_path):
    """Not with "0 photos of 0 persons; 0 of 18 classes"."""
    (tmp_path / "empty").mkdir()
    result = command("data", "check", tmp_path / "empty")
    assert result.code == 2
    assert "no photo was read; 1 fatal" in result.out
    assert "0 persons" not in result.out


def test_many_warnings_of_one_kind_are_counted_and_those_that_contradict_come_first(command, tmp_path):
    (tmp_path / "faces").mkdir()
    Image.new("RGB", (200, 200), "gray").save(tmp_path / "faces" / "a.jpg")
    rows = ["path,mask,left,upper,right,lower"]
    for number in range(30):
        x, y = number % 6 * 30, number // 6 * 30
        rows += [f"a.jpg,{mask},{x},{y},{x + 20 + more},{y + 20}" for more, mask in ((0, "wear"), (1, "wear"))]
    rows[-1] = rows[-1].replace("wear", "not_wear")
    (tmp_path / "faces" / "faces.csv").write_text("\n".join(rows) + "\n")
    printed = command("data", "check", tmp_path / "faces" / "faces.csv", "--schema", "mask").out.splitlines()
    first = printed.index("face boxed twice (warning, 30)")
    assert "the labels disagree about mask" in printed[first + 1]
    assert printed[first + 6] == "  and 25 more; --json lists all"
    assert sum("the same face as" in line for line in printed) == 5
    assert "30 warnings" in printed[-2]
    listed = json.loads(command("data", "check", tmp_path / "faces" / "faces.csv", "--schema", "mask", "--json").out)
    assert sum(problem["kind"] == "face boxed twice" for problem in listed["problems"]) == 30


def test_of_small_photos_the_smallest_are_listed_and_the_others_counted(command, tmp_path):
    for number in range(30):
        (tmp_path / "faces" / "with_mask").mkdir(parents=True, exist_ok=True)
        photo = Image.new("RGB", (40 - number, 40 - number), (number * 8, 0, 0))
        photo.save(tmp_path / "faces" / "with_mask" / f"{number:02}.png")
    check = ("data", "check", tmp_path / "faces", "--schema", "mask")
    printed = command(*check).out.splitlines()
    first = printed.index("small photo (warning, 30)")
    assert "29.png" in printed[first + 1]
    assert "11 x 11 pixels" in printed[first + 1]
    assert printed[first + 6] == "  and 25 more; --json lists all"
    assert sum("pixels; each side should" in line for line in printed) == 5
    problems = json.loads(command(*check, "--json").out)["problems"]
    assert sum(problem["kind"] == "small photo" for problem in problems) == 30
