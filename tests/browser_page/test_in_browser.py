"""The page in a real browser: the answers of Python, and no request but to its own server."""

from __future__ import annotations

import functools
import http.server
import io
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskfit import FacePredictor
from maskfit.errors import DataError

playwright = pytest.importorskip("playwright.sync_api", reason="drives a browser")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="there is no chromium")]

ARGUMENTS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
WAIT = 120_000
"""Milliseconds; networks compile slowly on a busy machine."""


class Server:
    """Serves a folder, and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format: str, *arguments: Any) -> None:
                asked.append(self.requestline)

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
        )
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server(builder, tmp_path_factory) -> Iterator[Server]:
    """Serves the page, with the real runtime."""
    try:
        builder.read_runtime(None)
    except DataError as error:
        pytest.skip(f"no runtime for the page: {error.message}")
    folder = tmp_path_factory.mktemp("page")
    builder.build_browser_page(folder)
    running = Server(folder)
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page(browser, server) -> Iterator[Any]:
    """The page, ready; a script's error fails the test."""
    errors: list[str] = []
    context = browser.new_context()
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(f"{server.address}index.html")
    opened.get_by_text("Ready.").wait_for(timeout=WAIT)
    yield opened
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def predictor() -> FacePredictor:
    return FacePredictor.load(detector="bundled", engine="onnx")


@pytest.fixture(scope="module")
def people(builder) -> Image.Image:
    """The page's own sample: four drawn persons."""
    return Image.open(io.BytesIO(builder.draw_people()))


def answers(page) -> dict[str, Any]:
    """What the page saves, which is what `maskfit predict --json` prints."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save answers").click()
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def drop(page, paths: list[Path]) -> None:
    """Drops files on the page, as a file manager does."""
    page.evaluate("document.body.append(Object.assign(document.createElement('input'), {type: 'file', id: 'own'}))")
    page.evaluate("document.getElementById('own').multiple = true")
    page.set_input_files("#own", [str(path) for path in paths])
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          for (const file of document.getElementById("own").files) transfer.items.add(file);
          document.getElementById("drop").dispatchEvent(
            new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
          document.getElementById("own").remove();
        }"""
    )
    page.locator("#status", has_text="Done").wait_for(timeout=WAIT)


def assert_same(own: dict[str, Any], expected: dict[str, Any], tolerance: float = 1e-3) -> None:
    keys = ("width", "height", "found", "note")
    assert [own[key] for key in keys] == [expected[key] for key in keys]
    assert len(own["faces"]) == len(expected["faces"])
    for face, other in zip(own["faces"], expected["faces"], strict=True):
        assert face["box"] == (other["box"] and pytest.approx(other["box"], abs=0.11))
        assert face["score"] == (other["score"] and pytest.approx(other["score"], abs=tolerance))
        for name in ("mask", "gender", "age"):
            assert face[name]["probabilities"] == pytest.approx(other[name]["probabilities"], abs=tolerance)
            assert (face[name]["answer"], face[name]["sure"]) == (other[name]["answer"], other[name]["sure"])


def test_dropped_photos_get_pythons_answers(page, server, predictor, people, tmp_path):
    """Wide, tall, a single face, none, and two files that are no photos."""
    paths = [tmp_path / f"{name}.png" for name in ("wide", "tall", "one", "none", "small")]
    people.save(paths[0])
    tall = Image.new("RGB", (480, 1200), (190, 200, 210))
    tall.paste(people.crop((0, 100, 480, 600)), (0, 500))
    tall.save(paths[1])
    people.crop((430, 180, 740, 600)).save(paths[2])
    Image.linear_gradient("L").resize((500, 300)).convert("RGB").save(paths[3])
    people.resize((192, 120)).save(paths[4])
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "empty.png").touch()
    drop(page, [*paths, broken, tmp_path / "empty.png"])
    found = answers(page)
    assert found["detector"] == "bundled"
    assert [item["photo"] for item in found["photos"]] == [path.name for path in paths]
    assert list(found["unreadable"]) == ["broken.jpg", "empty.png"]
    expected = [predictor.predict_one(path).to_dict() for path in paths]
    assert [item["found"] for item in expected][:4] == [4, 2, 1, 0]
    for own, other in zip(found["photos"], expected, strict=True):
        assert_same(own, other)
    assert page.locator("article.photo").count() == 7
    assert page.locator("article .box").count() == sum(item["found"] for item in expected)
    assert page.locator(".note").count() == sum(not item["found"] for item in expected)
    page.get_by_role("button", name="Remove broken.jpg").click()
    page.get_by_role("button", name="Clear").click()
    assert page.locator("article").count() == 0


def test_other_formats_and_turned_photos_get_pythons_answers(page, predictor, people, tmp_path):
    formats = {"gray.png": people.convert("L"), "palette.png": people.quantize(64), "bare.bmp": people}
    transparent = people.copy()
    transparent.putalpha(Image.linear_gradient("L").resize(people.size))
    formats["transparent.png"] = transparent
    for name, image in formats.items():
        image.save(tmp_path / name)
    people.save(tmp_path / "lossless.webp", lossless=True)
    for orientation in (1, 3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        people.save(tmp_path / f"turned{orientation}.jpg", exif=exif, quality=95)
        people.save(tmp_path / f"turned{orientation}.png", exif=exif)
    paths = sorted(tmp_path.iterdir())
    drop(page, paths)
    found = answers(page)
    assert found["unreadable"] == {}
    # The decoders of JPEG are two builds of one library, which gave the same pixels wherever this was tried.
    for own, path in zip(found["photos"], paths, strict=True):
        assert_same(own, predictor.predict_one(path).to_dict(), 0.02 if path.suffix == ".jpg" else 1e-3)
    assert {item["height"] for item in found["photos"]} == {600, 960}


def test_nothing_leaves_the_page_or_its_worker(page, server, people, tmp_path):
    """The policy holds for the worker too, which without its detour over a blob would obey none."""
    stranger = Server(tmp_path)
    try:
        attempt = f"fetch('{stranger.address}', {{ method: 'POST', body: 'photo', mode: 'no-cors' }})"
        attempt += ".then(() => 'sent', () => 'refused')"
        assert page.evaluate(attempt) == "refused"
        (worker,) = page.workers
        assert worker.evaluate(attempt) == "refused"
        before = len(server.asked)
        people.save(tmp_path / "people.png")
        page.context.set_offline(True)
        drop(page, [tmp_path / "people.png"])
        assert page.locator("article .box").count() == 4
        assert server.asked[before:] == []
        assert stranger.asked == []
        assert [line for line in server.asked if not line.startswith("GET ")] == []
    finally:
        stranger.close()


def test_the_sample_is_read_and_boxes_point_at_cards(page):
    page.get_by_role("button", name="Try drawn people").click()
    page.locator("#status", has_text="Done").wait_for(timeout=WAIT)
    assert page.locator("li.face").count() == 4
    tags = page.locator(".tag").all_inner_texts()
    assert sorted(tag.split()[0] for tag in tags) == ["1", "2", "3", "4"]
    page.locator("li.face").nth(1).hover()
    assert page.locator(".box.active").get_attribute("data-number") == "2"
    page.locator("li.face summary").first.click()
    values = page.locator("li.face").first.locator("table td:last-child").all_inner_texts()
    assert np.isclose(sum(float(text.split()[0]) for text in values), 300, atol=0.5)
    assert "research" in page.locator("#license").inner_text()
    assert "mask" in page.locator("#thresholds").inner_text()


def test_the_camera_shows_and_takes_pictures(page):
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take a photo").click(timeout=WAIT)
    page.locator("article.photo").wait_for(timeout=WAIT)
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("#camera").is_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None
    assert answers(page)["photos"][0]["photo"] == "camera.png"


def test_a_missing_file_is_said(browser, server, tmp_path):
    folder = tmp_path / "page"
    shutil.copytree(Path(server._server.RequestHandlerClass.keywords["directory"]), folder)
    next((folder / "weights").glob("face_detector_*")).unlink()
    other = Server(folder)
    try:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{other.address}index.html")
        page.get_by_text("could not be loaded").wait_for(timeout=WAIT)
        assert "face_detector" in page.locator("#status").inner_text()
        context.close()
    finally:
        other.close()
