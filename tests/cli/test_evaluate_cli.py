"""`maskfit evaluate` as a user types it."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

import maskfit.cli
from maskfit.cli.evaluate import evaluate
from maskfit.environment import OUTPUT, TRUTH
from maskfit.errors import DataError
from maskfit.inference.submission import write_submission
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import read_model_metadata, save_model

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="markdown")
app.command()(evaluate)

RANDOM = np.random.default_rng(0)
NAMES = [f"{number:04x}.jpg" for number in range(180)]
ANSWERS_TRUE = np.arange(180) % 18
ANSWERS = np.where(RANDOM.random(180) < 0.7, ANSWERS_TRUE, RANDOM.integers(0, 18, 180))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUTH, raising=False)
    monkeypatch.delenv(OUTPUT, raising=False)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    order = RANDOM.permutation(180)
    truth = write_submission(tmp_path / "truth" / "truth.csv", NAMES, ANSWERS_TRUE)
    submission = write_submission(tmp_path / "out" / "submission.csv", [NAMES[i] for i in order], ANSWERS[order])
    return truth, submission


def run(*args: object):
    return CliRunner().invoke(app, [str(word) for word in args])


def test_json_holds_the_servers_form_and_all_scores(files):
    result = run(*files, "--json")
    data = json.loads(result.stdout)
    assert data["f1"]["value"] == pytest.approx(f1_score(ANSWERS_TRUE, ANSWERS, average="macro"))
    assert data["accuracy"]["value"] == pytest.approx(accuracy_score(ANSWERS_TRUE, ANSWERS))
    assert (data["f1"]["rank"], data["accuracy"]["rank"], data["f1"]["decs"]) == (True, False, True)
    assert data["scores"]["per_attribute"]["mask"]["photos"] == 180
    assert len(data["scores"]["per_class"]) == 18


def test_table_has_display_names(files):
    result = run(*files)
    assert result.exit_code == 0
    assert f"{f1_score(ANSWERS_TRUE, ANSWERS, average='macro'):.4f}" in result.stdout
    assert re.search(r"10\s+worn wrongly\s+female\s+30-59", result.stdout)
    assert "180 photos" in result.stdout


def test_rows_are_matched_by_name(files, tmp_path):
    """A correct submission in another order scores 1; matched by row it would score almost 0."""
    order = np.arange(180)[::-1]
    reversed_rows = write_submission(tmp_path / "turned.csv", [NAMES[i] for i in order], ANSWERS_TRUE[order])
    assert json.loads(run(files[0], reversed_rows, "--json").stdout)["f1"]["value"] == 1.0


def test_environment_provides_defaults(files, monkeypatch):
    truth, submission = files
    expected = run(truth, submission, "--json").stdout
    monkeypatch.setenv(TRUTH, str(truth.parent))
    assert run(submission, "--json").stdout == expected
    monkeypatch.setenv(OUTPUT, str(submission.parent))
    assert run("--json").stdout == expected
    assert run(truth, submission, "--json").stdout == expected


@pytest.mark.parametrize("name", ["truth.csv", "info.csv", "gt_answer.csv"])
def test_the_truth_may_be_a_folder(tmp_path, files, name):
    folder = tmp_path / "folder"
    write_submission(folder / name, NAMES, ANSWERS_TRUE)
    assert run(folder, files[1]).exit_code == 0


def test_a_table_without_labels_beside_the_photos_is_not_the_truth(tmp_path):
    folder = tmp_path / "drawn"
    for name in ("with_mask", "without_mask"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (24, 32)).save(folder / name / "a.png")
    (folder / "landmarks.csv").write_text("path,x1,y1\nwith_mask/a.png,1,2\n")
    submission = write_submission(tmp_path / "s.csv", ["with_mask/a.png", "without_mask/a.png"], [0, 2])
    result = run(folder, submission, "--schema", "mask", "--json")
    assert json.loads(result.stdout)["accuracy"]["value"] == 1
    # One that has labels is, as before.
    (folder / "landmarks.csv").write_text("path,mask\nwith_mask/a.png,not_wear\nwithout_mask/a.png,not_wear\n")
    assert json.loads(run(folder, submission, "--schema", "mask", "--json").stdout)["accuracy"]["value"] == 0.5


def test_a_predicted_file_is_not_its_own_truth(tmp_path, files):
    folder = tmp_path / "photos"
    for name in ("with_mask", "without_mask"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (24, 32)).save(folder / name / "a.png")
    wrong = [["with_mask/a.png", "without_mask/a.png"], [0, 0]]
    for name in ("submission.csv", "truth.csv"):
        submission = write_submission(folder / name, *wrong)
        result = run(folder, submission, "--schema", "mask", "--json")
        assert json.loads(result.stdout)["accuracy"]["value"] == 0.5, name
        submission.unlink()
    submission = write_submission(files[0].parent / "submission.csv", NAMES, ANSWERS)
    truth = files[0].rename(files[0].with_name("gt.csv"))
    assert run(truth.parent, submission, "--json").stdout == run(truth, submission, "--json").stdout


def test_a_submission_beside_labeled_photos_is_ambiguous(tmp_path):
    folder = tmp_path / "photos"
    for name in ("with_mask", "without_mask"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (24, 32)).save(folder / name / "a.png")
    names = ["with_mask/a.png", "without_mask/a.png"]
    submission = write_submission(tmp_path / "s.csv", names, [0, 2])
    other = write_submission(folder / "other.csv", names, [0, 0])
    result = run(folder, submission, "--schema", "mask")
    assert isinstance(result.exception, DataError)
    assert "whether other.csv or the labels of the photos" in str(result.exception)
    assert f"name the file: maskfit evaluate {other} SUBMISSION.csv" in str(result.exception)
    assert json.loads(run(other, submission, "--schema", "mask", "--json").stdout)["accuracy"]["value"] == 0.5
    other.rename(folder / "truth.csv")
    assert json.loads(run(folder, submission, "--schema", "mask", "--json").stdout)["accuracy"]["value"] == 0.5


def test_a_folder_of_several_csvs_is_ambiguous(tmp_path, files):
    for name in ("public.csv", "private.csv"):
        write_submission(tmp_path / "both" / name, NAMES, ANSWERS_TRUE)
    result = run(tmp_path / "both", files[1])
    assert isinstance(result.exception, DataError)
    assert "private.csv, public.csv" in str(result.exception)


def test_missing_and_extra_rows_are_named(files, tmp_path):
    names = [*NAMES[7:], "stranger.jpg"]
    other = write_submission(tmp_path / "other.csv", names, np.zeros(len(names), dtype=int))
    message = str(run(files[0], other).exception)
    assert "7 photos have no prediction:\n- 0000.jpg" in message
    assert "and 2 more" in message
    assert "1 photo is not in the truth:\n- stranger.jpg" in message


@pytest.mark.parametrize(
    ("args", "message"),
    [((), "no submission given"), (("s.csv",), "no truth given"), (("a", "b", "c"), "expected at most 2 files, got 3")],
)
def test_missing_arguments_are_errors(args, message):
    result = run(*args)
    assert isinstance(result.exception, DataError)
    assert message in str(result.exception)
    assert "maskfit evaluate TRUTH.csv SUBMISSION.csv" in str(result.exception)


def test_other_label_schemas(tmp_path):
    truth = write_submission(tmp_path / "truth.csv", ["a", "b"], [0, 2])
    data = json.loads(run(truth, truth, "--schema", "mask", "--json").stdout)
    assert list(data["scores"]["per_attribute"]) == ["mask"]
    assert len(data["scores"]["per_class"]) == 3
    assert "did you mean 'mask'" in str(run(truth, truth, "--schema", "mas").exception)
    assert "ans 9 is not in 0 to 2" in str(
        run(truth, write_submission(tmp_path / "b.csv", ["a", "b"], [0, 9]), "--schema", "mask").exception
    )


def test_the_help_shows_examples():
    result = run("--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert "SM_GROUND_TRUTH_DIR" in result.stdout


def test_user_errors_exit_with_2_without_traceback(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(maskfit.cli, "root_group", app)
    monkeypatch.setattr(sys, "argv", ["maskfit", str(files[0]), str(tmp_path / "absent.csv")])
    with pytest.raises(SystemExit) as exit_info:
        maskfit.cli.main()
    assert exit_info.value.code == 2
    assert "there is no such file" in capsys.readouterr().err


def test_names_in_the_other_unicode_form_are_matched(tmp_path):
    names = ["가나다.jpg", "é.jpg", "a.jpg"]
    truth = write_submission(tmp_path / "t.csv", [unicodedata.normalize("NFD", name) for name in names], [0, 1, 2])
    submission = write_submission(tmp_path / "s.csv", [unicodedata.normalize("NFC", name) for name in names], [0, 1, 2])
    result = run(truth, submission, "--schema", "mask")
    assert result.exit_code == 0, result.output
    assert "2 names differ from the truth only in Unicode form, matched in NFC, such as" in result.stdout
    assert "Unicode" not in run(truth, truth, "--schema", "mask").stdout


def test_two_names_with_one_normal_form_are_not_matched(tmp_path):
    forms = [unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD")]
    truth = write_submission(tmp_path / "t.csv", forms, [0, 1])
    submission = write_submission(tmp_path / "s.csv", [forms[0]], [0])
    assert "1 photo has no prediction" in str(run(truth, submission, "--schema", "mask").exception)
    assert run(truth, truth, "--schema", "mask").exit_code == 0


@pytest.mark.parametrize("prefix", ["images/", "/data/images/", "./", "images\\"])
def test_names_that_differ_by_one_folder_are_matched(tmp_path, prefix):
    names = ["p1/a.jpg", "가나다.jpg", "a.jpg"]
    longer = [prefix + unicodedata.normalize("NFD", name) for name in names]
    plain = write_submission(tmp_path / "t.csv", names, [0, 1, 2])
    folder = write_submission(tmp_path / "s.csv", longer, [0, 1, 0])
    for truth, submission in ((plain, folder), (folder, plain)):
        result = run(truth, submission, "--schema", "mask", "--json")
        assert json.loads(result.stdout)["accuracy"]["value"] == pytest.approx(2 / 3), result.output
        assert "3 names differ from the truth only by" in result.stderr
        assert result.stderr.count(longer[0]) == 1


def test_a_name_that_both_tables_have_is_no_other_photo(tmp_path):
    def scores(names, predicted):
        truth = write_submission(tmp_path / "t.csv", names, [0, 1])
        return run(truth, write_submission(tmp_path / "s.csv", predicted, [0, 1]), "--schema", "mask", "--json")

    # x/1.jpg is in both, but is another photo in each.
    result = scores(["1.jpg", "x/1.jpg"], ["x/1.jpg", "x/x/1.jpg"])
    assert json.loads(result.stdout)["accuracy"]["value"] == 1.0, result.output
    for names, predicted in (
        (["a.jpg", "b.jpg"], ["a.jpg", "train/b.jpg"]),
        (["p1/a.jpg", "p2/a.jpg"], ["a.jpg", "p2/a.jpg"]),
    ):
        result = scores(names, predicted)
        assert "1 photo has no prediction" in str(result.exception), result.output
        assert "may mean one photo" in str(result.exception)


def test_names_that_may_be_other_photos_are_named_but_not_matched(tmp_path):
    truth = write_submission(tmp_path / "t.csv", ["a.jpg", "b.jpg", "c.jpg"], [0, 1, 2])
    for names in (["x/a.jpg", "y/b.jpg", "x/c.jpg"], ["x/a.jpg", "x/b.jpg"]):
        submission = write_submission(tmp_path / "s.csv", names, [0] * len(names))
        message = str(run(truth, submission, "--schema", "mask").exception)
        assert "these names differ in their folders, but may mean one photo: a.jpg and x/a.jpg" in message
        assert "--image-list TRUTH.csv" in message
    # Photos of two persons have one file name.
    truth = write_submission(tmp_path / "t.csv", ["p1/mask1.jpg", "p2/mask1.jpg"], [0, 1])
    submission = write_submission(tmp_path / "s.csv", ["p1/mask1.jpg", "p3/mask1.jpg", "p4/mask1.jpg"], [0, 0, 0])
    assert "may mean one photo" not in str(run(truth, submission, "--schema", "mask").exception)


def test_a_truth_of_one_class_may_be_a_placeholder(tmp_path):
    truth = write_submission(tmp_path / "t.csv", ["a", "b"], [0, 0])
    submission = write_submission(tmp_path / "s.csv", ["a", "b"], [1, 0])
    result = run(truth, submission, "--schema", "mask")
    assert "the truth has only class 0 (worn) for all 2 photos" in result.stdout
    json_result = run(truth, submission, "--schema", "mask", "--json")
    assert json.loads(json_result.stdout)["f1"]["value"] == pytest.approx(1 / 3)
    assert "the truth has only class 0" in json_result.stderr


def test_absent_classes_are_named_with_the_score_over_all_labels(tmp_path):
    truth = np.delete(np.arange(18), 8)
    names = [f"{number}.jpg" for number in truth]
    path = write_submission(tmp_path / "t.csv", names, truth)
    result = run(path, path)
    every = f1_score(truth, truth, average="macro", labels=range(18), zero_division=0)
    assert "neither in the truth nor predicted, so not in macro F1: class 8; " in result.stdout
    assert f"f1_score with all 18 labels gives {every:.4f}" in result.stdout
    stray = np.where(truth == 0, 8, truth)
    result = run(path, write_submission(tmp_path / "s.csv", names, stray))
    assert "not in the truth but predicted, so that F1 0 counts in macro F1: class 8 (1 photo)" in result.stdout
    assert "neither in the truth" not in result.stdout


def test_a_complete_truth_has_no_remarks(files):
    result = run(*files)
    assert "macro F1: class" not in result.stdout
    assert "only class" not in result.stdout


def test_classes_that_may_be_mask_states_are_named(tmp_path):
    path = write_submission(tmp_path / "t.csv", ["a", "b", "c"], [0, 1, 2])
    line = "truth and submission hold only the classes 0, 1, 2, read here as "
    result = run(path, path)
    assert line in result.stdout
    assert "if they are mask states, add --schema mask" in result.stdout
    assert line not in run(path, path, "--schema", "mask").stdout
    assert line not in run(path, path, "--schema", "age").stdout
    wider = write_submission(tmp_path / "s.csv", ["a", "b", "c"], [0, 1, 12])
    assert line not in run(path, wider).stdout


def test_class_folders_are_a_truth(tmp_path):
    for name in ("with_mask", "without_mask"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (24, 32)).save(tmp_path / "photos" / name / "a.png")
    submission = write_submission(tmp_path / "s.csv", ["with_mask/a.png", "without_mask/a.png"], [0, 2])
    data = json.loads(run(tmp_path / "photos", submission, "--schema", "mask", "--json").stdout)
    assert data["accuracy"]["value"] == 1
    assert "no photo has all of mask, gender, age" in str(run(tmp_path / "photos", submission).exception)


def write_coded(folder: Path, codes: tuple[int, ...]) -> tuple[Path, Path]:
    """A manifest of mask codes, and a submission of the classes 0, 1 and 2."""
    rows = []
    for number, code in enumerate(codes):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{code}\n")
    (folder / "coded.csv").write_text("path,mask\n" + "".join(rows))
    return folder / "coded.csv", write_submission(folder / "s.csv", ["0.png", "1.png", "2.png"], [0, 1, 2])


def test_codes_of_the_truth_are_told_and_can_be_set(tmp_path):
    truth, submission = write_coded(tmp_path, (0, 1, 2))
    result = run(truth, submission, "--schema", "mask", "--json")
    assert json.loads(result.stdout)["accuracy"]["value"] == 1
    assert "mask: 0 = wear, 1 = incorrect, 2 = not_wear (codes without words); if that is wrong" in result.stderr
    assert "--codes" in result.stderr
    codes = ("--codes", "{mask: {0: wear, 1: not_wear, 2: incorrect}}")
    result = run(truth, submission, "--schema", "mask", "--json", *codes)
    assert json.loads(result.stdout)["accuracy"]["value"] == pytest.approx(1 / 3)
    refused = run(submission, submission, "--schema", "mask", *codes)
    assert "column ans of this truth holds class indices" in str(refused.exception)


def test_an_order_of_codes_that_fits_far_better_is_suggested(tmp_path):
    truth, submission = write_coded(tmp_path, (2, 0, 1))
    text = run(truth, submission, "--schema", "mask").output
    assert "0% of the predictions agree with the codes as read above, 100% would with another order" in text
    suggested = re.search(r"--codes '(\{mask: .*\})'", text)
    result = run(truth, submission, "--schema", "mask", "--json", "--codes", suggested[1])
    assert json.loads(result.stdout)["accuracy"]["value"] == 1
    truth, submission = write_coded(tmp_path, (0, 1, 2))
    assert "another order" not in run(truth, submission, "--schema", "mask").output


def test_photos_of_the_truth_need_not_be_here(tmp_path):
    truth, submission = write_coded(tmp_path, (0, 1, 2))
    with_photos = run(truth, submission, "--schema", "mask", "--json")
    for photo in tmp_path.glob("*.png"):
        photo.unlink()
    result = run(truth, submission, "--schema", "mask", "--json")
    assert result.stdout == with_photos.stdout
    assert "3 photos are not here: only names and labels are used" in result.stderr
    truth.write_text("".join(f"/elsewhere/{line}" if number else line for number, line in enumerate(truth.open())))
    result = run(truth, submission, "--schema", "mask", "--json")
    assert result.stdout == with_photos.stdout


def test_codes_0_and_1_of_the_truth_are_refused_until_they_are_set(tmp_path):
    truth, submission = write_coded(tmp_path, (0, 1, 1))
    assert "holds only the codes 0 and 1" in str(run(truth, submission, "--schema", "mask").exception)
    result = run(truth, submission, "--schema", "mask", "--json", "--codes", "{mask: {0: wear, 1: not_wear}}")
    assert json.loads(result.stdout)["accuracy"]["value"] == pytest.approx(2 / 3)


def test_a_manifest_is_a_truth_and_a_list(command, model, tmp_path):
    for seed, name in enumerate("abc"):
        pixels = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    manifest = tmp_path / "faces.csv"
    manifest.write_text(
        "path,mask,gender,age,left,upper,right,lower\na.png,wear,male,40,0,0,30,40\na.png,wear,male,40,40,0,80,50\n"
        "b.png,wear,female,40,,,,\nc.png,wear,,,,,,\n"
    )
    submission = tmp_path / "submission.csv"
    predicted = command("predict", model, "--image-list", manifest, "--out", submission)
    assert predicted.code == 0, predicted.err
    assert [line.rpartition(",")[0] for line in submission.read_text().splitlines()[1:]] == [
        '"a.png[0,0,30,40]"', '"a.png[40,0,80,50]"', "b.png", "c.png",
    ]  # fmt: skip
    result = command("evaluate", manifest, submission)
    assert result.code == 0, result.err
    assert "3 faces of 2 photos" in result.out
    assert "rows of the truth that lack a label, which take no part: 1" in result.out
    scores = json.loads(command("evaluate", manifest, submission, "--json").out)
    classes = [int(line.rpartition(",")[2]) for line in submission.read_text().splitlines()[1:]]
    expected = np.mean([own == true for own, true in zip(classes, (1, 1, 4), strict=False)])
    assert scores["accuracy"]["value"] == pytest.approx(expected)


def write_dataset(folder: Path) -> tuple[Path, Path, Path]:
    """A manifest with ages, a submission and predicted ages of its six photos, each two years too old."""
    manifest, ages = folder / "manifest.csv", folder / "ages.csv"
    photos = folder / "photos"
    photos.mkdir(parents=True)
    rows, names = [], []
    for number in range(6):
        name = f"{number}.png"
        Image.new("RGB", (20, 20), (number, 0, 0)).save(photos / name)
        rows.append(f"photos/{name},p{number // 2},wear,male,{20 + 10 * number}")
        names.append(f"photos/{name}")
    manifest.write_text("path,person,mask,gender,age\n" + "\n".join(rows) + "\n")
    predicted = [
        f"{name},worn,male,30-59,{22 + 10 * i},{21 + 10 * i},{22 + 10 * i},{23 + 10 * i}"
        for i, name in enumerate(names)
    ]
    ages.write_text("ImageID,mask,gender,age,age_mean,age_q10,age_q50,age_q90\n" + "\n".join(predicted) + "\n")
    return manifest, write_submission(folder / "submission.csv", names, np.ones(6, dtype=np.int64)), ages


def test_ages_in_years_are_scored(tmp_path):
    manifest, submission, ages = write_dataset(tmp_path)
    result = run(manifest, submission, "--ages", ages, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["ages"]
    # All are two years too old: nothing varies between persons, so that there is no interval.
    assert found["mean_absolute_error"] == {"value": 2, "low": None, "high": None, "level": 0.95}
    assert found["coverage"]["value"] == 0
    assert (found["photos"], found["persons"]) == (6, 3)
    text = run(manifest, submission, "--ages", ages).output
    assert "mean absolute error (years)" in text
    assert "the error has no interval: the persons do not differ, or there is only one" in text
    ages.write_text(ages.read_text().replace(",22,21,22,23", ",24,23,24,25"))
    error = json.loads(run(manifest, submission, "--ages", ages, "--json").stdout)["ages"]["mean_absolute_error"]
    assert error["low"] < error["value"] < error["high"]
    assert "ages" not in json.loads(run(manifest, submission, "--json").stdout)


def test_ages_that_cannot_be_scored_are_errors(tmp_path):
    manifest, submission, ages = write_dataset(tmp_path)
    plain = tmp_path / "plain.csv"
    plain.write_text("ImageID,age\nphotos/0.png,30-59\n")
    with pytest.raises(DataError, match="has no ages in years"):
        evaluate([manifest, submission], ages=plain)
    ages.write_text("\n".join(ages.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match="1 photo has no predicted age"):
        evaluate([manifest, submission], ages=ages)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("nan,42,43", "age_q10 'nan' is no age of 0 to 130 years"),
        ("41,-1,43", "age_q50 '-1' is no age"),
        ("41,42,131", "age_q90 '131' is no age"),
        ("41,42,old", "age_q90 'old' is no age"),
        ("43,42,41", "age_q10, age_q50, age_q90 do not ascend: 43, 42, 41"),
    ],
)
def test_impossible_ages_are_errors_with_their_row(command, tmp_path, cells, message):
    manifest, submission, ages = write_dataset(tmp_path)
    text = ages.read_text()
    assert "41,42,43" in text
    ages.write_text(text.replace("41,42,43", cells))
    result = command("evaluate", manifest, submission, "--ages", ages)
    assert result.code == 2
    assert f"row 4, photos/2.png: {message}" in " ".join(result.err.split())


def test_two_ages_of_one_photo_are_an_error_with_both_rows(command, tmp_path):
    manifest, submission, ages = write_dataset(tmp_path)
    ages.write_text(ages.read_text() + "photos/1.png,worn,male,30-59,60,59,60,61\n")
    result = command("evaluate", manifest, submission, "--ages", ages)
    assert result.code == 2
    assert "row 8: duplicate of row 3, photos/1.png" in result.err


def test_a_model_in_place_of_a_submission_is_answered_with_the_commands(files, tmp_path):
    """As other programs validate a model on a dataset; a run even has tables of its own."""
    truth, submission = files
    run_dir = tmp_path / "my run"
    run_dir.mkdir()
    (run_dir / "recipe.yaml").write_text("")
    (run_dir / "splits.csv").write_text("person,fold\na,0\n")
    model = tmp_path / "model.onnx"
    model.write_bytes(b"")
    for args, command in (
        ((run_dir, truth), f"maskfit predict '{run_dir}' --image-list {truth} --out submission.csv"),
        ((truth, model), f"maskfit predict {model} --image-list {truth} --out submission.csv"),
        ((tmp_path, model, "--schema", "mask"), f"maskfit evaluate {tmp_path} submission.csv --schema mask;"),
        ((run_dir,), "maskfit evaluate TRUTH.csv submission.csv;"),
    ):
        error = run(*args).exception
        assert isinstance(error, DataError)
        assert "this is a model" in str(error)
        assert command in str(error)
        assert "persons that it was not trained on" in str(error)
    assert run(truth, submission).exit_code == 0


def test_the_command_for_a_model_has_its_label_schema(run_dir, model, files):
    """Without `--schema` the printed command would be refused."""
    import torch

    metadata = read_model_metadata(model).model_copy(update={"label_schema": LABEL_SCHEMAS["mask"], "heads": ("mask",)})
    save_model(run_dir / "fold0" / "best.safetensors", {"weight": torch.zeros(1)}, metadata)
    error = run(files[0], run_dir).exception
    assert f"maskfit evaluate {files[0]} submission.csv --schema mask;" in str(error)


def test_a_table_of_attributes_is_scored_on_those_that_the_truth_has(tmp_path):
    truth, table = tmp_path / "truth.csv", tmp_path / "attributes.csv"
    truth.write_text("path,mask\na.jpg,wear\nb.jpg,incorrect\nc.jpg,not_wear\nd.jpg,wear\n")
    table.write_text(
        "ImageID,mask,gender,age,age_mean,age_q10,age_q50,age_q90,mask_sure,gender_sure,age_sure\n"
        "d.jpg,not worn,male,<30,20.00,18,20,30,false,true,true\n"
        "a.jpg,worn,male,<30,20.00,18,20,30,true,true,true\n"
        "b.jpg,worn wrongly,female,>=60,70.00,60,70,80,true,false,true\n"
        "c.jpg,worn,female,30-59,40.00,30,40,50,true,true,true\n"
    )
    result = run(truth, table, "--schema", "mask")
    assert result.exit_code == 0, result.output
    assert re.search(r"mask +0\.\d+ +0\.5000", result.stdout)
    assert "mask: sure of 75.0% of the photos, and right on 66.7% of these" in result.stdout
    assert json.loads(run(truth, table, "--schema", "mask", "--json").stdout)["answered"] == {
        "mask": {"answered": 0.75, "accuracy_answered": pytest.approx(2 / 3)}
    }


def test_classes_of_a_model_with_more_attributes_name_the_table_to_give(tmp_path):
    truth, answers = tmp_path / "truth.csv", tmp_path / "answers.csv"
    truth.write_text("path,mask\na.jpg,wear\n")
    answers.write_text("ImageID,ans\na.jpg,11\n")
    result = run(truth, answers, "--schema", "mask")
    assert isinstance(result.exception, DataError)
    assert "--attributes-csv" in str(result.exception.hint)


def test_a_table_of_attributes_without_a_value_is_refused(tmp_path):
    truth, table = tmp_path / "truth.csv", tmp_path / "attributes.csv"
    truth.write_text("path,mask\na.jpg,wear\nb.jpg,wear\n")
    table.write_text("ImageID,mask\na.jpg,worn\nb.jpg,\n")
    result = run(truth, table, "--schema", "mask")
    assert isinstance(result.exception, DataError)
    assert "row 3: b.jpg lacks a value" in result.exception.message


def test_what_a_spreadsheet_made_of_true_is_read_and_other_words_are_refused(tmp_path):
    truth, table = tmp_path / "truth.csv", tmp_path / "attributes.csv"
    truth.write_text("path,mask\na.jpg,wear\nb.jpg,wear\n")
    table.write_text("ImageID,mask,mask_sure\na.jpg,worn,TRUE\nb.jpg,worn,0\n")
    assert "mask: sure of 50.0% of the photos" in run(truth, table, "--schema", "mask").stdout
    table.write_text("ImageID,mask,mask_sure\na.jpg,worn,true\nb.jpg,worn,maybe\n")
    assert "row 3: mask_sure 'maybe'" in str(run(truth, table, "--schema", "mask").exception)
