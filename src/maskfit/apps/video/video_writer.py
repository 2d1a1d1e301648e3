"""Writes a video frame by frame, each at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from maskfit.data.image_decoding import Pixels
from maskfit.errors import DataError, MissingExtraError
from maskfit.file_io import atomic_write

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import OutputContainer

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
"""FFmpeg's container format by file extension."""

CODECS = ("libx264", "libopenh264", "mpeg4")
"""Encoders in order of preference; browsers play the first two."""

TIME_BASE_HZ = 90_000
"""Time units per second, as in MPEG transport streams; whole for all common frame rates."""


def check_video_path(path: Path) -> None:
    """Checks the extension of a video file.

    Args:
        path: The file.

    Raises:
        DataError: The extension is not a key of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError("unsupported extension of a video file", location=path, hint=f"use one of {', '.join(FORMATS)}")


class VideoWriter:
    """Encodes frames into an open container.

    Args:
        container: Open for writing.
        size: (width, height) of the first frame. Other frames are resized to it; an odd row or column is cropped,
            since the chroma of a video has half the resolution.
        fps: Nominal frame rate, which players may show; each frame has its own time.
    """

    def __init__(self, container: OutputContainer, size: tuple[int, int], fps: float) -> None:
        import av

        codec = next(name for name in CODECS if name in av.codecs_available)
        options = {"preset": "veryfast", "crf": "23"} if codec == "libx264" else {}
        self.size = (max(size[0] // 2 * 2, 2), max(size[1] // 2 * 2, 2))
        self._container = container
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = cast("VideoStream", container.add_stream(codec, rate=rate, options=options))
        self._stream.width, self._stream.height = self.size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TIME_BASE_HZ)
        self._last_pts = -1

    def write(self, time: float, pixels: Pixels) -> None:
        """Encodes a frame.

        Args:
            time: Seconds, later than the last frame's.
            pixels: Shape (height, width, 3), uint8 RGB.
        """
        import av

        width, height = self.size
        if pixels.shape[0] - height not in (0, 1) or pixels.shape[1] - width not in (0, 1):
            pixels = np.asarray(Image.fromarray(pixels).resize(self.size, Image.Resampling.BILINEAR))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        self._last_pts = max(round(time * TIME_BASE_HZ), self._last_pts + 1)
        frame.pts, frame.time_base = self._last_pts, Fraction(1, TIME_BASE_HZ)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Flushes the encoder."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def open_video_writer(path: Path, size: tuple[int, int], fps: float) -> Iterator[VideoWriter]:
    """Opens a video file for writing; it gets its name once it is complete, also where an error interrupts the work.

    Args:
        path: The file; its extension is a key of `FORMATS`.
        size: (width, height) of the frames.
        fps: Nominal frame rate.

    Yields:
        The writer.

    Raises:
        DataError: The extension is unsupported.
        MissingExtraError: PyAV is not installed.
    """
    check_video_path(path)
    try:
        import av
    except ImportError:
        raise MissingExtraError("'maskfit video'", "watch") from None
    failure: BaseException | None = None
    container_format = FORMATS[path.suffix.lower()]
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format=container_format) as container:
        writer = VideoWriter(container, size, fps)
        try:
            yield writer
        except BaseException as error:  # the frames so far are kept, and the error is raised again
            failure = error
        writer.finish()
    if failure is not None:
        raise failure
