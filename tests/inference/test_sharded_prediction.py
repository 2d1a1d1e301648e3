"""Answers in shards: every photo in exactly one row, whatever was cut off on the way."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data.image_lists import find_images
from maskfit.errors import DataError, RunError
from maskfit.evaluation.probability_table import read_table
from maskfit.file_io import read_csv
from maskfit.inference.predictor import Predictions, Predictor
from maskfit.inference.sharded_prediction import (
    ShardDir,
    ShardPlan,
    pending,
    predict_locally,
    predict_shard,
    start_or_resume,
    write_summary,
)

GOOD, BROKEN = 21, ("a/broken.jpg", "z.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "photos"
    (folder / "a").mkdir(parents=True)
    for number in range(GOOD):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((36, 48)).save(folder / ("a" if number % 3 else ".") / f"{number:02d}.png")
    for name in BROKEN:
        (folder / name).write_bytes(b"no photo")
    return folder


@pytest.fixture
def plan(root: Path, models: dict[str, Path]) -> ShardPlan:
    return ShardPlan(str(root), (str(models["attributes"]), str(models["sibling"])), size=5, tta="flip", engine="torch")


@pytest.fixture(scope="module")
def whole(root: Path, models: dict[str, Path]) -> Predictions:
    """What the predictor says of all photos at once."""
    predictor = Predictor.load(models["attributes"], models["sibling"], tta="flip", engine="torch")
    return predictor.predict(find_images(root), skip_unreadable=True)


def run(folder: ShardDir, plan: ShardPlan, *, resume: bool = False) -> ShardPlan:
    counted = start_or_resume(folder, plan, None, resume=resume)
    list(predict_locally(folder, counted, pending(folder, counted), counted.predictor()))
    write_summary(folder, counted)
    return counted


def rows(folder: ShardDir) -> list[dict[str, str]]:
    return [row for path in sorted((folder.path / "answers").iterdir()) for row in read_csv(path, ["ImageID"])]


def check(folder: ShardDir, whole: Predictions) -> None:
    """Each photo has one row, in order, and it says what the predictor says."""
    found = rows(folder)
    assert [row["ImageID"] for row in found] == list(whole.table.names)
    assert [int(row["ans"]) for row in found] == whole.table.predictions.tolist()
    parts = [
        read_table(path) for path in sorted((folder.path / "answers").iterdir()) if path.read_text().count("\n") > 1
    ]
    assert np.allclose(np.concatenate([part.probabilities for part in parts]), whole.table.probabilities, atol=1e-6)
    lost = {row["ImageID"] for path in (folder.path / "unreadable").iterdir() for row in read_csv(path, ["ImageID"])}
    assert lost == set(BROKEN)
    assert not [path for path in folder.path.rglob("*") if path.name.endswith(".part")]


def test_the_shards_say_what_the_predictor_says(tmp_path: Path, plan: ShardPlan, whole: Predictions) -> None:
    folder = ShardDir(tmp_path / "out")
    counted = run(folder, plan)
    assert (counted.num_images, counted.num_shards) == (GOOD + 2, 5)
    check(folder, whole)
    summary = json.loads(folder.summary.read_text())
    assert (summary["photos"], summary["answered"], summary["unreadable"]) == (GOOD + 2, GOOD, 2)
    said = whole.decide()[0]
    first = rows(folder)[0]
    assert [first[item.attribute] for item in said] == [item.value for item in said]
    assert [first[f"{item.attribute}_sure"] for item in said] == [str(item.is_confident) for item in said]


@pytest.mark.parametrize("seed", range(4))
def test_cut_off_anywhere_and_resumed_no_photo_is_lost_or_twice(
    tmp_path: Path, plan: ShardPlan, whole: Predictions, seed: int
) -> None:
    folder = ShardDir(tmp_path / "out")
    counted = start_or_resume(folder, plan, None, resume=False)
    chance = random.Random(seed)
    predictor = counted.predictor()
    for number in chance.sample(range(counted.num_shards), chance.randint(0, counted.num_shards - 1)):
        predict_shard(folder, counted, lambda: predictor, number)
    # What a kill leaves: a list of unreadable photos without answers, and half of a file under another name.
    left = pending(folder, counted)[0]
    folder.unreadable(left).parent.mkdir(exist_ok=True)
    folder.unreadable(left).write_text("ImageID,reason\nhalf")
    assert sorted(pending(folder, counted)) == pending(folder, counted)
    (folder.path / "answers").mkdir(exist_ok=True)
    (folder.path / "answers" / f".{left:06d}.csv.0000.part").write_text("ImageID,an")
    run(folder, plan, resume=True)
    (folder.path / "answers" / f".{left:06d}.csv.0000.part").unlink()
    check(folder, whole)


def test_a_shard_that_is_done_is_not_looked_at_again(tmp_path: Path, plan: ShardPlan) -> None:
    folder = ShardDir(tmp_path / "out")
    counted = run(folder, plan)
    before = folder.predictions(1, "csv").stat().st_mtime_ns
    done = predict_shard(folder, counted, None, 1)  # type: ignore[arg-type] - the models are not opened
    assert done.num_predicted + done.num_unreadable == 5
    assert folder.predictions(1, "csv").stat().st_mtime_ns == before


def test_photos_that_come_meanwhile_are_not_taken_in(tmp_path: Path, plan: ShardPlan, root: Path) -> None:
    import shutil

    own = tmp_path / "photos"
    shutil.copytree(root, own)
    folder = ShardDir(tmp_path / "out")
    counted = start_or_resume(folder, replace(plan, root=str(own)), None, resume=False)
    shutil.copy(own / "00.png", own / "000.png")
    assert start_or_resume(folder, replace(plan, root=str(own)), None, resume=True).num_images == counted.num_images


def test_a_kill_while_listing_lists_anew(tmp_path: Path, plan: ShardPlan, whole: Predictions) -> None:
    folder = ShardDir(tmp_path / "out")
    start_or_resume(folder, plan, None, resume=False)
    folder.plan.unlink()
    folder.list_(4).unlink()
    run(folder, plan, resume=True)
    check(folder, whole)


def test_parquet_holds_the_same(tmp_path: Path, plan: ShardPlan, whole: Predictions) -> None:
    from pyarrow import parquet

    folder = ShardDir(tmp_path / "out")
    run(folder, replace(plan, format="parquet"))
    table = parquet.read_table(folder.path / "answers").to_pydict()
    assert table["ImageID"] == list(whole.table.names)
    assert table["ans"] == whole.table.predictions.tolist()
    shares = np.array([table[f"p{number}"] for number in range(18)]).T
    assert np.allclose(shares, whole.table.probabilities, atol=1e-6)
    assert {type(value) for value in table["mask_sure"]} == {bool}


def test_a_shard_of_nothing_but_broken_photos_is_no_error_of_the_others(
    tmp_path: Path, models: dict[str, Path], root: Path
) -> None:
    folder = ShardDir(tmp_path / "out")
    plan = ShardPlan(str(root), (str(models["attributes"]),), size=2, engine="torch")
    names = [*BROKEN, "00.png", "03.png"]
    counted = start_or_resume(folder, plan, names, resume=False)
    done = list(predict_locally(folder, counted, [0, 1], counted.predictor()))
    assert [(item.num_predicted, item.num_unreadable) for item in done] == [(0, 2), (2, 0)]
    assert folder.predictions(0, "csv").read_text().count("\n") == 1


def test_other_words_do_not_go_on_with_it(tmp_path: Path, plan: ShardPlan) -> None:
    folder = ShardDir(tmp_path / "out")
    start_or_resume(folder, plan, None, resume=False)
    with pytest.raises(RunError, match="not empty"):
        start_or_resume(folder, plan, None, resume=False)
    with pytest.raises(RunError, match="tta was flip, is original"):
        start_or_resume(folder, replace(plan, tta="original"), None, resume=True)
    with pytest.raises(DataError, match="no format 'parket'; did you mean 'parquet'"):
        start_or_resume(folder, replace(plan, format="parket"), None, resume=True)


def test_photos_elsewhere_are_answered_as_here(tmp_path: Path, plan: ShardPlan, whole: Predictions, root: Path) -> None:
    folder = ShardDir(tmp_path / "out")
    run(folder, replace(plan, root=f"file://{root}"))
    found = {row["ImageID"]: int(row["ans"]) for row in rows(folder)}
    assert found == dict(zip(whole.table.names, whole.table.predictions.tolist(), strict=True))


def test_a_photo_that_kills_is_set_aside_and_the_rest_of_its_shard_predicted(
    tmp_path: Path, plan: ShardPlan, whole: Predictions
) -> None:
    folder = ShardDir(tmp_path / "out")
    counted = start_or_resume(folder, plan, None, resume=False)
    killer = read_csv(folder.list_(1), ["ImageID"])[2]["ImageID"]
    folder.attempts(1).parent.mkdir()
    # As four killed processes leave it: two that read the whole shard at once, two that read one photo at a time.
    lines = [{"attempt": 1}, {"attempt": 2}, {"attempt": 3}, {"photo": killer}, {"attempt": 4}, {"photo": killer}]
    folder.attempts(1).write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = list(predict_locally(folder, counted, pending(folder, counted), counted.predictor()))
    assert not folder.attempts(1).exists()
    write_summary(folder, counted)
    assert not folder.attempts(1).parent.exists()
    said = [line for shard in done for line in shard.notes if "abruptly" in line]
    assert len(said) == 1
    assert "4 processes ended abruptly in shard 1" in said[0]
    assert "1 photo is set aside" in said[0]
    reasons = {row["ImageID"]: row["reason"] for row in read_csv(folder.unreadable(1), ["ImageID", "reason"])}
    assert reasons[killer] == "reading it ended the process, 2 times"
    found = {row["ImageID"]: int(row["ans"]) for row in rows(folder)}
    expected = dict(zip(whole.table.names, whole.table.predictions.tolist(), strict=True))
    del expected[killer]
    assert found == expected
