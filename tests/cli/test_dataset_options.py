"""`--codes`, alike in every command that reads a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.cli.dataset_options import parse_codes
from maskfit.errors import DataError
from maskfit.file_io import read_csv

CODES = "{gender: {0: female, 1: male}, mask: {0: not_wear, 1: wear}}"


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """A manifest of eight persons in codes: of the first two, mask 1 and gender 0."""
    rows = ["path,person,mask,gender,age"]
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 96)).save(tmp_path / f"{number}.jpg")
        rows.append(f"{number}.jpg,p{number},{int(number < 2)},{int(number >= 2)},20")
    (tmp_path / "coded.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "coded.csv"


@pytest.mark.parametrize(
    "name",
    [
        *(f"data {name}" for name in ("check", "split", "explore", "oversample", "gan", "crop", "add-masks")),
        "evaluate",
        "label-issues",
        "review",
        "inspect",
    ],
)
def test_every_command_that_reads_labels_takes_codes(command, name):
    assert "--codes" in command(*name.split(), "--help").out


def test_explore_reads_codes(command, coded):
    counts = json.loads(command("data", "explore", coded, "--json", "--codes", CODES).out)["classes"]
    found = {name: count["photos"] for name, count in counts.items() if count["photos"]}
    assert found == {"worn, female, <30": 2, "not worn, male, <30": 6}
    # Without the option the codes count as the label schema does.
    counts = json.loads(command("data", "explore", coded, "--json").out)["classes"]
    assert {name: count["photos"] for name, count in counts.items() if count["photos"]} != found


def test_crop_writes_the_labels_that_the_codes_mean(command, coded, tmp_path):
    result = command("data", "crop", coded, "--out", tmp_path / "out", "--crop", "center", "--codes", CODES)
    assert result.code == 0
    rows = read_csv(tmp_path / "out" / "manifest.csv", ("mask", "gender"))
    assert [(row["mask"], row["gender"]) for row in rows] == [("wear", "female")] * 2 + [("not_wear", "male")] * 6


def test_oversample_counts_the_classes_that_the_codes_mean(command, coded, tmp_path):
    words = ("--out", tmp_path / "out", "--count", 3, "--codes", CODES)
    result = command("data", "oversample", coded, *words)
    assert result.code == 0
    assert "worn, female, <30" in result.out
    rows = read_csv(tmp_path / "out" / "manifest.csv", ())
    assert len(rows) == 1  # Two photos of that class, and one blend of them; the other class has enough.


def test_review_reads_codes(command, coded):
    Path("log.jsonl").write_text("")
    words = ("--log", "log.jsonl", "--export", "mine.csv")
    assert command("review", coded, *words, "--codes", CODES).code == 0
    refused = command("review", coded, *words, "--force")
    assert refused.code == 2
    assert "only the codes 0 and 1" in refused.err


@pytest.mark.parametrize("name", ["explore", "crop", "oversample", "gan", "add-masks"])
def test_codes_that_are_no_mapping_are_an_error_before_anything_is_read(command, name):
    result = command("data", name, "absent.csv", "--out", "out", "--codes", "{mask: [0]}", *more(name))
    assert result.code == 2
    assert "--codes must map columns to codes and values" in result.err


def more(name: str) -> tuple[object, ...]:
    return ("--count", 3) if name == "oversample" else ()


def test_codes_are_read_as_in_a_recipe():
    assert parse_codes("") == {}
    assert parse_codes("{mask: {0: no, 1: yes}, age: band}") == {"mask": {"0": "no", "1": "yes"}, "age": "band"}
    with pytest.raises(DataError, match="must map columns"):
        parse_codes("[1]")


@pytest.mark.parametrize("name", ["data check", "data split", "data explore", "data crop", "data oversample"])
def test_codes_of_a_column_that_the_data_lack_are_an_error(command, coded, name):
    more = {
        "split": ("--folds", 2, "--out", "out.csv"),
        "crop": ("--out", "out"),
        "oversample": ("--out", "out", "--count", 3),
    }.get(name.split()[1], ())
    result = command(*name.split(), coded, *more, "--codes", CODES[:-1] + ", label: {0: wear}}")
    assert result.code == 2
    assert "there is no column label" in " ".join((result.out + result.err).split())


def test_codes_without_photos_that_they_are_of_are_an_error(command, run_dir, tmp_path):
    result = command("review", run_dir, "--log", "log.jsonl", "--export", "mine.csv", "--codes", CODES)
    assert (result.code, "the run has its own" in result.err) == (2, True)
    (tmp_path / "faces").mkdir()
    Image.new("RGB", (80, 96)).save(tmp_path / "faces" / "a.jpg")
    result = command("data", "crop", tmp_path / "faces", "--out", "out", "--crop", "center", "--codes", CODES)
    assert (result.code, "without reading labels" in result.err) == (2, True)
