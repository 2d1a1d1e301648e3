"""Statistics of a run compared with plain counting, and the handling of missing parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, RunError
from maskfit.evaluation.ages import write_age_table
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.age_distribution import AgeTable
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, UNKNOWN
from maskfit.report import summary_text
from maskfit.report.build_report import compute_statistics
from maskfit.report.run_data import load_run_data
from maskfit.report.run_statistics import describe
from maskfit.run_dir import RunDir

FULL = LABEL_SCHEMAS["mask-gender-age"]


def test_accuracy_over_photos_and_persons_equals_counting(make_run):
    run_data = load_run_data(make_run())
    statistics = describe(run_data, draws=30)
    predictions = FULL.to_attribute_indices(run_data.table.probabilities.argmax(axis=1))
    for column, name in enumerate(FULL.names):
        right = [int(a == t) for a, t in zip(predictions[:, column], run_data.truth[:, column], strict=True)]
        assert statistics.accuracy[name].photos.value == pytest.approx(sum(right) / len(right))
    marginal = FULL.marginals(run_data.table.probabilities)["gender"]
    hits = []
    for person in dict.fromkeys(run_data.persons.tolist()):
        own = [index for index, name in enumerate(run_data.persons.tolist()) if name == person]
        mean = sum(marginal[index] for index in own) / len(own)
        hits.append(mean.argmax() == run_data.truth[own[0], 1])
    assert statistics.accuracy["gender"].persons.value == pytest.approx(np.mean(hits))
    # The mask belongs to the photo, not to the person.
    assert statistics.accuracy["mask"].persons is None
    json.dumps(statistics.to_dict(), allow_nan=False)


def test_errors_by_age_equal_counting(make_run):
    run_data = load_run_data(make_run())
    found = describe(run_data, draws=30).ages
    wrong = FULL.to_attribute_indices(run_data.table.predictions)[:, 2] != run_data.truth[:, 2]
    ages = [int(person.rsplit("_", 1)[1]) for person in run_data.persons.tolist()]
    assert found.errors == wrong.sum()
    assert found.photos == len(ages) == 140
    for years, photos, mistakes in found.rows:
        assert photos == ages.count(years) == 7
        assert mistakes == sum(bad for age, bad in zip(ages, wrong, strict=True) if age == years)
    near = [age in range(27, 33) or age in range(57, 63) for age in ages]
    assert found.photos_near_edge == sum(near)
    assert found.errors_near_edge == sum(bad and close for bad, close in zip(wrong, near, strict=True))


def test_ages_in_years_are_scored_where_a_run_has_them(make_run):
    path = make_run()
    assert describe(load_run_data(path), draws=30).years is None
    names = load_run_data(path).table.names
    true = np.array([int(name.split("/")[0].rsplit("_", 1)[1]) for name in names])
    # Each photo is predicted five years too old, with an interval of two years on each side.
    shares = np.zeros((len(names), 121))
    for row, year in enumerate(true):
        shares[row, year + 3 : year + 8] = 0.2
    write_age_table(RunDir(path).oof_ages, names, AgeTable(0, shares))
    statistics = describe(load_run_data(path), draws=30)
    assert statistics.years is not None
    assert statistics.years.mean_absolute_error.value == pytest.approx(5)
    assert statistics.years.coverage.value == 0
    assert statistics.years.persons == 20
    assert json.loads(json.dumps(statistics.to_dict()))["age_years"]["photos"] == len(names)
    # All persons are five years off, so that nothing varies between them.
    assert "off by 5.0 years on average (no interval: the persons do not" in summary_text.years(statistics.years)
    half = load_run_data(path).select(np.arange(10), load_run_data(path).truth[:10])
    assert half.ages is not None
    assert len(half.ages.shares) == 10
    # A table of other photos is left out, with a line.
    write_age_table(RunDir(path).oof_ages, ["other.jpg"], AgeTable(0, shares[:1]))
    other = load_run_data(path)
    assert other.ages is None
    assert any("ages in years are left out" in line for line in other.warnings)


def test_slices_are_parts_of_the_set(make_run):
    run = make_run()
    run_data = load_run_data(run, by=["race", "File", "gender"])
    statistics = describe(run_data, draws=30)
    races = [person.split("_")[2] for person in run_data.persons.tolist()]
    right = FULL.to_attribute_indices(run_data.table.predictions) == run_data.truth
    for race, part in statistics.slices["race"].items():
        own = np.array([item == race for item in races])
        assert part.photos == own.sum()
        assert part.accuracy[JOINT_HEAD].value == pytest.approx(right[own].all(axis=1).mean())
        assert part.accuracy["age"].value == pytest.approx(right[own, 2].mean())
    assert sum(part.photos for part in statistics.slices["File"].values()) == 140
    assert list(statistics.slices["gender"]) == ["female", "male"]
    with pytest.raises(DataError, match="no column 'camera'"):
        load_run_data(run, by=["camera"])


@pytest.fixture
def manifest(people, tmp_path):
    """A CSV of the same photos with columns of its own, gaps, and labels that are partly unknown."""
    rows = []
    for index, photo in enumerate(read_photos(people, FULL)):
        labels = photo.labels
        age = "" if index % 5 == 0 else labels["age"]
        gender = "" if index % 7 == 0 else labels["gender"]
        camera = ("", "Leica <b>", "phone")[index % 3]
        rows.append((photo.path, photo.person, labels["mask"], gender, age, camera, index / 10))
    return write_csv(tmp_path / "photos.csv", ("path", "person", "mask", "gender", "age", "Camera", "light"), rows)


def test_manifest_columns_are_slices_and_partial_labels_count_where_known(make_run, manifest):
    run_data = load_run_data(make_run(root=manifest), by=["camera", "light"])
    statistics = describe(run_data, draws=30)
    assert {name: part.photos for name, part in statistics.slices["camera"].items()} == {"Leica <b>": 47, "phone": 46}
    assert len(statistics.slices["light"]) == 5
    assert next(iter(statistics.slices["light"])).startswith("0 to ")
    known = (run_data.truth != UNKNOWN).sum(axis=0)
    assert [statistics.accuracy[name].known for name in FULL.names] == known.tolist()
    assert statistics.scores.known == (run_data.truth != UNKNOWN).all(axis=1).sum() < known.min()
    assert statistics.ages.photos == known[2]
    json.dumps(statistics.to_dict(), allow_nan=False)


def test_missing_photos_leave_a_report_without_pictures_and_ages(make_run, tmp_path):
    run = make_run()
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("path: '", f"path: '{tmp_path}/elsewhere"))
    run_data = load_run_data(run)
    statistics = describe(run_data, draws=30)
    assert statistics.ages is None
    assert set(run_data.files) == {None}
    assert "cannot be read at their path" in run_data.warnings[0]
    # Persons are read from the folder names, so intervals are still over persons.
    assert len(set(run_data.persons.tolist())) == 20
    with pytest.raises(DataError):
        load_run_data(run, data=tmp_path / "nowhere")


def test_labels_named_by_the_user_are_the_ground_truth(make_run, people, tmp_path):
    run = make_run()
    rows = [(p.path, p.person, p.labels["mask"], "female", p.labels["age"]) for p in read_photos(people, FULL)]
    other = write_csv(people / "others.csv", ("path", "person", "mask", "gender", "age"), rows)
    try:
        run_data = load_run_data(run, data=other)
    finally:
        other.unlink()
    assert (run_data.truth[:, 1] == 1).all()
    assert (load_run_data(run).truth[:, 1] == 0).any()


def test_calibration_uses_the_uncalibrated_fold_tables(make_run):
    run = RunDir(make_run(sharp=3.0, skill=0.6))
    whole = read_table(run.oof_probabilities)
    soft = whole.probabilities ** (1 / 3)
    soft /= soft.sum(axis=1, keepdims=True)
    ProbabilityTable(whole.names, soft, whole.truth).write(run.oof_probabilities)
    statistics = describe(load_run_data(run.path), draws=30)
    assert statistics.calibration[JOINT_HEAD].temperature > 2
    assert statistics.calibration[JOINT_HEAD].after.error < 0.5 * statistics.calibration[JOINT_HEAD].before.error
    assert statistics.scores.log_loss < statistics.calibration[JOINT_HEAD].before.log_loss.value


def test_a_directory_that_is_not_a_complete_run_is_refused(make_run, tmp_path):
    with pytest.raises(RunError, match="this is not a run"):
        compute_statistics([tmp_path])
    run = make_run()
    (run / "oof_probabilities.csv").unlink()
    with pytest.raises(RunError, match="no out-of-fold predictions"):
        compute_statistics([run])


def test_a_run_without_any_label_is_refused(make_run, people, tmp_path):
    bare = write_csv(tmp_path / "bare.csv", ("path",), [(photo.path,) for photo in read_photos(people, FULL)])
    run = make_run(root=bare)
    with pytest.raises(DataError, match="no photo of this run has a label"):
        compute_statistics([run])


def test_one_fold_and_one_attribute_are_enough(make_run):
    statistics = compute_statistics([make_run(schema=LABEL_SCHEMAS["mask"], key="mask", folds=1)], draws=30)
    assert statistics.per_fold == {}
    assert statistics.ages is None
    assert list(statistics.accuracy) == [JOINT_HEAD, "mask"]
    json.dumps(statistics.to_dict(), allow_nan=False)


@given(st.floats(0, 1))
def test_fractions_as_text_are_all_or_none_only_where_exact(fraction):
    text = summary_text.as_percent_text(fraction, "photos")
    assert (text == "all photos") == (fraction == 1)
    assert (text == "no photos") == (fraction == 0)
    if text.endswith("% of photos"):
        assert abs(float(text.split("%")[0]) - 100 * fraction) <= 0.5
    assert summary_text.as_percent_text(0.995, "photos") == "99.5% of photos"
    assert summary_text.as_percent_text(0.961, "photos") == "96% of photos"


def test_rare_values_of_a_column_are_merged(make_run, people, tmp_path):
    rows = [
        (photo.path, photo.person, "mask", f"n{index % 40}") for index, photo in enumerate(read_photos(people, FULL))
    ]
    path = write_csv(tmp_path / "many.csv", ("path", "person", "mask", "site"), rows)
    values = load_run_data(make_run(root=path), by=["site"]).columns["site"]
    assert len(set(values)) == 16
    assert "others" in values
    assert read_csv(path, ["site"])[0]["site"] == "n0"
