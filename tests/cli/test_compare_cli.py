"""`maskfit compare` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import PersonSplits
from maskfit.evaluation.metrics import macro_f1
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.run_dir import RunDir

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
PERSONS = 24


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three runs on 24 persons: one of little skill, one of much, and the first once more."""
    for number in range(PERSONS):
        folder = tmp_path / "images" / f"{number:06d}_{'male' if number % 2 else 'female'}_Asian_{20 + 2 * number}"
        folder.mkdir(parents=True)
        for stem in ("mask1", "incorrect_mask", "normal"):
            (folder / f"{stem}.jpg").touch()
    photos = read_photos(tmp_path / "images", SCHEMA)
    truth = SCHEMA.to_class_index(photos.attribute_indices(SCHEMA))
    made = []
    for name, skill in (("weak", 0.2), ("strong", 0.9), ("weak-again", 0.2)):
        generator = np.random.default_rng(1)
        right = generator.random(len(photos)) < skill
        predictions = np.where(right, truth, (truth + 7) % 18)
        rows = 0.5 * generator.dirichlet(np.ones(18), len(photos)) + 0.5 * np.eye(18)[predictions]
        folder = RunDir(tmp_path / name)
        ProbabilityTable(tuple(photo.name for photo in photos), rows, truth).write(folder.oof_probabilities)
        PersonSplits(dict.fromkeys(photos.persons, 0), 1).write(folder.splits)
        folder.recipe.write_text(f"name: {name}\ndata:\n  path: {tmp_path / 'images'}\n")
        made.append(folder.path)
    return made


def test_a_clear_difference_is_settled_and_its_figures_are_those_of_the_tables(command, runs):
    result = command("compare", *runs[:2])
    assert result.code == 0, result.err
    scores = []
    for run in runs[:2]:
        table = read_table(RunDir(run).oof_probabilities)
        scores.append(macro_f1(table.truth, table.predictions, 18))
    assert f"strong against weak: macro F1 {scores[0]:.3f} -> {scores[1]:.3f}" in result.out
    assert ": better" in result.out
    assert "persons to be shown" not in result.out
    assert "72 photos of 24 persons" in result.out
    for part in ("mask", "gender", "age", "near a border", "elsewhere", "worn, female, <30"):
        assert part in result.out, part
    figures = json.loads(command("compare", *runs[:2], "--json").out)
    verdict = figures["verdicts"][0][JOINT_HEAD]
    assert verdict["verdict"] == "better"
    assert verdict["difference"]["value"] == pytest.approx(scores[1] - scores[0])
    assert figures["against_first"][0]["age_accuracy"]["near a border"]["value"] > 0


def test_the_other_way_round_it_is_worse_and_the_same_run_again_is_not_settled(command, runs):
    assert ": worse" in command("compare", runs[1], runs[0]).out
    result = command("compare", runs[0], runs[2], "--out", "page.html")
    assert "weak-again against weak" in result.out
    # Nothing found on 24 persons does not say that there is nothing: 1 - 0.025 ** (1 / 24) of persons may differ.
    assert "+0.000 [-0.142, +0.142]: not settled: no photo of 24 persons is predicted differently" in result.out
    assert "24 persons would have shown a change on 14.2% of persons or more (97.5% of the time)" in result.out
    assert "[+0.000, +0.000]" not in result.out
    assert "written: page.html" in result.out
    page = Path("page.html").read_text(encoding="utf-8")
    assert "weak-again predicts no photo of 24 persons differently from weak" in page
    assert command("compare", *runs, "--out", "page.html").code == 2
    three = command("compare", *runs).out
    assert three.count("against weak") == 2


def test_a_small_difference_names_the_persons_that_would_settle_it(command, runs):
    """One person of 24 turns from wrong to right."""
    first, third = RunDir(runs[0]), RunDir(runs[2])
    table = read_table(first.oof_probabilities)
    wrong = np.flatnonzero(table.predictions != table.truth)[:2]
    rows = np.array(table.probabilities)
    rows[wrong] = np.eye(18)[table.truth[wrong]]
    ProbabilityTable(table.names, rows, table.truth).write(third.oof_probabilities)
    result = command("compare", first.path, third.path, "--json")
    verdict = json.loads(result.out)["verdicts"][0][JOINT_HEAD]
    assert verdict["verdict"] == "not settled"
    assert verdict["persons_needed"] > PERSONS
    assert f"needs about {verdict['persons_needed']:,} persons" in command("compare", first.path, third.path).out


def test_user_errors(command, runs, tmp_path):
    result = command("compare", runs[0])
    assert (result.code, "name two runs" in result.err) == (2, True)
    result = command("compare", runs[0], runs[0])
    assert (result.code, "named twice" in result.err) == (2, True)
    result = command("compare", runs[0], tmp_path)
    assert (result.code, "this is not a run" in result.err) == (2, True)
