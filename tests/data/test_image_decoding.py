"""Tests of image decoding: upright 8-bit RGB, or an error with location and hint."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from maskfit.data.image_decoding import decode, open_downscaled, open_rgb
from maskfit.data.image_opening import content_hash, sniff_format
from maskfit.errors import PhotoError, PhotoWarning

HEIF = find_spec("pillow_heif") is not None


def save(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def make_gradient(width: int = 32, height: int = 24) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 8, columns * 6, rows + columns], axis=2).astype(np.uint8))


def make_png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its content does not have."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("format", ["PNG", "BMP", "WebP"])
def test_lossless_formats_give_exact_pixels(format):
    pixels = decode(save(make_gradient(), format, **({"lossless": True} if format == "WebP" else {})))
    assert (pixels == np.asarray(make_gradient())).all()


def test_pixels_are_contiguous_and_writable(written):
    pixels = decode(written("a.jpg", save(make_gradient(), "JPEG")))
    assert (pixels.shape, pixels.dtype) == ((24, 32, 3), np.uint8)
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP"])
def test_exif_orientation_is_applied(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = save(make_gradient(), format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(BytesIO(content))).convert("RGB")
    assert (decode(content) == np.asarray(expected)).all()
    assert decode(content).shape == ((32, 24, 3) if orientation >= 5 else (24, 32, 3))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_is_ignored():
    content = save(make_gradient(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(content).shape == (24, 32, 3)


def test_gray_palette_and_one_bit_become_rgb():
    colors = make_gradient()
    for mode in ("L", "P", "1"):
        image = colors.convert(mode)
        assert (decode(save(image, "PNG")) == np.asarray(image.convert("RGB"))).all()


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    red, green, blue = decode(save(image, "JPEG", quality=95))[16, 16].tolist()
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparent_pixels_become_white(mode):
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (8, 0, 16, 16))
    if mode == "P":
        image = Image.fromarray(np.repeat(np.uint8([[0, 1]]), 8, axis=1).repeat(16, axis=0), "L").convert("P")
        image.putpalette([0, 0, 0] * 256)
        content = save(image, "PNG", transparency=0)
    elif mode == "PA":
        content = save(image.convert("RGBA").quantize(4), "PNG")
    else:
        content = save(image.convert(mode), "PNG")
    pixels = decode(content)
    assert (pixels[8, 2] == 255).all()
    assert (pixels[8, 12] == 0).all()


def test_half_transparent_pixels_are_blended_with_white():
    pixels = decode(save(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), "PNG"))
    assert abs(int(pixels[0, 0, 1]) - 127) <= 1


def test_sixteen_bits_are_scaled_and_not_clipped():
    gray = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    pixels = decode(save(Image.fromarray(gray), "PNG"))
    assert (pixels[..., 0] == np.rint(gray / 257)).all()
    dark = np.full((8, 8), 200, dtype=np.uint16)
    assert decode(save(Image.fromarray(dark), "PNG")).max() == 1


def test_the_first_frame_of_an_animation_is_used():
    frames = [Image.new("RGB", (16, 16), color) for color in ("white", "black")]
    content = save(frames[0], "WebP", save_all=True, append_images=frames[1:], lossless=True)
    assert decode(content).min() == 255


def test_the_format_follows_from_the_content(written):
    assert decode(written("really_png.jpg", save(make_gradient(), "PNG"))).shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"this is a letter to you\n" * 20, "a text file, not a photo"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "an SVG"),
        (b"%PDF-1.7 \x00\x01", "a PDF"),
        (b"\x00\x01\x02\x03" * 50, "not a photo"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00", "an AVIF"),
        (b"\x00\x00\x00\x1cftypisom\x00\x00", "a video"),
        (b"\x1aE\xdf\xa3\xa3B\x86\x81\x01", "a video"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", "a video"),
        (save(Image.new("RGB", (9, 9)), "GIF"), "a GIF"),
        (save(Image.new("RGB", (9, 9)), "TIFF"), "a TIFF"),
        (b"\xff\xd8\xff\xe0 nothing more", "damaged or incomplete"),
        (b"\x89PNG\r\n\x1a\n", "damaged or incomplete"),
        (b"BM\0\0", "damaged or incomplete"),
    ],
)
def test_other_files_are_rejected_with_their_type(written, content, what):
    path = written("photo.jpg", content)
    with pytest.raises(PhotoError, match=what) as caught:
        decode(path)
    assert caught.value.location == str(path)
    assert caught.value.hint
    assert ("maskfit video" in caught.value.hint) == (what == "a video")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "BMP"])
def test_truncated_photos_are_rejected(format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = save(noise, format)
    for fraction in (0.2, 0.5, 0.9):
        with pytest.raises(PhotoError, match="damaged or incomplete"):
            decode(content[: int(len(content) * fraction)])


def test_a_corrupt_png_is_rejected():
    content = bytearray(save(make_gradient(), "PNG"))
    content[content.index(b"IDAT") + 12] ^= 0xFF
    with pytest.raises(PhotoError, match="damaged"):
        decode(bytes(content))


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(PhotoError, match="no such photo") as caught:
        decode(tmp_path / "gone.jpg")
    assert "gone.jpg" in str(caught.value)
    with pytest.raises(PhotoError, match="not a regular file"):
        decode(tmp_path)
    with pytest.raises(PhotoError, match="cannot be read"):
        decode(tmp_path / ("x" * 300))


def test_a_decompression_bomb_is_rejected_before_decoding():
    with pytest.raises(PhotoError, match="30000 x 30000"):
        decode(make_png_header(30000, 30000))
    assert decode(save(make_gradient(), "PNG"), max_pixels=32 * 24).shape == (24, 32, 3)
    with pytest.raises(PhotoError, match="768 pixels, more than the maximum of 767"):
        decode(save(make_gradient(), "PNG"), max_pixels=767)


def test_the_pixel_limit_does_not_depend_on_pillows(monkeypatch):
    """Any library may change Pillow's own limit; it neither tightens nor loosens this one."""
    content = save(make_gradient(), "JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(content).shape == (24, 32, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(PhotoError):
        decode(make_png_header(30000, 30000))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_file_above_the_byte_limit_is_not_read(written):
    path = written("big.png", save(make_gradient(), "PNG"))
    with pytest.raises(PhotoError, match="more than the"):
        decode(path, max_bytes=20)
    with pytest.raises(PhotoError, match="more than the"):
        decode(path.read_bytes(), max_bytes=20)


def test_errors_use_the_given_name():
    with pytest.raises(PhotoError) as caught:
        decode(b"GIF89a", name="upload.jpg")
    assert caught.value.location == "upload.jpg"


def test_content_hash(written):
    first, second = written("a.jpg", b"one"), written("b.png", b"one")
    assert content_hash(first) == content_hash(second) == content_hash(b"one")
    assert content_hash(first) != content_hash(written("c.jpg", b"two"))
    assert len(content_hash(first)) == 32
    with pytest.raises(PhotoError):
        content_hash(first.parent / "gone.jpg")


def test_open_rgb():
    assert open_rgb(save(make_gradient().convert("L"), "PNG")).mode == "RGB"


@pytest.mark.skipif(HEIF, reason="pillow_heif is installed, so nothing is missing")
def test_heic_without_its_extra():
    with pytest.raises(PhotoError, match="HEIC") as caught:
        decode(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00")
    assert "maskfit[heic]" in str(caught.value)


@pytest.mark.skipif(not HEIF, reason="needs pillow_heif")
def test_a_heic_photo_is_decoded_upright():
    from pillow_heif import from_pillow

    exif = Image.Exif()
    exif[0x0112] = 6
    image = make_gradient(128, 96)
    stream = BytesIO()
    from_pillow(image).save(stream, quality=95, exif=exif.tobytes())
    content = stream.getvalue()
    assert sniff_format(content) == "HEIC"
    pixels = decode(content).astype(int)
    expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 6
    with pytest.raises(PhotoError, match="more than the maximum of 100"):
        decode(content, max_pixels=100)
    with pytest.raises(PhotoError, match="damaged"):
        decode(content[:300])


def test_16_bits_are_converted_in_strips_to_the_same_pixels(monkeypatch):
    monkeypatch.setattr("maskfit.data.rgb_conversion.STRIP_PIXELS", 1000)
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels = decode(save(Image.fromarray(values), "PNG"))
    assert np.array_equal(pixels[..., 0], np.rint(values / 257).astype(np.uint8))
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_16_bits_cost_what_8_bits_cost():
    """Memory of Python and numpy; Pillow's own is two bytes for each pixel."""
    side = 2000
    peaks = {}
    for kind in (np.uint8, np.uint16):
        content = save(Image.fromarray(np.zeros((side, side), kind)), "PNG")
        tracemalloc.start()
        try:
            decode(content)
            peaks[kind] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peaks[np.uint16] < peaks[np.uint8] + 4 * side**2


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_is_read_and_said(mode, options, missing):
    image = Image.effect_noise((61, 47), 60).convert(mode)
    content = save(image, "JPEG", **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = decode(content[:-missing], name="a.jpg")
    # Pillow decodes some of these by itself, in silence.
    assert [str(item.message)[:31] for item in caught if item.category is PhotoWarning] in (
        [],
        ["a.jpg lacks the end marker of a"],
    )
    if (mode, options) == ("RGB", {}):
        assert len(caught) == 1
    assert np.array_equal(pixels, decode(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small, size = open_downscaled(content[:-missing], (10, 10))
    assert size == (61, 47)
    assert np.array_equal(np.asarray(small), np.asarray(open_downscaled(content, (10, 10))[0]))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("missing", [5, 10, 50, 300])
def test_a_jpeg_that_lacks_pixels_is_refused(options, missing):
    content = save(Image.effect_noise((61, 47), 60).convert("RGB"), "JPEG", **options)
    for end in (b"", b"\xff"):
        with pytest.raises(PhotoError, match="damaged or incomplete"):
            decode(content[:-missing] + end)
