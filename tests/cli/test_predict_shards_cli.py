"""`maskfit predict --shards` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskfit.file_io import read_csv


def test_a_folder_is_answered_in_shards(command, model, evaluation):
    images = evaluation / "images"
    (images / "broken.jpg").write_bytes(b"no photo")
    said = command("predict", model, "--images", images, "--shards", "out", "--shard-size", "4")
    assert said.code == 0, said.err
    assert "6 photos predicted in 2 shards: out/answers" in said.out
    assert "1 unreadable photos are listed" in said.err
    found = [row["ImageID"] for path in sorted(Path("out/answers").iterdir()) for row in read_csv(path, ["ImageID"])]
    assert found == sorted(path.name for path in images.iterdir() if path.name != "broken.jpg")
    again = command("predict", model, "--images", images, "--shards", "out", "--shard-size", "4")
    assert (again.code, "add --resume" in again.err) == (2, True)
    Path("out/answers/000001.csv").unlink()
    told = json.loads(
        command("predict", model, "--images", images, "--shards", "out", "--shard-size", "4", "--resume", "--json").out
    )
    assert (told["answered"], told["unreadable"]) == (6, 1)
    assert Path("out/answers/000001.csv").exists()


def test_a_list_says_which_photos_and_in_which_order(command, model, evaluation):
    said = command(
        "predict",
        model,
        "--images",
        evaluation / "images",
        "--image-list",
        evaluation / "info.csv",
        "--shards",
        "out",
        "--format",
        "parquet",
    )
    assert said.code == 0, said.err
    from pyarrow import parquet

    wanted = [row["ImageID"] for row in read_csv(evaluation / "info.csv", ["ImageID"])]
    assert parquet.read_table("out/answers").to_pydict()["ImageID"] == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ray", "auto"], "--ray needs --shards"),
        (["--resume"], "--resume needs --shards"),
        (["--images", "s3://bucket/photos"], "add --shards DIR"),
        (["--images", "absent", "--shards", "out"], "there is no such folder"),
        (["--shards", "out", "--format", "xml"], "there is no format 'xml'"),
    ],
)
def test_mistakes_are_told(command, model, evaluation, words, said):
    images = [] if "--images" in words else ["--images", evaluation / "images"]
    told = command("predict", model, *images, *words)
    assert told.code == 2
    assert said in told.err


def test_not_one_readable_photo_is_an_error(command, model, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    told = command("predict", model, "--images", tmp_path / "photos", "--shards", "out")
    assert told.code == 2
    assert "no photo could be read" in told.err
