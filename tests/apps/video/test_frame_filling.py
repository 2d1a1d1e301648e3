"""Tests of filling in frames between two that agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest

from maskfit.apps.video.capture import parse_source
from maskfit.apps.video.event_detector import EventDetector, EventThresholds
from maskfit.apps.video.frame_filling import MAX_GAP_SECONDS, FrameFiller, group_frames
from maskfit.apps.video.pipeline import VideoCallbacks, VideoOptions, process_video
from maskfit.data.boxes import CropBox
from maskfit.data.detectors import Face
from maskfit.inference.face_prediction import FacePrediction, PhotoPrediction
from maskfit.labels.schema import LABEL_SCHEMAS

from .conftest import RATE

SCHEMA = LABEL_SCHEMAS["mask"]
FPS = 25.0


@dataclass(frozen=True)
class Moment:
    """Stands for a frame."""

    index: int
    time: float
    thumbnail: np.ndarray = field(default_factory=lambda: np.full((30, 40), 100, np.uint8), compare=False)


def moments(count: int, fps: float = FPS) -> list[Moment]:
    return [Moment(index, index / fps) for index in range(count)]


def face(x: float, state: tuple[float, float, float] = (0.98, 0.01, 0.01), side: float = 50) -> FacePrediction:
    box = (x, 10.0, x + side, 10 + side)
    return FacePrediction((), np.array(state), Face(box, 0.9), CropBox(box))


class Script:
    """Faces of each frame; remembers the frames in which they were detected, and in which the network looked again."""

    def __init__(self, *frames: list[FacePrediction], thumbnails: Sequence[np.ndarray] | None = None) -> None:
        self.frames = frames
        self.thumbnails = thumbnails
        self.predicted: list[int] = []
        self.looked: list[int] = []
        self.events = EventDetector(SCHEMA, {}, EventThresholds())

    def detect(self, frame: Moment) -> int:
        return frame.index

    def crop(self, frame: Moment, faces: list[Face]) -> tuple[int, list[Face]]:
        return frame.index, faces

    def predict(self, found: int | tuple[int, list[Face]]) -> PhotoPrediction:
        if isinstance(found, int):
            self.predicted.append(found)
            return PhotoPrediction(640, 480, tuple(self.frames[found]))
        index, boxes = found
        self.looked.append(index)
        nearest = [min(self.frames[index], key=lambda own: abs(own.box[0] - box.box[0])) for box in boxes]
        return PhotoPrediction(640, 480, tuple(replace(own, face=box) for own, box in zip(nearest, boxes, strict=True)))

    def run(self, every: int = 4, fps: float = FPS, min_score: float | None = 0.5) -> list:
        filler = FrameFiller(self.detect, self.crop, self.predict, self.events, min_score)  # type: ignore[arg-type]  # stands for frames
        frames = moments(len(self.frames), fps)
        if self.thumbnails is not None:
            frames = [replace(frame, thumbnail=own) for frame, own in zip(frames, self.thumbnails, strict=True)]
        groups = ((group, group[-1].index) for group in group_frames(frames, every))  # type: ignore[arg-type]
        seen = []
        for item in filler.fill(groups):  # type: ignore[arg-type]
            self.events.update(item.frame.index, item.frame.time, item.prediction.faces)
            seen.append(item)
        return seen


@pytest.mark.parametrize(
    ("count", "every", "fps", "sizes"),
    [
        (10, 4, 25, [1, 4, 4, 1]),
        (9, 1, 25, [1] * 9),
        (9, 8, 25, [1, 5, 3]),
        (7, 4, 10, [1, 2, 2, 2]),
        (5, 4, 2, [1] * 5),
        (1, 4, 25, [1]),
        (0, 4, 25, []),
    ],
)
def test_frames_are_grouped_by_number_and_time(count, every, fps, sizes):
    groups = list(group_frames(moments(count, fps), every))  # type: ignore[arg-type]
    assert [len(group) for group in groups] == sizes
    assert [frame.index for group in groups for frame in group] == list(range(count))
    for before, group in pairwise(groups):
        assert len(group) == 1 or group[-1].time - before[-1].time <= MAX_GAP_SECONDS + 1e-9


def test_a_group_ends_before_a_gap():
    frames = [Moment(index, time) for index, time in enumerate((0.0, 0.04, 0.08, 5.0, 5.04))]
    assert [[frame.index for frame in group] for group in group_frames(frames, 4)] == [[0], [1, 2], [3], [4]]  # type: ignore[arg-type]


def test_every_frame_comes_in_order_and_a_face_that_moves_is_interpolated():
    script = Script(*[[face(100 + 3 * index)] for index in range(61)])
    seen = script.run()
    assert [item.frame.index for item in seen] == list(range(61))
    # Until the face counts, after three frames, in every one.
    assert sorted(script.predicted) == [*range(3), *range(4, 61, 4)]
    for item in seen:
        assert item.prediction.faces[0].box == pytest.approx(
            (100 + 3 * item.frame.index, 10, 150 + 3 * item.frame.index, 60)
        )
        assert item.is_filled == (item.frame.index not in script.predicted)
    assert (script.events.persons[0].track.hits, script.events.persons[0].track.track_id) == (61, 1)


@pytest.mark.parametrize("at", range(41, 45))
@pytest.mark.parametrize("change", ["comes", "goes", "changes", "last goes"])
def test_the_frame_in_which_a_face_comes_goes_or_changes_is_found(at, change):
    still, other, changed = face(100), face(300), face(100, (0.01, 0.01, 0.98))
    before, after = {
        "comes": ([still], [still, other]),
        "goes": ([still, other], [still]),
        "changes": ([still], [changed]),
        "last goes": ([still], []),
    }[change]
    seen = Script(*[before] * at, *[after] * (60 - at)).run()
    assert [len(item.prediction.faces) for item in seen] == [len(before)] * at + [len(after)] * (60 - at)
    worn = [item.prediction.faces[0].probabilities[0] > 0.5 for item in seen if item.prediction.faces]
    assert worn.count(False) == (60 - at if change == "changes" else 0)
    assert any(item.is_filled for item in seen[30:at])


def test_faces_that_could_be_confused_are_predicted():
    apart, near = [face(100), face(300)], [face(100), face(190)]
    script = Script(*[apart] * 45, *[near] * 20)
    script.run()
    assert set(range(45, 65)) <= set(script.predicted)


def test_a_face_that_jumps_is_predicted():
    script = Script(*[[face(100)]] * 42, *[[face(150)]] * 3, *[[face(100)]] * 15)
    lefts = [item.prediction.faces[0].box[0] for item in script.run()]
    assert lefts == pytest.approx([100] * 42 + [150] * 3 + [100] * 15)


def test_a_face_of_no_clear_state_is_looked_at_in_every_frame():
    unclear, clear = face(100, (0.55, 0.44, 0.01)), face(300)
    script = Script(*[[unclear, clear]] * 50)
    seen = script.run()
    assert set(script.looked) | set(script.predicted) == set(range(50))
    assert len(script.predicted) < 20
    assert {len(item.prediction.faces) for item in seen} == {2}
    # A state is clear half a second after the face came.
    script = Script(*[[clear]] * 50)
    script.run()
    assert min(set(range(50)) - set(script.looked) - set(script.predicted)) / FPS >= 0.5


def test_a_single_frame_of_another_state_is_seen_while_an_event_is_near():
    wear, bare = face(100), face(100, (0.01, 0.01, 0.98))
    # From the 44th frame to the 50th the old state is no longer likely, and the new one has not lasted.
    frames = [[wear]] * 35 + [[bare]] * 13 + [[wear]] + [[bare]] * 12
    states = [item.prediction.faces[0].probabilities[0] > 0.5 for item in Script(*frames).run()]
    assert states == [True] * 35 + [False] * 13 + [True] + [False] * 12


@pytest.mark.parametrize(("x", "is_gone"), [(300.0, False), (620.0, True), (-20.0, True)])
def test_a_face_that_is_unseen_is_looked_for_in_every_frame_unless_it_went_beyond_the_edge(x, is_gone):
    script = Script(*[[face(100), face(x)]] * 41, *[[face(100)]] * 20)
    script.run()
    assert len([index for index in script.predicted if index > 44]) == (4 if is_gone else 16)


def views(count: int, changed: Sequence[int], area: tuple[slice, slice], by: int) -> list[np.ndarray]:
    """Thumbnails of a still scene with noise, which is brighter in an area of some frames."""
    generator = np.random.default_rng(0)
    found = []
    for index in range(count):
        own = generator.integers(97, 104, (30, 40)).astype(np.uint8)
        if index in changed:
            own[area] += by
        found.append(own)
    return found


@pytest.mark.parametrize("first", range(40, 44))
@pytest.mark.parametrize("others", [[], [face(100)]])
def test_a_face_that_is_seen_for_three_frames_is_found(first, others):
    seen = range(first, first + 3)
    frames = [others + [face(500)] * (index in seen) for index in range(61)]
    # The face of (500, 10, 550, 60) on a thumbnail of 640 x 480 pixels.
    area = (slice(1, 4), slice(31, 35))
    found = Script(*frames, thumbnails=views(61, seen, area, 30)).run()
    assert [len(item.prediction.faces) for item in found] == [len(own) for own in frames]
    assert any(item.is_filled for item in found[:40])


@pytest.mark.parametrize(
    ("area", "by", "is_filled"),
    [
        ((slice(20, 22), slice(30, 33)), 30, False),
        ((slice(20, 22), slice(30, 33)), 5, True),
        # Below and beside the face of (100, 10, 150, 60): the person's body.
        ((slice(5, 18), slice(4, 13)), 30, True),
    ],
    ids=["elsewhere", "noise", "body"],
)
def test_what_only_frames_between_two_show_is_looked_at(area, by, is_filled):
    found = Script(*[[face(100)]] * 61, thumbnails=views(61, [42], area, by)).run()
    # Faces are detected in frames 40 and 44, and the middle one is seen first.
    assert [item.is_filled for item in found[41:44]] == [True, is_filled, True]
    assert all(item.is_filled for item in found[45:48])


def test_every_frame_of_a_pan_is_predicted():
    wall = np.random.default_rng(0).integers(40, 220, (30, 200), dtype=np.uint8)
    pan = [wall[:, max(index - 30, 0) :][:, :40] for index in range(61)]
    found = Script(*[[]] * 61, thumbnails=pan).run()
    assert sum(item.is_filled for item in found[:29]) == 21
    assert not any(item.is_filled for item in found[31:])


@pytest.mark.parametrize(
    ("score", "min_score", "is_filled"), [(0.54, 0.5, False), (0.6, 0.5, True), (0.54, None, True)]
)
def test_while_a_face_is_faint_every_frame_is_predicted(score, min_score, is_filled):
    own = face(100)
    faint = replace(own, face=own.face._replace(score=score))
    found = Script(*[[faint]] * 61).run(min_score=min_score)
    assert any(item.is_filled for item in found) == is_filled


def test_landmarks_are_interpolated():
    def with_landmarks(x: float) -> FacePrediction:
        own = face(x)
        return replace(own, face=own.face._replace(landmarks=((x, 20.0),) * 5))

    for item in Script(*[[with_landmarks(100 + 2 * index)] for index in range(45)]).run():
        found = item.prediction.faces[0].face
        assert np.allclose(found.landmarks, (100 + 2 * item.frame.index, 20))


def test_an_empty_scene_needs_every_nth_frame_only():
    script = Script(*[[]] * 41)
    script.run()
    assert script.predicted == list(range(0, 41, 4))


def test_with_every_1_each_frame_is_predicted():
    script = Script(*[[face(100)]] * 30)
    assert not any(item.is_filled for item in script.run(every=1))
    assert script.predicted == list(range(30))


def rows_of(video, reader, **options) -> tuple[list[dict[str, str]], object]:
    rows: list[dict[str, str]] = []
    callbacks = VideoCallbacks(on_event=lambda event, formatter: rows.append(formatter.to_row(event)))
    summary = process_video(parse_source(str(video)), reader, VideoOptions(**options), callbacks=callbacks)
    return rows, summary


def test_events_of_a_film_are_those_of_every_frame(video, reader):
    exact, every = rows_of(video, reader, detect_every=1)
    rows, filled = rows_of(video, reader)
    kept = ("time", "frame", "person", "event", "mask", "previous", "gender", "since")
    assert [[row[key] for key in kept] for row in rows] == [[row[key] for key in kept] for row in exact]
    assert every.num_filled == 0
    assert 0 < filled.num_filled < filled.num_frames == every.num_frames


@pytest.mark.parametrize("options", [{"realtime": True}, {"blur": True, "video_path": "v.mp4"}])
def test_live_and_blurred_frames_are_all_predicted(video, reader, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    if "video_path" in options:
        options = {**options, "video_path": tmp_path / "v.mp4"}
    _, summary = rows_of(video, reader, max_seconds=2.0, **options)
    assert summary.num_filled == 0
    assert summary.num_frames <= 2.0 * RATE


def test_the_command_says_how_many_frames_were_filled_in(command, video, model, painted):
    result = command(video, "--model", model, "--json")
    summary = json.loads(result.out.splitlines()[-1])
    assert summary["filled_in"] > 0
    assert f"{summary['filled_in']} frames filled in" in result.err
    result = command(video, "--model", model, "--json", "--detect-every", "1")
    assert json.loads(result.out.splitlines()[-1])["filled_in"] == 0
    assert "filled in" not in result.err
    assert command(video, "--model", model, "--detect-every", "0").code == 2
