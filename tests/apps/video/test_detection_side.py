"""Tests of the side at which the detector sees the frames of a live source."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from maskfit.apps.video.capture import FrameSampling, parse_source
from maskfit.apps.video.detection_side import NUM_TIMES, SIDES, WAIT_FRAMES, BudgetedFacePredictor, SideChoice
from maskfit.apps.video.pipeline import VideoOptions, process_video
from maskfit.data import detectors
from maskfit.data.crops.face import FaceCrop
from maskfit.data.detectors import DETECTORS, check_detector
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.registry import ComponentSpec

from ...conftest import Painted


def settle(choice: SideChoice, cost: float, frame_side: int, frames: int = 20 * NUM_TIMES) -> list[int]:
    """The sides of successive frames where detection takes `cost` seconds for each pixel that it sees."""
    sides = []
    for _ in range(frames):
        sides.append(choice.side)
        choice.update(cost * min(choice.side, frame_side) ** 2, frame_side)
    return sides


def test_the_side_rises_to_what_fits():
    # 640 pixels take 10 ms, 800 would take 15.6 of 20: more than the margin allows.
    sides = settle(SideChoice(320, 0.020), 0.010 / 640**2, 1920)
    assert sides == sorted(sides)
    assert sides[0] == 320
    assert sides[-1] == 640


def test_the_side_falls_at_once_to_what_fits_and_is_not_tried_again_soon():
    choice = SideChoice(960, 0.020)
    sides = settle(choice, 0.030 / 640**2, 1920, WAIT_FRAMES // 2)
    assert sides[: NUM_TIMES + 1] == [960] * NUM_TIMES + [512]
    assert set(sides[NUM_TIMES:]) == {512}
    # The machine has less to do: the sides in between are taken at once, the one that was too slow after a while.
    sides = settle(choice, 0.005 / 960**2, 1920, WAIT_FRAMES)
    assert sides[NUM_TIMES + 1] == 640
    assert sides[WAIT_FRAMES // 4] == 800
    assert sides[-1] == 960


def test_a_single_slow_frame_changes_nothing():
    choice = SideChoice(640, 0.020)
    for index in range(100):
        choice.update(5.0 if index % NUM_TIMES == 3 else 0.016, 640)
    assert choice.side == 640


@pytest.mark.parametrize(("frame_side", "side"), [(480, 512), (640, 640), (4000, 960)])
def test_no_side_exceeds_what_the_frame_has(frame_side, side):
    assert settle(SideChoice(320, 1.0), 1e-9, frame_side)[-1] == side


def test_the_smallest_side_is_kept_where_even_that_is_too_slow():
    assert settle(SideChoice(640, 0.001), 1.0, 640)[-1] == SIDES[0]


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_with_a_side_takes_all_of_them(name, monkeypatch):
    crop = FaceCrop(name)
    if crop.side is None:
        with pytest.raises(Exception, match="no option 'side'"):
            crop.with_side(640)
        return
    for side in SIDES:
        assert crop.with_side(side).side == side
        check_detector(ComponentSpec.create(name, side=side))


class Sized(Painted):
    """`Painted`, with a side that is noted at each look."""

    sides: ClassVar[list[int]] = []

    def __init__(self, side: int = 320, score: float = 0.5) -> None:
        if not 32 <= side <= max(SIDES):
            raise ValueError("side")
        super().__init__(score=score)
        self.side = side

    def detect(self, photos):
        self.sides.append(self.side)
        return super().detect(photos)


@pytest.fixture
def sized(painted, model, monkeypatch) -> FacePredictor:
    monkeypatch.setitem(detectors.DETECTORS, "sized", Sized)
    monkeypatch.setattr(Sized, "sides", [])
    return FacePredictor(Predictor.load(model, threads=1), detector=FaceCrop("sized"), predict_whole_image=False)


def test_faces_are_looked_for_at_the_chosen_side(sized):
    now = iter(range(10**6))
    # A tick of the clock for each look at 10 ticks a frame: there is time for more.
    budgeted = BudgetedFacePredictor(sized, 10.0, lambda: float(next(now)))
    frame = np.zeros((480, 600, 3), np.uint8)
    frame[100:200, 100:180] = (255, 0, 0)
    found = [budgeted.preprocess(frame).faces for _ in range(4 * NUM_TIMES)]
    assert Sized.sides == [320] * NUM_TIMES + [416] * NUM_TIMES + [512] * NUM_TIMES + [640] * NUM_TIMES
    assert {faces[0].box for faces in found} == {(100, 100, 180, 200)}


def test_a_detector_without_a_side_has_no_choice(reader):
    assert reader.detection_side is None
    with pytest.raises(ValueError, match="no option 'side'"):
        BudgetedFacePredictor(reader, 1.0)


def test_frames_that_do_not_wait_are_seen_at_a_side_that_fits_and_a_file_is_not(video, sized):
    source = parse_source(str(video))
    # At one frame a second there is time for the largest side of use: the film has 320 pixels.
    options = {"choose_side": True, "sampling": FrameSampling(max_fps=4)}
    summary = process_video(source, sized, VideoOptions(realtime=False, **options))
    assert (summary.detection_side, set(Sized.sides)) == (320, {320})
    Sized.sides.clear()
    slow = sized.with_detection_side(960)
    summary = process_video(source, slow, VideoOptions(realtime=True, max_seconds=1.0))
    assert (summary.detection_side, set(Sized.sides)) == (960, {960})
    assert summary.to_dict()["detection_side"] == 960
