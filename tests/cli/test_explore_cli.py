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


def test_page_is_written_and_findings_are_printed(command, root):
    (root / "000001_male_Asian_20" / "mask1.jpg").write_bytes(b"")
    result = command("data", "explore", root, "--out", "page.html")
    assert result.code == 0, result.err
    assert "fatal: 1 file cannot be read" in result.out
    assert "warning: 1 person lacks some of the 7 photos" in result.out
    assert "written: page.html" in result.out
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_findings_are_printed_without_a_page(command, root):
    result = command("data", "explore", root)
    assert result.code == 0, result.err
    assert "warning: 1 person lacks some of the 7 photos" in result.out
    assert "--out PAGE" in result.err
    assert list(Path().iterdir()) == []


def test_existing_page_is_kept_without_force(command, root):
    Path("page.html").write_text("precious")
    result = command("data", "explore", root, "--out", "page.html")
    assert result.code == 2
    assert "--force" in result.err
    assert Path("page.html").read_text() == "precious"
    assert command("data", "explore", root, "--out", "page.html", "--force").code == 0
    assert Path("page.html").read_text(encoding="utf-8") != "precious"


def test_figures_go_to_scripts(command, root):
    result = command("data", "explore", root, "--json")
    assert result.code == 0, result.err
    data = json.loads(result.out)
    assert (data["photos"], data["classes"]["worn, male, <30"]) == (4, {"photos": 2, "persons": 1})
    assert list(Path().iterdir()) == []
    both = command("data", "explore", root, "--json", "--out", "page.html", "--schema", "mask")
    assert set(json.loads(both.out)["classes"]) == {"worn", "worn wrongly", "not worn"}
    assert Path("page.html").is_file()


def test_limit_and_seed_choose_who_is_on_the_sheets(command, root):
    pages = []
    for args in (["--limit", 1], ["--limit", 1], [], *(["--limit", 1, "--seed", seed] for seed in range(1, 7))):
        command("data", "explore", root, "--out", "page.html", "--force", *args)
        pages.append(Path("page.html").read_text(encoding="utf-8").split('id="sheets"')[1])
    assert pages[0] == pages[1]
    assert pages[0].count('role="img"') == 3
    assert pages[2].count('role="img"') == 4
    # Of two photos of a class, six seeds do not all choose the one of seed 0.
    assert set(pages[3:]) != {pages[0]}


@pytest.mark.parametrize(
    ("args", "answer"),
    [
        (["nowhere", "--out", "a.html"], "there is no such folder or file"),
        (["images", "--out", "a.html", "--schema", "masks"], "did you mean 'mask'"),
        (["images", "--out", "a.html", "--limit", "9999"], "limit must be 1 to 200"),
    ],
)
def test_user_errors_exit_with_2(command, root, args, answer):
    result = command("data", "explore", *(root if word == "images" else word for word in args))
    assert result.code == 2
    assert answer in result.err
    assert not Path("a.html").exists()


def test_help_has_examples(command):
    assert "maskfit data explore train/images --out photos.html" in command("data", "explore", "--help").out
