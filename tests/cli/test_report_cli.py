"""`maskfit report` as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import PersonSplits
from maskfit.evaluation.metrics import macro_f1
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.run_dir import RunDir

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of eight persons in the competition's layout; no photo can be opened."""
    for number in range(8):
        folder = tmp_path / "images" / f"{number:06d}_{'male' if number % 2 else 'female'}_Asian_{20 + 6 * number}"
        folder.mkdir(parents=True)
        for stem in ("mask1", "incorrect_mask", "normal"):
            (folder / f"{stem}.jpg").touch()
    photos = read_photos(tmp_path / "images", SCHEMA)
    truth = SCHEMA.to_class_index(photos.attribute_indices(SCHEMA))
    rows = np.random.default_rng(0).dirichlet(np.ones(18), len(photos)) * 0.5 + 0.5 * np.eye(18)[truth]
    folder = RunDir(tmp_path / "run")
    ProbabilityTable(tuple(photo.name for photo in photos), rows, truth).write(folder.oof_probabilities)
    PersonSplits(dict.fromkeys(photos.persons, 0), 1).write(folder.splits)
    folder.recipe.write_text(f"name: made\ndata:\n  path: {tmp_path / 'images'}\n")
    return folder.path


def test_a_page_is_written_once_and_figures_are_printed(command, run):
    result = command("report", run, "--out", "page.html")
    assert result.code == 0, result.err
    assert result.out.startswith("written: page.html: 0.")
    text = Path("page.html").read_text(encoding="utf-8")
    assert "24 photos of 8 persons" in text
    result = command("report", run, "--out", "page.html")
    assert (result.code, "add --force" in result.err) == (2, True)
    assert command("report", run, "--out", "page.html", "--force").code == 0
    result = command("report", run, "--json", "--by", "race")
    figures = json.loads(result.out)
    found = read_table(RunDir(run).oof_probabilities)
    assert figures["scores"]["macro_f1"] == pytest.approx(macro_f1(found.truth, found.predictions, 18))
    assert figures["slices"]["race"]["Asian"]["photos"] == 24
    assert f"{figures['scores']['macro_f1']:.3f}" in text


def test_scores_are_printed_without_a_page(command, run):
    result = command("report", run)
    assert result.code == 0, result.err
    assert "24 held-out photos of 8 persons, 95% intervals over persons" in result.out
    figures = json.loads(command("report", run, "--json").out)
    right, f1 = figures["right"]["gender"]["photos"], figures["scores"]["per_attribute"]["gender"]["macro_f1"]
    (row,) = [line for line in result.out.splitlines() if line.startswith("gender")]
    assert f"{right['value']:.3f} ({right['low']:.3f} to {right['high']:.3f})" in row
    assert f"  {f1:.3f} (" in row
    assert "--out PAGE writes everything as a page" in result.err
    assert "its page is" not in result.err
    RunDir(run).report.write_text("page")
    again = command("report", run, "--by", "race")
    assert f"its page is {RunDir(run).report}" in again.err
    assert "Accuracy by race" in again.out
    other = run.with_name("other")
    shutil.copytree(run, other)
    assert "24 photos of 8 persons, out-of-fold predictions" in command("report", run, other).out
    assert list(Path().iterdir()) == []


def test_user_errors(command, run, tmp_path):
    result = command("report", tmp_path, "--json")
    assert (result.code, "this is not a run" in result.err) == (2, True)
    result = command("report", run, "--json", "--by", "gendr")
    assert (result.code, "did you mean 'gender'" in result.err) == (2, True)
