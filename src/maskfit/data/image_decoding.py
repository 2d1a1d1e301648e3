"""One way from a file or its bytes to pixels: upright, RGB, eight bits, or an error that says why not.

What a photo is, its content says, not its name. Nothing is decoded before the size in its header is known to be fair,
and nothing depends on, or changes, the settings that Pillow keeps for a whole process.
"""

from __future__ import annotations

import hashlib
import importlib.util
import stat
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from maskfit.data.fast_jpeg import decode_simple_jpeg
from maskfit.errors import PhotoError

Pixels = NDArray[np.uint8]

MAX_PIXELS = 89_478_485
"""Width x height that is still decoded: a quarter of a GiB as RGB, and more than any camera's 50 million."""

MAX_BYTES = 256 * 2**20
"""The largest file that is read at all."""

EXIF_ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""

FIRST_SIDEWAYS = 5
"""From this orientation on width and height change places."""

WHITE = (255, 255, 255, 255)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_TURNS_OF_ARRAYS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""The same turns of (height, width, 3)."""

# The classes themselves, not Image.open: that consults a size limit which any library in the process may have changed.
_OPENERS: dict[str, Callable[[BytesIO], Image.Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_BEGINNINGS = {
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


def decode(source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Pixels:
    """The pixels of a photo: upright, RGB, uint8 of shape (height, width, 3), writable and in one piece.

    Args:
        source: A file, or a file's content.
        name: What errors call the photo; the path where left out.
        max_pixels: Greatest width x height; what is larger is refused before it is decoded.
        max_bytes: Greatest size of the file.

    Raises:
        PhotoError: The photo is missing, empty, truncated, damaged, too large, or no JPEG, PNG, WebP, BMP or HEIC.
    """
    content, image, label = _open_fair(source, name, max_pixels, max_bytes)
    plain = decode_simple_jpeg(content, image) if isinstance(image, JpegImageFile) else None
    if plain is None:
        return np.array(_load(image, label, None)[0])
    turn = _TURNS_OF_ARRAYS.get(_read_orientation(image))
    return plain if turn is None else np.ascontiguousarray(turn(plain))


def open_rgb(
    source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """As `decode`, but a Pillow image of mode RGB.

    Of an animation the first frame is taken. Sixteen bits are scaled to eight. What is transparent is laid over white:
    cut-out portraits are made for light pages, and Pillow's own answer, to drop the alpha, shows whatever colour the
    editor left under it. Colour profiles are not applied.

    Raises:
        PhotoError: As for `decode`.
    """
    _, image, label = _open_fair(source, name, max_pixels, max_bytes)
    return _load(image, label, None)[0]


def open_downscaled(
    source: Path | bytes, least: tuple[int, int], *, name: str = ""
) -> tuple[Image.Image, tuple[int, int]]:
    """As `open_upright`, but a JPEG may come at a half, a quarter or an eighth, which decodes several times as fast.

    Args:
        source: A file, or a file's content.
        least: (width, height) that the image has at least, where the photo has.
        name: What errors call the photo; the path where left out.

    Returns:
        The image, and the upright (width, height) that the photo really has.

    Raises:
        PhotoError: As for `decode`.
    """
    _, image, label = _open_fair(source, name, MAX_PIXELS, MAX_BYTES)
    return _load(image, label, least)


def _open_fair(source: Path | bytes, name: str, max_pixels: int, max_bytes: int) -> tuple[bytes, Image.Image, str]:
    """The content, the image with its header read and its size found fair, and what errors call it."""
    content = read_bytes(source, name=name, max_bytes=max_bytes)
    label = name or _label(source)
    image = _open(content, label)
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            f"{width} x {height} is {width * height:,} pixels, more than the {max_pixels:,} that are decoded",
            location=label,
            hint="shrink the photo; a file that is small but claims so many pixels may be meant to exhaust memory",
        )
    return content, image, label


def _load(image: Image.Image, label: str, least: tuple[int, int] | None) -> tuple[Image.Image, tuple[int, int]]:
    """The image decoded, drafted where `least` is given, and its size before any drafting."""
    width, height = image.size
    try:
        if least is not None and isinstance(image, JpegImageFile):
            # Without a mode Pillow keeps the photo's own, so that grey and CMYK take the same way as undrafted.
            image.draft(None, least[::-1] if _read_orientation(image) >= FIRST_SIDEWAYS else least)
        image.load()
        # Only now, for a PNG's EXIF may stand behind its pixels, and to look for it is to decode them.
        size = (height, width) if _read_orientation(image) >= FIRST_SIDEWAYS else (width, height)
        return _turn_upright(_to_rgb(image)), size
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on a damaged file.
        raise _damaged(error, label) from error


def read_bytes(source: Path | bytes, *, name: str = "", max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a photo, unchanged.

    Raises:
        PhotoError: The file is missing, no regular file, empty, too large or not readable.
    """
    label = name or _label(source)
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            status = source.stat()
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            what = "there is no such photo" if missing else f"the photo cannot be read: {error}"
            raise PhotoError(what, location=label, hint="check the path") from None
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError("this is no regular file", location=label, hint="name a photo")
        size = status.st_size
    if size == 0:
        raise PhotoError("the file is empty", location=label, hint="copy or download it again")
    if size > max_bytes:
        what = f"the file has {size:,} bytes, more than the {max_bytes:,} that are read"
        raise PhotoError(what, location=label, hint="save the photo as a smaller JPEG")
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        what = f"the photo cannot be read: {error.strerror or error}"
        raise PhotoError(what, location=label, hint="check its permissions and the disk") from None


def content_hash(source: Path | bytes) -> str:
    """32 hexadecimal digits that stand for the content of a file: the same bytes, the same key, whatever the name.

    Raises:
        PhotoError: The file is missing, empty or not readable.
    """
    return hashlib.blake2b(read_bytes(source), digest_size=16).hexdigest()


def sniff_format(content: bytes) -> str:
    """What a file's beginning says it is: "JPEG", "PNG", "WebP", "BMP", "HEIC", another type's name, or ""."""
    for beginning, name in _BEGINNINGS.items():
        if content.startswith(beginning):
            return name
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        return "HEIC" if brand in _HEIC_BRANDS else "AVIF" if brand in (b"avif", b"avis") else "video"
    return _find_text(content[:1024])


def _find_text(start: bytes) -> str:
    """What kind of text a file begins with; "" where it is no text."""
    lower = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in lower:
        return "SVG"
    if lower.startswith((b"<!doctype html", b"<html")):
        return "web page"
    printable = sum(byte in b"\t\n\r\x0c\x1b" or byte >= 32 for byte in start)
    return "text file" if start and b"\0" not in start and printable >= 0.95 * len(start) else ""


def _open(content: bytes, label: str) -> Image.Image:
    """The image with its header read and nothing decoded."""
    found = sniff_format(content)
    if found == "HEIC":
        return _open_heic(content, label)
    if found not in _OPENERS:
        what = f"this is a {found}, not a photo" if found else "this is no photo"
        if found in ("SVG", "AVIF"):
            what = f"this is an {found}, which is not read"
        elif found in ("GIF", "TIFF"):
            what = f"this is a {found}, which is not read"
        raise PhotoError(what, location=label, hint="save it as JPEG or PNG")
    try:
        return _OPENERS[found](BytesIO(content))
    except Exception as error:  # As above: struct.error, KeyError, OverflowError and more.
        raise _damaged(error, label) from error


def _open_heic(content: bytes, label: str) -> Image.Image:
    if importlib.util.find_spec("pillow_heif") is None:
        raise PhotoError(
            "this is a HEIC photo, and the extra that reads them is not installed",
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
    return "a photo given as bytes" if isinstance(source, bytes) else str(source)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB; the image itself where it is that already."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, WHITE)
        result = Image.alpha_composite(white, layer).convert("RGB")
        result.info = image.info
        return result
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of sixteen bits as L, 65535 becoming 255; Pillow's own conversion clips everything above 255 to white."""
    values = np.asarray(image, dtype=np.float64)
    # I and F say nothing of their range: what stays within eight bits is taken for eight bits.
    if image.mode.startswith("I;16") or values.max(initial=0) > 255:
        values = values / 257
    result = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return result


def _turn_upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_read_orientation(image))
    return image if turn is None else image.transpose(turn)


def _read_orientation(image: Any) -> int:
    """The EXIF orientation; 1, which is upright, where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # A damaged EXIF block is no reason to refuse good pixels.
        return 1
