"""Tables of soft labels: probabilities of classes, or of single values, or votes of annotators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.training.soft_labels import class_labels, describe_matches, read_soft_labels

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
NARROW = AgeLabelRule(bin_width=5).training_schema(SCHEMA)


def write(folder: Path, text: str) -> Path:
    path = folder / "soft.csv"
    path.write_text(text)
    return path


def photos(folder: Path, *names: str) -> list[Photo]:
    return [Photo(folder / name, name, person=name, labels={}) for name in names]


def test_votes_and_probabilities_of_single_values(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "path,mask=wear,mask=incorrect,mask=worn,gender=male,gender=female\na.jpg,2,1,1,.25,.75\nb.jpg,,,,0,1\n",
    )
    table = read_soft_labels(path, SCHEMA)
    rows = table.rows_of(photos(tmp_path, "b.jpg", "c.jpg", "a.jpg"))
    assert rows.tolist() == [1, -1, 0]
    mask = table.targets(rows, SCHEMA, "mask")
    assert mask is not None
    # `worn` is another word for `wear`; nobody chose `not_wear`, which no column names.
    by_value = {tuple(group): column for column, group in enumerate(mask.allowed.tolist())}
    assert mask.probabilities[2, by_value[True, False, False]] == pytest.approx(0.75)
    assert mask.probabilities[2, by_value[False, True, False]] == pytest.approx(0.25)
    assert not mask.probabilities[:2].any()
    gender = table.targets(rows, SCHEMA, "gender")
    assert gender is not None
    assert gender.probabilities @ gender.allowed == pytest.approx(np.array([[0, 1], [0, 0], [0.25, 0.75]]))
    assert table.targets(rows, SCHEMA, "age") is None


def test_rows_of_annotators_are_counted(tmp_path: Path) -> None:
    """A row for each photo and annotator is the same as a row of numbers of votes; an empty cell is no vote."""
    wide = write(
        tmp_path, "photo,mask=wear,mask=incorrect,gender=male,age=27,age=40\na.jpg,2,1,1,1,1\nb.jpg,0,1,0,0,0\n"
    )
    counted = read_soft_labels(wide, SCHEMA)
    rows = (
        "a.jpg,anna,wear,male,27\nb.jpg,anna,,,\na.jpg,bert,Worn,,40\na.jpg,carl,incorrect,,\nb.jpg,bert,incorrect,,\n"
    )
    table = read_soft_labels(write(tmp_path, f"Photo,annotator,Mask State,Sex,age\n{rows}"), SCHEMA)
    assert table.names == counted.names == ("a.jpg", "b.jpg")
    numbers = counted.rows_of(photos(tmp_path, *counted.names))
    for head in (*SCHEMA.names, JOINT_HEAD):
        found, expected = table.targets(numbers, SCHEMA, head), counted.targets(numbers, SCHEMA, head)
        assert found is not None
        assert expected is not None
        assert found.allowed.tolist() == expected.allowed.tolist()
        assert found.probabilities == pytest.approx(expected.probabilities)
    line = describe_matches(table, numbers)
    assert line.endswith("soft labels for 2 of 2 photos, counted from 5 rows as one vote each")
    assert "counted" not in describe_matches(counted, numbers)


def test_years_go_into_the_bands_that_are_trained(tmp_path: Path) -> None:
    table = read_soft_labels(write(tmp_path, "path,age=27,age=29,age=31,age=33\na.jpg,.1,.2,.3,.4\n"), SCHEMA)
    rows = table.rows_of(photos(tmp_path, "a.jpg"))
    for schema, groups in ((SCHEMA, {27: 0.3, 31: 0.7}), (NARROW, {27: 0.3, 31: 0.7})):
        targets = table.targets(rows, schema, "age")
        assert targets is not None
        dense = targets.probabilities[0] @ targets.allowed
        for year, expected in groups.items():
            assert dense[schema["age"].encode(year)] == pytest.approx(expected)
        assert dense.sum() == pytest.approx(1)


@given(st.integers(0, 2**32 - 1))
def test_class_probabilities_become_marginals(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("soft")
    values = np.random.default_rng(seed).dirichlet(np.full(18, 0.3), size=3)
    values /= values.sum(axis=1, keepdims=True)
    path = ProbabilityTable(("a.jpg", "b.jpg", "c.jpg"), values).write(folder / "soft.csv")
    table = read_soft_labels(path, SCHEMA)
    rows = table.rows_of(photos(folder, "a.jpg", "b.jpg", "c.jpg"))
    for name, marginal in SCHEMA.marginals(values).items():
        targets = table.targets(rows, SCHEMA, name)
        assert targets is not None
        assert targets.probabilities @ targets.allowed == pytest.approx(marginal, abs=1e-6)
    joint = table.targets(rows, SCHEMA, JOINT_HEAD)
    assert joint is not None
    assert joint.probabilities @ joint.allowed == pytest.approx(values, abs=1e-6)
    # Of narrow bands a band's probability goes to all together.
    ages = table.targets(rows, NARROW, "age")
    assert ages is not None
    assert ages.allowed.sum() == len(NARROW["age"].values)
    assert sorted(ages.probabilities[0]) == pytest.approx(sorted(SCHEMA.marginals(values)["age"][0]), abs=1e-6)


def test_the_labels_of_a_class_are_its_own() -> None:
    labels = class_labels(SCHEMA)
    assert SCHEMA.to_class_index(SCHEMA.encode_batch(labels)).tolist() == list(range(18))


def test_a_joint_head_learns_from_single_values(tmp_path: Path) -> None:
    table = read_soft_labels(write(tmp_path, "path,gender=male,gender=female\na.jpg,3,1\n"), SCHEMA)
    joint = table.targets(table.rows_of(photos(tmp_path, "a.jpg")), SCHEMA, JOINT_HEAD)
    assert joint is not None
    male = np.array([labels["gender"] == "male" for labels in class_labels(SCHEMA)])
    (group,) = [column for column, group in enumerate(joint.allowed) if (group == male).all()]
    assert joint.probabilities[0, group] == pytest.approx(0.75)


def test_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    path = write(tmp_path / "tables", "path,mask=wear,mask=not_wear\n../photos/a.jpg,1,0\n../photos/gone.jpg,0,1\n")
    table = read_soft_labels(path, SCHEMA)
    rows = table.rows_of([Photo(tmp_path / "photos/a.jpg", "a.jpg", person="a", labels={})])
    assert rows.tolist() == [0]
    assert "1 of 1 photo; 1 row names no photo of the dataset, such as ../photos/gone.jpg" in describe_matches(
        table, rows
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,mask=wear,mask=incorrect\na.jpg,.5,.4\n", "row 2: the columns of mask sum to 0.9, not to 1"),
        ("path,mask=wear,mask=incorrect\na.jpg,-1,2\n", "row 2: mask=wear is '-1'"),
        ("path,mask=wear,mask=incorrect\na.jpg,many,2\n", "row 2: mask=wear is 'many'"),
        ("path,mask=wear,mask=incorrect\na.jpg,inf,2\n", "row 2: mask=wear is 'inf'"),
        ("path,mask=wear,mask=incorrect\na.jpg,1,0\na.jpg,0,1\n", "a.jpg is in 2 rows"),
        ("path,mask=wear,mask=incorrect\n,1,0\n", "row 2: no name in column path"),
        ("path,masks=wear,mask=incorrect\na.jpg,1,0\n", "'masks' is not an attribute"),
        ("path,mask=hat,mask=incorrect\na.jpg,1,0\n", "column mask=hat"),
        ("path,mask=,mask=incorrect\na.jpg,1,0\n", "says nothing about the mask"),
        ("path,mask\na.jpg,wear\n", "no table of soft labels"),
        ("name,mask=wear,mask=incorrect\na.jpg,1,0\n", "no table of soft labels"),
        ("path,mask\na.jpg,wear\na.jpg,hat\n", "row 3: 'hat' is not a value of mask"),
        ("path,mask\na.jpg,wear\n,wear\n,wear\n", "row 4: no name in column path"),
        ("path,mask\na.jpg,\na.jpg,\n", "no row has a label in mask"),
        ("", "soft.csv"),
        ("path,mask=wear,mask=incorrect\n", "the table has no rows"),
        (
            'path,mask=wear,mask=incorrect\na.jpg,"0,7",0.3\n',
            "mask=wear is '0,7', not a number from 0 to 1e+15; it has a decimal comma, write 0.7",
        ),
        ("path;mask=wear;mask=incorrect\na.jpg;,7;,3\n", "it has a decimal comma, write .7"),
        ("path,mask=wear,mask=incorrect\na.jpg,1e308,1e308\n", "mask=wear is '1e308', not a number from 0 to 1e+15"),
        ("path,mask=0,mask=1\na.jpg,1,2\n", "mask: 0, 1 look like codes, and nothing says what they mean; write wear"),
        ("path,age=0,age=1,age=2\na.jpg,1,2,0\n", "age: 0, 1, 2 look like codes"),
        ("path,mask\na.jpg,1\na.jpg,2\n", "mask: 1, 2 look like codes"),
        ("path,mask\na.jpg,1.0\na.jpg,wear\n", "mask: 1.0 look like codes"),
        ("path,age\na.jpg,1\na.jpg,2\n", "age: 1, 2 look like codes"),
        ("path,mask,age_band\na.jpg,wear,2\na.jpg,wear,1\n", "column age_band is not counted"),
        ("ImageID,p0,p1,mask=wear\na.jpg,1,0,1\n", "probabilities of classes, p0, and of single values, mask=wear"),
        ("ImageID,p0,p1\na.jpg,1,0\n", "2 classes instead of 18"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_soft_labels(write(tmp_path, text), SCHEMA)
    assert message in str(caught.value)


def test_a_table_of_other_photos_is_refused(tmp_path: Path) -> None:
    table = read_soft_labels(write(tmp_path, "path,mask=wear,mask=incorrect\na.jpg,1,0\n"), SCHEMA)
    with pytest.raises(DataError, match="no row of the soft labels names a photo"):
        describe_matches(table, table.rows_of(photos(tmp_path, "b.jpg")))


@pytest.mark.parametrize("cells", [",", "0,0"])
def test_a_table_that_says_nothing_is_refused(tmp_path: Path, cells: str) -> None:
    table = read_soft_labels(write(tmp_path, f"path,mask=wear,mask=incorrect\na.jpg,{cells}\nb.jpg,1,0\n"), SCHEMA)
    both = table.rows_of(photos(tmp_path, "a.jpg", "b.jpg", "c.jpg"))
    assert "soft labels for 1 of 3 photos; 1 photo has nothing but empty cells or 0, such as a.jpg" in describe_matches(
        table, both
    )
    with pytest.raises(DataError, match="say nothing about the photos of the dataset"):
        describe_matches(table, table.rows_of(photos(tmp_path, "a.jpg")))
