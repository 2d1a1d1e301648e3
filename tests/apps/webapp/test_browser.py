"""The web app in a real browser: upload, prediction, download, and no request to other hosts."""

from __future__ import annotations

import csv
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskfit.apps.webapp.session import sample_photos

from ...inference.conftest import make_model

pytest.importorskip("streamlit", reason="the page needs the extra 'app'")
playwright = pytest.importorskip("playwright.sync_api", reason="drives a browser")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="there is no chromium")]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """URL of an app with a model that predicts photos as they are."""
    model = make_model(tmp_path / "model.safetensors")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "maskfit", "app", str(model), "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    for _ in range(600):  # it is printed before the server listens
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield line
    process.send_signal(signal.SIGINT)
    process.wait(30)


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    (tmp_path / "drawn.jpg").write_bytes(sample_photos()[1].content)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return [str(tmp_path / "drawn.jpg"), str(tmp_path / "bad.jpg")]


def test_photos_are_uploaded_predicted_and_downloaded(address, photos, tmp_path):
    strangers: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: strangers.append(request.url) if _is_strange(request.url) else None)
        page.goto(address, timeout=120_000)
        page.get_by_text("the whole photo").click(timeout=120_000)
        page.set_input_files("input[type=file]", photos)
        page.get_by_text("Download CSV").wait_for(timeout=120_000)
        assert page.locator("article.ms-card").count() == 1
        assert page.get_by_text("damaged").count() == 1
        with page.expect_download() as download:
            page.get_by_text("Download CSV").click()
        download.value.save_as(tmp_path / "faces.csv")
        stranger = browser.new_page()
        stranger.goto(address.split("?")[0])
        stranger.get_by_text("lacks its key").wait_for(timeout=60_000)
        assert stranger.locator("input[type=file]").count() == 0
        browser.close()
    with (tmp_path / "faces.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["photo"] for row in rows] == ["drawn.jpg", "bad.jpg"]
    assert rows[0]["mask"] in ("wear", "incorrect", "not_wear")
    assert strangers == []


def _is_strange(url: str) -> bool:
    return not url.startswith(("http://localhost", "ws://localhost", "data:", "blob:"))
