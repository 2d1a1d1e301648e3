"""Decodes image files to upright 8-bit RGB pixels, or raises an error with the reason.

The format follows from the content, not from the file name. Nothing is decoded before the size in the header is
checked, and Pillow's process-wide settings are neither used nor changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import stat
import warnings
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from maskfit.data.rgb_conversion import to_rgb
from maskfit.errors import PhotoError, PhotoWarning

Pixels = NDArray[np.uint8]
"""RGB image, (height, width, 3)."""

MAX_PIXELS = 89_478_485
"""Maximum width x height: a quarter of a GiB as RGB, and more than any camera's 50 million."""

MAX_BYTES = 256 * 2**20
"""Maximum size of a file."""

SIMPLE_MODES = ("L", "RGB")
"""Pillow modes that are decoded this way; CMYK is not, because its inversion and conversion are Pillow's own."""

_END_OF_IMAGE = b"\xff\xd9"
"""Marker at the end of a JPEG."""

_FILLINGS = (b"", b"\x00" * 64, b"\x55" * 64, b"\xaa" * 64)
"""Bytes in place of those that a JPEG without its end marker may lack."""

EXIF_ORIENTATION = 0x0112
"""EXIF tag of the camera's orientation."""

FIRST_SIDEWAYS = 5
"""From this EXIF orientation on, width and height are swapped."""

# The plugin classes, not Image.open, which applies a size limit that any library in the process may have changed.
_OPENERS: dict[str, Callable[[IO[bytes]], Image.Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
}
_PNG_EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
"""Keys of a PNG's `info` in which Pillow looks for an orientation before it decodes the pixels to find more."""

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_MAGIC_BYTES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop file",
    b"PK\x03\x04": "ZIP archive",
    b"\x1f\x8b": "gzip archive",
}

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_ARRAY_TRANSPOSES: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""The same transposes for arrays (height, width, 3), by EXIF orientation."""


def decode(source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Pixels:
    """Decodes a photo to upright RGB pixels; see `open_rgb` for conversions.

    Args:
        source: Path of a file, or its bytes.
        name: Name of the photo in errors; by default the path.
        max_pixels: Maximum width x height; larger photos are rejected before they are decoded.
        max_bytes: Maximum size of the file.

    Returns:
        Pixels, uint8 of shape (height, width, 3), writable and contiguous.

    Raises:
        PhotoError: The photo is missing, empty, truncated, damaged, too large, or not a JPEG, PNG, WebP, BMP or HEIC.
    """
    content, image, label = _open_checked(source, name, max_pixels, max_bytes)
    pixels = decode_simple_jpeg(content, image) if isinstance(image, JpegImageFile) else None
    if pixels is None:
        return np.array(_load(content, image, label, None)[0])
    transpose = _ARRAY_TRANSPOSES.get(_read_orientation(image))
    return pixels if transpose is None else np.ascontiguousarray(transpose(pixels))


def convert_image(image: Image.Image, *, name: str = "a Pillow image") -> Pixels:
    """Converts a Pillow image to what `decode` returns of its file: upright by its EXIF orientation, RGB.

    Args:
        image: The image; it is not changed.
        name: Name of the photo in errors.

    Returns:
        Pixels, uint8 of shape (height, width, 3), writable and contiguous.

    Raises:
        PhotoError: Its pixels cannot be read, it is empty, or larger than `MAX_PIXELS`.
    """
    _check_size(image, name)
    if not all(image.size):
        raise PhotoError("the image has no pixels", location=name, hint="check how it was cropped")
    try:
        return np.array(_turn_upright(to_rgb(image)))
    except MemoryError:
        raise
    except Exception as error:  # An opened file is decoded only here.
        raise _damaged(error, name) from error


def open_rgb(
    source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Decodes a photo to an upright Pillow image of mode RGB.

    Of an animation the first frame is used. 16-bit values are scaled to 8 bits. Transparency is composited over white:
    cut-out portraits are made for light pages, and dropping the alpha channel, as Pillow does, shows whatever color
    the editor left under it. Color profiles are not applied.

    Args:
        source: Path of a file, or its bytes.
        name: Name of the photo in errors; by default the path.
        max_pixels: As for `decode`.
        max_bytes: As for `decode`.

    Returns:
        The image.

    Raises:
        PhotoError: As for `decode`.
    """
    content, image, label = _open_checked(source, name, max_pixels, max_bytes)
    return _load(content, image, label, None)[0]


def open_downscaled(
    source: Path | bytes, min_size: tuple[int, int], *, name: str = ""
) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes like `open_rgb`, but a JPEG possibly at 1/2, 1/4 or 1/8 of its size, which is several times faster.

    Args:
        source: Path of a file, or its bytes.
        min_size: Minimum (width, height) of the result, where the photo is that large.
        name: Name of the photo in errors; by default the path.

    Returns:
        The image, and the photo's full upright (width, height).

    Raises:
        PhotoError: As for `decode`.
    """
    content, image, label = _open_checked(source, name, MAX_PIXELS, MAX_BYTES)
    return _load(content, image, label, min_size)


def _open_checked(source: Path | bytes, name: str, max_pixels: int, max_bytes: int) -> tuple[bytes, Image.Image, str]:
    """Returns the bytes, the image with header read and size checked, and the name for errors."""
    content = read_bytes(source, name=name, max_bytes=max_bytes)
    label = name or _label(source)
    image = _open(content, label)
    _check_size(image, label, max_pixels)
    return content, image, label


def _check_size(image: Image.Image, label: str, max_pixels: int = MAX_PIXELS) -> None:
    """Raises an error where the header claims more pixels than are decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            f"the photo has {width} x {height} = {width * height:,} pixels, more than the maximum of {max_pixels:,}",
            location=label,
            hint="downscale the photo; a small file that claims so many pixels may be an attack that exhausts memory",
        )


def _load(
    content: bytes, image: Image.Image, label: str, min_size: tuple[int, int] | None
) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes the image, in Pillow's draft mode if `min_size` is given; also returns its full upright size."""
    width, height = image.size
    try:
        try:
            _load_pixels(image, min_size)
        except OSError:
            completed = _add_end_marker(content) if isinstance(image, JpegImageFile) else None
            if completed is None:
                raise
            message = f"{label} lacks the end marker of a JPEG and nothing else: it is read, as image viewers do"
            warnings.warn(PhotoWarning(message), stacklevel=2)
            image = JpegImageFile(BytesIO(completed))
            _load_pixels(image, min_size)
        # After decoding: a PNG's EXIF may follow its pixels, and reading it would decode them.
        size = (height, width) if _read_orientation(image) >= FIRST_SIDEWAYS else (width, height)
        return _turn_upright(to_rgb(image)), size
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise many exception types on a damaged file.
        raise _damaged(error, label) from error


def _load_pixels(image: Image.Image, min_size: tuple[int, int] | None) -> None:
    if min_size is not None and isinstance(image, JpegImageFile):
        # Without a mode Pillow keeps the photo's own, so that gray and CMYK are converted as without draft mode.
        image.draft(None, min_size[::-1] if _read_orientation(image) >= FIRST_SIDEWAYS else min_size)
    image.load()


def _add_end_marker(content: bytes) -> bytes | None:
    """Returns a JPEG with the end marker that it lacks; None where it lacks more than that.

    A decoder fills up what is missing without a word, so it is asked with several fillings: the pixels of a file whose
    data is whole do not depend on them.
    """
    data = content.removesuffix(_END_OF_IMAGE[:1])
    if content.endswith(_END_OF_IMAGE):
        return None
    versions = (data + filling + _END_OF_IMAGE for filling in _FILLINGS)
    first, *others = (np.asarray(JpegImageFile(BytesIO(version))) for version in versions)
    return data + _END_OF_IMAGE if all(np.array_equal(first, other) for other in others) else None


def read_size(content: bytes) -> tuple[int, int]:
    """Reads the size of a photo from its header; decodes no pixels.

    Args:
        content: The file.

    Returns:
        (width, height) in pixels, before it is turned upright; (0, 0) where the header cannot be read.
    """
    try:
        width, height = _open(content, "").size
    except PhotoError:
        return 0, 0
    return width, height


def read_bytes(source: Path | bytes, *, name: str = "", max_bytes: int = MAX_BYTES) -> bytes:
    """Reads the bytes of a photo.

    Args:
        source: Path of a file, or its bytes, which are only checked.
        name: Name of the photo in errors; by default the path.
        max_bytes: Maximum size of the file.

    Returns:
        The bytes, unchanged.

    Raises:
        PhotoError: The file is missing, not a regular file, empty, too large or not readable.
    """
    label = name or _label(source)
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            status = source.stat()
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            reason = getattr(error, "strerror", None) or error
            message = "there is no such photo" if missing else f"the photo cannot be read: {reason}"
            raise PhotoError(message, location=label, hint="check the path") from None
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError("the path is not a regular file", location=label, hint="give the path of a photo")
        size = status.st_size
    if size == 0:
        raise PhotoError("the file is empty", location=label, hint="copy or download it again")
    if size > max_bytes:
        message = f"the file has {size:,} bytes, more than the maximum of {max_bytes:,}"
        raise PhotoError(message, location=label, hint="save the photo as a smaller JPEG")
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        message = f"the photo cannot be read: {error.strerror or error}"
        raise PhotoError(message, location=label, hint="check its permissions and the disk") from None


def content_hash(source: Path | bytes) -> str:
    """Computes a hash of a file's content.

    Args:
        source: Path of a file, or its bytes.

    Returns:
        32 hexadecimal digits (BLAKE2b).

    Raises:
        PhotoError: The file is missing, empty or not readable.
    """
    return hashlib.blake2b(read_bytes(source), digest_size=16).hexdigest()


def _open(content: bytes, label: str) -> Image.Image:
    """Opens an image and reads its header; decodes no pixels."""
    found = sniff_format(content)
    if found == "HEIC":
        return _open_heic(content, label)
    if found not in _OPENERS:
        message = f"this is a {found}, not a photo" if found else "this is not a photo"
        if found in ("SVG", "AVIF"):
            message = f"this is an {found}, which is not supported"
        elif found in ("GIF", "TIFF"):
            message = f"this is a {found}, which is not supported"
        raise PhotoError(message, location=label, hint="save it as JPEG or PNG")
    try:
        return _OPENERS[found](BytesIO(content))
    except Exception as error:  # struct.error, KeyError, OverflowError and more.
        raise _damaged(error, label) from error


def _open_heic(content: bytes, label: str) -> Image.Image:
    if importlib.util.find_spec("pillow_heif") is None:
        raise PhotoError(
            "this is a HEIC photo, and the extra 'heic' is not installed",
            location=label,
            hint="pip install 'maskfit[heic]', or save it as JPEG",
        )
    from pillow_heif import HeifImageFile

    try:
        image: Image.Image = HeifImageFile(BytesIO(content))  # type: ignore[no-untyped-call]
    except Exception as error:
        raise _damaged(error, label) from error
    return image


def _damaged(error: Exception, label: str) -> PhotoError:
    reason = str(error).strip() or type(error).__name__
    return PhotoError(f"the photo is damaged or incomplete: {reason}", location=label, hint="copy or download it again")


def _label(source: Path | bytes) -> str:
    return "a photo passed as bytes" if isinstance(source, bytes) else str(source)


def _turn_upright(image: Image.Image) -> Image.Image:
    method = _TRANSPOSES.get(_read_orientation(image))
    return image if method is None else image.transpose(method)


def _read_orientation(image: Any) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none, it cannot be read, or has another value."""
    try:
        # Real files have 0 and 65537, which viewers show upright.
        orientation = int(image.getexif().get(EXIF_ORIENTATION, 1))
        return orientation if 1 <= orientation <= 8 else 1
    except Exception:  # A damaged EXIF block does not make the pixels unusable.
        return 1


def decode_simple_jpeg(content: bytes, image: JpegImageFile) -> NDArray[np.uint8] | None:
    """Decodes a simple JPEG with simplejpeg, without applying its EXIF orientation.

    Pillow decodes in strips into its own image with four bytes per pixel, which is then copied. simplejpeg (the extra
    `fast`) passes the whole file to libjpeg-turbo, which both use, and gets the array: bitwise the same pixels in about
    half the time. Whatever simplejpeg rejects or warns about is left to Pillow, so no pixel and no error depends on
    what is installed.

    Args:
        content: The file.
        image: The same file, opened and size-checked by Pillow.

    Returns:
        RGB of shape (height, width, 3), writable and contiguous; None where Pillow has to decode it.
    """
    if image.mode not in SIMPLE_MODES or not has_end_marker(content):
        return None
    decoder = import_simplejpeg()
    if decoder is None:
        return None
    try:
        pixels: NDArray[np.uint8] = decoder.decode_jpeg(content, "RGB", strict=True)
    except ValueError:
        return None
    width, height = image.size
    return pixels if pixels.shape == (height, width, 3) else None


def has_end_marker(content: bytes) -> bool:
    """Returns whether a JPEG ends with its marker; without, it may be truncated although no decoder warns.

    Args:
        content: The file.

    Returns:
        Whether the marker is among the last bytes.
    """
    return _END_OF_IMAGE in content[-64:]


@cache
def import_simplejpeg() -> Any:
    """Imports simplejpeg.

    Returns:
        The module; None where it is not installed.
    """
    if importlib.util.find_spec("simplejpeg") is None:
        return None
    import simplejpeg

    return simplejpeg


def sniff_format(content: bytes) -> str:
    """Detects the format of a file from its first bytes.

    Args:
        content: The file, or its beginning.

    Returns:
        "JPEG", "PNG", "WebP", "BMP", "HEIC", the name of another type, or "" for an unknown one.
    """
    for magic, name in _MAGIC_BYTES.items():
        if content.startswith(magic):
            return name
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        return "HEIC" if brand in _HEIC_BRANDS else "AVIF" if brand in (b"avif", b"avis") else "video"
    return _sniff_text(content[:1024])


def _sniff_text(start: bytes) -> str:
    """The kind of text that a file starts with; "" for binary data."""
    lower = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in lower:
        return "SVG"
    if lower.startswith((b"<!doctype html", b"<html")):
        return "web page"
    printable = sum(byte in b"\t\n\r\x0c\x1b" or byte >= 32 for byte in start)
    return "text file" if start and b"\0" not in start and printable >= 0.95 * len(start) else ""
