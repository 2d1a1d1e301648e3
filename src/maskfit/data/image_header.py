"""Size and EXIF orientation of a photo from its header, without decoding pixels."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from maskfit.data.image_opening import (
    FIRST_SIDEWAYS,
    OPENERS,
    PNG_EXIF_KEYS,
    check_size,
    damaged_error,
    open_image,
    read_bytes,
    read_orientation,
    sniff_format,
)
from maskfit.errors import PhotoError


def read_upright_size(path: Path) -> tuple[int, int]:
    """Reads the size of a photo from its header; decodes no pixels.

    Args:
        path: The file.

    Returns:
        (width, height) in pixels of the upright photo, after its EXIF orientation.

    Raises:
        PhotoError: The file is missing, empty, or not a photo.
    """
    return read_size_and_orientation(path)[:2]


def read_size_and_orientation(path: Path) -> tuple[int, int, int]:
    """Reads size and EXIF orientation of a photo from its header; decodes no pixels.

    Args:
        path: The file.

    Returns:
        (width, height) in pixels of the upright photo, and the orientation that it is stored in, 1 to 8.

    Raises:
        PhotoError: The file is missing, empty, or not a photo; a PNG or HEIC photo claims more pixels than are decoded.
    """
    if not path.is_file():
        raise PhotoError("there is no such photo", location=path, hint="check the path")
    try:
        with path.open("rb") as stream:
            start = stream.read(1024)
            if sniff_format(start) not in ("JPEG", "WebP", "BMP"):
                # A PNG's EXIF may follow its pixels, and the HEIC plugin reads whole files.
                image = open_image(read_bytes(path), str(path))
                # Pillow allocates all pixels of a PNG to look for EXIF behind them.
                check_size(image, str(path))
                return _upright_size(image, late_exif=_has_late_exif(path))
            stream.seek(0)
            return _upright_size(OPENERS[sniff_format(start)](stream), late_exif=False)
    except PhotoError:
        raise
    except Exception as error:  # Pillow's plugins raise many exception types on a damaged file.
        raise damaged_error(error, str(path)) from error


def _upright_size(image: Image.Image, *, late_exif: bool) -> tuple[int, int, int]:
    width, height = image.size
    if isinstance(image, PngImageFile) and not late_exif and not {*image.info} & PNG_EXIF_KEYS:
        return width, height, 1
    orientation = read_orientation(image)
    return (height, width, orientation) if orientation >= FIRST_SIDEWAYS else (width, height, orientation)


def _has_late_exif(path: Path) -> bool:
    """Whether a PNG has chunks after its pixels that may hold an orientation; only chunk headers are read."""
    with path.open("rb") as stream:
        stream.seek(8)
        seen_pixels = False
        while len(header := stream.read(8)) == 8:
            kind = header[4:]
            seen_pixels = seen_pixels or kind == b"IDAT"
            if seen_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            stream.seek(int.from_bytes(header[:4], "big") + 4, 1)
    return False
