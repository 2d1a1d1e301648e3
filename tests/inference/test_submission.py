"""Submissions: written in the given order, read with every mistake at once."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.errors import DataError
from maskfit.inference.submission import read_submission, write_submission
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def test_a_submission_keeps_the_order_it_was_given(tmp_path):
    names = ["cbc5.jpg", "0e72.jpg", "b549.jpg"]
    path = write_submission(tmp_path / "out" / "submission.csv", names, np.array([17, 0, 4]))
    assert path.read_bytes() == b"ImageID,ans\ncbc5.jpg,17\n0e72.jpg,0\nb549.jpg,4\n"
    assert list(read_submission(path).items()) == [("cbc5.jpg", 17), ("0e72.jpg", 0), ("b549.jpg", 4)]


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        (["a", "b"], [1], "2 photos, but classes of shape"),
        (["a", "b", "a"], [1, 2, 3], r"duplicate photos(.|\n)*- a"),
        (["a"], [0.5], "not integers"),
        (["a", "b"], [0, -1], "b has the class -1"),
        (["a"], [[0.5, 0.5]], "shape"),
    ],
)
def test_answers_that_do_not_fit_are_not_written(tmp_path, names, classes, message):
    with pytest.raises(DataError, match=message):
        write_submission(tmp_path / "submission.csv", names, classes)
    assert not (tmp_path / "submission.csv").exists()


def test_every_bad_row_is_named_at_once(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text("ImageID,ans\na,0\nb,18\nc,1.5\nd,\na,3\n,4\ne,-1\nf,٣\n")
    with pytest.raises(DataError) as caught:
        read_submission(path)
    said = str(caught.value)
    for line in (
        "row 3: ans 18 is not in 0 to 17",
        "row 4: ans '1.5' is no whole number",
        "row 5: ans '' is no",
        "row 6: duplicate of row 2, a",
        "row 7: ImageID is empty",
        "row 8: ans '-1'",
        "row 9",
        str(path),
    ):
        assert line in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ImageID\na\n", "column ans is missing"),
        ("ImageID,ans,note\na,0,x\n", "column 'note' does not belong"),
        ("id,ans\na,0\n", "column ImageID is missing"),
    ],
)
def test_missing_and_extra_columns_are_refused(tmp_path, text, message):
    path = tmp_path / "submission.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_submission(path)


def test_another_number_of_classes(tmp_path):
    path = write_submission(tmp_path / "a.csv", ["a"], [5])
    assert read_submission(path, num_classes=6) == {"a": 5}
    with pytest.raises(DataError, match="not in 0 to 2"):
        read_submission(path, num_classes=3)


def test_a_class_as_pandas_writes_it_in_a_column_with_gaps(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text("ImageID,ans\na,3.0\nb,17\n")
    assert read_submission(path) == {"a": 3, "b": 17}


def test_the_index_that_pandas_writes_is_no_column(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text(",ImageID,ans\n0,a.jpg,3\n1,b.jpg,17\n")
    assert read_submission(path) == {"a.jpg": 3, "b.jpg": 17}
