"""`maskfit predict` as a user types it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.calibration import Calibration, DecisionWeights
from maskfit.environment import EVAL, MODEL, OUTPUT
from maskfit.evaluation.probability_table import read_table
from maskfit.inference.decisions import format_prediction
from maskfit.inference.person_pooling import pool_probabilities
from maskfit.inference.predictor import Predictor
from maskfit.inference.submission import read_submission
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import read_model_metadata, save_model, update_model_metadata
from maskfit.models.network import build_network

ORDER = ["b.jpg", "3.jpg", "7.jpg", "e.jpg", "0.jpg", "9.jpg"]


@pytest.fixture
def expected(model, evaluation):
    """The same prediction from Python, in the order of the list."""
    return Predictor.load(model).predict([evaluation / "images" / name for name in ORDER])


def test_folder_is_predicted_line_by_line(command, model, evaluation, expected):
    result = command("predict", model, "--images", evaluation / "images")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split(":")[0] for line in lines] == sorted(ORDER)
    names = [name.rpartition("/")[2] for name in expected.table.names]
    texts = {name: format_prediction(item) for name, item in zip(names, expected.decide(), strict=True)}
    assert {line.split(": ")[0]: line.split(": ")[1] for line in lines} == texts
    engine, counts = result.err.splitlines()
    assert engine == "engine: torch on cpu, f32; batches of 64"
    assert counts.startswith("6 photos: mask worn ")


def test_a_list_keeps_its_order_in_every_file(command, model, evaluation, expected):
    result = command(
        "predict",
        model,
        "--images",
        evaluation / "images",
        "--image-list",
        evaluation / "info.csv",
        "--out",
        "s.csv",
        "--probabilities",
        "new/p.csv",
        "--attributes-csv",
        "a.csv",
    )
    assert result.code == 0
    assert result.out == ""
    assert read_submission("s.csv") == dict(zip(ORDER, expected.table.predictions.tolist(), strict=True))
    assert list(read_submission("s.csv")) == ORDER
    table = read_table("new/p.csv", 18)
    assert table.names == tuple(ORDER)
    assert np.abs(table.probabilities - expected.table.probabilities).max() < 1e-6
    rows = [line.split(",")[0] for line in Path("a.csv").read_text().splitlines()]
    assert rows == ["ImageID", *ORDER]
    assert [line for line in result.err.splitlines() if line.startswith("written: ")] == [
        "written: s.csv: 6 rows",
        "written: new/p.csv: 6 rows",
        "written: a.csv: 6 rows",
    ]


def test_a_submission_of_another_schema_says_how_to_score_it(command, model, evaluation, tmp_path):
    """Its class 2 is not that of the 18 classes, which `maskfit evaluate` expects by default."""
    schema = LABEL_SCHEMAS["mask"]
    metadata = read_model_metadata(model).model_copy(update={"label_schema": schema, "heads": schema.names})
    network = build_network(metadata.backbone, metadata.head, schema.sizes)
    save_model(tmp_path / "mask.safetensors", network.state_dict(), metadata)
    words = ("--images", evaluation / "images", "--image-list", evaluation / "info.csv", "--out", "my answers.csv")
    result = command("predict", tmp_path / "mask.safetensors", *words)
    assert result.code == 0, result.err
    assert "next: maskfit evaluate TRUTH 'my answers.csv' --schema mask\n" in result.err


def test_json_output_is_only_json(command, model, evaluation, expected):
    (evaluation / "images" / "bad.jpg").write_text("no photo")
    result = command("predict", model, "--images", evaluation / "images", "--json", "--out", "s.csv")
    data = json.loads(result.out)
    assert [row["photo"] for row in data["answers"]] == sorted(ORDER)
    by_name = {row["photo"]: row for row in data["answers"]}
    for (name, text, probability), number in zip(expected, expected.table.predictions, strict=True):
        row = by_name[name.rpartition("/")[2]]
        assert (row["answer"], row["class"]) == (text, number)
        assert row["probability"] == pytest.approx(probability, abs=1e-6)
    assert list(data["unreadable"]) == ["bad.jpg"]
    assert data["written"] == ["s.csv"]


def test_runs_models_tta_and_combination(command, model, run_dir, evaluation):
    args = ("--images", evaluation / "images", "--json", "--batch-size", 4)
    other = shutil.copy(model, "other.safetensors")
    result = command("predict", run_dir, other, *args, "--tta", "flip", "--combine", "geometric")
    predictor = Predictor.load(run_dir, other, tta="flip", vote="geometric")
    expected = predictor.predict([evaluation / "images" / name for name in sorted(ORDER)])
    found = [row["probability"] for row in json.loads(result.out)["answers"]]
    assert found == pytest.approx(list(expected.table.confidence), abs=1e-6)


def test_unreadable_photos_are_an_error_in_a_list_and_skipped_in_a_folder(command, model, evaluation):
    (evaluation / "images" / "7.jpg").write_bytes(b"")
    (evaluation / "images" / "0.jpg").write_text("no photo")
    result = command(
        "predict", model, "--images", evaluation / "images", "--image-list", evaluation / "info.csv", "--out", "s.csv"
    )
    assert result.code == 2
    assert "2 photos cannot be read" in result.err
    assert "7.jpg: the file is empty" in result.err
    assert "0.jpg: this is a text file" in result.err
    assert not (evaluation / "s.csv").exists()
    result = command("predict", model, "--images", evaluation / "images")
    assert result.code == 0
    assert len(result.out.splitlines()) == 4
    assert "set aside 2 unreadable photos" in result.err


def test_file_names_are_printed_verbatim(command, model, evaluation):
    """File names are not interpreted as markup or emoji, and long lines are not wrapped."""
    images = evaluation / "images"
    good = "[bold]a[1] :dog: " + "x" * 120 + ".jpg"
    bad = "[red]b\\[2] :cat: " + "y" * 120 + ".jpg"
    shutil.copy(images / "0.jpg", images / good)
    (images / bad).write_bytes(b"")
    result = command("predict", model, "--images", images)
    assert f"\n{good}: " in result.out
    assert f"  {bad}: the file is empty\n" in result.err
    (evaluation / "list.csv").write_text(f"ImageID\n{bad}\n")
    result = command("predict", model, "--images", images, "--image-list", evaluation / "list.csv", "--out", "[x].csv")
    assert f"- {bad}: the file is empty\n" in result.err
    result = command("predict", model, "--images", images, "--out", f"[/] :dog: {'z' * 100}.csv", "--force")
    assert f"written: [/] :dog: {'z' * 100}.csv: 7 rows" in result.err
    result = command("predict", f"[/no] :dog: {'z' * 100}.onnx", "--images", images)
    assert f"at: [/no] :dog: {'z' * 100}.onnx\n" in result.err


@pytest.mark.parametrize("option", ["--out", "--probabilities", "--attributes-csv"])
def test_nothing_is_replaced_without_force(command, model, evaluation, tmp_path, option):
    path = tmp_path / "mine.csv"
    path.write_text("mine")
    args = ("predict", model, "--images", evaluation / "images", option, path)
    result = command(*args)
    assert result.code == 2
    assert "the file exists" in result.err
    assert "--force" in result.err
    assert path.read_text() == "mine"
    assert command(*args, "--force").code == 0
    assert len(path.read_text().splitlines()) == 7


def test_outputs_do_not_replace_each_other_or_folders(command, model, evaluation, tmp_path):
    args = ("predict", model, "--images", evaluation / "images", "--force")
    result = command(*args, "--out", "a.csv", "--probabilities", "../here/a.csv")
    assert result.code == 2
    assert "two outputs have the same path" in result.err
    result = command(*args, "--out", tmp_path)
    assert result.code == 2
    assert "the path is a folder" in result.err


def test_environment_provides_defaults(command, run_dir, evaluation, tmp_path, monkeypatch):
    monkeypatch.setenv(MODEL, str(run_dir))
    monkeypatch.setenv(EVAL, str(evaluation))
    monkeypatch.setenv(OUTPUT, str(tmp_path / "out"))
    result = command("predict")
    assert result.code == 0
    assert list(read_submission(tmp_path / "out" / "submission.csv")) == ORDER
    result = command("predict")
    assert result.code == 2
    assert "the file exists" in result.err


def test_arguments_win_over_environment_over_env_file(command, model, run_dir, evaluation, tmp_path):
    import os

    (tmp_path / "here" / ".env").write_text(
        f"# mine\nOTHER=1\nSM_CHANNEL_MODEL='{run_dir}'\nexport SM_CHANNEL_EVAL={evaluation}\n"
        f"SM_OUTPUT_DATA_DIR={tmp_path}/from_file\n"
    )
    assert command("predict").code == 0
    assert list(read_submission(tmp_path / "from_file" / "submission.csv")) == ORDER
    assert "OTHER" not in os.environ
    os.environ[OUTPUT] = str(tmp_path / "from_environment")
    assert command("predict").code == 0
    assert (tmp_path / "from_environment" / "submission.csv").is_file()
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(evaluation / "images" / "3.jpg", few / "one.jpg")
    assert command("predict", model, "--images", few, "--out", "words.csv").code == 0
    assert list(read_submission("words.csv")) == ["one.jpg"]
    os.environ[MODEL] = str(tmp_path / "nowhere.onnx")
    assert command("predict", model, "--images", few, "--out", "again.csv").code == 0


def test_empty_variables_are_none(command, model, evaluation, monkeypatch):
    for name in (MODEL, EVAL, OUTPUT):
        monkeypatch.setenv(name, "")
    result = command("predict", model, "--images", evaluation / "images")
    assert result.code == 0
    assert len(result.out.splitlines()) == 6
    assert "no photos given" in command("predict", model).err


def test_evaluation_folder_may_have_photos_only(command, model, evaluation, monkeypatch):
    (evaluation / "info.csv").unlink()
    for folder in (evaluation, evaluation / "images"):
        monkeypatch.setenv(EVAL, str(folder))
        assert len(command("predict", model).out.splitlines()) == 6


def test_list_without_folder_finds_its_photos(command, model, evaluation):
    result = command("predict", model, "--image-list", evaluation / "info.csv")
    assert [line.split(":")[0] for line in result.out.splitlines()] == ORDER
    shutil.copy(evaluation / "info.csv", evaluation / "images" / "info.csv")
    result = command("predict", model, "--image-list", evaluation / "images" / "info.csv")
    assert [line.split(":")[0] for line in result.out.splitlines()] == ORDER


def test_a_run_that_has_photos_predicts_those_of_images(command, run_dir, evaluation):
    shutil.copy(evaluation / "images" / "0.jpg", run_dir / "0.jpg")
    result = command("predict", run_dir, "--images", evaluation / "images")
    assert (result.code, len(result.out.splitlines())) == (0, len(ORDER))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "no photos given"),
        ("MODEL", "no photos given"),
        ("absent.onnx --images IMAGES", "there is no such model"),
        ("IMAGES --images IMAGES", "this folder is no run: it has photos"),
        ("IMAGES --image-list LIST", "leave it out, or give it as --images"),
        ("EMPTY --images IMAGES", "this folder is no run: it has no recipe.yaml"),
        ("last.ckpt --images IMAGES", "ends in .safetensors, .onnx or .xml"),
        ("MODEL --images absent", "there is no such folder"),
        ("MODEL --images EMPTY", "there is no photo in this folder"),
        ("MODEL --images IMAGES --image-list absent.csv", "there is no such file"),
        ("MODEL --images IMAGES --image-list LIST", "3 rows cannot be used"),
        ("MODEL --images IMAGES --tta flop", "did you mean 'flip'"),
        ("MODEL --images IMAGES --combine mean", "there is no vote 'mean'"),
        ("MODEL --images IMAGES --combine median", "there is no vote 'median'"),
        ("MODEL --images IMAGES --batch-size 0", "must be auto or 1 to 4096"),
        ("MODEL --images IMAGES --nonsense", "No such option"),
        ("MODEL --images IMAGES --out MODEL/s.csv", "is a file, where a folder is needed"),
        ("MODEL --images IMAGES --out LONG.csv", "File name too long"),
    ],
)
def test_user_errors_exit_with_2_and_name_the_problem(command, model, evaluation, tmp_path, args, message):
    (tmp_path / "here" / "last.ckpt").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("ImageID\n0.jpg\n0.jpg\n../x.jpg\nabsent.jpg\n")
    placeholders = {
        "MODEL": model,
        "IMAGES": evaluation / "images",
        "EMPTY": tmp_path / "empty",
        "LIST": tmp_path / "list.csv",
        "LONG": "x" * 300,
    }
    for name, value in placeholders.items():
        args = args.replace(name, str(value))
    result = command("predict", *args.split())
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_safetensors_need_torch(command, model, evaluation, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = command("predict", model, "--images", evaluation / "images")
    assert result.code == 2
    assert "needs the extra 'train'" in result.err
    assert "pip install 'maskfit[train]'" in result.err


def test_json_lines_have_all_predictions(command, model, evaluation, expected):
    result = command(
        "predict",
        model,
        "--images",
        evaluation / "images",
        "--image-list",
        evaluation / "info.csv",
        "--jsonl",
        "a.jsonl",
    )
    assert result.code == 0
    assert "written: a.jsonl: 6 rows" in result.err
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [row["photo"] for row in rows] == ORDER
    marginals = expected.schema.marginals(expected.table.probabilities)
    for place, (row, (_, text, probability)) in enumerate(zip(rows, expected, strict=True)):
        assert (row["class"], row["answer"]) == (int(expected.table.predictions[place]), text)
        assert row["probability"] == pytest.approx(probability, abs=1e-6)
        assert row["probabilities"] == pytest.approx(expected.table.probabilities[place].tolist(), abs=1e-6)
        indices = expected.schema.to_attribute_indices([row["class"]])[0]
        for attribute, index in zip(expected.schema.attributes, indices, strict=True):
            own = row["attributes"][attribute.name]
            assert own["value"] == attribute.values[index]
            assert list(own["probabilities"]) == list(attribute.values)
            assert list(own["probabilities"].values()) == pytest.approx(marginals[attribute.name][place], abs=1e-6)


def test_top_k_models_of_each_fold_are_averaged(command, run_dir, evaluation):
    fold = run_dir / "fold0"
    shutil.copy(fold / "best.safetensors", fold / "epoch002.safetensors")
    args = ("predict", run_dir, "--images", evaluation / "images", "--json")
    result = command(*args, "--top-k", 2)
    assert result.code == 2
    assert "this fold keeps 1 model, not 2" in result.err
    index = [{"file": f"{name}.safetensors", "epoch": 1, "score": 0.5} for name in ("best", "epoch002")]
    (fold / "models.json").write_text(json.dumps(index))
    assert json.loads(command(*args, "--top-k", 2, "--tta", "five_crop:scale=0.8").out)["answers"]
    assert "use --top-k 2" in command(*args, "--top-k", 3).err


def test_seeded_tta_is_reproducible(command, model, evaluation):
    args = ("predict", model, "--images", evaluation / "images", "--tta", "crops:n=3,seed=4")
    for name in ("a.csv", "b.csv"):
        assert command(*args, "--probabilities", name).code == 0
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    command(
        "predict", model, "--images", evaluation / "images", "--tta", "crops:n=3,seed=5", "--probabilities", "c.csv"
    )
    assert Path("c.csv").read_bytes() != Path("a.csv").read_bytes()
    assert "did you mean 'crops'" in command(*args[:-1], "crop:n=3").err


def test_abstained_predictions_are_not_sure(command, model, evaluation, tmp_path):
    metadata = read_model_metadata(model)
    unsure = tmp_path / "unsure.safetensors"
    shutil.copy(model, unsure)
    update_model_metadata(unsure, metadata.model_copy(update={"calibration": Calibration(abstain_below={"age": 1.0})}))
    lines = tmp_path / "lines.jsonl"
    result = command("predict", unsure, "--images", evaluation / "images", "--jsonl", lines, "--json")
    assert result.code == 0
    for row in json.loads(result.out)["answers"]:
        assert row["attributes"]["age"]["answer"] == "not sure"
        assert row["attributes"]["mask"]["sure"]
    for line in lines.read_text().splitlines():
        assert not json.loads(line)["attributes"]["age"]["sure"]
    assert "not sure (" in command("predict", unsure, "--images", evaluation / "images").out


def test_decide_chooses_how_the_class_is_chosen(command, model, evaluation, expected, tmp_path):
    decided = shutil.copy(model, tmp_path / "decided.safetensors")
    metadata = read_model_metadata(decided)
    decision = DecisionWeights(weights={"gender": (0.01, 100.0)}, before=0.5, after=0.6, gain_low=0, gain_high=0.2)
    calibration = Calibration(decisions={"macro-f1": decision})
    update_model_metadata(decided, metadata.model_copy(update={"calibration": calibration}))
    rows = ["--images", evaluation / "images", "--image-list", evaluation / "info.csv"]
    result = command("predict", decided, *rows, "--out", "s.csv")
    assert result.code == 0
    assert "decisions: macro-f1, gender male x0.01, female x100.00\n" in result.err
    argmax = expected.table.predictions
    # The class index is 6 * mask + 3 * gender + age: everybody is female now.
    assert list(read_submission("s.csv").values()) == [number // 6 * 6 + 3 + number % 3 for number in argmax.tolist()]
    result = command("predict", decided, *rows, "--out", "a.csv", "--decide", "argmax")
    assert "decisions: the most probable class\n" in result.err
    assert list(read_submission("a.csv").values()) == argmax.tolist()
    result = command("predict", decided, *rows, "--out", "b.csv", "--decide", "accuracy")
    assert "decisions: the most probable class; no model holds weights for accuracy\n" in result.err
    result = command("predict", decided, *rows, "--out", "c.csv", "--decide", "best")
    assert (result.code, "there is no way 'best' to decide" in result.err) == (2, True)
    assert not Path("c.csv").exists()
    result = command("predict", decided, evaluation / "images" / ORDER[0], "--faces", "whole")
    assert "decisions: macro-f1" in result.err
    assert "female" in result.out


def test_by_person_pools_gender_and_age_over_a_list_or_folders(command, model, evaluation):
    rows = ["--images", evaluation / "images", "--image-list"]
    persons = ["p", "q", "p", "p", "q", "r"]
    lines = ["ImageID,person", *(f"{name},{person}" for name, person in zip(ORDER, persons, strict=True))]
    Path("list.csv").write_text("\n".join(lines) + "\n")
    assert command("predict", model, *rows, "list.csv", "--probabilities", "plain.csv").code == 0
    result = command("predict", model, *rows, "list.csv", "--probabilities", "pooled.csv", "--by", "person")
    assert result.code == 0, result.err
    assert "by person: gender, age pooled over 5 photos of 2 persons with several photos; the class of" in result.err
    plain, pooled = (read_table(name, 18) for name in ("plain.csv", "pooled.csv"))
    expected = pool_probabilities(LABEL_SCHEMAS["mask-gender-age"], plain.probabilities, persons)
    np.testing.assert_allclose(pooled.probabilities, expected, atol=1e-7)
    assert pooled.names == plain.names
    # The same by folders, without a list.
    for name, person in zip(ORDER, persons, strict=True):
        Path("sorted", person).mkdir(parents=True, exist_ok=True)
        shutil.copy(evaluation / "images" / name, Path("sorted", person))
    result = command("predict", model, "--images", "sorted", "--probabilities", "folders.csv", "--by", "person")
    assert "pooled over 5 photos of 2 persons" in result.err
    names = [f"{person}/{name}" for name, person in zip(ORDER, persons, strict=True)]
    np.testing.assert_allclose(read_table("folders.csv", 18).reindex(names).probabilities, expected, atol=1e-7)


def test_by_person_is_refused_where_nobody_knows_the_persons(command, model, evaluation):
    for args, message in (
        (["--image-list", evaluation / "info.csv", "--by", "person"], "no photo is in a folder that names its person"),
        (["--by", "face"], "--by face is unknown"),
        (["--by", "person", "--shards", "s"], "--by person needs all photos at once"),
    ):
        result = command("predict", model, "--images", evaluation / "images", *args)
        assert (result.code, message in result.err) == (2, True), result.err
    result = command("predict", model, evaluation / "images" / ORDER[0], "--by", "person")
    assert (result.code, "--by needs --images" in result.err) == (2, True), result.err
    Path("list.csv").write_text(f"ImageID,person\n{ORDER[0]},p\n{ORDER[1]},\n")
    result = command("predict", model, "--images", evaluation / "images", "--image-list", "list.csv", "--by", "person")
    assert (result.code, "row 3 names no person" in result.err) == (2, True), result.err


@pytest.fixture
def narrow_model(model, tmp_path) -> Path:
    """The model with age bands of five years, and random weights."""
    metadata = read_model_metadata(model)
    schema = AgeLabelRule(bin_width=5).training_schema(metadata.label_schema)
    network = build_network(metadata.backbone, metadata.head, schema.sizes)
    return save_model(
        tmp_path / "narrow.safetensors", network.state_dict(), metadata.model_copy(update={"label_schema": schema})
    )


def test_ages_in_years_are_printed_and_their_bands_moved(command, narrow_model, evaluation):
    images = evaluation / "images"
    result = command("predict", narrow_model, "--images", images, "--attributes-csv", "a.csv", "--out", "s.csv")
    assert result.code == 0
    header, *rows = Path("a.csv").read_text().splitlines()
    assert header == "ImageID,mask,gender,age,age_mean,age_q10,age_q50,age_q90,mask_sure,gender_sure,age_sure"
    assert len(rows) == len(ORDER)
    lines = command("predict", narrow_model, "--images", images).out.splitlines()
    assert all(re.search(r"[)%]: \d+ \(\d+ to \d+\), \d+% aged 60 or more$", line) for line in lines)
    moved = command("predict", narrow_model, "--images", images, "--age-borders", "18,40,65", "--json")
    assert moved.code == 0
    answers = json.loads(moved.out)
    assert answers["age_borders"] == [18, 40, 65]
    note = "the classes have moved age borders"
    assert note not in moved.err
    for option in ("--out", "--probabilities"):
        assert (
            note in command("predict", narrow_model, "--images", images, "--age-borders", "30,57", option, "m.csv").err
        )
        Path("m.csv").unlink()
    shards = ("predict", narrow_model, "--images", images, "--shards")
    assert note in command(*shards, "moved", "--age-borders", "30,57").err
    assert note not in command(*shards, "own").err
    assert "decisions: " in command(*shards, "argmax", "--decide", "argmax").err
    assert set(answers["answers"][0]["attributes"]["age"]["probabilities"]) == {"<18", "18-39", "40-64", ">=65"}
    same = command("predict", narrow_model, "--images", images, "--age-borders", "30,60", "--out", "same.csv")
    assert same.code == 0
    assert note not in same.err
    assert Path("same.csv").read_text() == Path("s.csv").read_text()


@pytest.mark.parametrize(
    ("borders", "message"),
    [("30,57", "cannot be moved"), ("57,30", "do not ascend"), ("old", "not whole numbers"), ("", "not whole numbers")],
)
def test_borders_that_cannot_be_moved_are_errors(command, model, evaluation, borders, message):
    result = command("predict", model, "--images", evaluation / "images", "--age-borders", borders)
    assert result.code == 2
    assert message in " ".join(result.err.split())


def test_photos_of_several_people_are_said_where_each_is_predicted_as_a_portrait(command, model, evaluation, tmp_path):
    street = Path(__file__).parents[2] / "docs" / "images" / "street.jpg"
    (tmp_path / "photos").mkdir()
    shutil.copy(street, tmp_path / "photos")
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "photos" / "grey.png")
    result = command("predict", model, "--images", tmp_path / "photos")
    assert result.code == 0, result.err
    line = "1 of 2 photos looked at show several faces, such as street.jpg; to predict every face, name the photos"
    assert result.err.count("several faces") == 1
    assert line in " ".join(result.err.split())
    (tmp_path / "photos" / "street.jpg").unlink()
    assert "several faces" not in command("predict", model, "--images", tmp_path / "photos").err


def test_a_spreadsheet_is_not_written_as_text(command, model, evaluation):
    result = command("predict", model, "--images", evaluation / "images", "--out", "answers.XLSX")
    assert result.code == 2
    assert "name it answers.csv" in result.err
    assert not Path("answers.XLSX").exists()
