"""Sources of frames: a video file, the address of a stream, or a camera, read by FFmpeg through PyAV.

PyAV and not OpenCV, although both bring FFmpeg: it gives each frame's own time, says why something cannot be read,
can be told how long to wait for a network, and writes videos of H.264 with uneven times that browsers play.
"""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import numpy as np

from maskfit.data.image_decoding import MAX_PIXELS, Pixels
from maskfit.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

SourceKind = Literal["file", "stream", "camera"]

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp")
"""Schemes of addresses that are opened."""

INNER_PROTOCOLS = "rtp,srtp,tls,crypto,httpproxy,data"
"""What streams may use beneath. Never `file`: a play list from elsewhere must not name files of this machine."""

TIMEOUT_SECONDS = 10.0
"""Seconds without a byte after which a stream or camera counts as broken off."""

DURATION_TOLERANCE_SECONDS = 1.0
"""Seconds by which a video may end before what its header says; a sound track may be that much longer."""

MIN_FRAME_STEP_SECONDS = 1e-3
"""Seconds between two frames at least: times that stand still or run back are damaged."""


@dataclass(frozen=True)
class SourceAddress:
    """What is to be watched.

    Attributes:
        kind: A file is looked at frame by frame; streams and cameras wait for nobody.
        word: As FFmpeg opens it; it may hold a password.
        shown: For people and files, without password and query.
    """

    kind: SourceKind
    url: str
    display_name: str


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        number: Counted from 0 in the source, those passed over included.
        time: Seconds since the source's beginning, by the source's own clock.
        picture: As FFmpeg decoded it.
        clock: When it came, of a live source.
    """

    index: int
    time: float
    video_frame: VideoFrame
    captured_at: datetime | None = None

    @cached_property
    def pixels(self) -> Pixels:
        """Upright RGB, (height, width, 3), uint8."""
        pixels = self.video_frame.to_ndarray(format="rgb24")
        # Telephones write their frames lying, and beside them how far to turn back, against the clock.
        turns = round(self.video_frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else np.asarray(pixels, dtype=np.uint8)


@dataclass(frozen=True)
class FrameSampling:
    """Which frames are wanted.

    Attributes:
        every: Each that many-th, 1 or more.
        fps: At most that many in a second of the source's time, above 0; None for all.
    """

    every: int = 1
    max_fps: float | None = None

    def subsample(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames that are wanted."""
        due = 0.0
        for frame in frames:
            if frame.index % self.every:
                continue
            if self.max_fps:
                # A hundredth of a step early is in time: the times of a file are rounded.
                if frame.time < due - 0.01 / self.max_fps:
                    continue
                due = max(due + 1 / self.max_fps, frame.time)
            yield frame


def parse_source(word: str) -> SourceAddress:
    """What a word of the user's means: a number is a camera, `scheme://` an address, all else a file.

    Raises:
        DataError: There is no such file, it cannot be a video, or the scheme is none of `NETWORKS`.
    """
    if re.fullmatch(r"\d{1,3}", word):
        return SourceAddress("camera", word, f"camera {int(word)}")
    if "://" in word:
        return _parse_address(word)
    path = Path(word)
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"this cannot be opened: {error.strerror}",
            location=path,
            hint="name a video file, an address or a camera's number",
        ) from None
    if stat.S_ISCHR(status.st_mode):
        return SourceAddress("camera", str(path), str(path))
    if stat.S_ISDIR(status.st_mode):
        raise DataError(
            "this is a folder", location=path, hint="name a video in it; photos are read by 'maskfit predict'"
        )
    if not stat.S_ISREG(status.st_mode):
        raise DataError("this is neither a file nor a camera", location=path, hint="name a video file")
    if not status.st_size:
        raise DataError("this file is empty", location=path, hint="copy it once more")
    return SourceAddress("file", str(path.absolute()), str(path))


def _parse_address(word: str) -> SourceAddress:
    try:
        parts = urlsplit(word)
        host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError as error:
        raise DataError(f"this is no address: {error}", hint="write it like rtsp://camera.local:554/stream") from None
    if parts.scheme.lower() not in NETWORK_SCHEMES:
        raise DataError(
            f"addresses that begin with {parts.scheme}:// are not opened", hint=f"known: {', '.join(NETWORK_SCHEMES)}"
        )
    return SourceAddress("stream", word, f"{parts.scheme.lower()}://{host}{parts.path}")


class VideoCapture:
    """An opened source.

    Args:
        address: What to open.

    Attributes:
        seconds: How long it is, as far as it says; None for what has no end.
        frames: How many frames it has, as far as that is known.
        rate: Frames a second on the mean, as far as it says.
        damaged: Parts that could not be decoded so far.
        broke_off: In words, how far it could be read, where that is less than it says.

    Raises:
        DataError: It cannot be opened, or holds no video.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, address: SourceAddress) -> None:
        self.address = address
        self._container = _open(address)
        try:
            self._stream = _find_video(self._container, address)
        except DataError:
            self._container.close()
            raise
        duration = self._container.duration
        # A camera says 0 or nothing, a stream nothing.
        self.duration = duration / 1e6 if duration and duration > 0 and address.kind != "camera" else None
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0) or None
        self.num_frames = self._stream.frames or (
            round(self.duration * self.fps) if self.duration and self.fps else None
        )
        # Frames in several threads come late by as many frames, which only what waits can afford.
        self._stream.thread_type = "SLICE" if self.is_live else "AUTO"
        self.num_damaged = 0
        self.truncation = ""

    @property
    def is_live(self) -> bool:
        """Whether frames come by themselves, and are lost when nobody takes them."""
        return self.duration is None and self.address.kind != "file"

    def read(self) -> Iterator[Frame]:
        """Every frame; parts that cannot be decoded are counted and passed over.

        Raises:
            DataError: Not a single frame can be decoded.
        """
        number, last, start = 0, -1.0, None
        for picture in self._pictures():
            if start is None:
                start = picture.time or 0.0
            time = last + 1 / (self.fps or 25) if picture.time is None else picture.time - start
            last = max(time, last + MIN_FRAME_STEP_SECONDS) if number else 0.0
            yield Frame(number, last, picture)
            number += 1
        if not number:
            raise DataError(
                "not a single frame of this video can be read",
                location=self.address.display_name,
                hint="restore the file",
            )
        if self.duration and last + DURATION_TOLERANCE_SECONDS + 1 / (self.fps or 25) < self.duration:
            self.truncation = f"it says that it is {self.duration:.1f} s long, but ends after {last:.1f} s"

    def _pictures(self) -> Iterator[VideoFrame]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                return
            except av.error.FFmpegError as error:
                if self.is_live:
                    raise
                self.truncation = f"it cannot be read to its end: {error.strerror}"
                return
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                self.num_damaged += 1

    def close(self) -> None:
        """Gives file, connection or camera free."""
        self._container.close()


def _open(address: SourceAddress) -> InputContainer:
    try:
        import av
    except ImportError:
        raise MissingExtraError("'maskfit video'", "watch") from None
    try:
        if address.kind == "file":
            return av.open(address.url, options={"protocol_whitelist": "file"})
        if address.kind == "stream":
            # Over UDP, the default of RTSP, lost packets smear the picture.
            options = {"protocol_whitelist": ",".join((*NETWORK_SCHEMES, INNER_PROTOCOLS)), "rtsp_transport": "tcp"}
            return av.open(address.url, options=options, timeout=(TIMEOUT_SECONDS, TIMEOUT_SECONDS))
        name, device = _camera(address.url)
        return av.open(device, format=name, timeout=(TIMEOUT_SECONDS, TIMEOUT_SECONDS))
    except av.error.ExitError:
        reason = f"it does not answer within {TIMEOUT_SECONDS:g} s"
    except (av.error.FFmpegError, ValueError, OSError) as error:
        # Never the error as a whole: it holds the address, and that may hold a password.
        reason = getattr(error, "strerror", None) or type(error).__name__
    what = {"file": "this is no video that can be read", "stream": "the stream cannot be opened"}
    fix = {"file": "play it elsewhere to see whether it is whole", "stream": "check address, network and password"}
    raise DataError(
        f"{what.get(address.kind, 'the camera cannot be opened')}: {reason}",
        location=address.display_name,
        hint=fix.get(address.kind, "check its number, its cable, and that no other program has it"),
    )


def _camera(word: str) -> tuple[str, str]:
    """FFmpeg's names of the platform's camera interface and of a camera."""
    if not word.isdecimal():
        return "v4l2", word
    if sys.platform == "darwin":
        return "avfoundation", word
    if sys.platform == "win32":
        return "dshow", _windows_camera(int(word))
    return "v4l2", f"/dev/video{int(word)}"


def _windows_camera(number: int) -> str:
    import av

    names = [device.name for device in av.enumerate_input_devices("dshow") if "video" in device.media_types]
    if number >= len(names):
        raise DataError(
            f"there is no camera {number}", hint=f"there are {len(names)}, counted from 0: {', '.join(names) or 'none'}"
        )
    return f"video={names[number]}"


def _find_video(container: InputContainer, address: SourceAddress) -> Any:
    import av

    covers = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        raise DataError(
            "there is no video in it, only sound or data", location=address.display_name, hint="name a video"
        )
    if address.kind == "file" and (container.format.name == "image2" or container.format.name.endswith("_pipe")):
        raise DataError(
            "this is a photo, not a video", location=address.display_name, hint="photos are read by 'maskfit predict'"
        )
    width, height = streams[0].codec_context.width, streams[0].codec_context.height
    if width * height > MAX_PIXELS:
        raise DataError(
            f"frames of {width} x {height} pixels are too large",
            location=address.display_name,
            hint="make a smaller copy",
        )
    return streams[0]
