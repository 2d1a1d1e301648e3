"""The builder: pinned runtime, clear errors, and a page that loads nothing from elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import tarfile
import urllib.error
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from maskfit.errors import DataError

from .conftest import PAGE

PAGE_FILES = sorted(path for path in PAGE.rglob("*") if path.suffix in (".html", ".js", ".css", ".svg"))


@pytest.fixture
def tarball(tmp_path: Path, builder, monkeypatch) -> Path:
    """A small stand-in for ONNX Runtime Web, which the builder takes for the pinned one."""
    path = tmp_path / "runtime.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in builder.RUNTIME_FILES:
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    digest = b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    monkeypatch.setattr(builder, "RUNTIME_SHA512", digest)
    monkeypatch.setattr(builder, "draw_people", lambda: b"PNG")
    return path


def test_the_folder_holds_everything_that_the_page_loads(tmp_path, builder, tarball):
    out = tmp_path / "page"
    builder.build_browser_page(out, tarball)
    settings = json.loads((out / "settings.json").read_text(encoding="utf-8"))
    needed = [*settings["files"].values(), settings["runtime"]["binary"], "runtime/LICENSE", "LICENSE"]
    needed += ["runtime/ThirdPartyNotices.txt", "drawn-people.png", *(path.name for path in PAGE_FILES)]
    assert [name for name in needed if not (out / name).stat().st_size] == []
    model, detector = builder.weights()
    assert (out / settings["files"]["model"]).read_bytes() == model.read_bytes()
    assert (out / settings["files"]["detector"]).read_bytes() == detector.read_bytes()
    sizes = [(out / name).stat().st_size for name in (*settings["files"].values(), settings["runtime"]["binary"])]
    assert settings["bytes"] == sum(sizes)


def test_it_is_built_again_over_itself_and_over_nothing_else(tmp_path, builder, tarball):
    builder.build_browser_page(tmp_path / "page", tarball)
    builder.build_browser_page(tmp_path / "page", tarball)
    own = tmp_path / "own"
    own.mkdir()
    (own / "index.html").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="other files than this page"):
        builder.build_browser_page(own, tarball)
    assert (own / "index.html").read_text(encoding="utf-8") == "mine"


def test_another_tarball_is_refused(tmp_path, builder, tarball, monkeypatch, capsys):
    tarball.write_bytes(tarball.read_bytes() + b"\0")
    monkeypatch.setattr(sys, "argv", ["build", "--out", str(tmp_path / "page"), "--runtime", str(tarball)])
    assert builder.main() == 2
    assert "its SHA-512 differs" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_a_download_is_checked_and_kept(tmp_path, builder, tarball, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return io.BytesIO(tarball.read_bytes())

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    builder.build_browser_page(tmp_path / "page")
    builder.build_browser_page(tmp_path / "page")
    assert asked == [builder.RUNTIME_URL]
    monkeypatch.setattr(builder, "RUNTIME_SHA512", b64encode(bytes(64)).decode())
    with pytest.raises(DataError, match="SHA-512 differs"):
        builder.build_browser_page(tmp_path / "page")


def test_without_a_network_the_error_says_what_to_do(tmp_path, builder, tarball, monkeypatch, capsys):
    def urlopen(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr(sys, "argv", ["build", "--out", str(tmp_path / "page")])
    assert builder.main() == 2
    message = capsys.readouterr().err
    assert "no route to host" in message
    assert "--runtime" in message


def test_mkdocs_completes_its_site(tmp_path, builder, tarball, monkeypatch):
    monkeypatch.setenv(builder.TARBALL_VARIABLE, str(tarball))
    (tmp_path / "site" / "browser").mkdir(parents=True)
    (tmp_path / "site" / "browser" / builder.MARKER).write_bytes((PAGE / builder.MARKER).read_bytes())
    builder.on_post_build({"site_dir": str(tmp_path / "site")})
    assert (tmp_path / "site" / "browser" / "weights" / "bundled.onnx").is_file()


def test_mkdocs_builds_its_site_without_a_network(tmp_path, builder, tarball, monkeypatch, caplog):
    def urlopen(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with caplog.at_level("INFO"):
        builder.on_post_build({"site_dir": str(tmp_path / "site")})
    assert "is incomplete" in caplog.text
    monkeypatch.setenv(builder.TARBALL_VARIABLE, str(tmp_path / "missing.tgz"))
    with pytest.raises(DataError, match="no such tarball"):
        builder.on_post_build({"site_dir": str(tmp_path / "site")})


class Elements(HTMLParser):
    """Collects elements with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def test_the_policy_allows_nothing_from_elsewhere():
    parser = Elements()
    parser.feed((PAGE / "index.html").read_text(encoding="utf-8"))
    policies = [own["content"] for tag, own in parser.found if own.get("http-equiv") == "Content-Security-Policy"]
    directives = {words[0]: words[1:] for words in (text.split() for text in policies[0].split(";"))}
    allowed = {"'self'", "'none'", "'wasm-unsafe-eval'", "blob:"}
    assert directives["default-src"] == ["'self'"]
    assert {source for sources in directives.values() for source in sources} <= allowed
    assert "blob:" not in directives["script-src"]
    inline = [own for tag, own in parser.found if tag == "style" or "style" in own or any(k[:2] == "on" for k in own)]
    assert inline == []
    assert [own for tag, own in parser.found if tag == "script" and "src" not in own] == []
    labeled = {own["for"] for tag, own in parser.found if tag == "label"}
    assert [own for tag, own in parser.found if tag == "input" and own["id"] not in labeled] == []


@pytest.mark.parametrize("path", PAGE_FILES, ids=lambda path: path.name)
def test_no_file_of_the_page_names_another_host(path: Path):
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?://\S+", text) == []
