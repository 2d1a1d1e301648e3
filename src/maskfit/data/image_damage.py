"""Finds damaged photos without keeping their pixels: a JPEG is decoded in gray at an eighth of its size."""

from __future__ import annotations

from PIL.JpegImagePlugin import JpegImageFile

from maskfit.data.image_decoding import SIMPLE_MODES, has_end_marker, import_simplejpeg, load_image
from maskfit.data.image_opening import FIRST_SIDEWAYS, MAX_BYTES, MAX_PIXELS, open_checked, read_orientation

_APP0, _START_OF_SCAN = 0xE0, 0xDA
_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive JPEGs."""

_PLAIN_MARKERS = _FRAME_HEADERS | {_APP0, 0xC4, 0xDB, 0xDD, 0xFE}
"""These and JFIF, Huffman and quantization tables, restart intervals, comments: nothing that Pillow would read."""

_JFIF_BYTES = 16


def check_pixels(content: bytes, *, name: str) -> tuple[int, int]:
    """Decodes a photo to find out whether `image_decoding.decode` could.

    All data of a JPEG is read at an eighth of its size and without its colors too, so damage is found in a fraction of
    the time. Whatever the fast decoder rejects or warns about is left to Pillow, so no error depends on it.

    Args:
        content: The file.
        name: Name of the photo in errors.

    Returns:
        The full upright (width, height).

    Raises:
        PhotoError: As for `image_decoding.decode`.
    """
    size = read_plain_jpeg_size(content)
    if size is not None and size[0] * size[1] <= MAX_PIXELS and _can_decode(content):
        return size
    _, image, label = open_checked(content, name, MAX_PIXELS, MAX_BYTES)
    if isinstance(image, JpegImageFile) and image.mode in SIMPLE_MODES and _can_decode(content):
        width, height = image.size
        return (height, width) if read_orientation(image) >= FIRST_SIDEWAYS else (width, height)
    return load_image(content, image, label, (1, 1))[1]


def read_plain_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Reads the size of a JPEG that has no EXIF, color profile or other data for programs.

    Args:
        content: The file.

    Returns:
        (width, height) in pixels; None where Pillow has to read the header.
    """
    if content[:3] != b"\xff\xd8\xff":
        return None
    size, position, end = None, 2, len(content) - 10
    while position < end:
        marker = content[position + 1]
        if content[position] != 0xFF or (marker != _START_OF_SCAN and marker not in _PLAIN_MARKERS):
            return None
        if marker == _START_OF_SCAN:
            return size
        length = content[position + 2] << 8 | content[position + 3]
        if length < 2:
            return None
        if marker in _FRAME_HEADERS:
            bits, num_components = content[position + 4], content[position + 9]
            if size is not None or bits != 8 or num_components not in (1, 3) or length != 8 + 3 * num_components:
                return None
            height = content[position + 5] << 8 | content[position + 6]
            size = content[position + 7] << 8 | content[position + 8], height
        elif marker == _APP0 and (length < _JFIF_BYTES or content[position + 4 : position + 9] != b"JFIF\0"):
            return None
        position += 2 + length
    return None


def _can_decode(content: bytes) -> bool:
    """Whether simplejpeg decodes a JPEG without a warning; False where it is not installed."""
    decoder = import_simplejpeg()
    if decoder is None or not has_end_marker(content):
        return False
    try:
        # It takes the smallest of its scales that has these sides: an eighth.
        decoder.decode_jpeg(content, "GRAY", min_height=1, min_width=1, min_factor=1, strict=True)
    except ValueError:
        return False
    return True
