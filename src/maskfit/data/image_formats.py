"""Detects the format of a file from its first bytes."""

from __future__ import annotations

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
