"""Copies of held-out photos under other persons are named before a training begins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from maskfit.config.recipe import Recipe
from maskfit.data.photo_dataset import Photo
from maskfit.training.leaking_copies import describe_leaking_copies, find_leaking_copies
from maskfit.training.plan import make_plan


def write(folder: Path, name: str, content: bytes, person: str, box: object = None) -> Photo:
    path = folder / name
    path.write_bytes(content)
    return Photo(path, name, person, box=box)  # type: ignore[arg-type]


def test_copies_in_other_folds_are_found_and_those_in_the_same_are_not(tmp_path: Path) -> None:
    photos = [
        write(tmp_path, "a.jpg", b"one", "p"),
        write(tmp_path, "b.jpg", b"one", "q"),
        write(tmp_path, "c.jpg", b"two", "q"),
        write(tmp_path, "d.jpg", b"two", "r"),
        write(tmp_path, "e.jpg", b"six", "p"),
        write(tmp_path, "f.jpg", b"other size", "q"),
        Photo(tmp_path / "missing.jpg", "missing.jpg", "q"),
        write(tmp_path, "extra.jpg", b"six", "somebody"),
    ]
    folds = {"p": 0, "q": 1, "r": 1, "somebody": 0}
    # b and c are in one fold; e's copy is never held out.
    assert find_leaking_copies(photos, 7, folds) == [("a.jpg", "b.jpg"), ("b.jpg", "a.jpg"), ("e.jpg", "extra.jpg")]
    assert find_leaking_copies(photos[2:4], 2, folds) == []


def test_faces_of_one_photo_are_no_copies(tmp_path: Path) -> None:
    one = write(tmp_path, "a.jpg", b"one", "p", (0, 0, 5, 5))
    other = Photo(one.path, "a.jpg[9,9,20,20]", "q", box=(9, 9, 20, 20))
    assert find_leaking_copies([one, other], 2, {"p": 0, "q": 1}) == []


def test_a_plan_names_them(tiny: Callable[..., Recipe], faces: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(faces, own)
    folder = sorted(path for path in (own / "images" if (own / "images").is_dir() else own).iterdir() if path.is_dir())[
        0
    ]
    _, *rest = folder.name.split("_")
    shutil.copytree(folder, folder.with_name("_".join(["999999", *rest])))
    words = (f"data.path={own}", "cv.num_folds=2")
    lines = {
        seed: [line for line in make_plan(tiny(*words, f"trainer.seed={seed}")).warnings if "same file" in line]
        for seed in range(6)
    }
    assert any(lines.values())
    line = next(line for found in lines.values() for line in found)
    assert "14 held-out photos are the same file as a training photo of another person" in line
    assert make_plan(tiny("cv.num_folds=2")).warnings == tuple(
        line for line in make_plan(tiny("cv.num_folds=2")).warnings if "same file" not in line
    )
    assert describe_leaking_copies([], "x") == ""
