"""Tests of the fast JPEG decoder against Pillow: bitwise equal pixels and equal errors."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from maskfit.data import image_damage, image_decoding
from maskfit.data.image_damage import check_pixels, read_plain_jpeg_size
from maskfit.data.image_decoding import decode, decode_simple_jpeg, open_downscaled, open_rgb
from maskfit.data.image_opening import EXIF_ORIENTATION
from maskfit.errors import PhotoError

simplejpeg = pytest.importorskip("simplejpeg", reason="the extra 'fast' is not installed")

SIZES = ((1, 1), (8, 8), (7, 5), (16, 17), (33, 31), (63, 130), (127, 96), (257, 3), (2, 200))
"""Width and height: below, at and next to whole blocks of every subsampling."""


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Soft colors, edges and noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)).resize(size)
    noise = rng.integers(-40, 40, (*size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(small, np.int64) + noise, 0, 255).astype(np.uint8))


def encode(image: Image.Image, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def by_turbo(image: Image.Image, subsampling: str) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=85, colorsubsampling=subsampling))


def by_pillow(content: bytes) -> np.ndarray | str:
    """The pixels, or the error message."""
    try:
        return np.asarray(open_rgb(content))
    except PhotoError as error:
        return str(error)


def by_maskfit(content: bytes) -> np.ndarray | str:
    try:
        return decode(content)
    except PhotoError as error:
        return str(error)


def same(one: np.ndarray | str, other: np.ndarray | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return np.array_equal(one, other)


def with_orientation(number: int) -> dict[str, object]:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = number
    return {"exif": exif}


KINDS = {
    **{f"subsampling {name}": {"subsampling": name, "quality": 90} for name in ("4:4:4", "4:2:2", "4:2:0")},
    **{f"quality {number}": {"quality": number} for number in (1, 30, 75, 95, 100)},
    **{
        f"progressive {name}": {"progressive": True, "subsampling": name, "quality": 80}
        for name in ("4:4:4", "4:2:2", "4:2:0")
    },
    "optimized": {"optimize": True},
    "stored as RGB": {"keep_rgb": True},
    "progressive RGB": {"keep_rgb": True, "progressive": True},
    "restart markers by block": {"restart_marker_blocks": 2},
    "restart markers by row": {"restart_marker_rows": 1, "subsampling": "4:2:0"},
    "resolution": {"dpi": (300, 72)},
    "comment": {"comment": b"\xff\xd9 not the end"},
    "color profile": {"icc_profile": bytes(range(256)) * 300},
    **{f"turned {number}": with_orientation(number) for number in range(1, 9)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_bitwise_equal(kind):
    for seed, size in enumerate(SIZES):
        content = encode(picture(size, seed), **KINDS[kind])
        with Image.open(BytesIO(content)) as image:
            assert decode_simple_jpeg(content, image) is not None, "the fast decoder is used"
        assert same(by_maskfit(content), by_pillow(content)), size


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411"])
def test_every_subsampling_of_the_other_encoder(subsampling):
    for seed, size in enumerate(SIZES):
        content = by_turbo(picture(size, seed), subsampling)
        assert same(by_maskfit(content), by_pillow(content)), size


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 10}, with_orientation(6)])
def test_gray_has_three_equal_channels(options):
    content = encode(picture((33, 31)).convert("L"), **options)
    assert JpegImageFile(BytesIO(content)).mode == "L"
    assert same(by_maskfit(content), by_pillow(content))


def test_cmyk_is_left_to_pillow():
    content = encode(picture((33, 31)).convert("CMYK"))
    assert decode_simple_jpeg(content, JpegImageFile(BytesIO(content))) is None
    assert same(by_maskfit(content), by_pillow(content))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_truncated_files_give_the_same_errors(options):
    content = encode(picture((96, 80)), **options)
    for length in range(1, len(content), 61):
        assert same(by_maskfit(content[:length]), by_pillow(content[:length])), length
    # Truncated within the end marker: all pixels may be present.
    for length in range(len(content) - 12, len(content)):
        assert same(by_maskfit(content[:length]), by_pillow(content[:length])), length


def test_truncated_files_with_an_end_marker():
    content = encode(picture((96, 80)))
    for length in range(700, len(content), 97):
        ended = content[:length] + b"\xff\xd9"
        assert same(by_maskfit(ended), by_pillow(ended)), length


@pytest.mark.parametrize("progressive", [False, True])
def test_flipped_bytes_give_the_same_pixels_or_errors(progressive):
    content = encode(picture((64, 48)), progressive=progressive, quality=60)
    rng = np.random.default_rng(7)
    for _ in range(400):
        broken = bytearray(content)
        for place in rng.integers(2, len(content), rng.integers(1, 4)):
            broken[place] = rng.integers(0, 256)
        assert same(by_maskfit(bytes(broken)), by_pillow(bytes(broken)))


def test_trailing_bytes_are_ignored():
    content = encode(picture((33, 31))) + b"\0" * 200
    assert same(by_maskfit(content), by_pillow(content))
    content += encode(picture((33, 31), 1))
    assert same(by_maskfit(content), by_pillow(content))


def test_without_the_extra_pillow_decodes(monkeypatch):
    content = encode(picture((33, 31)), **with_orientation(5))
    fast = decode(content)
    monkeypatch.setattr(image_decoding, "import_simplejpeg", lambda: None)
    assert np.array_equal(decode(content), fast)
    assert fast.flags.writeable
    assert fast.flags.c_contiguous


def check_with_pillow(content: bytes) -> tuple[int, int] | str:
    """What `data check` says about a photo without the fast decoder: its size, or the error message."""
    try:
        return open_downscaled(content, (1, 1), name="photo")[1]
    except PhotoError as error:
        return str(error)


def check(content: bytes) -> tuple[int, int] | str:
    try:
        return check_pixels(content, name="photo")
    except PhotoError as error:
        return str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_checking_gives_the_size_of_every_kind(kind):
    for seed, size in enumerate(SIZES):
        content = encode(picture(size, seed), **KINDS[kind])
        assert check(content) == check_with_pillow(content), size
    plain = not {"icc_profile", "exif", "keep_rgb"} & {*KINDS[kind]}
    assert (read_plain_jpeg_size(content) is not None) == plain


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_checking_other_modes(mode):
    content = encode(picture((33, 31)).convert(mode))
    assert check(content) == check_with_pillow(content) == (33, 31)


def test_checking_finds_every_truncation():
    content = encode(picture((96, 80)))
    for length in (*range(3, len(content), 61), *range(len(content) - 12, len(content))):
        for broken in (content[:length], content[:length] + b"\xff\xd9"):
            assert check(broken) == check_with_pillow(broken), length


@pytest.mark.parametrize("progressive", [False, True])
def test_checking_flipped_bytes_gives_the_same_errors(progressive):
    content = encode(picture((64, 48)), progressive=progressive, quality=60)
    rng = np.random.default_rng(8)
    for number in range(600):
        broken = bytearray(content)
        # Every second time in the header, where Pillow and the decoder read for themselves.
        for place in rng.integers(3, len(content) if number % 2 else 640, rng.integers(1, 4)):
            broken[place] = rng.integers(0, 256)
        assert check(bytes(broken)) == check_with_pillow(bytes(broken)), number


def test_a_photo_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    content = bytearray(encode(picture((64, 48))))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xff\x00\xff\x00"
    monkeypatch.setattr(image_damage, "_can_decode", lambda content: pytest.fail("it was decoded"))
    with pytest.raises(PhotoError, match="65280 x 65280"):
        check_pixels(bytes(content), name="photo")
