"""`maskfit pseudo-label` as a user types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskfit.cli.pseudo_label import _print_summary
from maskfit.data.read_dataset import read_photos
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.pseudo_labels import PseudoLabels
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture
def table(evaluation: Path, tmp_path: Path) -> Path:
    """Predictions of the evaluation photos; three are confident."""
    names = sorted(path.name for path in (evaluation / "images").iterdir())
    rows = np.full((len(names), 18), 0.02 / 17)
    rows[:, 5] = 0.98
    rows[3:] = 1 / 18
    return ProbabilityTable(tuple(names), rows).write(tmp_path / "table.csv")


def test_a_table_becomes_a_manifest(command, table, evaluation, tmp_path):
    target = tmp_path / "pseudo.csv"
    result = command("pseudo-label", table, "--images", evaluation / "images", "--out", target)
    assert result.code == 0, result.err
    assert next(line.split()[-1] for line in result.out.splitlines() if "worn, female, >=60" in line) == "3"
    assert "3 photos; 3 are below the threshold" in result.err
    photos = read_photos(target, SCHEMA)
    assert SCHEMA.to_class_index(photos.attribute_indices(SCHEMA)).tolist() == [5, 5, 5]
    again = command("pseudo-label", table, "--images", evaluation / "images", "--out", target)
    assert (again.code, "the file exists" in again.err) == (2, True)
    assert command("pseudo-label", table, "--images", evaluation / "images", "--out", target, "--force").code == 0


def test_counts_have_separators_of_thousands(capsys, tmp_path):
    found = PseudoLabels(("a.jpg",) * 1200, np.full(1200, 5), np.full(1200, 0.99), ("",) * 1200, 1398, 2500)
    _print_summary(found, SCHEMA, tmp_path / "pseudo.csv", agree=True)
    printed = capsys.readouterr()
    line = "1,200 photos; 1,398 are below the threshold, 2,500 belong to persons whose photos disagree"
    assert line in " ".join(printed.err.split())
    assert next(line.split()[-1] for line in printed.out.splitlines() if "worn, female, >=60" in line) == "1,200"


def test_persons_option_and_errors(command, table, evaluation, tmp_path):
    names = sorted(path.name for path in (evaluation / "images").iterdir())
    persons = tmp_path / "persons.csv"
    persons.write_text("ImageID,person\n" + "".join(f"{name},anna\n" for name in names[:3]))
    args = ("pseudo-label", table, "--images", evaluation / "images", "--out", tmp_path / "p.csv")
    result = command(*args, "--persons", persons, "--agree")
    assert result.code == 0, result.err
    assert "0 belong to persons whose photos disagree" in result.err
    assert {photo.person for photo in read_photos(tmp_path / "p.csv", SCHEMA)} == {"anna"}
    for more, message in (
        (("--agree",), "add --persons"),
        (("--threshold", "2"), "threshold"),
        (("--schema", "masks"), "did you mean"),
        (("--schema", "mask"), "18 classes instead of 3"),
        (("--threshold", "0.99"), "the highest probability is 0.980"),
    ):
        result = command(*args, "--force", *more)
        assert (result.code, message in result.err) == (2, True), result.err
