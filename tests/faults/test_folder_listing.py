"""Tests that no command passes over an entry of a folder in silence, and that odd names reach nothing raw."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from tests.faults.conftest import GOOD, TROUBLED, write_photo

from maskfit.data.image_lists import ImageFolder
from maskfit.errors import MaskfitError
from maskfit.inference.input_resolution import resolve_inputs


def check_names(text: str, names: dict[str, str] = TROUBLED, prefix: str = "") -> None:
    """Every name is there with its reason, and nothing raw."""
    lines = text.splitlines()
    for name, reason in names.items():
        assert any(f"{prefix}{name}" in line and reason in line for line in lines), (name, text)
    assert "\x1b" not in text.replace("\x1b[33m", "").replace("\x1b[0m", "")


def test_a_folder_sets_aside_what_it_cannot_list(troubled_folder):
    folder = ImageFolder(troubled_folder)
    listed = {name: reason for name, reason in TROUBLED.items() if name not in ("sub/loop.jpg", "sub/gone.jpg")}
    assert set(folder.set_aside) == set(listed)
    assert all(listed[name] in reason for name, reason in folder.set_aside.items())
    # A link that leads nowhere is a photo that cannot be read.
    assert {photo.name for photo in folder} == {*GOOD, "sub/loop.jpg", "sub/gone.jpg"}
    assert len(folder) == 5


def test_rows_of_a_folder(command, bundled_model, troubled_folder):
    result = command("predict", "--images", troubled_folder, "--out", "out.csv")
    assert result.code == 0
    with Path("out.csv").open() as stream:
        assert [row["ImageID"] for row in csv.DictReader(stream)] == list(GOOD)
    check_names(result.err)
    assert "5 unreadable photos and 2 folders" in result.err
    result = command("predict", "--images", troubled_folder, "--json")
    assert set(json.loads(result.out)["unreadable"]) == set(TROUBLED)


def test_faces_of_a_folder(command, bundled_model, troubled_folder):
    result = command("predict", troubled_folder, "--faces", "whole")
    assert result.code == 0
    assert len(result.out.splitlines()) == 3
    check_names(result.err, prefix=f"{troubled_folder}/")


def test_a_pattern_names_folders_that_it_cannot_list(command, bundled_model, troubled_folder, no_permission):
    result = command("predict", f"{troubled_folder}/**/*.jpg", "--faces", "whole")
    assert result.code == 0
    assert f"{troubled_folder}/locked/: the folder cannot be listed" in result.err
    # glob finds odd names too, which were asked for: they are predicted and printed with escapes.
    assert r"caf\xe9.jpg: " in result.out
    assert r"red\x1b[31m.jpg: " in result.out
    assert r"two\nlines.jpg: " in result.out
    inputs = resolve_inputs([f"{troubled_folder}/s*/*.jpg"])
    assert inputs.photos is not None
    assert not inputs.photos.set_aside


def test_shards_of_a_folder(command, bundled_model, troubled_folder):
    result = command("predict", "--images", troubled_folder, "--shards", "out", "--shard-size", 2, "--json")
    assert result.code == 0
    summary = json.loads(result.out)
    assert (summary["photos"], summary["answered"], summary["unreadable"]) == (10, 3, 7)
    listed = "".join(path.read_text() for path in Path("out/unreadable").iterdir())
    check_names(listed)
    again = command("predict", "--images", troubled_folder, "--shards", "out", "--shard-size", 2, "--json", "--resume")
    assert json.loads(again.out)["unreadable"] == 7


def test_crops_of_a_folder(command, troubled_folder):
    result = command("data", "crop", troubled_folder, "--out", "crops", "--crop", "center", "--json")
    assert result.code == 0
    assert set(json.loads(result.out)["unreadable"]) == set(TROUBLED)
    assert {str(path.relative_to("crops")) for path in Path("crops").rglob("*.jpg")} == {*GOOD, "faces.jpg"}
    with Path("crops/unreadable.csv").open() as stream:
        assert {row["path"] for row in csv.DictReader(stream)} == set(TROUBLED)


@pytest.mark.parametrize(
    "verb", [("benchmark", "--photos"), ("export", "--format", "torch", "--out", "x.pt2", "--images")]
)
def test_other_commands_name_them(command, model, troubled_folder, monkeypatch, verb):
    def stop(*arguments: object, **options: object) -> None:
        raise MaskfitError("far enough")

    monkeypatch.setattr("maskfit.inference.benchmark.time_model", stop)
    monkeypatch.setattr("maskfit.inference.export.export_model", stop)
    name, *options = verb
    result = command(name, model, *options, troubled_folder)
    assert "far enough" in result.err
    check_names(result.err, {name: reason for name, reason in TROUBLED.items() if not name.startswith("sub/")})


def test_a_folder_of_nothing_usable_says_why(command, bundled_model, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(b"x")
    for arguments in (("--images", folder), (folder,), ("--images", folder, "--shards", "out")):
        result = command("predict", *arguments)
        assert result.code == 2
        assert r"\xff.jpg: the file name is not UTF-8" in result.err


def test_data_check_names_every_entry(command, tmp_path, no_permission):
    root = tmp_path / "dataset"
    person = root / "000001_female_Asian_45"
    for stem in ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal"):
        write_photo(person / f"{stem}.jpg")
    loop = root / "000002_male_Asian_30"
    loop.symlink_to(loop)
    (person / "mask9.jpg").symlink_to(person / "mask9.jpg")
    Path(os.fsdecode(os.fsencode(root) + b"/000003_male_As\xffian_30")).mkdir()
    write_photo(root / "000004_male_As\x1b[31mian_30" / "mask1.jpg")
    locked = root / "000005_male_Asian_30"
    write_photo(locked / "mask1.jpg")
    no_permission(locked)
    result = command("data", "check", root)
    assert result.code != 0
    text = result.out + result.err
    flat = " ".join(text.split())
    for part in (
        "000002_male_Asian_30",
        "mask9.jpg",
        r"000003_male_As\xffian_30",
        r"000004_male_As\x1b[31mian_30",
        "Too many levels of symbolic links",
        "not UTF-8",
        "control characters",
        "Permission denied",
    ):
        assert part in flat, (part, text)
    assert "\x1b[31m" not in text
