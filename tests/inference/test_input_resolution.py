"""What a user names is told apart into models and photos, or refused with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from maskfit.errors import DataError
from maskfit.inference.input_resolution import resolve_inputs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, folders of photos, runs and other things, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.JPG", "[1].png", "trip/c.png", "trip/deeper/d.webp", "trip/.hidden.jpg", "mixed/e.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 30)).save(path, format=path.suffix[1:].upper().replace("JPG", "JPEG"))
    for name in (
        "run/recipe.yaml",
        "fold/best.safetensors",
        "mixed/recipe.yaml",
        "project/notes.md",
        "list.csv",
        "IMG_7",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def named(*words: str) -> tuple[list[str], list[str]]:
    found = resolve_inputs(words)
    return list(found.models), [photo.name for photo in found.photos or ()]


@pytest.mark.parametrize("word", ["m.onnx", "m.xml", "m.safetensors", "old.ckpt", "M.ONNX", "run", "fold", "run/"])
def test_models(here, word):
    assert named(word) == ([word], [])


@pytest.mark.parametrize(
    ("word", "photos"),
    [
        ("a.jpg", ["a.jpg"]),
        ("./a.jpg", ["./a.jpg"]),
        ("IMG_7", ["IMG_7"]),  # what it is, its content says
        ("[1].png", ["[1].png"]),  # a file wins over a pattern
        ("*.[jJ]*", ["a.jpg", "b.JPG"]),
        ("t*/*", ["trip/c.png"]),
        ("**/*.webp", ["trip/deeper/d.webp"]),
        ("trip", ["trip/c.png", "trip/deeper/d.webp"]),
    ],
)
def test_photos(here, word, photos):
    models, found = named(word)
    assert (models, found) == ([], photos)
    assert (resolve_inputs([word]).photos.single_file is not None) == (len(photos) == 1)


def test_words_mix_in_any_order_and_each_photo_comes_once(here):
    assert named("a.jpg", "run", "trip", "m.onnx", "trip/c.png", "./a.jpg", "a.jpg") == (
        ["run", "m.onnx"],
        ["a.jpg", "trip/c.png", "trip/deeper/d.webp"],
    )
    photos = resolve_inputs(["trip"]).photos
    assert (len(photos), [photo.person for photo in photos]) == (2, ["c.png", "deeper/d.webp"])


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("absent.jpg", "there is no such photo or model"),
        ("absent", "there is no such photo or model"),
        ("absent*.jpg", "nothing matches this"),
        ("*/*.md", "none of the 1 matches is a photo by its suffix"),
        ("project", "has no photos, and is no run"),
        ("mixed", "is a run and has photos"),
        ("list.csv", "--image-list list.csv --images DIR"),
    ],
)
def test_what_is_neither_or_both_is_refused(here, word, what):
    with pytest.raises(DataError) as caught:
        resolve_inputs(["a.jpg", word])
    assert what in str(caught.value)
    assert word in str(caught.value)
    with pytest.raises(DataError, match="2 arguments cannot be used") as caught:
        resolve_inputs([word, "a.jpg", "nowhere"])
    assert f"- {word}: " in str(caught.value)
    assert "- nowhere: " in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://a.example/x/a.jpg", "curl -L -o a.jpg https://a.example/x/a.jpg; "),
        ("https://a.example/a%20b.jpg?x=1&y", "curl -L -o 'a b.jpg' 'https://a.example/a%20b.jpg?x=1&y'; "),
        ("https://a.example/a b.jpg", "curl -L -o 'a b.jpg' https://a.example/a%20b.jpg; "),
        ("https://a.example/view/", "download it, and name the file; "),
        ("s3://bucket/a.jpg", "download it, and name the file; "),
    ],
)
def test_a_url_is_answered_with_a_command_that_works(url, hint):
    with pytest.raises(DataError, match="is not downloaded") as caught:
        resolve_inputs([url])
    assert caught.value.hint.startswith(hint)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_that_may_not_be_looked_into_is_named(here):
    (here / "trip").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            resolve_inputs(["trip"])
    finally:
        (here / "trip").chmod(0o755)
