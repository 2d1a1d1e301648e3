"""The store: every photo once, whole after any interruption, whoever writes at the same time."""

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

FRAMING = CropResize(size=(8, 10))
ROW = 8 * 10 * 3
KEY = 33
"""Bytes of a row, and of a line in keys.txt."""


@pytest.fixture
def photos(tmp_path, write_photo) -> list[Photo]:
    paths = [write_photo(tmp_path / "photos" / f"{name}.png", seed=seed) for seed, name in enumerate("abcd")]
    return [Photo(path, path.name, path.stem) for path in paths]


def frames_of(photos: list[Photo]) -> np.ndarray:
    return np.stack([FRAMING(decode(photo.path)) for photo in photos])


def check(stored, photos: list[Photo]) -> None:
    assert len(stored) == len(photos)
    np.testing.assert_array_equal(stored.take(range(len(photos))), frames_of(photos))


def store_of(folder: Path) -> Path:
    (store,) = folder.iterdir()
    return store


def test_frames_come_in_the_sets_order_and_are_decoded_once(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    check(open_image_cache(photos[:2], FRAMING, folder=folder), photos[:2])
    # Other photos in another order; only the new ones are decoded.
    decoded = []
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode",
        lambda content, name: decoded.append(Path(name).name) or decode(content),
    )
    turned = [photos[3], photos[1], photos[2], photos[0]]
    check(open_image_cache(turned, FRAMING, folder=folder), turned)
    assert sorted(decoded) == ["c.png", "d.png"]
    decoded.clear()
    check(open_image_cache(photos, FRAMING, folder=folder), photos)
    assert decoded == []


def test_take_gives_copies_in_any_order(tmp_path, photos):
    stored = open_image_cache(photos, FRAMING, folder=tmp_path / "stores")
    taken = stored.gather([2, 0, 2])
    np.testing.assert_array_equal(taken, frames_of([photos[2], photos[0], photos[2]]))
    assert type(taken) is np.ndarray
    torch.from_numpy(taken).zero_()
    check(stored, photos)
    assert stored.gather([]).shape == (0, 8, 10, 3)


def test_each_framing_has_its_own_store(tmp_path, photos):
    folder = tmp_path / "stores"
    framings = [
        FRAMING,
        CropResize(size=(10, 8)),
        CropResize(size=(8, 10), filter="box"),
        CropResize(size=(8, 10), crop=ComponentSpec.create("center", scale=0.5)),
        CropResize(size=(8, 10), crop=ComponentSpec.create("resize")),
    ]
    for framing in framings:
        stored = open_image_cache(photos, framing, folder=folder)
        wanted = np.stack([framing(decode(photo.path)) for photo in photos])
        np.testing.assert_array_equal(stored.gather(range(4)), wanted)
    assert len(list(folder.iterdir())) == len(framings)


CUTS = [0, 1, KEY - 1, KEY, KEY + 1, 2 * KEY - 1, 2 * KEY, 4 * KEY - 1, 4 * KEY]


@pytest.mark.parametrize("place", ["frames.bin", "keys.txt"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.249, 0.25, 0.26, 0.5, 0.74, 0.999, 1.0])
def test_a_store_that_was_cut_off_is_whole_again(tmp_path, photos, place, share):
    """Cut at the borders of rows and lines, beside them and within them."""
    folder = tmp_path / "stores"
    open_image_cache(photos, FRAMING, folder=folder)
    path = store_of(folder) / place
    whole = path.read_bytes()
    os.truncate(path, round(share * len(whole)))
    check(open_image_cache(photos, FRAMING, folder=folder), photos)
    check(open_image_cache(photos[::-1], FRAMING, folder=folder), photos[::-1])
    assert path.stat().st_size == len(whole)


@pytest.mark.parametrize("cut", CUTS)
def test_keys_cut_at_any_byte_lose_only_their_own_rows(tmp_path, photos, cut, monkeypatch):
    folder = tmp_path / "stores"
    open_image_cache(photos, FRAMING, folder=folder)
    os.truncate(store_of(folder) / "keys.txt", cut)
    decoded = []
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode",
        lambda content, name: decoded.append(Path(name).name) or decode(content),
    )
    check(open_image_cache(photos, FRAMING, folder=folder), photos)
    assert len(decoded) == 4 - cut // KEY


@pytest.mark.parametrize("gone", ["frames.bin", "keys.txt"])
def test_a_store_that_lost_a_file_is_filled_again(tmp_path, photos, gone):
    folder = tmp_path / "stores"
    open_image_cache(photos, FRAMING, folder=folder)
    (store_of(folder) / gone).unlink()
    check(open_image_cache(photos, FRAMING, folder=folder), photos)


def test_pixels_without_a_key_are_written_over(tmp_path, photos):
    """What a writer that was killed between pixels and keys leaves behind."""
    folder = tmp_path / "stores"
    open_image_cache(photos[:1], FRAMING, folder=folder)
    with (store_of(folder) / "frames.bin").open("ab") as stream:
        stream.write(b"\x55" * (9 * ROW + 7))
    check(open_image_cache(photos, FRAMING, folder=folder), photos)
    assert (store_of(folder) / "frames.bin").stat().st_size == 4 * ROW


def test_the_same_content_is_one_row_and_a_changed_photo_another(tmp_path, photos, write_photo):
    folder = tmp_path / "stores"
    copy = tmp_path / "photos" / "copy.png"
    copy.write_bytes(photos[0].path.read_bytes())
    twins = [photos[0], Photo(copy, "copy.png", "copy"), photos[1]]
    stored = open_image_cache(twins, FRAMING, folder=folder)
    check(stored, twins)
    assert stored.rows[0] == stored.rows[1] != stored.rows[2]
    assert len(stored.pixels) == 2
    # A photo that moved is known.
    moved = photos[1].path.rename(tmp_path / "photos" / "moved.png")
    stored = open_image_cache([Photo(moved, "moved.png", "b")], FRAMING, folder=folder)
    assert (len(stored.pixels), stored.rows.tolist()) == (2, [1])
    # A photo with new content under its old name is decoded anew.
    write_photo(photos[0].path, seed=99)
    stored = open_image_cache(photos[:1], FRAMING, folder=folder)
    check(stored, photos[:1])
    assert stored.rows.tolist() == [2]


def test_unreadable_photos_are_all_named_and_the_good_ones_are_kept(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    (tmp_path / "photos" / "empty.png").touch()
    for name in ("cut.png", "cut-too.png"):
        (tmp_path / "photos" / name).write_bytes(photos[0].path.read_bytes()[:60])
    (tmp_path / "photos" / "text.jpg").write_text("no photo at all")
    bad = ["empty.png", "cut.png", "cut-too.png", "text.jpg", "missing.png"]
    mixed = [photos[0], *(Photo(tmp_path / "photos" / name, name, name) for name in bad), *photos[1:]]
    for _ in range(2):
        with pytest.raises(DataError, match="5 photos cannot be read") as caught:
            open_image_cache(mixed, FRAMING, folder=folder)
        lines = caught.value.message.splitlines()[1:]
        assert [line.split(":")[0].removeprefix("- ") for line in lines] == bad
        assert "empty" in lines[0]
        assert "no such photo" in lines[4]
    monkeypatch.setattr("maskfit.data.image_cache.cache.decode", lambda *_, **__: pytest.fail("decoded a second time"))
    stored = open_image_cache(photos, FRAMING, folder=folder)
    monkeypatch.undo()
    check(stored, photos)


def test_more_photos_than_one_batch_are_counted_to_the_end(tmp_path, photos, monkeypatch):
    monkeypatch.setattr("maskfit.data.image_cache.cache.AT_ONCE", 3)
    seen = []
    stored = open_image_cache(
        photos, FRAMING, folder=tmp_path / "stores", progress=lambda done, total: seen.append((done, total))
    )
    check(stored, photos)
    assert seen == [(3, 4), (4, 4)]


def test_an_interruption_between_batches_keeps_the_first(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    monkeypatch.setattr("maskfit.data.image_cache.cache.AT_ONCE", 2)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_image_cache(photos, FRAMING, folder=folder, progress=stop)
    seen = []
    check(open_image_cache(photos, FRAMING, folder=folder, progress=lambda *now: seen.append(now)), photos)
    assert seen == [(2, 2)]


def test_no_photos_are_no_frames(tmp_path):
    stored = open_image_cache([], FRAMING, folder=tmp_path / "stores")
    assert len(stored) == 0
    assert stored.gather([]).shape == (0, 8, 10, 3)


def test_readers_keep_their_rows_while_another_appends(tmp_path, photos):
    folder = tmp_path / "stores"
    first = open_image_cache(photos[:2], FRAMING, folder=folder)
    open_image_cache(photos, FRAMING, folder=folder)
    check(first, photos[:2])


def test_only_one_process_at_a_time_appends(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    open_image_cache(photos[:1], FRAMING, folder=folder)
    decoded = []
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode",
        lambda content, name: decoded.append(Path(name).name) or decode(content),
    )
    with ThreadPoolExecutor(1) as pool:
        with FileLock(store_of(folder) / "lock"):
            waiting = pool.submit(open_image_cache, photos, FRAMING, folder=folder)
            time.sleep(0.3)
            assert decoded == []
        check(waiting.result(timeout=30), photos)


def test_who_waits_for_another_is_told_and_reads_its_rows(tmp_path, photos):
    folder = tmp_path / "stores"
    open_image_cache(photos[:2], FRAMING, folder=folder)
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with FileLock(store_of(folder) / "lock"):
            # What is there already needs no lock.
            check(open_image_cache(photos[:2], FRAMING, folder=folder, say=said.append), photos[:2])
            assert said == []
            waiting = pool.submit(open_image_cache, photos, FRAMING, folder=folder, say=said.append)
            for _ in range(100):
                if said:
                    break
                time.sleep(0.02)
        check(waiting.result(timeout=30), photos)
    assert len(said) == 1
    assert "waiting" in said[0]


def test_every_file_is_read_once(tmp_path, photos, monkeypatch):
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda path, plain=Path.read_bytes: read.append(path.name) or plain(path))
    check_later = open_image_cache(photos, FRAMING, folder=tmp_path / "stores")
    assert sorted(name for name in read if name.endswith(".png")) == ["a.png", "b.png", "c.png", "d.png"]
    monkeypatch.undo()
    check(check_later, photos)


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr("maskfit.data.image_cache.cache.shutil.disk_usage", lambda path: usage(ROW, 0, 4 * ROW - 1))
    with pytest.raises(DataError, match="are free") as caught:
        open_image_cache(photos, FRAMING, folder=folder)
    assert "maskfit data cache" in caught.value.hint
    assert (store_of(folder) / "frames.bin").stat().st_size == 0
    monkeypatch.setattr("maskfit.data.image_cache.cache.shutil.disk_usage", lambda path: usage(ROW, 0, 4 * ROW))
    check(open_image_cache(photos, FRAMING, folder=folder), photos)


def test_a_disk_that_fills_up_loses_no_row(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    monkeypatch.setattr("maskfit.data.image_cache.cache.AT_ONCE", 2)
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
        open_image_cache(photos, FRAMING, folder=folder)
    monkeypatch.undo()
    assert (store_of(folder) / "keys.txt").stat().st_size == 2 * KEY
    check(open_image_cache(photos, FRAMING, folder=folder), photos)


def test_two_processes_at_once_make_one_store(tmp_path, photos):
    """Each row is written once, whoever comes first."""
    folder = tmp_path / "stores"
    code = """
import sys
from pathlib import Path
from maskfit.data.photo_dataset import Photo
from maskfit.data.image_cache.cache import open_store
from maskfit.data.preprocessing import Framing
paths = [Path(path) for path in sys.argv[2:]]
photos = [Photo(path, path.name, path.stem) for path in paths]
stored = open_store(photos, Framing(size=(8, 10)), folder=Path(sys.argv[1]))
sys.stdout.write(stored.take(range(len(photos))).tobytes().hex())
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
        assert bytes.fromhex(out.decode()) == frames_of(order).tobytes()
    assert (store_of(folder) / "frames.bin").stat().st_size == 4 * ROW
    assert (store_of(folder) / "keys.txt").stat().st_size == 4 * KEY


SMALL = FRAMING.model_copy(update={"size": (16, 20)})


def test_several_framings_are_filled_in_one_pass(tmp_path, photos, monkeypatch):
    """What each store gives is what it gives when it is opened alone."""
    folder, read = tmp_path / "stores", []
    open_image_cache(photos[:1], SMALL, folder=folder)
    monkeypatch.setattr(
        "maskfit.data.image_cache.cache.decode", lambda content, name: read.append(Path(name).name) or decode(content)
    )
    monkeypatch.setattr("maskfit.data.image_cache.cache.AT_ONCE", 3)
    seen: list[tuple[int, int]] = []
    large, small = open_image_caches(
        photos, [(FRAMING, None), (SMALL, [0, 2])], folder=folder, progress=lambda *now: seen.append(now)
    )
    assert sorted(read) == ["a.png", "b.png", "c.png", "d.png"]
    assert seen == [(3, 4), (4, 4)]
    check(large, photos)
    wanted = np.stack([SMALL(decode(photos[place].path)) for place in (2, 0)])
    np.testing.assert_array_equal(small.gather([2, 0]), wanted)
    assert len(small) == 4
    assert len(small.pixels) == 2


def test_a_photo_that_was_not_wanted_is_never_another(tmp_path, photos):
    (stored,) = open_image_caches(photos, [(FRAMING, {1, 3})], folder=tmp_path / "stores")
    np.testing.assert_array_equal(stored.gather([3, 1]), frames_of([photos[3], photos[1]]))
    for places in ([0], [1, 2], [-2]):
        with pytest.raises(IndexError, match="not wanted"):
            stored.gather(places)


def test_a_photo_that_no_framing_wants_is_not_even_read(tmp_path, photos):
    photos[0].path.write_text("no photo at all")
    (stored,) = open_image_caches(photos, [(FRAMING, range(1, 4))], folder=tmp_path / "stores")
    np.testing.assert_array_equal(stored.gather([1, 2, 3]), frames_of(photos[1:]))


def test_a_framing_is_named_once(tmp_path, photos):
    with pytest.raises(ValueError, match="named twice"):
        open_image_caches(photos, [(FRAMING, None), (FRAMING, [1])], folder=tmp_path)


def test_stores_that_are_opened_together_never_wait_for_each_other(tmp_path, photos):
    """Two who want the same two stores, each in its own order."""
    folder = tmp_path / "stores"
    orders = [[(FRAMING, None), (SMALL, None)], [(SMALL, None), (FRAMING, None)]]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            shutil.rmtree(folder, ignore_errors=True)
            running = [pool.submit(open_image_caches, photos, order, folder=folder) for order in orders]
            for place, opened in enumerate(running):
                check(opened.result(timeout=60)[place], photos)


def test_what_is_removed_before_it_is_held_is_decoded_again(tmp_path, photos, monkeypatch):
    """The first batch was found in the store; then the store went, and the second batch made it anew."""
    folder = tmp_path / "stores"
    open_image_cache(photos[:2], FRAMING, folder=folder)
    monkeypatch.setattr("maskfit.data.image_cache.cache.AT_ONCE", 2)
    hold = ImageCacheFiles.lock

    def late(rows: ImageCacheFiles) -> None:
        shutil.rmtree(rows.folder)
        hold(rows)

    monkeypatch.setattr(ImageCacheFiles, "lock", late)
    check(open_image_cache(photos, FRAMING, folder=folder), photos)
    assert (store_of(folder) / "frames.bin").stat().st_size == 4 * ROW


def test_rows_stay_those_of_the_pixels_they_were_read_with(tmp_path, photos):
    """Between its rows being read and its pixels being mapped a store is built anew in another order."""
    folder = tmp_path / "stores"
    open_image_cache(photos, FRAMING, folder=folder)
    with ImageCacheFiles(store_of(folder), FRAMING) as rows:
        known, before = list(rows.row_of_key), rows.memory_map().copy()
        shutil.rmtree(rows.folder)
        open_image_cache(photos[::-1], FRAMING, folder=folder)
        np.testing.assert_array_equal(rows.memory_map(), before)
    with ImageCacheFiles(store_of(folder), FRAMING) as rows:
        assert list(rows.row_of_key) == known[::-1]
        np.testing.assert_array_equal(rows.memory_map(), before[::-1])


def test_a_removal_that_was_cut_off_leaves_readers_their_pixels(tmp_path, photos):
    folder = tmp_path / "stores"
    reader = open_image_cache(photos, FRAMING, folder=folder)
    (store_of(folder) / "keys.txt").unlink()
    check(open_image_cache(photos[:1], FRAMING, folder=folder), photos[:1])
    check(reader, photos)


def test_a_store_that_cannot_be_written_to_is_read(tmp_path, photos, monkeypatch):
    folder = tmp_path / "stores"
    open_image_cache(photos, FRAMING, folder=folder)

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "touch", refuse)
    check(open_image_cache(photos, FRAMING, folder=folder), photos)


def test_the_default_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "maskfit" / "stores"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_dir() == tmp_path / "home" / ".cache" / "maskfit" / "stores"
