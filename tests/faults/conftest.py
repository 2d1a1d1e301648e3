"""Fixtures: faults of folders, disks and processes that tests of any command can use; and the command itself."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import bundled_model, command, evaluation, model, run_dir

__all__ = ["bundled_model", "command", "evaluation", "model", "run_dir"]


def write_photo(path: Path, seed: int = 0) -> Path:
    """Writes a photo of 48 x 64 pixels, whatever is on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((48, 64)).save(path)
    return path


@pytest.fixture
def no_permission(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Refuses to list a folder, also to root, whom permissions do not bind."""
    refused: set[str] = set()
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if isinstance(path, str | Path) and os.path.abspath(path) in refused:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return lambda path: refused.add(os.path.abspath(path))


@pytest.fixture
def troubled_folder(tmp_path: Path, no_permission: Callable[[Path], None]) -> Path:
    """A folder with three good photos and seven entries that cannot be used, each for another reason."""
    folder = tmp_path / "photos"
    for number, name in enumerate(("a.jpg", "sub/b.jpg", "z.jpg")):
        write_photo(folder / name, number)
    write_photo(folder / "locked" / "c.jpg")
    no_permission(folder / "locked")
    (folder / "sub" / "loop.jpg").symlink_to(folder / "sub" / "loop.jpg")
    (folder / "sub" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "album").symlink_to(folder / "sub")
    photo = (folder / "a.jpg").read_bytes()
    for name in (b"caf\xe9.jpg", b"red\x1b[31m.jpg", b"two\nlines.jpg"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(photo)
    return folder


TROUBLED = {
    "locked/": "the folder cannot be listed: Permission denied",
    "sub/loop.jpg": "Too many levels of symbolic links",
    "sub/gone.jpg": "there is no such photo",
    "album/": "a link to a folder, which is not followed",
    r"caf\xe9.jpg": "not UTF-8",
    r"red\x1b[31m.jpg": "control characters or a line break",
    r"two\nlines.jpg": "control characters or a line break",
}
"""Printable names in `troubled_folder` with a part of the reason."""
GOOD = ("a.jpg", "sub/b.jpg", "z.jpg")
"""Photos in `troubled_folder` that can be used."""


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn persons, 42 photos of 48 x 64 pixels, in the competition's layout."""
    from maskfit.synthesis.drawn import write_train_set

    return write_train_set(tmp_path_factory.mktemp("faces") / "drawn", 6, seed=3, size=(48, 64), workers=1)


TINY = (
    "data.image_size=24",
    "model.backbone.width=4",
    "trainer.epochs=2",
    "trainer.batch_size=16",
    "trainer.device=cpu",
    "data.cache_dir=cache",
    "output_dir=run",
)
"""Settings of a training that takes a second."""


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Lets no file of this process grow beyond a size, as a full disk does; other processes are not touched."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python does not notice that what it compiles is cut, and every later test would read it.
    compiles, sys.dont_write_bytecode = not sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = not compiles


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses locks, as some network folders do."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)


@pytest.fixture
def read_only_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home in which nothing can be made, also by root, whom permissions do not bind."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "/dev/null/home")


@pytest.fixture
def jumping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set back and forth by up to a day at every look; the monotonic one goes on."""
    plain, jumps = time.time, random.Random(1)
    monkeypatch.setattr(time, "time", lambda: plain() + jumps.uniform(-86400, 86400))


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a file vanish between the listing of its folder and its reading."""
    gone: set[str] = set()
    plain = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name in gone:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    return gone.add


@pytest.fixture
def slow_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that takes a while for every file."""
    plain = Path.read_bytes

    def read(path: Path) -> bytes:
        time.sleep(0.02)
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", read)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no memory for the pixels of a photo; the real limit is in `memory_limit`."""

    def refuse(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 1.00 GiB")

    for name in ("load", "draft"):
        monkeypatch.setattr(f"PIL.ImageFile.ImageFile.{name}", refuse)
    monkeypatch.setattr("maskfit.data.image_decoding.decode_simple_jpeg", refuse)


def memory_limit(size: int) -> str:
    """Lines for `processes.started` that let the process have no more memory than it has, and so many bytes."""
    return (
        "import resource, maskfit.inference.predictor, onnxruntime\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {size}, used + {size}))"
    )
