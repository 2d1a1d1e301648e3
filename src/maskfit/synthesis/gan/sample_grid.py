"""Image grids of faces: one row per class, real faces on the left, generated faces on the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from maskfit.file_io import atomic_write, save_image

Row = tuple[str, Sequence[NDArray[np.uint8]], Sequence[NDArray[np.uint8]]]
"""Text of a row, its real faces and its generated faces; all faces of one size."""

SIDE = 72
"""Side of a face in the grid in pixels; smaller faces are enlarged."""

PAPER, INK, SOFT = (255, 255, 255), (27, 33, 38), (96, 108, 118)
"""Colors of background, title and secondary text."""
TEXT_WIDTH, LINE_HEIGHT, GAP = 250, 16, 4
"""Pixels: width of the text column, line height, gap between faces."""


def write_sample_grid(path: Path, title: str, rows: Sequence[Row]) -> None:
    """Writes a grid as PNG.

    Args:
        path: File to write.
        title: Title above the rows.
        rows: The rows; their texts may have several lines.
    """
    columns = [max(len(row[kind]) for row in rows) for kind in (1, 2)]
    step = SIDE + GAP
    wide = TEXT_WIDTH + sum(columns) * step + (2 * GAP if columns[0] else 0) + GAP
    sheet = Image.new("RGB", (wide, 2 * LINE_HEIGHT + len(rows) * step + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    draw.text((GAP, GAP), title, INK, font)
    for index, (text, real, made) in enumerate(rows):
        top = 2 * LINE_HEIGHT + index * step
        for number, line in enumerate(text.splitlines()):
            draw.text((GAP, top + 4 + number * LINE_HEIGHT), line, SOFT if number else INK, font)
        for offset, faces in ((0, real), (columns[0] * step + (2 * GAP if columns[0] else 0), made)):
            for number, face in enumerate(faces):
                image = Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                sheet.paste(image, (TEXT_WIDTH + offset + number * step, top))
    with atomic_write(path) as temporary:
        save_image(sheet, temporary, "PNG")
