"""Ensembles of stored tables: where they come from, how they are matched, what a comparison says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from maskfit.config import aliases
from maskfit.errors import DataError, MissingExtraError, RunError
from maskfit.evaluation.bootstrap import bootstrap_interval, smallest_change_shown
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.inference.ensemble.comparison import (
    ENSEMBLES,
    compare,
    describe_weights,
    fit_votes,
    parse_votes,
    predict_with,
    write_comparison,
    write_predictions,
)
from maskfit.inference.ensemble.inputs import load_aligned_tables
from maskfit.inference.ensemble.learned_weights import (
    GreedySelection,
    SingleBest,
    assign_nested_folds,
    nested_cv_predict,
)
from maskfit.inference.ensemble.stacking import StackingFitter
from maskfit.inference.ensemble.voting import combine
from maskfit.inference.submission import read_submission
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, softmax

FULL = LABEL_SCHEMAS["mask-gender-age"]
STEMS = ["mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal"]
PERSONS = [f"{number:06d}_female_Asian_{20 + number}" for number in range(30)]
NAMES = tuple(f"{person}/{stem}.jpg" for person in PERSONS for stem in STEMS)
TRUTH = np.array([6 * mask + 3 + number % 3 for number in range(30) for mask in (0, 0, 0, 0, 0, 1, 2)])


def rows(seed: int, quality: float, photos: int = len(NAMES)) -> np.ndarray:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (photos, 18))
    logits[np.arange(photos), TRUTH[:photos]] += quality
    return softmax(logits)


def make_run(
    path: Path,
    seed: int,
    quality: float,
    *,
    recipe: str = "name: made\n",
    order: np.ndarray | None = None,
    names: tuple[str, ...] = NAMES,
    persons: list[str] | None = None,
) -> Path:
    order = np.arange(len(names)) if order is None else order
    path.mkdir(parents=True)
    (path / "recipe.yaml").write_text(recipe)
    listed = persons or sorted({name.split("/")[0] for name in names})
    (path / "splits.csv").write_text("person,fold\n" + "".join(f"{p},{n % 2}\n" for n, p in enumerate(listed)))
    probabilities = rows(seed, quality, len(names))[order]
    ProbabilityTable(tuple(names[i] for i in order), probabilities, TRUTH[: len(names)][order]).write(
        path / "oof_probabilities.csv"
    )
    return path


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three runs of falling quality, the second in another order."""
    order = np.random.default_rng(0).permutation(len(NAMES))
    return [
        make_run(tmp_path / "a", 1, 3.0),
        make_run(tmp_path / "b", 2, 2.5, order=order),
        make_run(tmp_path / "c", 3, 1.0),
    ]


def test_runs_are_matched_by_name_and_know_their_persons(runs):
    tables = load_aligned_tables(runs)
    assert tables.names == tuple(map(str, runs))
    assert tables.photos == NAMES
    assert tables.schema == FULL
    assert tables.persons == tuple(name.split("/")[0] for name in NAMES)
    assert np.array_equal(tables.truth, TRUTH)
    for number, quality in enumerate((3.0, 2.5, 1.0)):
        assert np.abs(tables.members[number] - rows(number + 1, quality)).max() < 1e-6
    turned = load_aligned_tables([runs[1], runs[0]])
    assert turned.photos == read_table(runs[1] / "oof_probabilities.csv").names


def test_members_of_different_photos_are_refused_and_both_sides_named(runs, tmp_path):
    fewer = make_run(tmp_path / "fewer", 4, 1, names=NAMES[:-3])
    with pytest.raises(DataError, match="members of different photos") as caught:
        load_aligned_tables([runs[0], fewer])
    assert f"3 only in {runs[0]}" in str(caught.value)
    assert NAMES[-1] in str(caught.value)
    other = ("x/mask1.jpg", *NAMES[1:])
    path = ProbabilityTable(other, rows(0, 1)).write(tmp_path / "other.csv")
    with pytest.raises(DataError, match="1 only in") as caught:
        load_aligned_tables([runs[0], path])
    assert "x/mask1.jpg" in str(caught.value)
    assert NAMES[0] in str(caught.value)
    path = ProbabilityTable(tuple(f"images/{name}" for name in NAMES), rows(0, 1)).write(tmp_path / "folder.csv")
    with pytest.raises(DataError, match="these names differ in their folders, but may mean one photo") as caught:
        load_aligned_tables([runs[0], path])
    assert f"{min(NAMES)} and images/{min(NAMES)}" in str(caught.value)
    assert caught.value.hint == "write the names in both files alike, or predict the same list"


def test_a_table_without_truth_is_a_member_beside_a_run(runs, tmp_path):
    path = ProbabilityTable(NAMES[::-1], rows(5, 2)[::-1]).write(tmp_path / "p.csv")
    for sources in ([runs[0], path], [path, runs[0]]):
        tables = load_aligned_tables(sources)
        place = {name: number for number, name in enumerate(tables.photos)}
        assert [tables.truth[place[name]] for name in NAMES] == TRUTH.tolist()
        assert tables.persons is not None
    alone = load_aligned_tables([path])
    assert alone.truth is None
    assert alone.persons is None


def test_the_first_truth_counts_and_others_are_remarked(runs, tmp_path):
    other = TRUTH.copy()
    other[:4] = (other[:4] + 1) % 18
    path = ProbabilityTable(NAMES, rows(5, 2), other).write(tmp_path / "p.csv")
    tables = load_aligned_tables([runs[0], path])
    assert np.array_equal(tables.truth, TRUTH)
    assert tables.warnings == (f"{path} has other labels for 4 photos; those of the first member count",)
    partly = TRUTH.copy()
    partly[::2] = UNKNOWN
    path = ProbabilityTable(NAMES, rows(5, 2), partly).write(tmp_path / "q.csv")
    assert np.array_equal(load_aligned_tables([path, runs[0]]).truth, TRUTH)
    assert load_aligned_tables([path, runs[0]]).warnings == ()


def test_persons_of_a_manifest_are_its_own(tmp_path):
    """In a manifest the folder need not be the person; the run's recipe leads to who is."""
    from PIL import Image

    names = tuple(f"day{number % 3}/{number}.png" for number in range(12))
    lines = ["path,person,mask,gender,age"]
    for number, name in enumerate(names):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "data" / name)
        lines.append(f"{name},person{number // 4},wear,female,{20 + 20 * (number // 4)}")
    manifest = tmp_path / "data" / "photos.csv"
    manifest.write_text("\n".join(lines) + "\n")
    people = ["person0", "person1", "person2"]
    run = make_run(tmp_path / "run", 0, 2, recipe=f"data: {{root: '{manifest}'}}\n", names=names, persons=people)
    assert load_aligned_tables([run]).persons == tuple(f"person{number // 4}" for number in range(12))
    # Gone since, nobody can say who is on them: the run's list names none of these folders.
    manifest.unlink()
    assert load_aligned_tables([run]).persons is None
    with pytest.raises(DataError, match="the person on each photo is not known"):
        compare(load_aligned_tables([run]), parse_votes(["arithmetic"])[0])


def test_photos_that_are_persons_of_their_own(tmp_path):
    names = tuple(f"{number}.png" for number in range(10))
    run = make_run(tmp_path / "run", 0, 2, names=names, persons=list(names))
    assert load_aligned_tables([run]).persons == names


def test_a_table_may_say_who_is_on_each_photo(tmp_path):
    names = tuple(f"{number}.png" for number in range(14))
    path = ProbabilityTable(names, rows(0, 2, 14), TRUTH[:14]).write(tmp_path / "p.csv")
    assert load_aligned_tables([path]).persons is None
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},person", *(f"{line},p{n // 7}" for n, line in enumerate(lines[1:]))]))
    assert load_aligned_tables([path]).persons == ("p0",) * 7 + ("p1",) * 7


def test_what_is_no_member_is_refused(runs, tmp_path):
    (tmp_path / "folder").mkdir()
    unfinished = make_run(tmp_path / "unfinished", 1, 1)
    (unfinished / "oof_probabilities.csv").unlink()
    masks = ProbabilityTable(("a", "b"), np.full((2, 3), 1 / 3)).write(tmp_path / "mask.csv")
    other = make_run(tmp_path / "other", 1, 1, recipe="data: {scheme: mask}\n")
    ProbabilityTable(NAMES, softmax(np.zeros((len(NAMES), 3)))).write(other / "oof_probabilities.csv")
    for sources, kind, said in (
        ([], DataError, "no member is named"),
        ([runs[0], tmp_path / "b" / ".." / "a"], DataError, "this member is named twice"),
        ([tmp_path / "folder"], DataError, "this folder is no run"),
        ([tmp_path / "absent.csv"], DataError, "there is no such file"),
        ([unfinished], RunError, "no out-of-fold table"),
        ([masks], DataError, "a table of 3 classes, where mask x gender x age has 18"),
        ([runs[0], other], DataError, "its classes are of mask, the others' of mask x gender x age"),
    ):
        with pytest.raises(kind, match=said):
            load_aligned_tables(sources)
    assert load_aligned_tables([masks], LABEL_SCHEMAS["mask"]).schema == LABEL_SCHEMAS["mask"]


def test_votes_are_chosen_by_words():
    votes, remarks = parse_votes(["all"])
    assert list(votes) == list(ENSEMBLES)
    assert remarks == []
    votes, _ = parse_votes(["greedy:bags=3,rounds=7", "hard-attribute"])
    assert list(votes) == ["majority_per_attribute", "greedy"]
    assert votes["greedy"] == GreedySelection(num_bags=3, rounds=7)
    assert parse_votes(["all", "stack:strength=0.5"])[0]["stack"] == StackingFitter(l2=0.5)
    votes, remarks = parse_votes(["all"], truth=False)
    assert list(votes) == ["arithmetic", "geometric", "majority", "majority_per_attribute"]
    assert [remark.split("'")[1] for remark in remarks] == ["weighted", "greedy", "stack"]
    assert "weighted" in parse_votes(["all"], truth=False, weights=[1, 0.625])[0]


def test_old_names_are_accepted_with_one_warning_each(monkeypatch):
    monkeypatch.setattr(aliases, "_warned", set())
    words = ["hard", "hard-attribute", "greedy:bags=3,part=0.4", "stack:strength=0.5"]
    with pytest.warns(FutureWarning) as caught:
        votes = [parse_votes(words)[0] for _ in range(2)][-1]
    assert list(votes) == ["majority", "majority_per_attribute", "greedy", "stack"]
    assert votes["greedy"] == GreedySelection(num_bags=3, bag_fraction=0.4)
    assert votes["stack"] == StackingFitter(l2=0.5)
    assert len(caught) == 5


def test_votes_that_cannot_be_are_refused(monkeypatch):
    for words, options, said in (
        (["gredy"], {}, "did you mean 'greedy'"),
        (["majority", "majority"], {}, "named twice"),
        (["greedy:bag=3"], {}, "did you mean 'num_bags'"),
        (["greedy:bags=0"], {}, "must be >= 1"),
        (["stack"], {"truth": False}, "no member has them"),
        (["weighted"], {"truth": False}, "no member has them"),
        (["majority"], {"weights": [1, 2]}, "--weights are for"),
        (["arithmetic:weights=[1,2]"], {}, "no option 'weights'"),
    ):
        with pytest.raises(DataError, match=said):
            parse_votes(words, **options)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "sklearn" else real(name))
    assert "stack" not in parse_votes(["all"])[0]
    assert "'stack' needs the extra 'train'" in parse_votes(["all"])[1][0]
    with pytest.raises(MissingExtraError, match="'stack'"):
        parse_votes(["stack"])


def test_a_comparison_says_what_each_vote_is_worth(runs):
    tables = load_aligned_tables(runs)
    votes, _ = parse_votes(["all"])
    judged = compare(tables, votes, draws=200)
    assert [item.name for item in judged] == [*tables.names, "best single", *ENSEMBLES]
    assert [item.kind for item in judged[:5]] == ["member"] * 3 + ["single", "vote"]
    by_name = {item.name: item for item in judged}
    for name in ("arithmetic", "geometric", "majority", "majority_per_attribute"):
        assert np.array_equal(by_name[name].table.probabilities, combine(name, list(tables.members), schema=FULL))
    folds = assign_nested_folds(tables.persons, TRUTH, FULL)
    for name in ("weighted", "greedy", "stack"):
        expected = nested_cv_predict(votes[name], tables.members, TRUTH, FULL, folds)
        np.testing.assert_allclose(by_name[name].table.probabilities, expected)
        assert by_name[name].kind == "learned"
    single = nested_cv_predict(SingleBest(), tables.members, TRUTH, FULL, folds)
    assert np.array_equal(by_name["best single"].table.probabilities, single)
    for item in judged:
        expected = f1_score(TRUTH, item.table.predictions, average="macro", zero_division=0)
        # Classes with neither truth nor answers are left out on both sides.
        assert item.scores.macro_f1 == pytest.approx(expected)
        around = bootstrap_interval(
            "macro_f1", TRUTH, item.table.predictions, tables.persons, num_classes=18, draws=200
        )
        assert item.scores.intervals["macro_f1"] == around
        if item.gain:
            assert item.gain.value == pytest.approx(item.scores.macro_f1 - by_name["best single"].scores.macro_f1)
    assert by_name["arithmetic"].gain.low > 0


def test_the_gain_is_paired(runs):
    """A vote that is the best single member gains nothing in every draw; what could have been missed is left."""
    tables = load_aligned_tables([runs[0], runs[2]])
    votes, _ = parse_votes(["weighted"], weights=[1, 0])
    gain = compare(tables, votes, draws=100)[-1].gain
    missed = smallest_change_shown(len(set(tables.persons)))
    assert (gain.value, gain.low, gain.high) == (0, -missed, missed)


def test_what_cannot_be_compared_is_refused(tmp_path):
    path = ProbabilityTable(NAMES, rows(0, 1)).write(tmp_path / "p.csv")
    with pytest.raises(DataError, match="no member has labels to score"):
        compare(load_aligned_tables([path]), parse_votes(["majority"])[0])
    path = ProbabilityTable(NAMES, rows(0, 1), np.full(len(NAMES), UNKNOWN)).write(tmp_path / "q.csv")
    with pytest.raises(DataError, match="no member has labels to score"):
        compare(load_aligned_tables([path]), parse_votes(["majority"])[0])


def test_answers_come_from_fits_on_all_held_out_photos(runs, tmp_path):
    tables = load_aligned_tables(runs)
    votes, _ = parse_votes(["all"])
    fitted = fit_votes(tables, votes)
    paths = []
    for number in range(3):
        rows_ = rows(10 + number, 2, 20)
        paths.append(ProbabilityTable(tuple(f"{n:x}.jpg" for n in range(20)), rows_).write(tmp_path / f"{number}.csv"))
    wanted = load_aligned_tables(paths)
    answers = predict_with(fitted, wanted)
    shares = describe_weights(fitted, tables.names)
    assert set(shares) == {"weighted", "greedy"}
    assert list(shares["greedy"]) == list(tables.names)
    assert list(shares["greedy"].values()) == pytest.approx(GreedySelection().fit(tables.members, TRUTH, FULL).weights)
    expected = combine("weighted", list(wanted.members), weights=list(shares["greedy"].values()))
    assert np.array_equal(answers["greedy"].probabilities, expected)
    assert np.array_equal(
        answers["stack"].probabilities, StackingFitter().fit(tables.members, TRUTH, FULL)(list(wanted.members))
    )
    with pytest.raises(DataError, match="members, but weights"):
        predict_with(fitted, load_aligned_tables(paths[:2]))
    write_predictions(tmp_path / "out", answers, FULL, {})
    assert read_submission(tmp_path / "out" / "submission-majority_per_attribute.csv") == dict(
        zip(wanted.photos, answers["majority_per_attribute"].predictions.tolist(), strict=True)
    )
    back = read_table(tmp_path / "out" / "probabilities-stack.csv", 18)
    assert np.abs(back.probabilities - answers["stack"].probabilities).max() < 1e-7


def test_an_ensemble_can_be_a_member_again(runs, tmp_path):
    tables = load_aligned_tables(runs)
    votes, _ = parse_votes(["greedy"])
    judged = compare(tables, votes, draws=50)
    written = write_comparison(tmp_path / "out", judged, {}, {"folds": 5, "seed": 0})
    assert [path.name for path in written] == ["comparison.csv", "comparison.json", "out-of-fold-greedy.csv"]
    told = json.loads(written[1].read_text())
    assert [row["name"] for row in told["judged"]] == [item.name for item in judged]
    assert told["judged"][-1]["gain"]["value"] == judged[-1].gain.value
    lines = written[0].read_text().splitlines()
    assert lines[0].startswith("name,kind,macro_f1,low,high")
    assert len(lines) == 6
    again = load_aligned_tables([written[2], runs[2]])
    assert again.persons == tables.persons
    assert np.array_equal(again.truth, TRUTH)
