"""Reads frames from a video file, a stream or a camera with FFmpeg, through PyAV.

PyAV rather than OpenCV, although both include FFmpeg: it gives each frame's own time, reports why something cannot be
read, supports network timeouts, and writes H.264 videos with variable frame rates that browsers play.
"""

from __future__ import annotations

import re
import shlex
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
from numpy.typing import NDArray

from maskfit.apps.video.display_matrix import orient, read_display_matrix
from maskfit.apps.video.frame_times import DEFAULT_FPS, FrameClock, declared_duration
from maskfit.data.image_decoding import Pixels, rotate
from maskfit.data.image_opening import MAX_PIXELS
from maskfit.errors import DataError, MissingExtraError, is_model_name

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

SourceKind = Literal["file", "stream", "camera"]

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp")
"""URL schemes that are opened."""

INNER_PROTOCOLS = "rtp,srtp,tls,crypto,httpproxy,data"
"""Protocols that streams may use beneath. Never `file`: a remote playlist must not name files of this machine."""

TIMEOUT_SECONDS = 10.0
"""Seconds without data after which a stream or camera counts as disconnected."""

DURATION_TOLERANCE_SECONDS = 1.0
"""Seconds by which a video may end before the duration in its header; a sound track may be that much longer."""


class SourceUnavailableError(DataError):
    """A stream that cannot be opened now, and may be later: its camera is switched off, or the network is not there."""


@dataclass(frozen=True)
class SourceAddress:
    """Address of a video source.

    Attributes:
        kind: `file`, whose every frame is processed, or `stream` or `camera`, which may be live.
        url: What FFmpeg opens; may contain a password.
        display_name: For messages and files, without password and query.
    """

    kind: SourceKind
    url: str
    display_name: str


THUMBNAIL_SIDE = 40
"""Cells of the longer side of a frame's thumbnail: so few that the noise of a camera averages out."""


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        index: Counted from 0 in the source, skipped frames included.
        time: Seconds since the beginning of the source, by its own clock.
        video_frame: The decoded frame of FFmpeg.
        captured_at: When it arrived, of a live source.
        rotation: Degrees clockwise by which it is turned beyond what the video declares: 0, 90, 180 or 270.
    """

    index: int
    time: float
    video_frame: VideoFrame
    captured_at: datetime | None = None
    rotation: int = 0

    @cached_property
    def pixels(self) -> Pixels:
        """Upright and unmirrored RGB of shape (height, width, 3), uint8."""
        # One thread: by default each frame starts threads of its own, which cost more than they gain.
        pixels = np.asarray(self.video_frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)
        return rotate(orient(pixels, read_display_matrix(self.video_frame)), self.rotation)

    @cached_property
    def thumbnail(self) -> NDArray[np.uint8]:
        """Brightness, upright and unmirrored, of shape (height, width), each cell the mean of an area of the frame.

        The longer side has `THUMBNAIL_SIDE` cells. It costs no more than `pixels`, which it does not need.
        """
        frame = self.video_frame
        scale = THUMBNAIL_SIDE / max(frame.width, frame.height)
        size = (max(round(side * scale), 1) for side in (frame.width, frame.height))
        width, height = size
        small = frame.reformat(width=width, height=height, format="gray", interpolation="AREA", threads=1)
        pixels = np.asarray(small.to_ndarray(), dtype=np.uint8)
        return rotate(orient(pixels[..., None], read_display_matrix(frame)), self.rotation)[..., 0]


@dataclass(frozen=True)
class FrameSampling:
    """Which frames are processed.

    Attributes:
        every: Every n-th frame, 1 or more.
        max_fps: At most this many per second of the source's time, above 0; None for all.
    """

    every: int = 1
    max_fps: float | None = None

    def subsample(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Selects frames.

        Args:
            frames: All frames of a source.

        Yields:
            The frames to process.
        """
        next_time = 0.0
        for frame in frames:
            if frame.index % self.every:
                continue
            if self.max_fps:
                step = 1 / self.max_fps
                # A tolerance of a hundredth of the step: the times in a file are rounded.
                if frame.time < next_time - 0.01 * step:
                    continue
                # After a gap the count begins again; else two frames in a row would be too close together.
                next_time = (next_time if frame.time < next_time + step else frame.time) + step
            yield frame


def parse_source(text: str) -> SourceAddress:
    """Parses a video source.

    Args:
        text: A camera's number, a URL, or the path of a file or camera device.

    Returns:
        The address.

    Raises:
        DataError: The file does not exist or cannot be a video, or the URL's scheme is not in `NETWORK_SCHEMES`.
    """
    if re.fullmatch(r"\d{1,3}", text):
        return SourceAddress("camera", text, f"camera {int(text)}")
    if "://" in text:
        return _parse_url(text)
    path = Path(text)
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"the source cannot be opened: {error.strerror}",
            location=path,
            hint="name a video file, a URL or a camera's number",
        ) from None
    if stat.S_ISCHR(status.st_mode):
        return SourceAddress("camera", str(path), str(path))
    if is_model_name(path) or (path / "recipe.yaml").is_file():
        raise DataError(
            "this is a model, and a film or camera is needed",
            location=path,
            hint=f"name the film first: maskfit video FILM --model {shlex.quote(str(path))}",
        )
    if stat.S_ISDIR(status.st_mode):
        raise DataError(
            "this is a folder", location=path, hint="name a video in it; photos are read by 'maskfit predict'"
        )
    if not stat.S_ISREG(status.st_mode):
        raise DataError("this is neither a file nor a camera", location=path, hint="name a video file")
    if not status.st_size:
        raise DataError("this file is empty", location=path, hint="copy it once more")
    return SourceAddress("file", str(path.absolute()), str(path))


def _parse_url(text: str) -> SourceAddress:
    try:
        parts = urlsplit(text)
        host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError as error:
        raise DataError(
            f"this is not a valid URL: {error}", hint="write it like rtsp://camera.local:554/stream"
        ) from None
    if parts.scheme.lower() not in NETWORK_SCHEMES:
        raise DataError(
            f"URLs with the scheme {parts.scheme}:// are not supported", hint=f"known: {', '.join(NETWORK_SCHEMES)}"
        )
    return SourceAddress("stream", text, f"{parts.scheme.lower()}://{host}{parts.path}")


class VideoCapture:
    """An open video source.

    Args:
        address: What to open.
        rotation: Degrees clockwise by which every frame is turned, as for a camera that is mounted sideways: 0, 90, 180
            or 270.

    Attributes:
        address: The address.
        rotation: As the argument.
        duration: Seconds from the first frame to the end, as declared; None for a source without an end.
        num_frames: Frames, as declared or estimated; None where unknown.
        fps: Mean frame rate, as declared; None where unknown.
        num_damaged: Packets that could not be decoded so far.
        num_corrupt: Frames so far that were decoded with errors, as where a part of them or of an earlier one is lost.
        truncation: Why the video ended early; empty where it did not.

    Raises:
        DataError: The source cannot be opened, or has no video; a `SourceUnavailableError` where that may change.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, address: SourceAddress, rotation: int = 0) -> None:
        self.address = address
        self.rotation = rotation
        self._container = _open(address)
        try:
            self._stream = _find_video_stream(self._container, address)
        except DataError:
            self._container.close()
            raise
        # Cameras declare 0 or nothing, streams nothing.
        self.duration = None if address.kind == "camera" else declared_duration(self._container, self._stream)
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0) or None
        estimate = round(self.duration * self.fps) if self.duration and self.fps else None
        self.num_frames = self._stream.frames or estimate
        # Decoding frames in several threads delays each by as many frames, which a live source cannot afford.
        self._stream.thread_type = "SLICE" if self.is_live else "AUTO"
        self.num_damaged = 0
        self.num_corrupt = 0
        self.truncation = ""
        self._clock = FrameClock(self.fps, self.duration)

    @property
    def num_estimated_times(self) -> int:
        """Frames so far whose time stamp was missing or wrong."""
        return self._clock.num_estimated

    @property
    def is_live(self) -> bool:
        """Whether frames arrive by themselves and are lost when nobody takes them."""
        return self.duration is None and self.address.kind != "file"

    def read(self) -> Iterator[Frame]:
        """Reads all frames; packets that cannot be decoded are counted and skipped.

        Yields:
            The frames in order.

        Raises:
            DataError: Not a single frame can be decoded.
        """
        index = 0
        for index, video_frame in enumerate(self._decode(), start=1):
            self.num_corrupt += video_frame.is_corrupt
            yield Frame(index - 1, self._clock.next(video_frame.time), video_frame, rotation=self.rotation)
        if not index:
            raise DataError(
                "no frame of this video can be decoded", location=self.address.display_name, hint="restore the file"
            )
        last = self._clock.last
        if self.duration and last + DURATION_TOLERANCE_SECONDS + 1 / (self.fps or DEFAULT_FPS) < self.duration:
            self.truncation = f"its header declares {self.duration:.1f} s, but it ends after {last:.1f} s"

    def _decode(self) -> Iterator[VideoFrame]:
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
                frames = packet.decode()
            except av.error.FFmpegError:
                # Also of a decoder that does not open with what the container says of the stream.
                self.num_damaged += 1
            else:
                yield from frames

    def close(self) -> None:
        """Closes the file, connection or camera."""
        self._container.close()


def _open(address: SourceAddress) -> InputContainer:
    try:
        import av
    except ImportError:
        raise MissingExtraError("'maskfit video'", "watch") from None
    # Waiting changes nothing about a password or an unknown protocol, and some cameras lock who tries again.
    refusals = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.ProtocolNotFoundError)
    kind: type[DataError] = SourceUnavailableError if address.kind == "stream" else DataError
    try:
        if address.kind == "file":
            return av.open(address.url, options={"protocol_whitelist": "file"})
        if address.kind == "stream":
            # Over UDP, RTSP's default, lost packets corrupt the picture.
            options = {"protocol_whitelist": ",".join((*NETWORK_SCHEMES, INNER_PROTOCOLS)), "rtsp_transport": "tcp"}
            return av.open(address.url, options=options, timeout=(TIMEOUT_SECONDS, TIMEOUT_SECONDS))
        device_format, device = _camera_device(address.url)
        return av.open(device, format=device_format, timeout=(TIMEOUT_SECONDS, TIMEOUT_SECONDS))
    except av.error.ExitError:
        reason = f"no answer within {TIMEOUT_SECONDS:g} s"
    except (av.error.FFmpegError, ValueError, OSError) as error:
        # Never the whole message: it contains the URL, which may contain a password.
        reason = getattr(error, "strerror", None) or type(error).__name__
        kind = DataError if isinstance(error, refusals) else kind
    messages = {"file": "this is not a readable video", "stream": "the stream cannot be opened"}
    hints = {"file": "check in a video player that the file is complete", "stream": "check URL, network and password"}
    raise kind(
        f"{messages.get(address.kind, 'the camera cannot be opened')}: {reason}",
        location=address.display_name,
        hint=hints.get(address.kind, "check its number and cable, and that no other program uses it"),
    )


def _camera_device(text: str) -> tuple[str, str]:
    """Returns FFmpeg's names of the platform's camera interface and of a camera."""
    if not text.isdecimal():
        return "v4l2", text
    if sys.platform == "darwin":
        return "avfoundation", text
    if sys.platform == "win32":
        return "dshow", _windows_camera(int(text))
    return "v4l2", f"/dev/video{int(text)}"


def _windows_camera(number: int) -> str:
    import av

    names = [device.name for device in av.enumerate_input_devices("dshow") if "video" in device.media_types]
    if number >= len(names):
        raise DataError(
            f"there is no camera {number}",
            hint=f"there are {len(names)}, numbered from 0: {', '.join(names) or 'none'}",
        )
    return f"video={names[number]}"


def _find_video_stream(container: InputContainer, address: SourceAddress) -> Any:
    """Returns the first video stream that is not a cover picture."""
    import av

    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise DataError("it has no video, only sound or data", location=address.display_name, hint="name a video")
    if address.kind == "file" and (container.format.name == "image2" or container.format.name.endswith("_pipe")):
        raise DataError(
            "this is a photo, not a video", location=address.display_name, hint="photos are read by 'maskfit predict'"
        )
    # None where FFmpeg has no decoder for the codec.
    if streams[0].codec_context is None:
        raise DataError(
            "its video has a codec that FFmpeg does not know",
            location=address.display_name,
            hint="convert it to H.264 in MP4",
        )
    width, height = streams[0].codec_context.width, streams[0].codec_context.height
    if width * height > MAX_PIXELS:
        raise DataError(
            f"frames of {width} x {height} pixels are too large",
            location=address.display_name,
            hint="make a smaller copy",
        )
    return streams[0]
