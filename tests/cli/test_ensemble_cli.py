"""`maskfit ensemble` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.inference.ensemble.voting import combine
from maskfit.inference.submission import read_submission
from maskfit.labels.schema import softmax

NAMES = tuple(f"{person:06d}_male_Asian_{30 + person}/mask{photo}.jpg" for person in range(20) for photo in range(1, 6))
TRUTH = np.array([person % 6 for person in range(20) for _ in range(5)])
LIST = ("c.jpg", "a.jpg", "b.jpg")
VOTES = ["arithmetic", "geometric", "weighted", "majority", "majority_per_attribute", "greedy", "stack"]
COMPARED = {"comparison.csv", "comparison.json"}


def rows(seed: int, photos: int, truth: np.ndarray | None = None) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 1.5, (photos, 18))
    if truth is not None:
        logits[np.arange(photos), truth] += 2.5
    return softmax(logits)


@pytest.fixture
def members(tmp_path: Path) -> list[Path]:
    """Two run folders with only recipe, splits and out-of-fold table."""
    made = []
    for number in range(2):
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        (folder / "recipe.yaml").write_text("name: made\n")
        persons = sorted({name.split("/")[0] for name in NAMES})
        (folder / "splits.csv").write_text("person,fold\n" + "".join(f"{person},0\n" for person in persons))
        ProbabilityTable(NAMES, rows(number, len(NAMES), TRUTH), TRUTH).write(folder / "oof_probabilities.csv")
        made.append(folder)
    return made


@pytest.fixture
def to_predict(tmp_path: Path) -> list[Path]:
    """Probability tables of both members for the photos to predict; the second in another order."""
    first = ProbabilityTable(LIST, rows(7, 3)).write(tmp_path / "p0.csv")
    second = ProbabilityTable(LIST[::-1], rows(8, 3)[::-1]).write(tmp_path / "p1.csv")
    return [first, second]


def files_of(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_runs_are_compared(command, members):
    result = command("ensemble", *members, "--out", "votes")
    assert result.code == 0
    assert files_of("votes") == COMPARED | {f"out-of-fold-{name}.csv" for name in VOTES}
    assert "100 held-out photos of 20 persons" in result.out
    data = json.loads(Path("votes/comparison.json").read_text())
    for item in data["judged"]:
        assert f"{item['macro_f1']:.4f}" in result.out
    assert [item["name"] for item in data["judged"]] == [*map(str, members), "best single", *VOTES]
    assert data["settings"] == {"folds": 5, "seed": 0}
    assert result.err.count("written: votes/") == 9


def test_runs_are_compared_and_predictions_keep_the_list_order(command, members, to_predict):
    result = command(
        "ensemble",
        *members,
        "--apply",
        to_predict[0],
        "--apply",
        to_predict[1],
        "--combine",
        "greedy",
        "--combine",
        "majority-per-attribute",
        "--combine",
        "weighted",
        "--weights",
        "1,0.625",
        "--out",
        "new/votes",
    )
    assert result.code == 0
    chosen = ["weighted", "majority_per_attribute", "greedy"]
    kinds = ("out-of-fold", "probabilities", "submission")
    assert files_of("new/votes") == COMPARED | {f"{kind}-{name}.csv" for kind in kinds for name in chosen}
    assert list(read_submission(Path("new/votes/submission-greedy.csv"))) == list(LIST)
    found = read_table(Path("new/votes/probabilities-weighted.csv"))
    expected = combine("weighted", [rows(7, 3), rows(8, 3)], weights=[1, 0.625])
    assert found.names == LIST
    assert np.abs(found.probabilities - expected).max() < 1e-7
    assert read_submission(Path("new/votes/submission-weighted.csv")) == dict(
        zip(LIST, expected.argmax(axis=1).tolist(), strict=True)
    )


def test_tables_without_truth_use_methods_that_need_no_fit(command, to_predict):
    result = command("ensemble", *to_predict, "--out", "votes")
    assert result.code == 0
    plain = ["arithmetic", "geometric", "majority", "majority_per_attribute"]
    assert files_of("votes") == {f"{kind}-{name}.csv" for kind in ("probabilities", "submission") for name in plain}
    assert "left out: the vote 'greedy' is fitted to labels" in result.err
    assert command("ensemble", *to_predict, "--out", "v2", "--combine", "weighted", "--weights", "3,1").code == 0
    assert files_of("v2") == {"probabilities-weighted.csv", "submission-weighted.csv"}


def test_json_output_is_only_json(command, members):
    result = command("ensemble", *members, "--out", "votes", "--combine", "greedy", "--json")
    data = json.loads(result.out)
    assert set(data["weights"]["greedy"]) == {str(member) for member in members}
    assert data["judged"][-1]["name"] == "greedy"
    assert data["judged"][-1]["kind"] == "learned"


def test_a_second_run_writes_the_same_files(command, members, to_predict):
    for out in ("a", "b"):
        command("ensemble", *members, "--apply", to_predict[0], "--apply", to_predict[1], "--out", out)
    assert files_of("a") == files_of("b")
    assert all(path.read_bytes() == (Path("b") / path.name).read_bytes() for path in Path("a").iterdir())


def test_nothing_is_replaced_without_force(command, members):
    Path("votes").mkdir()
    Path("votes/out-of-fold-majority.csv").write_text("mine")
    result = command("ensemble", *members, "--out", "votes", "--combine", "majority")
    assert result.code == 2
    assert "the file exists" in result.err
    assert files_of("votes") == {"out-of-fold-majority.csv"}
    assert Path("votes/out-of-fold-majority.csv").read_text() == "mine"
    # A file of another method does not conflict.
    assert command("ensemble", *members, "--out", "votes", "--combine", "geometric").code == 0
    assert command("ensemble", *members, "--out", "votes", "--combine", "majority", "--force").code == 0
    assert Path("votes/out-of-fold-majority.csv").read_text() != "mine"


def test_errors_are_raised_before_anything_is_written(command, members, to_predict, tmp_path):
    other = ProbabilityTable(("x/mask1.jpg", *NAMES[1:]), rows(3, len(NAMES))).write(tmp_path / "x.csv")
    Path("file").write_text("")
    for args, message in (
        ([members[0], other], "x/mask1.jpg"),
        ([*members, "--combine", "gredy"], "did you mean 'greedy'?"),
        ([*members, "--apply", to_predict[0]], "2 members, but 1 table to apply"),
        ([*members, "--apply", to_predict[0], "--apply", members[1]], "takes a probability table, not a run"),
        ([*to_predict, "--apply", to_predict[0], "--apply", to_predict[1]], "--apply needs members with a truth"),
        ([*members, "--weights", "a,b"], "--weights must be numbers"),
        ([*members, "--weights", "1,2,3"], "2 members, but weights"),
        ([*to_predict, "--combine", "stack"], "is fitted to labels"),
        ([*to_predict, "--schema", "maks"], "did you mean 'mask'"),
        ([*to_predict, "--schema", "mask"], "has 3"),
        ([tmp_path / "absent.csv"], "there is no such file"),
    ):
        result = command("ensemble", *args, "--out", "votes")
        assert result.code == 2, args
        assert message in result.err
        assert not Path("votes").exists()
    assert "this is a file, where a folder is needed" in command("ensemble", *members, "--out", "file").err


def skewed(path: Path, seed: int) -> Path:
    """Out-of-fold table of 60 persons, of a model with a strong prior for the first class."""
    random = np.random.default_rng(seed)
    names = tuple(f"{person:06d}_male_Asian_30/mask{photo}.jpg" for person in range(60) for photo in range(10))
    table = softmax(random.normal(0, 1, (600, 2)) + np.array([2.0, 0.0]))
    truth = (random.random(600) > table[:, 0]).astype(np.int64)
    return ProbabilityTable(names, table, truth).write(path)


def test_submissions_are_decided_by_weights_that_gain(command, tmp_path):
    members = [skewed(tmp_path / "a.csv", 1)]
    apply = ProbabilityTable(("x.jpg", "y.jpg"), np.array([[0.62, 0.38], [0.97, 0.03]])).write(tmp_path / "p.csv")
    args = ["ensemble", *members, "--apply", apply, "--schema", "gender", "--combine", "arithmetic", "--out"]
    result = command(*args, "votes")
    assert result.code == 0, result.err
    assert "submission of arithmetic: macro-f1, gender male x0." in result.err
    assert "arithmetic: decisions for macro F1: gender male x0." in result.out
    assert list(read_submission("votes/submission-arithmetic.csv", 2).values()) == [1, 0]
    kept = json.loads(Path("votes/comparison.json").read_text())["judged"][-1]["decisions"]["macro-f1"]
    assert kept["kept"]
    assert kept["fitted"]["gain"] == pytest.approx(kept["fitted"]["after"] - kept["fitted"]["before"])
    result = command(*args, "plain", "--decide", "argmax")
    assert "submission of arithmetic: the most probable class" in result.err
    assert list(read_submission("plain/submission-arithmetic.csv", 2).values()) == [0, 0]


def test_few_persons_keep_the_most_probable_class(command, members, to_predict):
    apply = [word for path in to_predict for word in ("--apply", path)]
    result = command("ensemble", *members, *apply, "--combine", "arithmetic", "--out", "votes")
    assert "decisions for macro F1: the most probable class; 20 persons" in result.out
    table = read_table("votes/probabilities-arithmetic.csv", 18)
    assert list(read_submission("votes/submission-arithmetic.csv").values()) == table.predictions.tolist()


def test_members_and_views_need_runs_and_options_that_fit(command, tmp_path):
    (tmp_path / "p.csv").write_text("ImageID,p0,p1,p2\na.jpg,1,0,0\n")
    done = command("ensemble", tmp_path / "p.csv", "--tta", "flip", "--out", "votes")
    assert done.code == 2
    assert "are for runs" in done.err
    done = command("ensemble", tmp_path / "p.csv", "--tta", "flip", "--weights", "1", "--out", "votes")
    assert done.code == 2
    assert "for stored tables" in done.err


def test_members_and_views_of_a_run(command, evaluation, tmp_path, model):
    from maskfit.evaluation.probability_table import ProbabilityTable
    from maskfit.synthesis.drawn import write_train_set

    photos = write_train_set(tmp_path / "drawn", 6, size=(36, 48), workers=1)
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.*"))
    run = tmp_path / "made"
    run.mkdir()
    (run / "recipe.yaml").write_text(f"name: made\ndata:\n  path: {photos}\n")
    persons = sorted({name.split("/")[0] for name in names})
    (run / "splits.csv").write_text("person,fold\n" + "".join(f"{p},{i % 2}\n" for i, p in enumerate(persons)))
    for fold in range(2):
        (run / f"fold{fold}").mkdir()
        (run / f"fold{fold}" / "best.safetensors").write_bytes(model.read_bytes())
        (run / f"fold{fold}" / "scores.json").write_text("{}")
        own = [name for name in names if persons.index(name.split("/")[0]) % 2 == fold]
        truth = np.array([sum(map(ord, name)) % 18 for name in own])
        ProbabilityTable(tuple(own), np.full((len(own), 18), 1 / 18), truth).write(
            run / f"fold{fold}/probabilities.csv"
        )
    words = [
        "ensemble",
        run,
        "--tta",
        "flip",
        "--images",
        evaluation / "images",
        "--image-list",
        evaluation / "info.csv",
    ]
    words += ["--combine", "weighted", "--combine", "geometric", "--combine", "majority", "--out", "votes"]
    done = command(*words)
    assert done.code == 0, done.err
    assert "8 tables of 4 members" in done.err
    assert "members give 99 %" in done.out
    listed = [line.split(",")[0] for line in (evaluation / "info.csv").read_text().splitlines()]
    for vote in ("weighted", "geometric", "majority"):
        rows = Path(f"votes/submission-{vote}.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == listed
    assert {"members.csv", "drop-one.csv", "comparison.csv"} <= {path.name for path in Path("votes").iterdir()}
    assert command(*words).code == 2  # Nothing is overwritten without being asked.
    done = command(*words, "--force", "--json")
    assert "8 of them from before" in done.err
    assert len(json.loads(done.out)["members"]) == 4
