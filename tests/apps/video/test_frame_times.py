"""Times of frames from time stamps that start anywhere, are missing, stand still or jump; declared durations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from maskfit.apps.video.capture import Frame, VideoCapture, parse_source
from maskfit.apps.video.frame_times import FrameClock

EVEN = [0.0, 0.04, 0.08, 0.12, 0.16]


def convert(stamps: Sequence[float | None], duration: float | None = None) -> tuple[list[float], int]:
    """Returns the times of a source at 25 frames per second, and how many are estimates."""
    clock = FrameClock(25, duration)
    times = [clock.next(stamp) for stamp in stamps]
    assert clock.last == times[-1]
    assert all(one < other for one, other in pairwise(times))
    return times, clock.num_estimated


@pytest.mark.parametrize(
    ("stamps", "times", "estimated"),
    [
        (EVEN, EVEN, 0),
        ([5 + time for time in EVEN], EVEN, 0),
        ([-1 + time for time in EVEN], EVEN, 0),
        ([0.0, 0.01, 0.5, 12.0, 12.04], [0.0, 0.01, 0.5, 12.0, 12.04], 0),  # a variable frame rate
        ([None] * 5, EVEN, 5),
        ([None, None, 7.0, 7.04, 7.08], EVEN, 2),  # the first stamps are missing
        ([3.0, None, 3.08, None, None], EVEN, 3),
        ([0.0, 0.0, 0.04, 0.08], [0.0, 0.001, 0.04, 0.08], 1),  # a duplicate
        ([0.0] * 5, [0.0, 0.001, 0.041, 0.081, 0.121], 4),  # a clock that stands still does not stop time
        ([90.0, 90.04, 0.0, 0.04, 0.08], EVEN, 1),  # joined files
        ([0.0, 0.2, 0.1, 0.3, 0.4], [0.0, 0.2, 0.201, 0.3, 0.4], 1),  # one comes late
        ([0.0, 0.04, 9e5, 9e5 + 0.04, 9e5 + 0.08], EVEN, 1),
        ([7.0, 7.04, 2.0, 7.12, 7.16], EVEN, 1),  # a single wrong stamp, as in a damaged video
        ([7.0, 7.04, 2.0, 2.04, 7.16], EVEN, 1),
        ([0.0, 0.04, 9e5, 0.12, 0.16], EVEN, 1),
        ([7.0, 7.04, 2.0, 7.0, 7.16], [0.0, 0.04, 0.08, 0.081, 0.16], 2),
    ],
)
def test_stamps_become_increasing_seconds_from_0(stamps, times, estimated):
    found, count = convert(stamps)
    assert found == pytest.approx(times)
    assert count == estimated


def test_a_long_gap_is_believed_up_to_the_declared_end_only():
    stamps = [0.0, 0.04, 300.0, 300.04]
    assert convert(stamps, duration=301.0) == (pytest.approx(stamps), 0)
    assert convert(stamps, duration=2.0) == (pytest.approx(EVEN[:4]), 1)


def test_a_video_that_outlasts_its_header_keeps_its_times():
    stamps = [number / 2 for number in range(20)]
    assert convert(stamps, duration=2.0) == (pytest.approx(stamps), 0)


# Files


def write(path: Path, times: Sequence[float], codec: str = "libx264", sound_seconds: float = 0.0) -> Path:
    """Writes a video whose frames are at the given times of its own clock, with a sound track from 0."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options={"g": "5"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 25 if codec == "mpeg4" else 1000)
        sound = out.add_stream("aac", rate=8000, layout="mono") if sound_seconds else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number % 250, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(time / video.codec_context.time_base), video.codec_context.time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None:
            for start in range(0, round(8000 * sound_seconds), 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                silence.sample_rate, silence.pts, silence.time_base = 8000, start, Fraction(1, 8000)
                out.mux(sound.encode(silence))
            out.mux(sound.encode(None))
    return path


def read(path: Path) -> tuple[list[Frame], VideoCapture]:
    video = VideoCapture(parse_source(str(path)))
    frames = list(video.read())
    video.close()
    return frames, video


@pytest.mark.parametrize(
    "name", ["a.mkv", "a.mp4", "a.mov", "a.ts", "a.flv", "a.avi", "a.nut", "a.asf"], ids=lambda name: name[2:]
)
def test_a_video_that_starts_at_5_seconds_is_whole(tmp_path, name):
    codec = "mpeg4" if name[2:] in ("avi", "nut", "asf") else "libx264"
    frames, video = read(write(tmp_path / name, [5 + number / 25 for number in range(75)], codec))
    assert len(frames) == 75
    assert video.truncation == ""
    if name != "a.avi":  # its stamps count frames from 0: FFmpeg fills the gap
        assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(75)], abs=0.002)
        assert video.duration == pytest.approx(3.0, abs=0.1)


def test_a_truncated_video_that_starts_at_5_seconds_is_noticed(tmp_path):
    path = write(tmp_path / "a.mkv", [5 + number / 25 for number in range(200)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    frames, video = read(path)
    assert 20 < len(frames) < 190
    assert "declares 8.0 s, but it ends after" in video.truncation


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
@pytest.mark.parametrize("start", [0.0, 2.0])
def test_a_longer_sound_track_does_not_make_a_video_incomplete(tmp_path, ending, start):
    times = [start + number / 25 for number in range(50)]
    frames, video = read(write(tmp_path / f"a.{ending}", times, sound_seconds=8.0))
    assert len(frames) == 50
    assert (video.truncation, video.num_estimated_times) == ("", 0)
    assert video.duration == pytest.approx(2.0, abs=0.1)


def test_joined_transport_streams_keep_their_pace(tmp_path):
    path = write(tmp_path / "a.ts", [number / 25 for number in range(100)])
    path.write_bytes(path.read_bytes() + write(tmp_path / "b.ts", [number / 25 for number in range(50)]).read_bytes())
    frames, video = read(path)
    assert len(frames) == 150
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(150)], abs=0.05)
    assert 1 <= video.num_estimated_times <= 3
    assert video.truncation == ""


def test_a_bare_stream_without_time_stamps_gets_the_frame_rate(tmp_path):
    frames, video = read(write(tmp_path / "a.h264", [number / 25 for number in range(30)]))
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(30)])
    assert video.num_estimated_times == 30


@pytest.mark.parametrize("name", ["starts_at_5s.mkv"])
def test_a_real_film_that_starts_at_5_seconds_is_whole(name):
    path = Path(os.environ.get("MASKFIT_REAL_FILMS", "nowhere")) / name
    if not path.exists():
        pytest.skip(f"needs a real film; MASKFIT_REAL_FILMS names the folder of {name}")
    frames, video = read(path)
    assert (len(frames), video.truncation) == (90, "")
    assert frames[-1].time == pytest.approx(5.9, abs=0.1)
