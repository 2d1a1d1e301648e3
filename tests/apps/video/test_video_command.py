"""`maskfit video` from the command line, on a synthetic video with known events."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from maskfit.apps.video import live_capture
from maskfit.apps.video.capture import FrameSampling, VideoCapture, parse_source
from maskfit.apps.video.event_writer import EventFormatter
from maskfit.apps.video.pipeline import VideoCallbacks, VideoOptions, process_video
from maskfit.cli.video import _writer
from maskfit.data.detectors import Face
from maskfit.errors import DataError
from maskfit.file_io import read_csv
from maskfit.inference.annotation import VALUE_COLORS

from .conftest import RATE, SIZE, gray_model

LATE = 0.75
"""Maximum delay of a change in seconds: half a second of smoothing and half a second of debouncing."""

COLUMNS = [
    "time",
    "frame",
    "person",
    "event",
    "mask",
    "previous",
    "probability",
    "doubtful",
    "gender",
    "since",
    "left",
    "upper",
    "right",
    "lower",
]


def event_keys(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(row["person"], row["event"], row["mask"]) for row in rows]


def truth(film) -> list[tuple[str, str, str]]:
    """The same of the film, whose walks are numbered from 0 in the order of their coming."""
    return [(str(turn.person + 1), turn.event, turn.state) for turn in film.events]


def by_person(rows: list[tuple[str, str, str]]) -> dict[str, list[tuple[str, str, str]]]:
    return {name: list(own) for name, own in groupby(sorted(rows, key=lambda row: row[0]), key=lambda row: row[0])}


def test_the_events_of_a_synthetic_video_match_its_script(command, film, video, model, painted, tmp_path):
    result = command(video, "--model", model, "--out", "events.csv", "--counts", "counts.csv")
    assert result.code == 0
    rows = read_csv(tmp_path / "events.csv", COLUMNS)
    assert list(rows[0]) == COLUMNS
    assert by_person(event_keys(rows)) == by_person(truth(film))
    happened = {(str(turn.person + 1), turn.event, turn.state): turn.time for turn in film.events}
    for row in rows:
        when = happened[row["person"], row["event"], row["mask"]]
        early = 1.5 / RATE if row["event"] == "left" else 0.01
        assert when - early <= float(row["since"]) <= when + (LATE - 0.3), row
        assert float(row["since"]) <= float(row["time"]) == pytest.approx(int(row["frame"]) / RATE, abs=0.01)
        assert float(row["time"]) <= when + (1.2 if row["event"] == "left" else LATE + 0.4), row
        assert row["gender"] == "female"
        assert row["previous"] == ("" if row["event"] != "changed" else "wear" if row["person"] == "1" else "incorrect")
    counts = read_csv(tmp_path / "counts.csv", ["minute"])
    assert counts == [
        {"minute": "0", "people": "2", "wear": "1", "incorrect": "0", "not_wear": "1", "not_sure": "0", "changes": "2"}
    ]
    assert "person 1 changed: not worn 9" in result.out
    assert f"{len(film.times)} frames of 5.9 s" in result.err
    assert "2 people, 2 changes" in result.err
    assert f"written: {Path('events.csv')}" in result.err


def test_event_boxes_match_the_faces(command, film, video, model, painted, tmp_path):
    command(video, "--model", model, "--out", "events.csv")
    for row in read_csv(tmp_path / "events.csv", COLUMNS):
        if row["event"] in ("appeared", "changed"):
            box = [float(row[edge]) for edge in ("left", "upper", "right", "lower")]
            expected = film.boxes(film.times[int(row["frame"])])[int(row["person"]) - 1]
            assert box == pytest.approx(expected, abs=4)


def test_the_annotated_video_keeps_the_frame_times(command, film, video, model, painted, tmp_path):
    assert command(video, "--model", model, "--video", "marked.mp4").code == 0
    frames = list(VideoCapture(parse_source(str(tmp_path / "marked.mp4"))).read())
    assert [frame.time for frame in frames] == pytest.approx(film.times, abs=0.002)
    # A side of the first face's box is in the color of its state, blue for worn.
    place = int(2.0 * RATE)
    left, upper, right, lower = map(round, film.boxes(film.times[place])[0])
    pixels = frames[place].pixels.astype(int)
    rows = slice(upper + 15, lower - 5)
    blue = np.abs(pixels[rows, left - 4 : right + 4] - VALUE_COLORS[0].background).sum(-1) < 120
    assert blue.any(axis=1).mean() > 0.9


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_film_of_a_camera_mounted_sideways_is_turned_upright(command, film, model, painted, tmp_path, degrees):
    from maskfit.apps.video.video_writer import open_video_writer

    size = SIZE if degrees == 180 else SIZE[::-1]
    with open_video_writer(tmp_path / "sideways.mp4", size, RATE) as out:
        for time_, pixels in film.frames():
            out.write(time_, np.ascontiguousarray(np.rot90(pixels, degrees // 90)))
    result = command(
        "sideways.mp4", "--model", model, "--rotate", degrees, "--out", "e.csv", "--video", "v.mp4", "--seconds", 3
    )
    assert result.code == 0, result.err
    rows = read_csv(tmp_path / "e.csv", COLUMNS)
    assert {row["event"] for row in rows} == {"appeared", "ended"}
    row = rows[0]
    box = [float(row[edge]) for edge in ("left", "upper", "right", "lower")]
    assert box == pytest.approx(film.boxes(film.times[int(row["frame"])])[0], abs=4)
    drawn = next(iter(VideoCapture(parse_source(str(tmp_path / "v.mp4"))).read())).pixels
    assert drawn.shape[:2] == SIZE[::-1]


def test_blur_hides_every_face(command, film, video, model, painted, tmp_path):
    assert command(video, "--model", model, "--video", "marked.mp4", "--blur").code == 0
    place = int(3.0 * RATE)
    frames = list(VideoCapture(parse_source(str(tmp_path / "marked.mp4"))).read())
    for number, (left, upper, right, lower) in film.boxes(film.times[place]).items():
        inner = (slice(round(upper) + 4, round(lower) - 4), slice(round(left) + 4, round(right) - 4))
        plain, hidden = film.frame(film.times[place])[inner], frames[place].pixels[inner]
        assert np.abs(plain.astype(int) - hidden.astype(int)).mean() > 8, number


def test_json_lines_and_a_summary(command, video, model, painted, film):
    result = command(video, "--model", model, "--json")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert sorted((str(line["person"]), line["event"], line["mask"]) for line in lines[:-1]) == sorted(truth(film))
    assert lines[-1]["event"] == "summary"
    assert (lines[-1]["frames"], lines[-1]["people"], lines[-1]["changes"]) == (75, 2, 2)
    assert (lines[-1]["dropped"], lines[-1]["stopped"], lines[-1]["broke_off"]) == (0, False, "")


@pytest.mark.parametrize("words", [("--every", "2"), ("--fps", "5")])
def test_fewer_frames_give_the_same_events(command, video, model, painted, film, words):
    result = command(video, "--model", model, "--json", *words)
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert lines[-1]["frames"] in (30, 31, 38)
    found = by_person([(str(line["person"]), line["event"], line["mask"]) for line in lines[:-1]])
    assert found == by_person(truth(film))


def test_realtime_drops_frames_that_arrive_too_fast(video, reader, monkeypatch):
    from time import monotonic, sleep

    look = reader.preprocess
    monkeypatch.setattr(reader, "preprocess", lambda pixels: (sleep(0.2), look(pixels))[1])
    began = monotonic()
    summary = process_video(parse_source(str(video)), reader, VideoOptions(realtime=True, max_seconds=1.5))
    assert 1.2 < monotonic() - began < 6
    assert summary.num_dropped > 5
    assert 17 <= summary.num_frames + summary.num_dropped <= 25
    assert not summary.stopped


def test_max_seconds_ends_the_video(video, reader):
    summary = process_video(parse_source(str(video)), reader, VideoOptions(max_seconds=2.0))
    assert (summary.num_frames, summary.num_events, summary.num_persons) == (25, 4, 2)


def test_ctrl_c_leaves_complete_files(command, video, model, painted, tmp_path, monkeypatch):
    """The signal itself, sent while the command runs, as a terminal sends it."""
    frames = []
    see = painted._look

    def look(self: object, photo: np.ndarray) -> list[Face]:
        frames.append(1)
        if len(frames) == 30:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return see(self, photo)

    monkeypatch.setattr(painted, "_look", look)
    before = signal.getsignal(signal.SIGINT)
    result = command(
        video, "--model", model, "--out", "e.csv", "--counts", "c.csv", "--video", "v.mp4", "--detect-every", "1"
    )
    assert result.code == 130
    assert "stopped" in result.err
    assert signal.getsignal(signal.SIGINT) is before
    rows = read_csv(tmp_path / "e.csv", COLUMNS)
    assert {row["event"] for row in rows} == {"appeared", "stopped"}
    assert "person 1 was there when the watch was stopped: " in result.out
    assert read_csv(tmp_path / "c.csv", ["people"])[0]["people"] == "2"
    seen = list(VideoCapture(parse_source(str(tmp_path / "v.mp4"))).read())
    assert 25 <= len(seen) <= 31
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["c.csv", "e.csv", "v.mp4"]


def test_events_are_in_the_file_where_the_reader_of_the_pipe_has_ended(video, reader, tmp_path):
    def closed(event: object, formatter: object) -> None:
        raise BrokenPipeError

    options = VideoOptions(tmp_path / "e.csv", tmp_path / "c.csv")
    with pytest.raises(BrokenPipeError):
        process_video(parse_source(str(video)), reader, options, callbacks=VideoCallbacks(on_event=closed))
    assert [row["event"] for row in read_csv(tmp_path / "e.csv", COLUMNS)] == ["appeared", "stopped"]
    assert read_csv(tmp_path / "c.csv", ["people"])[0]["people"] == "1"


def test_a_lost_camera_leaves_complete_files(video, reader, tmp_path, monkeypatch):
    """A live source: the film, told to be one, that breaks off and is not found again."""
    monkeypatch.setattr(VideoCapture, "is_live", property(lambda self: True))
    options = VideoOptions(tmp_path / "e.csv", tmp_path / "c.csv", tmp_path / "v.mp4", reconnect_seconds=0)
    with pytest.raises(DataError, match="not back within 0 s"):
        process_video(parse_source(str(video)), reader, options)
    rows = read_csv(tmp_path / "e.csv", ["clock"])
    assert all("T" in row["clock"] for row in rows)
    assert list(read_csv(tmp_path / "c.csv", ["clock"])[0])[:2] == ["minute", "clock"]
    assert list(VideoCapture(parse_source(str(tmp_path / "v.mp4"))).read())


def test_a_camera_whose_machine_learns_the_time_late(video, reader, tmp_path, monkeypatch):
    """As on a small computer without a clock of its own: the time of day is set while the stream is read."""
    late = timedelta(days=400)
    looks = iter(range(10_000))

    class SetClock(datetime):
        @classmethod
        def now(cls, tz=None):
            look = next(looks)
            if look == 1:
                # A camera's frame that nobody took yet is replaced by the next one: the first is to be seen.
                time.sleep(0.5)
            return datetime.now(tz) + (late if look >= 1 else timedelta())

    monkeypatch.setattr(live_capture, "datetime", SetClock)
    monkeypatch.setattr(VideoCapture, "is_live", property(lambda self: True))
    notes = []
    options = VideoOptions(tmp_path / "e.csv", tmp_path / "c.csv", reconnect_seconds=0)
    with pytest.raises(DataError, match="not back within 0 s"):
        process_video(parse_source(str(video)), reader, options, callbacks=VideoCallbacks(on_message=notes.append))
    assert [note for note in notes if "was set forward by 34,560,000 seconds" in note]
    (minute,) = read_csv(tmp_path / "c.csv", ["clock"])
    assert datetime.fromisoformat(minute["clock"]) - datetime.now().astimezone() > timedelta(days=399)
    rows = read_csv(tmp_path / "e.csv", ["time", "since"])
    assert all(0 <= float(row["since"]) <= float(row["time"]) < 60 for row in rows)


def test_the_threshold_of_the_model_file_applies(command, video, painted, tmp_path):
    model = gray_model(tmp_path / "careful.onnx", {"mask": 1.0})
    lines = [json.loads(line) for line in command(video, "--model", model, "--json").out.splitlines()]
    assert {line["mask"] for line in lines[:-1]} == {"not sure"}
    assert lines[-1]["changes"] == 0


@pytest.mark.parametrize(("threshold", "asked", "sure"), [(1.0, 0.1, False), (0.0, 1.0, False), (0.1, 0.1, True)])
def test_the_larger_of_the_two_thresholds_counts(command, video, painted, tmp_path, threshold, asked, sure):
    model = gray_model(tmp_path / "own.onnx", {"mask": threshold})
    result = command(video, "--model", model, "--json", "--min-confidence", asked)
    assert ({json.loads(line).get("mask") for line in result.out.splitlines()[:-1]} != {"not sure"}) == sure
    words = " ".join(command("--help").out.replace("│", " ").split())
    assert "the model's own threshold counts where it is higher" in words


def test_a_truncated_video_is_processed_with_a_warning(command, model, painted, film, tmp_path):
    from maskfit.apps.video.video_writer import open_video_writer

    path = tmp_path / "a.mkv"
    with open_video_writer(path, SIZE, RATE) as out:
        for time, pixels in film.frames():
            out.write(time, pixels)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    result = command(path, "--model", model)
    assert result.code == 0
    assert "the video breaks off: its header declares 6.0 s, but it ends after" in result.err


def test_frames_without_time_stamps_are_counted(command, model, painted, film, tmp_path):
    import av

    with av.open(str(tmp_path / "a.h264"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for _, pixels in list(film.frames())[:20]:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    result = command("a.h264", "--model", model, "--json")
    assert result.code == 0
    assert json.loads(result.out.splitlines()[-1])["estimated_times"] == 20
    assert "20 frames have a missing or wrong time stamp" in result.err


def test_a_real_state_that_no_longer_holds_is_withdrawn(command):
    film = Path(os.environ.get("MASKFIT_REAL_FILMS", "nowhere")) / "state_stays.mp4"
    if not film.exists():
        pytest.skip("needs a real film; MASKFIT_REAL_FILMS names the folder of state_stays.mp4")
    lines = [json.loads(line) for line in command(film, "--json", "--every", 3).out.splitlines()]
    first, change, *_, last, _ = lines
    assert (first["event"], first["mask"]) == ("appeared", "wear")
    assert (change["event"], change["previous"]) == ("changed", "wear")
    assert 3 <= change["since"] <= change["time"] <= 4.5
    assert last["event"] == "ended"
    assert last["mask"] != "wear"


def test_nothing_is_replaced_without_force(command, video, model, painted, tmp_path):
    for option in ("--out", "--counts", "--video"):
        path = tmp_path / "mine.mp4"
        path.write_text("mine")
        result = command(video, "--model", model, option, path)
        assert result.code == 2
        assert "add --force" in result.err
        assert path.read_text() == "mine"
    assert command(video, "--model", model, "--out", path, "--force", "--seconds", 1).code == 0
    assert path.read_text().startswith("time,")


def test_a_restarted_watch_continues_its_files(command, video, model, painted, tmp_path):
    words = (video, "--model", model, "--out", "e.csv", "--counts", "c.csv")
    assert command(*words, "--append").code == 0
    once, minutes = (tmp_path / "e.csv").read_text(), (tmp_path / "c.csv").read_text()
    refused = command(*words)
    assert (refused.code, "add --append to continue it, or add --force" in refused.err) == (2, True)
    # The power was cut while a row was written.
    (tmp_path / "e.csv").write_text(once + "1.2,15,3,appea")
    result = command(*words, "--append")
    assert result.code == 0, result.err
    assert "the last row of e.csv breaks off and is left out: 1.2,15,3,appea" in result.err
    rows = read_csv(tmp_path / "e.csv", COLUMNS)
    assert (tmp_path / "e.csv").read_text().startswith(once)
    first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    assert [{**row, "person": str(int(row["person"]) + 2)} for row in first] == second
    assert (tmp_path / "c.csv").read_text() == minutes + minutes.splitlines(keepends=True)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "mine.csv", "--append"], "it has other columns and cannot be continued: mine"),
        (["--counts", "mine.csv", "--append"], "it has other columns"),
        (["--video", "v.mp4", "--append"], "--append needs a file to continue"),
        (["--out", "mine.csv", "--append", "--force"], "leave out one of the two"),
    ],
)
def test_what_cannot_be_continued_is_an_error(command, video, model, painted, tmp_path, words, message):
    (tmp_path / "mine.csv").write_text("mine")
    result = command(video, "--model", model, *words)
    assert (result.code, message in result.err) == (2, True), result.err
    assert (tmp_path / "mine.csv").read_text() == "mine"
    (tmp_path / "v.mp4").write_text("mine")
    result = command(video, "--model", model, "--out", "e.csv", "--video", "v.mp4", "--append")
    assert "the file exists" in result.err
    assert "--append" not in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.mp4", "--model", "M"], "cannot be opened"),
        (["V", "--model", "M", "--blur"], "add --video out.mp4"),
        (["V", "--model", "M", "--rotate", "45"], "--rotate 90, 180 or 270"),
        (["V", "--model", "M", "--video", "out.avi"], "use one of .mp4"),
        (["V", "--model", "M", "--out", "a.csv", "--counts", "a.csv"], "two outputs have the same path"),
        (["V", "--model", "none.onnx"], "there is no such model"),
        (["V", "--model", "M", "--detector", "yolo"], "'yolo' is unknown"),
        (["text.mp4", "--model", "M", "--out", "e.csv"], "this is not a readable video"),
        (["ftp://somewhere/a.mp4", "--model", "M"], "are not supported"),
    ],
)
def test_wrong_arguments_are_errors_and_nothing_is_written(command, video, model, painted, tmp_path, words, message):
    (tmp_path / "text.mp4").write_text("no video " * 100)
    result = command(*({"V": video, "M": model}.get(word, word) for word in words))
    assert result.code == 2
    assert message in result.err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["text.mp4"]


def test_without_a_model_the_bundled_one_is_used(command, video, model, painted, monkeypatch):
    # Imported while the function is replaced, these would keep the replacement.
    import maskfit.inference.face_predictor
    import maskfit.inference.predictor  # noqa: F401

    monkeypatch.setattr("maskfit.inference.input_resolution.bundled_model_path", lambda: model)
    result = command(video, "--seconds", 1)
    assert result.code == 0, result.err
    assert "no model named" in result.err


def test_lines_reach_a_pipe_beside_a_progress_bar(monkeypatch, capsys):
    """Rich leads standard output to its own console meanwhile, which here is standard error."""
    from maskfit.cli.console import err, progress

    monkeypatch.setattr(err, "_force_terminal", True)
    write = _writer()
    with progress("watching", "frames") as advance:
        advance(1, None)
        write('{"event": "appeared"}')
    assert capsys.readouterr().out == '{"event": "appeared"}\n'


def test_callbacks_get_every_event_and_frame(video, reader):
    events, steps = [], []
    callbacks = VideoCallbacks(
        on_event=lambda event, telling: events.append(telling.to_text(event)),
        on_progress=lambda done, total: steps.append((done, total)),
    )
    summary = process_video(
        parse_source(str(video)), reader, VideoOptions(sampling=FrameSampling(every=3)), callbacks=callbacks
    )
    assert len(events) == summary.num_events
    assert steps[-1] == (73, 75)
    assert EventFormatter(reader.predictor.schema).columns[4] == "mask"
