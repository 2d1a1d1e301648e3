"""Opens image files: reads their bytes, finds their format, and reads size and orientation from their header.

The format follows from the content, not from the file name. Nothing is decoded before the size in the header is
checked, and Pillow's process-wide settings are neither used nor changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import stat
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from maskfit.errors import PhotoError

MAX_PIXELS = 89_478_485
"""Maximum width x height: a quarter of a GiB as RGB, and more than any camera's 50 million."""

MAX_BYTES = 256 * 2**20
"""Maximum size of a file."""

EXIF_ORIENTATION = 0x0112
"""EXIF tag of the camera's orientation."""

FIRST_SIDEWAYS = 5
"""From this EXIF orientation on, width and height are swapped."""

# The plugin classes, not Image.open, which applies a size limit that any library in the process may have changed.
OPENERS: dict[str, Callable[[IO[bytes]], Image.Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
}
"""What opens a stream, by format."""


PNG_EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
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


def open_checked(source: Path | bytes, name: str, max_pixels: int, max_bytes: int) -> tuple[bytes, Image.Image, str]:
    """Opens a photo and checks the size that its header claims; decodes no pixels.

    Args:
        source: Path of a file, or its bytes.
        name: Name of the photo in errors; empty for the path.
        max_pixels: Maximum width x height.
        max_bytes: Maximum size of the file.

    Returns:
        The bytes, the image, and the name for errors.

    Raises:
        PhotoError: As `read_bytes` and `open_image`, or the photo has too many pixels.
    """
    content = read_bytes(source, name=name, max_bytes=max_bytes)
    label = name or _label(source)
    image = open_image(content, label)
    check_size(image, label, max_pixels)
    return content, image, label


def check_size(image: Image.Image, label: str, max_pixels: int = MAX_PIXELS) -> None:
    """Checks the size that the header of a photo claims.

    Args:
        image: The photo, opened.
        label: Its name in errors.
        max_pixels: Maximum width x height.

    Raises:
        PhotoError: It has more pixels.
    """
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            f"the photo has {width} x {height} = {width * height:,} pixels, more than the maximum of {max_pixels:,}",
            location=label,
            hint="downscale the photo; a small file that claims so many pixels may be an attack that exhausts memory",
        )


def read_size(content: bytes) -> tuple[int, int]:
    """Reads the size of a photo from its header; decodes no pixels.

    Args:
        content: The file.

    Returns:
        (width, height) in pixels, before it is turned upright; (0, 0) where the header cannot be read.
    """
    try:
        width, height = open_image(content, "").size
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


def open_image(content: bytes, label: str) -> Image.Image:
    """Opens a photo and reads its header; decodes no pixels.

    Args:
        content: The file.
        label: Name of the photo in errors.

    Returns:
        The image, of the plugin of its format.

    Raises:
        PhotoError: The content is no photo, of a format that is not supported, or damaged.
    """
    found = sniff_format(content)
    if found == "HEIC":
        return _open_heic(content, label)
    if found not in OPENERS:
        message = f"this is a {found}, not a photo" if found else "this is not a photo"
        if found in ("SVG", "AVIF"):
            message = f"this is an {found}, which is not supported"
        elif found in ("GIF", "TIFF"):
            message = f"this is a {found}, which is not supported"
        hint = "videos are read by 'maskfit video'" if found == "video" else "save it as JPEG or PNG"
        raise PhotoError(message, location=label, hint=hint)
    try:
        return OPENERS[found](BytesIO(content))
    except Exception as error:  # struct.error, KeyError, OverflowError and more.
        raise damaged_error(error, label) from error


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
        raise damaged_error(error, label) from error
    return image


def damaged_error(error: Exception, label: str) -> PhotoError:
    """Makes the error of a damaged photo.

    Args:
        error: What a plugin raised.
        label: Name of the photo.

    Returns:
        The error, with the reason.
    """
    reason = str(error).strip() or type(error).__name__
    return PhotoError(f"the photo is damaged or incomplete: {reason}", location=label, hint="copy or download it again")


def _label(source: Path | bytes) -> str:
    return "a photo passed as bytes" if isinstance(source, bytes) else str(source)


def read_orientation(image: Any) -> int:
    """Reads the EXIF orientation of a photo.

    Args:
        image: The photo, opened.

    Returns:
        1 to 8; 1 (upright) where there is none, it cannot be read, or has another value.
    """
    try:
        # Real files have 0 and 65537, which viewers show upright.
        orientation = int(image.getexif().get(EXIF_ORIENTATION, 1))
        return orientation if 1 <= orientation <= 8 else 1
    except Exception:  # A damaged EXIF block does not make the pixels unusable.
        return 1


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
    if content.startswith(b"\x1aE\xdf\xa3") or (content[:4] == b"RIFF" and content[8:12] == b"AVI "):
        return "video"  # Matroska and WebM, AVI
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
