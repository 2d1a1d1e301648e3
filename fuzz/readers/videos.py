"""Videos: MP4, Matroska, AVI and MPEG transport streams, opened and decoded to their end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np

from fuzz.containers import EBML, ISO, PACKETS, RIFF, Container
from fuzz.engine import Sample
from fuzz.mutations import mutate_bytes
from maskfit.apps.video.capture import VideoCapture, parse_source
from maskfit.errors import MaskfitError

CONTAINERS: dict[str, Container] = {"mp4": ISO, "mkv": EBML, "avi": RIFF, "ts": PACKETS}
CODECS = {"mp4": "libx264", "mkv": "mpeg4", "avi": "mjpeg", "ts": "mpeg2video"}
MAX_FRAMES = 30
BYTES_SHARE = 0.15
"""Share of inputs that are mutated as plain bytes."""


class VideoReader:
    """`VideoCapture` and the pixels of its frames."""

    name = "videos"
    refusals = (MaskfitError,)
    checks = ("maskfit.apps.video.capture:_find_video_stream", "maskfit.apps.video.capture:orient()")

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes a film of six frames in every container."""
        import av

        av.logging.set_level(None)
        self.folder = folder
        samples = []
        for suffix, codec in CODECS.items():
            path = folder / f"film.{suffix}"
            with av.open(str(path), "w") as out:
                stream = out.add_stream(
                    codec if codec in av.codecs_available else "mpeg4", rate=10 if suffix != "ts" else 25
                )
                assert isinstance(stream, av.VideoStream)
                stream.width, stream.height = 32, 32
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                for number in range(6):
                    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                out.mux(stream.encode(None))
            samples.append(Sample(suffix, path.read_bytes()))
        return samples

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates boxes, elements, chunks or packets; sometimes plain bytes."""
        if rng.random() < BYTES_SHARE:
            return mutate_bytes(rng, sample.data)
        return CONTAINERS[sample.kind].mutate(rng, sample.data)

    def write(self, sample: Sample) -> bytes:
        """Returns the video."""
        return bytes(sample.data)

    def read(self, kind: str, data: bytes) -> None:
        """Reads the first frames."""
        path = self.folder / f"input.{kind}"
        path.write_bytes(data)
        capture = VideoCapture(parse_source(str(path)))
        try:
            for frame in islice(capture.read(), MAX_FRAMES):
                assert frame.pixels.ndim == 3
                assert frame.time >= 0
        finally:
            capture.close()
