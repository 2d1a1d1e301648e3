"""Tests of photos in memory, over HTTP and in a folder."""

from __future__ import annotations

import builtins
import importlib.util
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import maskfit.data.remote_files
from maskfit.data.manifest_files import is_url
from maskfit.data.remote_files import ImageRoot, read_image_names
from maskfit.errors import DataError, MissingExtraError, PhotoError

NAMES = ["b/2.jpg", "b/10.png", "a.jpeg", "b/c/3.JPG"]
LITTER = ["b/._2.jpg", "notes.txt", ".DS_Store", "b/Thumbs.db"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES + LITTER:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "photos"


@pytest.fixture
def memory(folder: Path) -> Iterator[str]:
    import fsspec

    system = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"/photos/{path.relative_to(folder)}", path.read_bytes())
    yield "memory://photos"
    system.store.clear()


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("where", ["folder", "memory", "file"])
def test_names_do_not_depend_on_the_file_system(folder: Path, memory: str, where: str) -> None:
    root = ImageRoot({"folder": str(folder), "memory": memory, "file": f"file://{folder}"}[where])
    names = list(root.names())
    assert sorted(names) == sorted(NAMES)
    assert list(root.names()) == names
    for name in names:
        path = root.path(name)
        assert (path.read_bytes() if path else root.reader(name)()) == name.encode()
    assert (root.path("a.jpeg") is None) == is_url(root.root)


def test_photos_are_downloaded_over_http(served: str) -> None:
    root = ImageRoot(served)
    assert root.reader("b/c/3.JPG")() == b"b/c/3.JPG"
    with pytest.raises(PhotoError, match="cannot be downloaded"):
        root.reader("b/absent.jpg")()


def test_missing_and_too_large_photos_raise_photo_errors(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ImageRoot(memory)
    with pytest.raises(PhotoError, match="cannot be downloaded"):
        root.reader("absent.jpg")()
    monkeypatch.setattr(maskfit.data.remote_files, "MAX_BYTES", 5)
    with pytest.raises(PhotoError, match="larger than"):
        root.reader("a.jpeg")()


def test_a_root_without_photos_is_an_error(tmp_path: Path, memory: str) -> None:
    with pytest.raises(DataError, match=r"no photo below this URL|cannot be listed"):
        list(ImageRoot("memory://nothing").names())
    with pytest.raises(DataError, match="no such folder"):
        list(ImageRoot(str(tmp_path / "absent")).names())
    with pytest.raises(DataError, match="cannot be opened"):
        ImageRoot("nonsense://bucket/photos")


def test_lists_with_duplicates_or_outside_paths_are_rejected(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("ImageID\nb/2.jpg\na.jpeg\n")
    assert (
        list(read_image_names(path, "s3://bucket"))
        == list(read_image_names(path, str(folder)))
        == ["b/2.jpg", "a.jpeg"]
    )
    path.write_text("ImageID\nb/2.jpg\nb/2.jpg\n../a.jpeg\n/etc/a.jpg\n")
    with pytest.raises(DataError) as caught:
        read_image_names(path, "s3://bucket")
    assert len(caught.value.message.splitlines()) == 3
    with pytest.raises(DataError, match="is already in row 2"):
        read_image_names(path, str(folder))


def test_a_missing_protocol_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "fsspec" else real(name, *rest)
    )
    with pytest.raises(MissingExtraError, match="reading s3:// needs the extra 'ray'"):
        ImageRoot("s3://bucket/photos")
    monkeypatch.undo()
    imported = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.split(".")[0] == "gcsfs":
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match="gs:// needs the package gcsfs"):
        ImageRoot("gs://bucket/photos")
