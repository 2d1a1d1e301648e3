"""`maskfit predict --shards` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskfit.file_io import read_csv


def test_folder_is_predicted_in_shards(command, model, evaluation):
    images = evaluation / "images"
    (images / "broken.jpg").write_bytes(b"no photo")
    result = command("predict", model, "--images", images, "--shards", "out", "--shard-size", "4")
    assert result.code == 0, result.err
    assert "6 photos predicted in 2 shards: out/answers" in result.out
    assert "1 unreadable photo is listed" in result.err
    found = [row["ImageID"] for path in sorted(Path("out/answers").iterdir()) for row in read_csv(path, ["ImageID"])]
    assert found == sorted(path.name for path in images.iterdir() if path.name != "broken.jpg")
    again = command("predict", model, "--images", images, "--shards", "out", "--shard-size", "4")
    assert (again.code, "add --resume" in again.err) == (2, True)
    Path("out/answers/000001.csv").unlink()
    data = json.loads(
        command("predict", model, "--images", images, "--shards", "out", "--shard-size", "4", "--resume", "--json").out
    )
    assert (data["answered"], data["unreadable"]) == (6, 1)
    assert Path("out/answers/000001.csv").exists()


def test_image_list_selects_and_orders_photos(command, model, evaluation):
    result = command(
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
    assert result.code == 0, result.err
    from pyarrow import parquet

    expected = [row["ImageID"] for row in read_csv(evaluation / "info.csv", ["ImageID"])]
    assert parquet.read_table("out/answers").to_pydict()["ImageID"] == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--ray", "auto"], "--ray needs --shards"),
        (["--resume"], "--resume needs --shards"),
        (["--images", "s3://bucket/photos"], "add --shards DIR"),
        (["--images", "absent", "--shards", "out"], "there is no such folder"),
        (["--shards", "out", "--format", "xml"], "there is no format 'xml'"),
    ],
)
def test_user_errors(command, model, evaluation, args, message):
    images = [] if "--images" in args else ["--images", evaluation / "images"]
    result = command("predict", model, *images, *args)
    assert result.code == 2
    assert message in result.err


def test_no_readable_photo_is_an_error(command, model, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    result = command("predict", model, "--images", tmp_path / "photos", "--shards", "out")
    assert result.code == 2
    assert "no photo could be read" in result.err
