"""Majority labels of several annotators, in Python and with `maskfit data majority`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskfit.data.importers import import_dataset, write_manifest
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.training.annotator_tables import join_annotator_tables
from maskfit.training.majority_labels import find_majority, write_majority

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]

LONG = """path,annotator,mask,gender,age,person
a.png,anna,wear,male,27,p1
a.png,bert,incorrect,Male,29,p1
a.png,carl,worn,female,41,
b.png,anna,wear,,,p2
b.png,bert,incorrect,,30,p2
b.png,carl,,,35,p2
c.png,anna,not_wear,male,60,p2
d.png,anna,,,,p3
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in "abcd":
        Image.new("RGB", (16, 16)).save(tmp_path / f"{name}.png")
    path = tmp_path / "votes.csv"
    path.write_text(LONG)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_most_votes_count_and_ties_stay_empty(table: Path) -> None:
    found = find_majority(table, SCHEMA)
    assert found.photos == ("a.png", "b.png", "c.png", "d.png")
    assert found.persons == ("p1", "p2", "p2", "p3")
    # `worn` is another word for `wear`; of the years in the band with the most votes the cell is the median.
    assert found.labels == {
        "mask": ("wear", "", "not_wear", ""),
        "gender": ("male", "", "male", ""),
        "age": ("27", "30", "60", ""),
    }
    assert [(tie.photo, tie.attribute, tie.votes) for tie in found.ties] == [
        ("b.png", "mask", {"wear": 1, "incorrect": 1})
    ]
    mask = found.agreement["mask"]
    assert (mask.photos, mask.unanimous, mask.agreeing_pairs, mask.pairs) == (2, 0, 1, 4)
    age = found.agreement["age"]
    assert (age.photos, age.unanimous, age.agreeing_pairs, age.pairs) == (2, 1, 2, 4)


@pytest.mark.parametrize(
    ("ages", "cell"),
    [
        (["25", "26", "61", "61"], ""),
        (["25", "26", "27", "61", "61"], "26"),
        (["25", "26"], "25"),
        (["20 to 29", "<30", "61"], "<30"),
        (["25 to 35", "20 to 40", "25 to 35", "61"], "25 to 35"),
    ],
)
def test_an_import_counts_the_same_votes_alike(tmp_path: Path, ages: list[str], cell: str) -> None:
    """Ages in years are votes for their band, and a cell is one that a manifest reads."""
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    rows = "".join(f"a.png,wear,{age}\n" for age in ages)
    path = tmp_path / "votes.csv"
    path.write_text(f"path,mask,age\n{rows}")
    assert find_majority(path, SCHEMA).labels["age"] == (cell,)
    path.write_text(f"id,mask,age\n{rows.replace('.png', '')}")
    imported = import_dataset(path, SCHEMA, majority=True)
    assert imported.rows[0].labels.get("age", "") == cell
    assert [item.attribute for item in imported.disagreements] == ([] if cell else ["age"])
    write_manifest(imported, tmp_path / "m.csv")
    assert len(read_photos(tmp_path / "m.csv", SCHEMA)) == 1


def test_numbers_of_votes_give_the_same(table: Path) -> None:
    wide = table.with_name("wide.csv")
    wide.write_text(
        "path,mask=wear,mask=incorrect,mask=not_wear,gender=male,gender=female,age=27,age=29,age=30,age=35,age=41,age=60\n"
        "a.png,2,1,,2,1,1,1,,,1,\nb.png,1,1,,,,,,1,1,,\nc.png,,,1,1,,,,,,,1\nd.png,,,,,,,,,,,\n"
    )
    one, other = find_majority(table, SCHEMA), find_majority(wide, SCHEMA)
    assert (one.labels, one.ties, one.agreement) == (other.labels, other.ties, other.agreement)


def test_agreement_is_that_of_all_pairs(tmp_path: Path) -> None:
    """Against a count of the pairs one by one."""
    rng = np.random.default_rng(3)
    votes = {f"{photo}.png": rng.choice(SCHEMA["mask"].values, rng.integers(1, 6)).tolist() for photo in range(40)}
    rows = [f"{name},{vote}" for name, own in votes.items() for vote in own]
    (tmp_path / "votes.csv").write_text("path,mask\n" + "\n".join(rows) + "\n")
    found = find_majority(tmp_path / "votes.csv", SCHEMA)
    pairs = [one == other for own in votes.values() for one, other in combinations(own, 2)]
    assert found.agreement["mask"].pairwise == pytest.approx(np.mean(pairs))
    for name, cell in zip(found.photos, found.labels["mask"], strict=True):
        counts = sorted((votes[name].count(value) for value in SCHEMA["mask"].values), reverse=True)
        assert (cell == "") == (counts[0] == counts[1])
        assert cell == "" or votes[name].count(cell) == counts[0]


def test_the_manifest_is_read_as_a_dataset(table: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    target = write_majority(find_majority(table, SCHEMA), table, tmp_path / "labels" / "manifest.csv")
    assert read(target)[0] == {"path": "../a.png", "person": "p1", "mask": "wear", "gender": "male", "age": "27"}
    assert len(read_photos(target, SCHEMA)) == 4
    with pytest.raises(DataError, match="this is the table of votes"):
        write_majority(find_majority(table, SCHEMA), table, table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,mask=wear,mask=incorrect\na.png,.5,.5\n", "mask: these are probabilities"),
        ("ImageID," + ",".join(f"p{number}" for number in range(18)) + "\na.png,1" + ",0" * 17 + "\n", "probabilities"),
        ("path,mask,person\na.png,wear,p1\na.png,wear,p2\n", "row 3: a.png is of p1 in a row above, and here of p2"),
        ("path,mask,left,upper,right,lower\na.png,wear,0,0,9,9\na.png,wear,9,9,19,19\n", "the table has boxes"),
        ("path,mask\na.png,0\na.png,1\n", "look like codes"),
        ("path,mask=wear\na.png,wear\n", "row 2: mask=wear is 'wear', not a number"),
    ],
)
def test_what_is_no_table_of_votes_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "votes.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_majority(tmp_path / "votes.csv", SCHEMA)


def test_the_command_prints_agreement_and_ties(
    table: Path, tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    target = tmp_path / "manifest.csv"
    code, out, err = run_command("data", "majority", table, "--out", target)
    assert code == 0
    assert "mask 2 1 2 0 25.0%" in " ".join(out.split())
    assert "mask: 1 photo has no vote, and no label\n" in err
    assert "  b.png  mask: wear 1, incorrect 1\n" in err
    assert f"maskfit data check {target}\n" in out + err
    assert f"maskfit train baseline data.path={target} data.soft_labels={table}\n" in out + err
    code, _, err = run_command("data", "majority", table, "--out", target)
    assert (code, "exists" in err) == (2, True)
    code, out, _ = run_command("data", "majority", table, "--out", target, "--json", "--force")
    record: dict[str, Any] = json.loads(out)
    assert record["labels"] == {"mask": 2, "gender": 2, "age": 3}
    assert record["ties"] == [{"photo": "b.png", "label": "mask", "votes": {"wear": 1, "incorrect": 1}}]
    assert record["agreement"]["mask"]["pairwise"] == 0.25
    one = tmp_path / "one.csv"
    one.write_text("path,mask\na.png,wear\na.png,incorrect\na.png,wear\n")
    code, out, err = run_command("data", "majority", one, "--out", target, "--force")
    assert f"data.soft_labels={one} data.label_schema=mask\n" in out + err
    assert "no photo has votes of several annotators" not in err
    one.write_text("path,annotator,mask\na.png,anna,wear\nb.png,bert,incorrect\n")
    code, out, err = run_command("data", "majority", one, "--out", target, "--force")
    assert (code, "no photo has votes of several annotators" in err) == (0, True)
    (tmp_path / "d.png").unlink()
    code, _, err = run_command("data", "majority", table, "--out", target, "--force")
    assert (code, "1 photo does not exist:\n- d.png" in err, "--images DIR" in err) == (2, True, True)
    urls = tmp_path / "urls.csv"
    rows = "".join(f"https://x.example/{name}.png,{who},wear\n" for name in "ab" for who in ("anna", "bert"))
    urls.write_text(f"path,annotator,mask\n{rows}")
    code, _, err = run_command("data", "majority", urls, "--out", target, "--force")
    assert code == 2
    assert f"maskfit data import {urls} --images DIR --majority --out FILE" in " ".join(err.split())
    # As it stands, with the folder and a file: the votes are counted.
    command = (
        "data",
        "import",
        urls,
        "--images",
        tmp_path,
        "--majority",
        "--schema",
        "mask",
        "--out",
        target,
        "--force",
    )
    assert run_command(*command)[0] == 0
    assert target.read_text().count("wear") == 2


def test_of_two_annotators_every_disagreement_is_a_tie_which_a_third_settles(
    table: Path, tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    anna, bert, carl = (tmp_path / "votes" / f"{name}.csv" for name in ("anna", "bert", "carl"))
    anna.parent.mkdir()
    anna.write_text("path,mask,gender\n../a.png,wear,male\n../b.png,wear,male\n../c.png,wear,\n")
    bert.write_text("path,mask,gender\n../a.png,wear,female\n../b.png,not_wear,female\n../c.png,not_wear,\n")
    target, joined = tmp_path / "manifest.csv", tmp_path / "joined.csv"
    outputs = ("--out", target, "--votes", joined)
    code, _, err = run_command("data", "majority", anna, bert, *outputs)
    assert code == 0
    assert "no photo has more than two votes, so every disagreement is a tie" in err
    assert "--ties FILE writes 3 photos as a table for one more annotator" in err
    code, _, err = run_command("data", "majority", anna, bert, *outputs, "--ties", carl, "--force")
    assert code == 0
    assert f"maskfit data majority {anna} {bert} {carl} " in err
    assert read(carl) == [
        {"path": "../a.png", "mask": "", "gender": "", "tied": "gender: male 1, female 1"},
        {"path": "../b.png", "mask": "", "gender": "", "tied": "mask: wear 1, not_wear 1; gender: male 1, female 1"},
        {"path": "../c.png", "mask": "", "gender": "", "tied": "mask: wear 1, not_wear 1"},
    ]
    # Not replaced by --force: it may be filled in.
    code, _, err = run_command("data", "majority", anna, bert, *outputs, "--ties", carl, "--force")
    assert (code, "may hold somebody's votes" in err) == (2, True)
    code, _, err = run_command("data", "majority", anna, bert, *outputs, "--ties", anna, "--force")
    assert (code, "is another file of this command" in err) == (2, True)
    carl.write_text("path,mask,gender,tied\n../a.png,,male,\n../b.png,wear,female,\n../c.png,incorrect,,\n")
    code, _, err = run_command("data", "majority", anna, bert, carl, *outputs, "--force")
    assert code == 0
    assert "every disagreement is a tie" not in err
    assert [(row["mask"], row["gender"]) for row in read(target)] == [("wear", "male"), ("wear", "female"), ("", "")]
    # Where the rows do not say whose votes they are, no further table can be joined.
    table.write_text("path,mask\na.png,wear\na.png,not_wear\n")
    code, _, err = run_command("data", "majority", table, "--out", target, "--force")
    assert "every disagreement is a tie" in err
    assert "add one more vote for this photo to the table" in err
    ties = ("--ties", tmp_path / "dora.csv")
    code, _, err = run_command("data", "majority", table, "--out", target, "--force", *ties)
    assert (code, "--ties is for votes with their annotators" in err) == (2, True)
    code, _, err = run_command("data", "majority", joined, "--out", target, "--force", *ties)
    assert f"maskfit data majority {joined} {tmp_path / 'dora.csv'} " in err


def test_the_command_for_the_ties_runs_as_it_is_printed(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    # The photos are in a folder of their own, and the files of the examples are there already.
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name, vote in (("anna", "wear"), ("bert", "not_wear")):
        Path(f"{name}.csv").write_text(f"path,mask\na.png,{vote}\nb.png,wear\n")
    given = ("anna.csv", "bert.csv", "--images", "..", "--schema", "mask")
    outputs = ("--out", "manifest.csv", "--votes", "joined.csv", "--ties", "carl.csv")
    code, _, err = run_command("data", "majority", *given, *outputs)
    assert code == 0
    assert read(Path("carl.csv")) == [{"path": "a.png", "mask": "", "tied": "mask: wear 1, not_wear 1"}]
    Path("carl.csv").write_text("path,mask,tied\na.png,wear,\n")
    line = next(line for line in err.splitlines() if "once it is filled in" in line)
    code, _, err = run_command(*line.partition("maskfit ")[2].split())
    assert (code, "empty, tied" in err) == (0, False)
    assert [row["mask"] for row in read(Path("manifest2.csv"))] == ["wear", "wear"]


def test_votes_are_not_overwritten_by_the_manifest(
    table: Path, tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    tables = split(table)
    before = tables[1].read_text()
    command = ("data", "majority", *tables, "--out", tables[1], "--votes", tmp_path / "joined.csv", "--force")
    code, _, err = run_command(*command)
    assert (code, "this is a table of votes" in err, tables[1].read_text() == before) == (2, True, True)
    assert not (tmp_path / "joined.csv").exists()


def split(table: Path) -> list[Path]:
    """A table for each annotator, each in a folder of its own."""
    rows = [line.split(",") for line in LONG.splitlines()[1:]]
    written = []
    for name in ("anna", "bert", "carl"):
        path = table.parent / name / f"{name}.csv"
        path.parent.mkdir()
        lines = [",".join([f"../{row[0]}", *row[2:]]) for row in rows if row[1] == name]
        path.write_text("path,Mask,gender,age,person\n" + "\n".join(lines) + "\n")
        written.append(path)
    return written


def test_tables_of_annotators_are_joined(
    table: Path, tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    tables, target, joined = split(table), tmp_path / "manifest.csv", tmp_path / "joined.csv"
    code, out, err = run_command("data", "majority", *tables, "--out", target)
    assert (code, "--votes joined.csv" in err, target.exists()) == (2, True, False)
    code, out, err = run_command("data", "majority", *tables, "--out", target, "--votes", joined)
    assert code == 0
    assert f"data.soft_labels={joined}" in out + err
    found, expected = find_majority(joined, SCHEMA), find_majority(table, SCHEMA)
    assert (found.labels, found.persons, found.agreement) == (expected.labels, expected.persons, expected.agreement)
    assert read(joined)[1] == {
        "path": "b.png",
        "annotator": "anna",
        "person": "p2",
        "mask": "wear",
        "gender": "",
        "age": "",
    }
    assert [row["path"] for row in read(target)] == ["a.png", "b.png", "c.png", "d.png"]
    code, _, err = run_command("data", "majority", *tables, "--out", target, "--votes", target, "--force")
    assert (code, "are the same file" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,mask\na.png,wear\na.png,incorrect\n", "row 3: dora voted on a.png in row 2 already"),
        ("path,mask\na.png,perhaps\n", "row 2: 'perhaps' is not a value of mask"),
        ("path,mask\nz.png,wear\n", "1 photo does not exist:\n- row 2: z.png"),
        ("path,mask\na.png,0\nb.png,1\n", "mask: 0, 1 look like codes"),
        ("path,mask=wear,mask=incorrect\na.png,1,2\n", "no column of labels"),
        ("path,age_band\na.png,<30\n", "column age_band is not counted"),
        ("photo and mask\na.png\n", "no path column"),
        ("path,mask,left,upper,right,lower\na.png,wear,0,0,9,9\n", "the table has boxes"),
    ],
)
def test_what_is_no_table_of_an_annotator_is_named_and_nothing_written(
    table: Path, tmp_path: Path, text: str, message: str
) -> None:
    own = tmp_path / "dora.csv"
    own.write_text(text)
    joined = tmp_path / "joined.csv"
    with pytest.raises(DataError, match=message) as error:
        join_annotator_tables([table, own], SCHEMA, joined)
    assert error.value.location == str(own)
    assert not joined.exists()
    with pytest.raises(DataError, match="several tables are named votes"):
        join_annotator_tables([table, table], SCHEMA, joined)
    with pytest.raises(DataError, match="this is the table of an annotator"):
        join_annotator_tables([table], SCHEMA, table)


def test_an_annotator_votes_once_on_an_attribute_of_a_photo(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    path.write_text("path,Annotator,mask,gender\na.png,anna,wear,\na.png,bert,wear,\na.png,anna,,male\n")
    assert find_majority(path, SCHEMA).labels["gender"] == ("male",)
    path.write_text("path,annotator,mask\na.png,anna,wear\nb.png,bert,incorrect\n")
    assert find_majority(path, SCHEMA).labels == {"mask": ("wear", "incorrect")}
    path.write_text("path,Annotator,mask\na.png,anna,wear\na.png,bert,wear\na.png,anna,incorrect\n")
    with pytest.raises(DataError, match=r"row 4: anna said mask of a\.png in row 2 already"):
        find_majority(path, SCHEMA)


def test_rows_of_annotators_in_a_manifest_are_answered_with_the_command(
    table: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run_command("data", "check", table)
    assert (code, "maskfit data majority makes one row for each photo" in out) == (2, True)


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `maskfit ARGS...`; returns code, output and errors."""
    import maskfit.cli

    def run(*args: object) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["maskfit", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            maskfit.cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return run


def test_one_annotator_so_far_is_a_table_of_votes(table: Path) -> None:
    table.write_text("path,annotator,mask\na.png,anna,wear\nb.png,anna,not_wear\n")
    assert find_majority(table, SCHEMA).labels == {"mask": ("wear", "not_wear")}
    table.write_text("path,annotator,mask\na.png,anna,wearr\nb.png,anna,not_wear\n")
    with pytest.raises(DataError, match=r"row 2: .*wearr"):
        find_majority(table, SCHEMA)


@pytest.mark.parametrize("other", ["./a.png", "sub/../a.png", "{folder}/a.png"])
def test_a_photo_that_is_named_in_two_ways_is_not_counted_as_two(table: Path, tmp_path: Path, other: str) -> None:
    (tmp_path / "sub").mkdir()
    other = other.format(folder=tmp_path)
    table.write_text(f"path,annotator,mask\na.png,anna,wear\na.png,bert,wear\n{other},carl,not_wear\n")
    with pytest.raises(DataError, match=r"1 photo is named in several ways:\n.*a\.png and ") as error:
        write_majority(find_majority(table, SCHEMA), table, tmp_path / "out.csv")
    assert error.value.location == str(table)
    assert not (tmp_path / "out.csv").exists()
