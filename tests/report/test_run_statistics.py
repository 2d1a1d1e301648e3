"""Figures of a run against slow counting, and what is done where something is missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, RunError
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, UNKNOWN
from maskfit.report import summary_text
from maskfit.report.build_report import compute_statistics
from maskfit.report.run_data import load_run_data
from maskfit.report.run_statistics import describe
from maskfit.run_dir import RunDir

FULL = LABEL_SCHEMAS["mask-gender-age"]


def test_shares_of_photos_and_persons_are_those_of_counting(make_run):
    material = load_run_data(make_run())
    figures = describe(material, draws=30)
    answers = FULL.to_attribute_indices(material.table.probabilities.argmax(axis=1))
    for column, name in enumerate(FULL.names):
        right = [int(a == t) for a, t in zip(answers[:, column], material.truth[:, column], strict=True)]
        assert figures.shares[name].photos.value == pytest.approx(sum(right) / len(right))
    marginal = FULL.marginals(material.table.probabilities)["gender"]
    hits = []
    for person in dict.fromkeys(material.persons.tolist()):
        own = [place for place, name in enumerate(material.persons.tolist()) if name == person]
        mean = sum(marginal[place] for place in own) / len(own)
        hits.append(mean.argmax() == material.truth[own[0], 1])
    assert figures.shares["gender"].persons.value == pytest.approx(np.mean(hits))
    # The mask is the photo's, not the person's.
    assert figures.shares["mask"].persons is None
    json.dumps(figures.to_dict(), allow_nan=False)


def test_mistakes_by_age_are_those_of_counting(make_run):
    material = load_run_data(make_run())
    found = describe(material, draws=30).ages
    wrong = FULL.to_attribute_indices(material.table.predictions)[:, 2] != material.truth[:, 2]
    ages = [int(person.rsplit("_", 1)[1]) for person in material.persons.tolist()]
    assert found.wrong == wrong.sum()
    assert found.photos == len(ages) == 140
    for years, photos, mistakes in found.rows:
        assert photos == ages.count(years) == 7
        assert mistakes == sum(bad for age, bad in zip(ages, wrong, strict=True) if age == years)
    near = [age in range(27, 33) or age in range(57, 63) for age in ages]
    assert found.near_photos == sum(near)
    assert found.near == sum(bad and close for bad, close in zip(wrong, near, strict=True))


def test_slices_are_parts_of_the_set(make_run):
    run = make_run()
    material = load_run_data(run, by=["race", "File", "gender"])
    figures = describe(material, draws=30)
    races = [person.split("_")[2] for person in material.persons.tolist()]
    right = FULL.to_attribute_indices(material.table.predictions) == material.truth
    for race, part in figures.slices["race"].items():
        own = np.array([item == race for item in races])
        assert part.photos == own.sum()
        assert part.right[JOINT_HEAD].value == pytest.approx(right[own].all(axis=1).mean())
        assert part.right["age"].value == pytest.approx(right[own, 2].mean())
    assert sum(part.photos for part in figures.slices["File"].values()) == 140
    assert list(figures.slices["gender"]) == ["female", "male"]
    with pytest.raises(DataError, match="no column 'camera'"):
        load_run_data(run, by=["camera"])


@pytest.fixture
def manifest(people, tmp_path):
    """A CSV of the same photos with columns of its own, gaps, and labels that are partly unknown."""
    rows = []
    for place, photo in enumerate(read_photos(people, FULL)):
        labels = photo.labels
        age = "" if place % 5 == 0 else labels["age"]
        gender = "" if place % 7 == 0 else labels["gender"]
        camera = ("", "Leica <b>", "phone")[place % 3]
        rows.append((photo.path, photo.person, labels["mask"], gender, age, camera, place / 10))
    return write_csv(tmp_path / "photos.csv", ("path", "person", "mask", "gender", "age", "Camera", "light"), rows)


def test_a_manifest_gives_columns_and_partial_labels_count_where_they_are_known(make_run, manifest):
    material = load_run_data(make_run(root=manifest), by=["camera", "light"])
    figures = describe(material, draws=30)
    assert {name: part.photos for name, part in figures.slices["camera"].items()} == {"Leica <b>": 47, "phone": 46}
    assert len(figures.slices["light"]) == 5
    assert next(iter(figures.slices["light"])).startswith("0 to ")
    known = (material.truth != UNKNOWN).sum(axis=0)
    assert [figures.shares[name].known for name in FULL.names] == known.tolist()
    assert figures.scores.known == (material.truth != UNKNOWN).all(axis=1).sum() < known.min()
    assert figures.ages.photos == known[2]
    json.dumps(figures.to_dict(), allow_nan=False)


def test_photos_that_are_gone_leave_a_report_without_pictures_and_years(make_run, tmp_path):
    run = make_run()
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("root: '", f"root: '{tmp_path}/elsewhere"))
    material = load_run_data(run)
    figures = describe(material, draws=30)
    assert figures.ages is None
    assert set(material.files) == {None}
    assert "can no longer be read" in material.remarks[0]
    # Persons are known by the photos' folders, so that intervals are over them all the same.
    assert len(set(material.persons.tolist())) == 20
    with pytest.raises(DataError):
        load_run_data(run, data=tmp_path / "nowhere")


def test_labels_that_the_user_names_are_the_truth(make_run, people, tmp_path):
    run = make_run()
    rows = [(p.path, p.person, p.labels["mask"], "female", p.labels["age"]) for p in read_photos(people, FULL)]
    other = write_csv(people / "others.csv", ("path", "person", "mask", "gender", "age"), rows)
    try:
        material = load_run_data(run, data=other)
    finally:
        other.unlink()
    assert (material.truth[:, 1] == 1).all()
    assert (load_run_data(run).truth[:, 1] == 0).any()


def test_a_run_whose_table_is_tempered_is_still_judged_before_and_after(make_run):
    run = RunDir(make_run(sharp=3.0, skill=0.6))
    whole = read_table(run.oof_probabilities)
    soft = whole.probabilities ** (1 / 3)
    soft /= soft.sum(axis=1, keepdims=True)
    ProbabilityTable(whole.names, soft, whole.truth).write(run.oof_probabilities)
    figures = describe(load_run_data(run.path), draws=30)
    assert figures.calibration[JOINT_HEAD].temperature > 2
    assert figures.calibration[JOINT_HEAD].after.error < 0.5 * figures.calibration[JOINT_HEAD].before.error
    assert figures.scores.log_loss < figures.calibration[JOINT_HEAD].before.log_loss.value


def test_what_is_no_run_or_has_no_table_is_refused(make_run, tmp_path):
    with pytest.raises(RunError, match="this is no run"):
        compute_statistics([tmp_path])
    run = make_run()
    (run / "probabilities.csv").unlink()
    with pytest.raises(RunError, match="no out-of-fold table"):
        compute_statistics([run])


def test_a_run_without_any_label_is_refused(make_run, people, tmp_path):
    bare = write_csv(tmp_path / "bare.csv", ("path",), [(photo.path,) for photo in read_photos(people, FULL)])
    run = make_run(root=bare)
    with pytest.raises(DataError, match="no photo of this run has a label"):
        compute_statistics([run])


def test_one_fold_and_one_attribute_are_enough(make_run):
    figures = compute_statistics([make_run(scheme=LABEL_SCHEMAS["mask"], key="mask", folds=1)], draws=30)
    assert figures.per_fold == {}
    assert figures.ages is None
    assert list(figures.shares) == [JOINT_HEAD, "mask"]
    json.dumps(figures.to_dict(), allow_nan=False)


@given(st.floats(0, 1))
def test_shares_in_words_are_never_all_or_none_unless_they_are(share):
    said = summary_text.as_percent_text(share)
    assert (said == "all") == (share == 1)
    assert (said == "none") == (share == 0)
    if said.endswith(" of 100"):
        assert abs(int(said.split()[0]) - 100 * share) <= 0.5
    assert summary_text.as_percent_text(0.995) == "995 of 1,000"


def test_columns_of_many_values_are_gathered(make_run, people, tmp_path):
    rows = [
        (photo.path, photo.person, "mask", f"n{place % 40}") for place, photo in enumerate(read_photos(people, FULL))
    ]
    path = write_csv(tmp_path / "many.csv", ("path", "person", "mask", "site"), rows)
    values = load_run_data(make_run(root=path), by=["site"]).columns["site"]
    assert len(set(values)) == 16
    assert "others" in values
    assert read_csv(path, ["site"])[0]["site"] == "n0"
