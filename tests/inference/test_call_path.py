"""The call path of `maskfit predict PHOTO.jpg`: few files are entered, and the predictor through one door."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType

import pytest

import maskfit
from maskfit.cli.predict import predict

SOURCE = Path(maskfit.__file__).parent

MAX_FILES = 30
"""Files of maskfit whose functions a predict of one photo may enter."""

MAX_PREDICTOR_CALLS = 2
"""Calls of functions of predictor.py from other files."""


class CallTrace:
    """Records which functions of maskfit run in any thread, without what runs while a module is imported."""

    def __init__(self) -> None:
        self.functions: dict[str, set[str]] = defaultdict(set)
        self.predictor_calls: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or not path.is_relative_to(SOURCE) or self._is_import(frame):
            return
        file = path.relative_to(SOURCE).as_posix()
        self.functions[file].add(frame.f_code.co_qualname)
        caller = frame.f_back
        if file == "inference/predictor.py" and (
            caller is None or caller.f_code.co_filename != frame.f_code.co_filename
        ):
            self.predictor_calls.append(frame.f_code.co_qualname)

    @staticmethod
    def _is_import(frame: FrameType) -> bool:
        current: FrameType | None = frame
        while current is not None:
            # Below the import system, and not only below the test run's own `<module>`.
            if current.f_code.co_filename.startswith("<frozen importlib"):
                return True
            current = current.f_back
        return False

    def __enter__(self) -> CallTrace:
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture
def trace(photos, capsys, monkeypatch, tmp_path):
    """`trace(faces)` runs the command's function on one JPEG with the bundled model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SM_CHANNEL_MODEL", raising=False)
    photo = next(path for path in photos if path.suffix == ".jpg")

    def run(faces: str) -> CallTrace:
        with CallTrace() as calls:
            predict([str(photo)], faces=faces)
        assert str(photo) in capsys.readouterr().out
        return calls

    return run


@pytest.mark.parametrize("faces", ["auto", "whole"])
def test_one_photo_enters_few_files_and_the_predictor_once(trace, faces):
    calls = trace(faces)
    assert len(calls.functions) <= MAX_FILES, sorted(calls.functions)
    assert len(calls.predictor_calls) <= MAX_PREDICTOR_CALLS, calls.predictor_calls
    # What must be there is seen: the trace covers the threads that read and predict.
    assert "OnnxEngine.logits" in calls.functions["inference/engines/engine.py"]
    assert "load_image" in calls.functions["inference/image_loading.py"]
    assert calls.predictor_calls == ["Predictor.load"]


def test_a_second_prediction_enters_no_more(trace):
    first, second = trace("auto"), trace("auto")
    assert set(second.functions) <= set(first.functions)
