"""Photos: JPEG, PNG, WebP, BMP and HEIC, decoded as every command decodes them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from fuzz.containers import ISO, JPEG, PNG, RIFF, Container
from fuzz.engine import Sample
from fuzz.mutations import mutate_bytes
from maskfit.data.image_decoding import decode, open_downscaled
from maskfit.data.image_header import read_size_and_orientation
from maskfit.errors import PhotoError

CONTAINERS: dict[str, Container] = {"jpg": JPEG, "png": PNG, "webp": RIFF, "heic": ISO}
MAX_PIXELS = 1_000_000
SIZE = (24, 20)
BYTES_SHARE = 0.15
"""Share of inputs that are mutated as plain bytes."""


def _save(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


class PhotoReader:
    """The decoder of photos."""

    name = "photos"
    refusals = (PhotoError,)
    checks = (
        "maskfit.data.image_decoding:load_image|maskfit.data.image_decoding:decode_simple_jpeg",
        "maskfit.data.rgb_conversion:to_rgb|maskfit.data.image_decoding:_load_pixels()",
    )

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes small photos of every format and mode."""
        self.path = folder / "photo"
        pixels = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
        rgb = Image.fromarray(pixels).resize(SIZE)
        deep = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
        exif = Image.Exif()
        exif[0x0112] = 6
        photos = [
            ("jpg", _save(rgb, "JPEG")),
            ("jpg", _save(rgb, "JPEG", progressive=True, exif=exif)),
            ("jpg", _save(rgb.convert("L"), "JPEG", subsampling=0)),
            ("jpg", _save(rgb.convert("CMYK"), "JPEG", restart_marker_blocks=1)),
            ("png", _save(rgb, "PNG", exif=exif)),
            ("png", _save(deep, "PNG")),
            ("png", _save(rgb.quantize(8), "PNG", transparency=2)),
            ("png", _save(rgb.convert("RGBA"), "PNG")),
            ("png", _save(rgb.convert("1"), "PNG")),
            ("webp", _save(rgb, "WEBP", exif=exif)),
            ("webp", _save(rgb, "WEBP", lossless=True)),
            ("webp", _save(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90).resize(SIZE)])),
            ("bmp", _save(rgb, "BMP")),
            ("bmp", _save(rgb.quantize(8), "BMP")),
        ]
        try:
            from pillow_heif import from_pillow
        except ImportError:
            return [Sample(*photo) for photo in photos]
        stream = io.BytesIO()
        from_pillow(rgb.resize((64, 64))).save(stream)
        return [Sample(*photo) for photo in (*photos, ("heic", stream.getvalue()))]

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates chunks, markers or boxes; sometimes plain bytes."""
        container = CONTAINERS.get(sample.kind)
        if container is None or rng.random() < BYTES_SHARE:
            return mutate_bytes(rng, sample.data)
        return container.mutate(rng, sample.data)

    def write(self, sample: Sample) -> bytes:
        """Returns the photo."""
        return bytes(sample.data)

    def read(self, kind: str, data: bytes) -> None:
        """Decodes a photo, reads its header by itself and, if it is a JPEG, decodes it at a smaller size."""
        self.path.write_bytes(data)
        with suppress(PhotoError):
            read_size_and_orientation(self.path)
        pixels = decode(data, max_pixels=MAX_PIXELS)
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8
        if kind == "jpg":
            open_downscaled(data, (4, 4))
