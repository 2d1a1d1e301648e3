"""Files of answers: as the whole table's, batch by batch; whole, or not there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.inference.prediction import BatchPredictions
from maskfit.inference.prediction_writers import WRITERS, open_prediction_writers
from maskfit.inference.submission import read_submission
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def batches(count: int, size: int) -> list[BatchPredictions]:
    """Answers of chance; photo 10 is sure of class 10."""
    shares = np.random.default_rng(0).dirichlet(np.ones(18), count)
    shares[10] = np.eye(18)[10]
    names = tuple(f"{number}.jpg" for number in range(count))
    return [
        BatchPredictions(
            FULL, names[start : start + size], shares[start : start + size], {}, abstain_below={"age": 0.6}
        )
        for start in range(0, count, size)
    ]


def test_every_kind_holds_every_row_in_order(tmp_path):
    parts = batches(23, 5)
    files = {kind: tmp_path / "new" / kind for kind in WRITERS}
    with open_prediction_writers(files, FULL) as add:
        for part in parts:
            add(part)
        assert not files["submission"].exists()
    names = [name for part in parts for name in part.names]
    classes = np.concatenate([part.classes for part in parts]).tolist()
    assert read_submission(files["submission"]) == dict(zip(names, classes, strict=True))
    table = ProbabilityTable(tuple(names), np.concatenate([part.probabilities for part in parts]))
    assert table.write(tmp_path / "whole.csv").read_bytes() == files["probabilities"].read_bytes()
    assert read_table(files["probabilities"], 18).names == tuple(names)
    words = files["attributes"].read_text().splitlines()
    assert words[0] == "ImageID,mask,gender,age,mask_sure,gender_sure,age_sure"
    assert words[1 + 10] == "10.jpg,worn wrongly,female,30-59,true,true,true"
    codes = FULL.encode_batch(dict(zip(FULL.names, line.split(",")[1:4], strict=True)) for line in words[1:])
    assert FULL.to_class_index(codes).tolist() == classes
    rows = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert [(row["photo"], row["class"]) for row in rows] == list(zip(names, classes, strict=True))
    assert rows[10]["attributes"]["age"] == {
        "value": "30-59",
        "sure": True,
        "probabilities": {"<30": 0.0, "30-59": 1.0, ">=60": 0.0},
    }
    assert not all(row["attributes"]["age"]["sure"] for row in rows)


def test_after_an_error_nothing_is_there_and_what_was_there_stays(tmp_path):
    files = {kind: tmp_path / kind for kind in WRITERS}
    files["submission"].write_text("mine")

    def stop() -> None:
        with open_prediction_writers(files, FULL) as add:
            add(batches(12, 12)[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop()
    assert [path.name for path in tmp_path.iterdir()] == ["submission"]
    assert files["submission"].read_text() == "mine"
