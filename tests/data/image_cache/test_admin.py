"""Tests of listing and removing image caches, and of `maskfit data cache`."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from maskfit.cli import data_group
from maskfit.data.image_cache.admin import (
    SECONDS_PER_DAY,
    CacheInfo,
    least_recently_used,
    list_caches,
    parse_size,
    remove_cache,
)
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError
from maskfit.file_locks import acquire_lock


@pytest.fixture
def folder(tmp_path, write_photo) -> Path:
    """Two caches, 8 x 8 used 40 days ago and 16 x 16 used 10 days ago, next to an unrelated folder."""
    paths = [write_photo(tmp_path / "photos" / f"{name}.png", seed=seed) for seed, name in enumerate("abc")]
    photos = [Photo(path, path.name, path.stem) for path in paths]
    place = tmp_path / "caches"
    for side, days in ((8, 40), (16, 10)):
        open_image_cache(photos, CropResize(size=(side, side)), folder=place)
        for cache in list_caches(place):
            if cache.image_size == (side, side):
                os.utime(cache.path / "used", (time.time() - days * SECONDS_PER_DAY,) * 2)
    (place / "notes").mkdir()
    (place / "notes" / "mine.txt").write_text("keep")
    return place


def test_list_caches(folder):
    young, old = list_caches(folder)
    assert (young.image_size, old.image_size, young.photos, young.crop) == ((16, 16), (8, 8), 3, "center")
    assert young.size_bytes > 3 * 16 * 16 * 3
    assert list_caches(folder / "absent") == []


def test_opening_a_cache_updates_its_last_use(folder, tmp_path):
    photo = tmp_path / "photos" / "a.png"
    open_image_cache([Photo(photo, "a.png", "a")], CropResize(size=(8, 8)), folder=folder)
    assert time.time() - list_caches(folder)[0].last_used < 60
    assert list_caches(folder)[0].image_size == (8, 8)


def make_info(name: str, size: int, days: float) -> CacheInfo:
    return CacheInfo(Path(name), 1, (8, 8), "center", size, 1e9 - days * SECONDS_PER_DAY)


@pytest.mark.parametrize(
    ("days", "keep_under", "chosen"),
    [
        (None, None, ""),
        (30, None, "c"),
        (0, None, "cba"),
        (None, 60, ""),
        (None, 59, "c"),
        (None, 30, "c"),
        (None, 29, "cb"),
        (None, 0, "cba"),
        (30, 25, "cb"),
        (5, 60, "cb"),
    ],
)
def test_least_recently_used(days, keep_under, chosen):
    caches = [make_info("a", 10, 0), make_info("b", 20, 7), make_info("c", 30, 31)]
    found = least_recently_used(caches, now=1e9, days=days, keep_under=keep_under)
    assert "".join(str(cache.path) for cache in found) == chosen


def test_a_removed_cache_can_be_rebuilt(folder, tmp_path):
    old = list_caches(folder)[1]
    remove_cache(old)
    assert not old.path.exists()
    photo = tmp_path / "photos" / "a.png"
    assert len(open_image_cache([Photo(photo, "a.png", "a")], CropResize(size=(8, 8)), folder=folder)) == 1


def test_a_removal_keeps_the_pixels_of_readers(folder, tmp_path):
    photos = [Photo(tmp_path / "photos" / "a.png", "a.png", "a")]
    cached = open_image_cache(photos, CropResize(size=(8, 8)), folder=folder)
    before = cached.gather([0])
    remove_cache(list_caches(folder)[0])
    assert (cached.gather([0]) == before).all()


def test_locked_caches_and_other_files_are_not_removed(folder):
    old = list_caches(folder)[1]
    (old.path / "mine.txt").write_text("keep")
    with FileLock(old.path / "lock"), pytest.raises(DataError, match="a process appends"):
        remove_cache(old)
    assert (old.path / "frames.bin").stat().st_size == 3 * 8 * 8 * 3
    remove_cache(old)
    assert [path.name for path in old.path.iterdir()] == ["mine.txt"]


def test_caches_are_opened_while_they_are_removed(tmp_path, write_photo):
    """Concurrent openings give their own photos, and no row occurs twice."""
    paths = [write_photo(tmp_path / "photos" / f"{name}.png", seed=seed) for seed, name in enumerate("abc")]
    photos = [Photo(path, path.name, path.stem) for path in paths]
    crop_resize, folder = CropResize(size=(8, 8)), tmp_path / "caches"
    frames = {photo.name: crop_resize(decode(photo.path)) for photo in photos}
    ends = time.monotonic() + 1.5

    def open_again(order: list[Photo]) -> int:
        times = 0
        while time.monotonic() < ends:
            cached = open_image_cache(order, crop_resize, folder=folder)
            assert (cached.gather([0, 1, 2]) == np.stack([frames[photo.name] for photo in order])).all()
            times += 1
        return times

    def remove_again() -> int:
        times = 0
        while time.monotonic() < ends:
            for cache in list_caches(folder):
                with suppress(DataError):
                    remove_cache(cache)
                    times += 1
        return times

    with ThreadPoolExecutor(4) as pool:
        openers = [pool.submit(open_again, order) for order in (photos, photos[::-1], photos[1:] + photos[:1])]
        removed = pool.submit(remove_again)
        assert all(opener.result(timeout=60) for opener in openers)
        assert removed.result(timeout=60)


@pytest.mark.parametrize(("word", "size"), [("10GB", 10**10), ("500 mb", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("7", 7)])
def test_parse_size(word, size):
    assert parse_size(word) == size


@pytest.mark.parametrize("word", ["", "GB", "-1GB", "10 PB", "nan", "1e9", "٣GB"])
def test_parse_size_rejects_other_text(word):
    with pytest.raises(DataError, match="not a size"):
        parse_size(word)


def command(*arguments: object):
    return CliRunner().invoke(data_group, ["cache", *map(str, arguments)])


def test_command_lists_caches(folder):
    done = command("--folder", folder)
    assert done.exit_code == 0, done.output
    assert "8x8" in done.stdout
    assert "40.0 days ago" in done.stdout
    assert "notes" not in done.stdout


def test_command_removes_only_with_yes(folder):
    refused = command("--folder", folder, "--prune", 30)
    assert isinstance(refused.exception, DataError)
    assert "--yes" in str(refused.exception)
    assert len(list_caches(folder)) == 2
    output = json.loads(command("--folder", folder, "--prune", 30, "--yes", "--json").stdout)
    assert [store["size"] for store in output["stores"]] == [[16, 16]]
    assert [store["size"] for store in output["removed"]] == [[8, 8]]
    assert [cache.image_size for cache in list_caches(folder)] == [(16, 16)]
    command("--folder", folder, "--keep-under", "1MB", "--yes")
    assert len(list_caches(folder)) == 1
    command("--folder", folder, "--keep-under", "0", "--yes")
    assert list_caches(folder) == []
    assert (folder / "notes" / "mine.txt").exists()


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_folder_that_is_removed_while_it_is_locked_is_made_again(error, tmp_path, write_photo, monkeypatch):
    photo = Photo(write_photo(tmp_path / "a.png", seed=0), "a.png", "a")
    errors = [error()]

    def acquire(*arguments):
        if errors:
            raise errors.pop()
        return acquire_lock(*arguments)

    monkeypatch.setattr("maskfit.data.image_cache.files.acquire_lock", acquire)
    cached = open_image_cache([photo], CropResize(size=(8, 8)), folder=tmp_path / "caches")
    assert cached.gather([0]).shape == (1, 8, 8, 3)
    assert not errors
