"""Tables of probabilities: checked, matched by name, written and read without loss."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.errors import DataError
from maskfit.evaluation.probability_table import ProbabilityTable, check_probabilities, concat_tables, read_table


def make(names: str, seed: int = 0, truth: bool = True) -> ProbabilityTable:
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.full(18, 0.05), len(names))
    return ProbabilityTable(tuple(names), rows, random.integers(-1, 18, len(names)) if truth else None)


@pytest.mark.parametrize("truth", [True, False])
def test_a_table_comes_back_from_its_file(tmp_path, truth):
    table = make('dcab,"é', truth=truth)
    back = read_table(table.write(tmp_path / "new" / "table.csv"), num_classes=18)
    assert back.names == table.names
    np.testing.assert_allclose(back.probabilities, table.probabilities, atol=1e-7)
    assert (back.predictions == table.predictions).all()
    assert (back.truth is None) if not truth else (back.truth == table.truth).all()
    first = (tmp_path / "new" / "table.csv").read_text().splitlines()[0].split(",")
    assert first[:2] == ["ImageID", "p0"]
    assert first[18:] == ["p17"] + ["truth"] * truth


def test_rows_are_matched_by_name_whatever_their_order():
    table = make("abcd")
    turned = table.reindex("dbca")
    for name in "abcd":
        here, there = table.names.index(name), turned.names.index(name)
        assert (table.probabilities[here] == turned.probabilities[there]).all()
        assert table.truth[here] == turned.truth[there]
    assert table.reindex(["c"]).names == ("c",)
    with pytest.raises(DataError, match=r"2 of 3 photos have no row(.|\n)*- x\n- y"):
        table.reindex(["a", "x", "y"])
    with pytest.raises(DataError, match="duplicated"):
        table.reindex(["a", "a"])


def test_the_lowest_of_equal_classes_is_the_answer():
    assert ProbabilityTable(("a",), np.array([[0.2, 0.4, 0.4]])).predictions.tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[2.0, -1.0]], "negative"),
        ([[0.5, 0.6]], "does not sum to 1"),
        ([[np.nan, 1.0]], "not finite"),
        ([[3.1, 4.2]], "softmax"),
        ([0.5, 0.5], "shape"),
    ],
)
def test_what_is_no_probability_is_refused(rows, message):
    with pytest.raises(DataError) as caught:
        ProbabilityTable(("a",), np.array(rows))
    assert message in str(caught.value)


def test_single_precision_is_good_enough():
    rows = np.random.default_rng(0).dirichlet(np.ones(18), 100).astype(np.float32)
    assert check_probabilities(rows, "rows").dtype == np.float64


def test_a_table_cannot_be_changed_and_does_not_change_what_it_was_given():
    rows = np.array([[0.5, 0.5]])
    table = ProbabilityTable(("a",), rows)
    rows[0, 0] = 9
    assert table.probabilities[0, 0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        table.probabilities[0, 0] = 1


def test_names_and_truth_must_fit():
    rows = np.full((2, 2), 0.5)
    with pytest.raises(DataError, match="duplicated"):
        ProbabilityTable(("a", "a"), rows)
    with pytest.raises(DataError, match="1 name, but 2 rows"):
        ProbabilityTable(("a",), rows)
    with pytest.raises(DataError, match="not in 0 to 1"):
        ProbabilityTable(("a", "b"), rows, np.array([0, 2]))
    with pytest.raises(DataError, match="truth must be 2 integers"):
        ProbabilityTable(("a", "b"), rows, np.array([0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ImageID,p0,p2\na,0.5,0.5\n", "p1 is missing"),
        ('ImageID,p0,p1\na,0.5,"0,5"\n', "p1 is '0,5', not a number; it has a decimal comma, write 0.5"),
        ("ImageID,p0,p1\na,0.5,x\nb,,1\n", "row 2: p1 is 'x', not a number\n- row 3: p0 is '', not a number"),
        ("ImageID,p0,p1,truth\na,0.5,0.5,male\n", "truth 'male'"),
        ("ImageID,p0,p1\na,5,5\n", "not probabilities"),
        ("ImageID,p0,p1\na,0.5,0.5\na,0.5,0.5\n", "duplicated"),
        ("ImageID,ans\na,5\n", "p0 is missing"),
        ("ImageID,p0,p1\n", "no rows"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_another_number_of_classes_is_refused(tmp_path):
    path = make("ab").write(tmp_path / "table.csv")
    with pytest.raises(DataError, match="18 classes instead of 6"):
        read_table(path, num_classes=6)


def test_folds_are_stacked_and_a_photo_in_two_folds_is_refused():
    whole = concat_tables([make("ab"), make("c", seed=1, truth=False), make("de", seed=2)])
    assert whole.names == tuple("abcde")
    assert whole.truth[2] == -1
    assert (whole.probabilities[3:] == make("de", seed=2).probabilities).all()
    assert concat_tables([make("a", truth=False), make("b", truth=False)]).truth is None
    with pytest.raises(DataError, match=r"1 photo is in more than one table:\n- b"):
        concat_tables([make("ab"), make("bc")])
    with pytest.raises(DataError, match="2 and 18 classes"):
        concat_tables([make("a"), ProbabilityTable(("z",), np.array([[0.5, 0.5]]))])
    with pytest.raises(DataError, match="no table"):
        concat_tables([])


@pytest.mark.parametrize("truth", ["9" * 5000, "1e3", "2.5", "٣", "99"])
def test_a_truth_that_is_no_class_index_names_the_row(tmp_path, truth):
    path = make("ab").write(tmp_path / "table.csv")
    lines = path.read_text().splitlines()
    lines[1] = f"{lines[1].rpartition(',')[0]},{truth}"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert len(str(caught.value)) < 500
