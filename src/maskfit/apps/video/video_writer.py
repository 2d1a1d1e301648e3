"""A video written frame by frame, each at its own time."""

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
"""By the ending of a file's name."""

CODECS = ("libx264", "libopenh264", "mpeg4")
"""The first that this FFmpeg has is taken; browsers play the first two."""

TIME_BASE_HZ = 90_000
"""Of a second, as transport streams count; whole for all usual rates."""


def check_video_path(path: Path) -> None:
    """Looks at a file's name.

    Raises:
        DataError: It does not end as a video's does.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError("this is no name of a video", location=path, hint=f"let it end in {', '.join(FORMATS)}")


class VideoWriter:
    """Writes frames.

    Args:
        container: Open for writing.
        size: (width, height) of the first frame. Others are brought to it; an odd row or column is left out, since the
            colours of a video stand for two by two pixels.
        rate: Frames a second, about; a player may show it.
    """

    def __init__(self, container: OutputContainer, size: tuple[int, int], rate: float) -> None:
        import av

        codec = next(name for name in CODECS if name in av.codecs_available)
        options = {"preset": "veryfast", "crf": "23"} if codec == "libx264" else {}
        self.size = (max(size[0] // 2 * 2, 2), max(size[1] // 2 * 2, 2))
        self._container = container
        steps = Fraction(rate).limit_denominator(1001)
        self._stream = cast("VideoStream", container.add_stream(codec, rate=steps, options=options))
        self._stream.width, self._stream.height = self.size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TIME_BASE_HZ)
        self._last = -1

    def write(self, time: float, pixels: Pixels) -> None:
        """Adds a frame (height, width, 3) at a time in seconds, later than the last."""
        import av

        width, height = self.size
        if pixels.shape[0] - height not in (0, 1) or pixels.shape[1] - width not in (0, 1):
            pixels = np.asarray(Image.fromarray(pixels).resize(self.size, Image.Resampling.BILINEAR))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        self._last = max(round(time * TIME_BASE_HZ), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, TIME_BASE_HZ)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Writes what the encoder still holds back."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def open_video_writer(path: Path, size: tuple[int, int], rate: float) -> Iterator[VideoWriter]:
    """A video that takes its name once it is whole, also where the work on it was broken off by an error.

    Raises:
        DataError: The name is no video's.
        MissingExtraError: PyAV is not installed.
    """
    check_video_path(path)
    try:
        import av
    except ImportError:
        raise MissingExtraError("'maskfit video'", "watch") from None
    failed: BaseException | None = None
    kind = FORMATS[path.suffix.lower()]
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format=kind) as container:
        video = VideoWriter(container, size, rate)
        try:
            yield video
        except BaseException as error:  # what was seen until then is kept, and the error goes on
            failed = error
        video.finish()
    if failed is not None:
        raise failed
