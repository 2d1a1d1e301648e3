"""`maskfit data explore` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "000001_male_Asian_20"
    folder.mkdir(parents=True)
    for number, stem in enumerate(("mask1", "mask2", "incorrect_mask", "normal")):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 128)).save(folder / f"{stem}.jpg")
    return tmp_path / "images"


def test_a_page_is_written_and_what_stands_out_is_said(command, root):
    (root / "000001_male_Asian_20" / "mask1.jpg").write_bytes(b"")
    said = command("data", "explore", root, "--out", "page.html")
    assert said.code == 0, said.err
    assert "fatal: 1 file cannot be read" in said.out
    assert "warning: 1 person lacks some of the 7 photos" in said.out
    assert "written: page.html" in said.out
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_page_that_is_there_stays_without_force(command, root):
    Path("page.html").write_text("precious")
    said = command("data", "explore", root, "--out", "page.html")
    assert said.code == 2
    assert "--force" in said.err
    assert Path("page.html").read_text() == "precious"
    assert command("data", "explore", root, "--out", "page.html", "--force").code == 0
    assert Path("page.html").read_text(encoding="utf-8") != "precious"


def test_figures_go_to_scripts(command, root):
    said = command("data", "explore", root, "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["photos"], told["classes"]["worn, male, <30"]) == (4, {"photos": 2, "persons": 1})
    assert list(Path().iterdir()) == []
    both = command("data", "explore", root, "--json", "--out", "page.html", "--schema", "mask")
    assert set(json.loads(both.out)["classes"]) == {"worn", "worn wrongly", "not worn"}
    assert Path("page.html").is_file()


def test_limit_and_seed_choose_who_is_on_the_sheets(command, root):
    pages = []
    for words in (["--limit", 1], ["--limit", 1], [], *(["--limit", 1, "--seed", seed] for seed in range(1, 7))):
        command("data", "explore", root, "--out", "page.html", "--force", *words)
        pages.append(Path("page.html").read_text(encoding="utf-8").split('id="sheets"')[1])
    assert pages[0] == pages[1]
    assert pages[0].count('role="img"') == 3
    assert pages[2].count('role="img"') == 4
    # Two photos of one class: six seeds do not all draw the one that seed 0 drew.
    assert set(pages[3:]) != {pages[0]}


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["images"], "--out"),
        (["nowhere", "--out", "a.html"], "there is no such folder or file"),
        (["images", "--out", "a.html", "--schema", "masks"], "did you mean 'mask'"),
        (["images", "--out", "a.html", "--limit", "9999"], "limit must be 1 to 200"),
    ],
)
def test_what_cannot_be_is_said_with_exit_code_2(command, root, words, answer):
    said = command("data", "explore", *(root if word == "images" else word for word in words))
    assert said.code == 2
    assert answer in said.err
    assert not Path("a.html").exists()


def test_help_has_examples(command):
    assert "maskfit data explore train/images --out photos.html" in command("data", "explore", "--help").out
