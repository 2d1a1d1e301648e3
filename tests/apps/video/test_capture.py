"""Files, streams and cameras: frames, their times, and errors of sources that cannot be read."""

from __future__ import annotations

import http.server
import io
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from maskfit.apps.video import capture, live_capture
from maskfit.apps.video.capture import Frame, FrameSampling, SourceAddress, VideoCapture, parse_source
from maskfit.apps.video.live_capture import LatestFrameReader, ReconnectingSource, open_source, realtime_frames
from maskfit.apps.video.video_writer import open_video_writer
from maskfit.errors import DataError

TIMES = [0.0, 0.04, 0.08, 0.2, 0.5, 0.52, 0.6, 1.0]


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A frame whose number can be seen, its left upper corner white."""
    pixels = np.full((height, width, 3), 20 * number % 200, dtype=np.uint8)
    pixels[: height // 3, : width // 3] = 255
    return pixels


def write(path: Path, times: list[float] = TIMES, size: tuple[int, int] = (64, 48)) -> Path:
    with open_video_writer(path, size, 25) as out:
        for number, at in enumerate(times):
            out.write(at, picture(number, *size))
    return path


def read(path: Path) -> tuple[list[Frame], VideoCapture]:
    video = VideoCapture(parse_source(str(path)))
    frames = list(video.read())
    video.close()
    return frames, video


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_frames_are_read_with_their_own_times(tmp_path, ending):
    frames, video = read(write(tmp_path / f"a{ending}"))
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=2e-3)
    assert [frame.index for frame in frames] == list(range(len(TIMES)))
    for frame in frames:
        assert np.abs(frame.pixels.astype(int) - picture(frame.index))[20:, 30:].max() < 6
    assert not video.is_live
    assert (video.truncation, video.num_damaged, video.num_corrupt) == ("", 0, 0)


def test_an_odd_row_and_column_are_cropped(tmp_path):
    frames, _ = read(write(tmp_path / "a.mp4", size=(65, 49)))
    assert frames[0].pixels.shape == (48, 64, 3)


def test_a_frame_of_another_size_is_resized_to_the_first(tmp_path):
    with open_video_writer(tmp_path / "a.mp4", (64, 48), 25) as out:
        out.write(0.0, picture(0))
        out.write(0.1, picture(0, 128, 96))
    frames, _ = read(tmp_path / "a.mp4")
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 2


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_turned_clockwise(tmp_path, degrees):
    path = write(tmp_path / "a.mp4")
    (plain, *_), _ = read(path)
    turned = next(iter(VideoCapture(parse_source(str(path)), degrees).read()))
    expected = Image.fromarray(plain.pixels).rotate(-degrees, expand=True)
    np.testing.assert_array_equal(turned.pixels, np.asarray(expected))
    assert turned.pixels.flags.c_contiguous
    expected = Image.fromarray(plain.thumbnail).rotate(-degrees, expand=True)
    np.testing.assert_array_equal(turned.thumbnail, np.asarray(expected))


@pytest.mark.parametrize("kind", ["rgb24", "gray", "yuv420p", "gray16le"])
@pytest.mark.parametrize(("size", "expected"), [((640, 480), (30, 40)), ((30, 1000), (40, 1)), ((6, 4), (27, 40))])
def test_thumbnails_of_every_pixel_format_and_shape(kind, size, expected):
    width, height = size
    pixels = np.full((height, width, 3), 30, np.uint8)
    pixels[height // 2 :] = 200
    frame = Frame(0, 0.0, av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=kind))
    assert frame.thumbnail.shape == expected
    assert int(frame.thumbnail[0, 0]) == pytest.approx(30, abs=2)
    assert int(frame.thumbnail[-1, -1]) == pytest.approx(200, abs=2)


def test_a_video_is_complete_up_to_an_error(tmp_path):
    def work() -> None:
        with open_video_writer(tmp_path / "a.mp4", (64, 48), 25) as out:
            out.write(0.0, picture(0))
            out.write(0.5, picture(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert len(read(tmp_path / "a.mp4")[0]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "cannot be opened: No such file"),
        ("empty.mp4", b"", "this file is empty"),
        ("text.mp4", b"no video at all\n" * 50, "not a readable video"),
        ("half.mp4", "half", "not a readable video"),
        ("photo.jpg", "photo", "this is a photo, not a video"),
        ("sound.wav", "sound", "it has no video, only sound"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n", "not a readable video"),
    ],
)
def test_an_unreadable_source_is_an_error(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "half":
        content = write(tmp_path / "whole.mp4").read_bytes()[:900]
    elif content == "photo":
        stream = io.BytesIO()
        Image.new("RGB", (64, 48)).save(stream, "JPEG")
        content = stream.getvalue()
    elif content == "sound":
        head = b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xac\0\0\x88\x58\x01\0\x02\0\x10\0data\0\x08\0\0"
        content = head + bytes(2048)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        VideoCapture(parse_source(str(path)))


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(DataError, match="this is a folder"):
        parse_source(str(tmp_path))


def test_a_truncated_video_is_read_as_far_as_possible(tmp_path):
    path = write(tmp_path / "a.mkv", [number / 25 for number in range(200)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    frames, video = read(path)
    assert 20 < len(frames) < 190
    assert "declares 8.0 s, but it ends after" in video.truncation


def test_a_matroska_file_without_some_of_its_data_is_noticed(tmp_path):
    """Its reader passes over what it cannot read, so that no packet is damaged, but frames that build on it are."""
    path = write(tmp_path / "a.mkv", [number / 25 for number in range(100)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    frames, video = read(path)
    assert len(frames) > 20
    assert video.num_corrupt + video.num_damaged > 0 or video.truncation


@pytest.mark.parametrize("seed", [0, 11, 19])
def test_damaged_packets_are_skipped(tmp_path, seed):
    path, chance = tmp_path / "a.mp4", np.random.default_rng(seed)
    with open_video_writer(path, (64, 48), 25) as out:
        for number in range(100):
            out.write(number / 25, chance.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    for place in chance.integers(len(data) // 3, len(data) * 2 // 3, 2000):
        data[place] ^= 0xFF
    path.write_bytes(data)
    frames, video = read(path)
    assert 50 < len(frames) < 100
    # What is decoded of damaged packets differs by processor; a late frame at the end comes after the last one.
    assert frames[-1].time == pytest.approx(99 / 25, abs=0.2)
    assert video.num_damaged > 0
    assert video.num_corrupt > 0
    assert all(one.time < other.time for one, other in pairwise(frames))


def test_parse_source_distinguishes_files_urls_and_cameras(tmp_path):
    path = write(tmp_path / "0.mp4")
    assert parse_source(str(path)).kind == "file"
    assert parse_source("0") == SourceAddress("camera", "0", "camera 0")
    secret = parse_source("rtsp://me:s3cret@camera.local:8554/hall?token=t0ken")
    assert secret.kind == "stream"
    assert secret.display_name == "rtsp://camera.local:8554/hall"
    for word in ("file:///etc/passwd", "concat://a", "subfile://x", "gopher://x"):
        with pytest.raises(DataError, match="are not supported"):
            parse_source(word)
    with pytest.raises(DataError, match="not a valid URL"):
        parse_source("rtsp://[x")


def test_errors_contain_no_password():
    with pytest.raises(DataError, match="the stream cannot be opened: Connection refused") as raised:
        VideoCapture(parse_source("rtsp://me:s3cret@127.0.0.1:9/hall?token=t0ken"))
    assert "s3cret" not in str(raised.value)
    assert "t0ken" not in str(raised.value)


@pytest.mark.skipif(Path("/dev/video99").exists(), reason="there is a camera")
def test_a_missing_camera_is_an_error():
    with pytest.raises(DataError, match="camera cannot be opened"):
        VideoCapture(parse_source("99"))


def frames_at(times: list[float]) -> list[Frame]:
    return [Frame(number, at, av.VideoFrame(16, 16, "rgb24")) for number, at in enumerate(times)]


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (FrameSampling(), list(range(12))),
        (FrameSampling(every=5), [0, 5, 10]),
        (FrameSampling(max_fps=10), [0, 3, 5, 8, 10]),
        (FrameSampling(max_fps=1000), list(range(12))),
        (FrameSampling(every=2, max_fps=10), [0, 4, 6, 8, 10]),
    ],
)
def test_frame_sampling_selects_frames(sampling, kept):
    assert [frame.index for frame in sampling.subsample(frames_at([number * 0.04 for number in range(12)]))] == kept


def test_frame_sampling_keeps_its_rate_after_a_gap():
    times = [0.0, 0.04, 0.08, 0.12, 9.0, 9.04, 9.08, 9.12]
    assert [frame.time for frame in FrameSampling(max_fps=10).subsample(frames_at(times))] == [0.0, 0.12, 9.0, 9.12]


# Live


def test_only_the_newest_frame_is_kept_and_dropped_ones_are_counted():
    taken, stop = [], threading.Event()
    source = realtime_frames(iter(frames_at([number / 100 for number in range(40)])), stop)
    newest = LatestFrameReader(source, stop)
    for frame in newest:
        taken.append(frame.index)
        time.sleep(0.035)
    assert taken == sorted(set(taken))
    assert len(taken) + newest.num_dropped == 40
    assert newest.num_dropped > 10
    assert taken[-1] == 39


def test_errors_of_the_reading_thread_are_raised_in_the_consumer():
    def source() -> Iterator[Frame]:
        yield from frames_at([0.0])
        raise DataError("gone")

    with pytest.raises(DataError, match="gone"):
        for _ in LatestFrameReader(source(), threading.Event()):
            pass


def test_waiting_for_a_camera_can_be_stopped():
    stop = threading.Event()

    def source() -> Iterator[Frame]:
        yield from frames_at([0.0])
        stop.wait(5)

    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    assert [frame.index for frame in LatestFrameReader(source(), stop)] == [0]
    assert time.monotonic() - began < 3


class Flickering(http.server.BaseHTTPRequestHandler):
    """A camera on the network that breaks off after each serving, and is not there at some."""

    film: bytes = b""
    asked: int = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        if self.asked == 2:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(self.film)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[str]:
    """The address of a live stream: no length, no end but a broken line."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mpegts") as out:
        track = out.add_stream("libx264", rate=25, options={"g": "5"})
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            out.mux(track.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        out.mux(track.encode(None))
    Flickering.film, Flickering.asked = stream.getvalue(), 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flickering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hall.ts"
    server.shutdown()
    server.server_close()


def test_a_lost_stream_is_reconnected_and_continues(camera, monkeypatch):
    monkeypatch.setattr(live_capture, "FIRST_RETRY_SECONDS", 0.05)
    log: list[str] = []
    video = VideoCapture(parse_source(camera), 90)
    assert video.is_live
    stream = ReconnectingSource(video, threading.Event(), log.append, 20, partial(VideoCapture, rotation=90))
    frames = []
    for frame in stream.read():
        frames.append(frame)
        if len(frames) == 70:
            break
    assert [frame.index for frame in frames] == list(range(70))
    assert all(one.time < other.time for one, other in pairwise(frames))
    assert all(frame.captured_at is not None for frame in frames)
    assert stream.num_interruptions == 2
    assert {frames[0].pixels.shape, frames[-1].pixels.shape} == {(64, 48, 3)}
    assert len(log) == 4
    assert "hall.ts was lost: " in log[0]
    assert "; reconnecting for up to 20 s" in log[0]
    assert "is back after" in log[1]


def test_a_stream_that_stays_lost_is_an_error(camera, monkeypatch):
    monkeypatch.setattr(live_capture, "FIRST_RETRY_SECONDS", 0.05)

    def closed(address: SourceAddress) -> VideoCapture:
        raise DataError("closed")

    stream = ReconnectingSource(VideoCapture(parse_source(camera)), threading.Event(), lambda line: None, 0.2, closed)
    with pytest.raises(DataError, match=r"was lost \(.*\) and not back within 0.2 s"):
        list(stream.read())


def test_a_stream_that_is_not_there_yet_is_waited_for(camera, monkeypatch):
    monkeypatch.setattr(live_capture, "FIRST_RETRY_SECONDS", 0.05)
    Flickering.asked = 1  # The next answer is 503.
    log: list[str] = []
    video = open_source(parse_source(camera), threading.Event(), log.append, 20)
    assert video is not None
    video.close()
    first, second = log
    assert "hall.ts: the stream cannot be opened: " in first
    assert first.endswith("; trying again for up to 20 s")
    assert "hall.ts is there after" in second


def test_a_stream_that_never_comes_is_an_error_and_can_be_stopped(monkeypatch):
    monkeypatch.setattr(live_capture, "FIRST_RETRY_SECONDS", 0.05)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = parse_source(f"rtsp://me:secret@127.0.0.1:{unused.getsockname()[1]}/hall")
    log: list[str] = []
    with pytest.raises(DataError, match=r"not there within 0.3 s: the stream cannot be opened") as error:
        open_source(address, threading.Event(), log.append, 0.3)
    assert "secret" not in f"{error.value}{log}"
    stop = threading.Event()
    stop.set()
    assert open_source(address, stop, log.append, 300) is None
    with pytest.raises(DataError, match="the stream cannot be opened"):
        open_source(address, threading.Event(), lambda line: pytest.fail(line), 0)


def test_a_refused_password_is_an_error_at_once(monkeypatch):
    class Closed(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = parse_source(f"http://127.0.0.1:{server.server_port}/hall.ts")
        with pytest.raises(DataError, match="the stream cannot be opened"):
            open_source(address, threading.Event(), lambda line: pytest.fail(line), 300)
        server.shutdown()


def test_packets_that_no_decoder_takes_are_counted(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4")
    video = VideoCapture(parse_source(str(path)))
    packets = list(video._container.demux(video._stream))

    class Refused:
        def decode(self):
            raise av.error.ArgumentError(22, "Invalid argument")

    class Container:
        def demux(self, stream):
            return iter([Refused(), *packets, Refused()])

    monkeypatch.setattr(video, "_container", Container())
    assert len(list(video.read())) == len(TIMES)
    assert video.num_damaged == 2
    monkeypatch.setattr(Container, "demux", lambda *_: iter([Refused()]))
    with pytest.raises(DataError, match="no frame of this video can be decoded"):
        list(video.read())


def test_a_codec_that_ffmpeg_does_not_know():
    class Stream:
        disposition = av.stream.Disposition(0)
        codec_context = None

    class Container:
        format = av.format.ContainerFormat("mp4")

        class streams:  # noqa: N801
            video = (Stream(),)

    with pytest.raises(DataError, match="a codec that FFmpeg does not know"):
        capture._find_video_stream(Container(), parse_source("0"))
