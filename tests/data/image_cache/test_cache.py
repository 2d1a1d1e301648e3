"""Tests of the image cache: each photo once, intact after any interruption and with concurrent writers."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from maskfit.data.image_cache.cache import default_cache_dir, open_image_cache, open_image_caches
from maskfit.data.image_cache.files import ImageCacheFiles
from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError
from maskfit.registry import ComponentSpec

CROP_RESIZE = CropResize(size=(8, 10))
ROW = 8 * 10 * 3
KEY = 33
"""Bytes of a row, and of a line in keys.txt."""


@pytest.fixture
def photos(tmp_path, write_photo) -> list[Photo]:
    paths = [write_photo(tmp_path / "photos" / f"{name}.png", seed=seed) for seed, name in enumerate("abcd")]
    return [Photo(path, path.name, path.stem) for path in paths]


def images_of(photos: list[Photo]) -> np.ndarray:
    return np.stack([CROP_RESIZE(decode(photo.path)) for photo in photos])


def assert_images(cached, photos: list[Photo]) -> None:
    assert len(cached) == len(photos)
    np.testing.assert_array_equal(cached.gather(range(len(photos))), images_of(photos))


def cache_dir_of(folder: Path) -> Path:
    (cache_dir,) = folder.iterdir()
    return cache_dir


def test_images_are_in_dataset_order_and_decoded_once(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    assert_images(open_image_cache(photos[:2], CROP_RESIZE, folder=folder), photos[:2])
    # Other photos in another order; only the new ones are decoded.
    decoded = []
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode",
        lambda content, name: decoded.append(Path(name).name) or decode(content),
    )
    turned = [photos[3], photos[1], photos[2], photos[0]]
    assert_images(open_image_cache(turned, CROP_RESIZE, folder=folder), turned)
    assert sorted(decoded) == ["c.png", "d.png"]
    decoded.clear()
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)
    assert decoded == []


def test_gather_copies_in_any_order(tmp_path, photos):
    cached = open_image_cache(photos, CROP_RESIZE, folder=tmp_path / "caches")
    taken = cached.gather([2, 0, 2])
    np.testing.assert_array_equal(taken, images_of([photos[2], photos[0], photos[2]]))
    assert type(taken) is np.ndarray
    torch.from_numpy(taken).zero_()
    assert_images(cached, photos)
    assert cached.gather([]).shape == (0, 8, 10, 3)


def test_each_crop_resize_has_its_own_cache(tmp_path, photos):
    folder = tmp_path / "stores"
    settings = [
        CROP_RESIZE,
        CropResize(size=(10, 8)),
        CropResize(size=(8, 10), filter="box"),
        CropResize(size=(8, 10), crop=ComponentSpec.create("center", scale=0.5)),
        CropResize(size=(8, 10), crop=ComponentSpec.create("resize")),
    ]
    for crop_resize in settings:
        cached = open_image_cache(photos, crop_resize, folder=folder)
        wanted = np.stack([crop_resize(decode(photo.path)) for photo in photos])
        np.testing.assert_array_equal(cached.gather(range(4)), wanted)
    assert len(list(folder.iterdir())) == len(settings)


CUT_BYTES = [0, 1, KEY - 1, KEY, KEY + 1, 2 * KEY - 1, 2 * KEY, 4 * KEY - 1, 4 * KEY]


@pytest.mark.parametrize("place", ["frames.bin", "keys.txt"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.249, 0.25, 0.26, 0.5, 0.74, 0.999, 1.0])
def test_a_truncated_cache_is_repaired(tmp_path, photos, place, share):
    """Truncated at the borders of rows and lines, next to them and within them."""
    folder = tmp_path / "stores"
    open_image_cache(photos, CROP_RESIZE, folder=folder)
    path = cache_dir_of(folder) / place
    whole = path.read_bytes()
    os.truncate(path, round(share * len(whole)))
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)
    assert_images(open_image_cache(photos[::-1], CROP_RESIZE, folder=folder), photos[::-1])
    assert path.stat().st_size == len(whole)


@pytest.mark.parametrize("cut", CUT_BYTES)
def test_truncated_keys_lose_only_their_own_rows(tmp_path, photos, cut, monkeypatch):
    folder = tmp_path / "stores"
    open_image_cache(photos, CROP_RESIZE, folder=folder)
    os.truncate(cache_dir_of(folder) / "keys.txt", cut)
    decoded = []
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode",
        lambda content, name: decoded.append(Path(name).name) or decode(content),
    )
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)
    assert len(decoded) == 4 - cut // KEY


@pytest.mark.parametrize("gone", ["frames.bin", "keys.txt"])
def test_a_cache_without_one_file_is_filled_again(tmp_path, photos, gone):
    folder = tmp_path / "stores"
    open_image_cache(photos, CROP_RESIZE, folder=folder)
    (cache_dir_of(folder) / gone).unlink()
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)


def test_pixels_without_a_key_are_overwritten(tmp_path, photos):
    """A writer that was killed between pixels and keys leaves such pixels."""
    folder = tmp_path / "stores"
    open_image_cache(photos[:1], CROP_RESIZE, folder=folder)
    with (cache_dir_of(folder) / "frames.bin").open("ab") as stream:
        stream.write(b"\x55" * (9 * ROW + 7))
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)
    assert (cache_dir_of(folder) / "frames.bin").stat().st_size == 4 * ROW


def test_the_same_content_is_one_row_and_a_changed_photo_another(tmp_path, photos, write_photo):
    folder = tmp_path / "stores"
    copy = tmp_path / "photos" / "copy.png"
    copy.write_bytes(photos[0].path.read_bytes())
    twins = [photos[0], Photo(copy, "copy.png", "copy"), photos[1]]
    cached = open_image_cache(twins, CROP_RESIZE, folder=folder)
    assert_images(cached, twins)
    assert cached.rows[0] == cached.rows[1] != cached.rows[2]
    assert len(cached.pixels) == 2
    # A photo that moved is known.
    moved = photos[1].path.rename(tmp_path / "photos" / "moved.png")
    cached = open_image_cache([Photo(moved, "moved.png", "b")], CROP_RESIZE, folder=folder)
    assert (len(cached.pixels), cached.rows.tolist()) == (2, [1])
    # A photo with new content under its old name is decoded again.
    write_photo(photos[0].path, seed=99)
    cached = open_image_cache(photos[:1], CROP_RESIZE, folder=folder)
    assert_images(cached, photos[:1])
    assert cached.rows.tolist() == [2]


def test_unreadable_photos_are_all_listed_and_the_others_cached(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    (tmp_path / "photos" / "empty.png").touch()
    for name in ("cut.png", "cut-too.png"):
        (tmp_path / "photos" / name).write_bytes(photos[0].path.read_bytes()[:60])
    (tmp_path / "photos" / "text.jpg").write_text("no photo at all")
    bad = ["empty.png", "cut.png", "cut-too.png", "text.jpg", "missing.png"]
    mixed = [photos[0], *(Photo(tmp_path / "photos" / name, name, name) for name in bad), *photos[1:]]
    for _ in range(2):
        with pytest.raises(DataError, match="5 photos cannot be read") as caught:
            open_image_cache(mixed, CROP_RESIZE, folder=folder)
        lines = caught.value.message.splitlines()[1:]
        assert [line.split(":")[0].removeprefix("- ") for line in lines] == bad
        assert "empty" in lines[0]
        assert "no such photo" in lines[4]
    monkeypatch.setattr("maskfit.data.image_cache.cache.decode", lambda *_, **__: pytest.fail("decoded a second time"))
    cached = open_image_cache(photos, CROP_RESIZE, folder=folder)
    monkeypatch.undo()
    assert_images(cached, photos)


def test_progress_counts_several_batches(tmp_path, photos, monkeypatch):
    monkeypatch.setattr("maskfit.data.image_cache.cache.BATCH_SIZE", 3)
    seen = []
    cached = open_image_cache(
        photos, CROP_RESIZE, folder=tmp_path / "caches", progress=lambda done, total: seen.append((done, total))
    )
    assert_images(cached, photos)
    assert seen == [(3, 4), (4, 4)]


def test_an_interruption_between_batches_keeps_the_first(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    monkeypatch.setattr("maskfit.data.image_cache.cache.BATCH_SIZE", 2)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_image_cache(photos, CROP_RESIZE, folder=folder, progress=stop)
    seen = []
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder, progress=lambda *now: seen.append(now)), photos)
    assert seen == [(2, 2)]


def test_an_empty_dataset_gives_no_images(tmp_path):
    cached = open_image_cache([], CROP_RESIZE, folder=tmp_path / "caches")
    assert len(cached) == 0
    assert cached.gather([]).shape == (0, 8, 10, 3)


def test_readers_keep_their_rows_while_another_appends(tmp_path, photos):
    folder = tmp_path / "stores"
    first = open_image_cache(photos[:2], CROP_RESIZE, folder=folder)
    open_image_cache(photos, CROP_RESIZE, folder=folder)
    assert_images(first, photos[:2])


def test_only_one_process_appends_at_a_time(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    open_image_cache(photos[:1], CROP_RESIZE, folder=folder)
    decoded = []
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode",
        lambda content, name: decoded.append(Path(name).name) or decode(content),
    )
    with ThreadPoolExecutor(1) as pool:
        with FileLock(cache_dir_of(folder) / "lock"):
            waiting = pool.submit(open_image_cache, photos, CROP_RESIZE, folder=folder)
            time.sleep(0.3)
            assert decoded == []
        assert_images(waiting.result(timeout=30), photos)


def test_waiting_for_the_lock_is_logged_once(tmp_path, photos):
    folder = tmp_path / "stores"
    open_image_cache(photos[:2], CROP_RESIZE, folder=folder)
    lines: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with FileLock(cache_dir_of(folder) / "lock"):
            # What is there already needs no lock.
            assert_images(open_image_cache(photos[:2], CROP_RESIZE, folder=folder, log=lines.append), photos[:2])
            assert lines == []
            waiting = pool.submit(open_image_cache, photos, CROP_RESIZE, folder=folder, log=lines.append)
            for _ in range(100):
                if lines:
                    break
                time.sleep(0.02)
        assert_images(waiting.result(timeout=30), photos)
    assert len(lines) == 1
    assert "waiting" in lines[0]


def test_every_file_is_read_once(tmp_path, photos, monkeypatch):
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda path, plain=Path.read_bytes: read.append(path.name) or plain(path))
    check_later = open_image_cache(photos, CROP_RESIZE, folder=tmp_path / "caches")
    assert sorted(name for name in read if name.endswith(".png")) == ["a.png", "b.png", "c.png", "d.png"]
    monkeypatch.undo()
    assert_images(check_later, photos)


def test_a_folder_that_cannot_be_made_names_the_key_for_another(tmp_path, photos, monkeypatch):
    """As in a home that is mounted read-only."""

    def refuse(path, **_):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DataError, match="the image cache cannot be created: Read-only file system") as caught:
        open_image_cache(photos, CROP_RESIZE, folder=tmp_path / "home" / "caches")
    assert "data.cache_dir=DIR" in caught.value.hint


def test_missing_disk_space_is_reported_before_writing(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr("maskfit.data.image_cache.cache.shutil.disk_usage", lambda path: usage(ROW, 0, 4 * ROW - 1))
    with pytest.raises(DataError, match="are free") as caught:
        open_image_cache(photos, CROP_RESIZE, folder=folder)
    assert "maskfit data cache" in caught.value.hint
    assert (cache_dir_of(folder) / "frames.bin").stat().st_size == 0
    monkeypatch.setattr("maskfit.data.image_cache.cache.shutil.disk_usage", lambda path: usage(ROW, 0, 4 * ROW))
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)


def test_a_disk_that_fills_up_loses_no_row(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    monkeypatch.setattr("maskfit.data.image_cache.cache.BATCH_SIZE", 2)
    plain, calls = ImageCacheFiles._open, []

    class Full:
        def __init__(self, stream) -> None:
            self.stream = stream

        def write(self, content: bytes) -> None:
            calls.append(len(content))
            if len(calls) == 2:
                self.stream.write(content[: ROW + 5])
                raise OSError(errno.ENOSPC, "No space left on device")
            self.stream.write(content)

        def flush(self) -> None:
            self.stream.flush()

    def opened(self, name: str, length: int):
        stream = plain(self, name, length)
        return Full(stream) if name == "frames.bin" else stream

    monkeypatch.setattr(ImageCacheFiles, "_open", opened)
    with pytest.raises(DataError, match="the disk is full"):
        open_image_cache(photos, CROP_RESIZE, folder=folder)
    monkeypatch.undo()
    assert (cache_dir_of(folder) / "keys.txt").stat().st_size == 2 * KEY
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)


def test_two_concurrent_processes_fill_one_cache(tmp_path, photos):
    """Each row is written once, whichever process is first."""
    folder = tmp_path / "stores"
    code = """
import sys
from pathlib import Path
from maskfit.data.photo_dataset import Photo
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.preprocessing import CropResize
paths = [Path(path) for path in sys.argv[2:]]
photos = [Photo(path, path.name, path.stem) for path in paths]
cached = open_image_cache(photos, CropResize(size=(8, 10)), folder=Path(sys.argv[1]))
sys.stdout.write(cached.gather(range(len(photos))).tobytes().hex())
"""
    orders = [photos, photos[::-1]]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), *(str(photo.path) for photo in order)], stdout=subprocess.PIPE
        )
        for order in orders
    ]
    for process, order in zip(running, orders, strict=True):
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert bytes.fromhex(out.decode()) == images_of(order).tobytes()
    assert (cache_dir_of(folder) / "frames.bin").stat().st_size == 4 * ROW
    assert (cache_dir_of(folder) / "keys.txt").stat().st_size == 4 * KEY


SMALL = CROP_RESIZE.model_copy(update={"size": (16, 20)})


def test_several_caches_are_filled_in_one_pass(tmp_path, photos, monkeypatch):
    """Each cache gives the same images as when it is opened alone."""
    folder, read = tmp_path / "caches", []
    open_image_cache(photos[:1], SMALL, folder=folder)
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode", lambda content, name: read.append(Path(name).name) or decode(content)
    )
    monkeypatch.setattr("maskfit.data.image_cache.cache.BATCH_SIZE", 3)
    seen: list[tuple[int, int]] = []
    large, small = open_image_caches(
        photos, [(CROP_RESIZE, None), (SMALL, [0, 2])], folder=folder, progress=lambda *now: seen.append(now)
    )
    assert sorted(read) == ["a.png", "b.png", "c.png", "d.png"]
    assert seen == [(3, 4), (4, 4)]
    assert_images(large, photos)
    wanted = np.stack([SMALL(decode(photos[place].path)) for place in (2, 0)])
    np.testing.assert_array_equal(small.gather([2, 0]), wanted)
    assert len(small) == 4
    assert len(small.pixels) == 2


def test_gather_rejects_photos_that_were_not_requested(tmp_path, photos):
    (cached,) = open_image_caches(photos, [(CROP_RESIZE, {1, 3})], folder=tmp_path / "caches")
    np.testing.assert_array_equal(cached.gather([3, 1]), images_of([photos[3], photos[1]]))
    for places in ([0], [1, 2], [-2]):
        with pytest.raises(IndexError, match="not requested"):
            cached.gather(places)


def test_photos_that_no_request_needs_are_not_read(tmp_path, photos):
    photos[0].path.write_text("no photo at all")
    (cached,) = open_image_caches(photos, [(CROP_RESIZE, range(1, 4))], folder=tmp_path / "caches")
    np.testing.assert_array_equal(cached.gather([1, 2, 3]), images_of(photos[1:]))


def test_equal_requests_are_rejected(tmp_path, photos):
    with pytest.raises(ValueError, match="the same twice"):
        open_image_caches(photos, [(CROP_RESIZE, None), (CROP_RESIZE, [1])], folder=tmp_path)


def test_caches_opened_in_different_orders_do_not_deadlock(tmp_path, photos):
    """Two threads open the same two caches, each in its own order."""
    folder = tmp_path / "stores"
    orders = [[(CROP_RESIZE, None), (SMALL, None)], [(SMALL, None), (CROP_RESIZE, None)]]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            shutil.rmtree(folder, ignore_errors=True)
            running = [pool.submit(open_image_caches, photos, order, folder=folder) for order in orders]
            for place, opened in enumerate(running):
                assert_images(opened.result(timeout=60)[place], photos)


def test_rows_removed_before_the_lock_are_decoded_again(tmp_path, photos, monkeypatch):
    """The first batch is found in the cache; then the cache is removed, and the second batch rebuilds it."""
    folder = tmp_path / "stores"
    open_image_cache(photos[:2], CROP_RESIZE, folder=folder)
    monkeypatch.setattr("maskfit.data.image_cache.cache.BATCH_SIZE", 2)
    hold = ImageCacheFiles.lock

    def late(rows: ImageCacheFiles) -> None:
        shutil.rmtree(rows.folder)
        hold(rows)

    monkeypatch.setattr(ImageCacheFiles, "lock", late)
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)
    assert (cache_dir_of(folder) / "frames.bin").stat().st_size == 4 * ROW


def test_rows_match_the_pixels_file_that_was_opened(tmp_path, photos):
    """The cache is rebuilt in another order between reading its rows and mapping its pixels."""
    folder = tmp_path / "stores"
    open_image_cache(photos, CROP_RESIZE, folder=folder)
    with ImageCacheFiles(cache_dir_of(folder), CROP_RESIZE) as rows:
        known, before = list(rows.row_of_key), rows.memory_map().copy()
        shutil.rmtree(rows.folder)
        open_image_cache(photos[::-1], CROP_RESIZE, folder=folder)
        np.testing.assert_array_equal(rows.memory_map(), before)
    with ImageCacheFiles(cache_dir_of(folder), CROP_RESIZE) as rows:
        assert list(rows.row_of_key) == known[::-1]
        np.testing.assert_array_equal(rows.memory_map(), before[::-1])


def test_an_interrupted_removal_keeps_the_pixels_of_readers(tmp_path, photos):
    folder = tmp_path / "stores"
    reader = open_image_cache(photos, CROP_RESIZE, folder=folder)
    (cache_dir_of(folder) / "keys.txt").unlink()
    assert_images(open_image_cache(photos[:1], CROP_RESIZE, folder=folder), photos[:1])
    assert_images(reader, photos)


def test_a_read_only_cache_can_be_read(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    open_image_cache(photos, CROP_RESIZE, folder=folder)

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "touch", refuse)
    assert_images(open_image_cache(photos, CROP_RESIZE, folder=folder), photos)


def test_the_default_folder_is_in_the_user_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "maskfit" / "stores"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_dir() == tmp_path / "home" / ".cache" / "maskfit" / "stores"
