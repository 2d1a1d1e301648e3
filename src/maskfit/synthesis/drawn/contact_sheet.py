"""Contact sheets: rows of persons with their photos side by side, for documents and visual checks."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from maskfit.errors import DataError
from maskfit.synthesis.drawn.demographics import sample_demographics
from maskfit.synthesis.drawn.person import Person, sample_person
from maskfit.synthesis.drawn.render import render_photo
from maskfit.synthesis.drawn.scene import PHOTO_NAMES


def contact_sheet(
    seed: int,
    rows: int,
    *,
    people: Sequence[Person] | None = None,
    names: Sequence[str] = PHOTO_NAMES,
    columns: int = 1,
    width: int = 140,
    gap: int = 6,
    radius: int = 8,
    paper: tuple[int, int, int] = (255, 255, 255),
) -> Image.Image:
    """Renders a contact sheet of drawn persons.

    Args:
        seed: Seed of the dataset whose first persons are shown.
        rows: Number of rows, >= 1.
        people: Persons to show instead, in reading order; at most `rows` * `columns`.
        names: Photos of each person, from left to right.
        columns: Persons per row, >= 1.
        width: Width of a photo in pixels; its height is 4/3 of that.
        gap: Pixels between photos and around the sheet.
        radius: Corner radius of the photos in pixels.
        paper: Background color.

    Returns:
        The sheet, RGB.

    Raises:
        DataError: Fewer than one row or column, or no photo names.
    """
    if rows < 1 or columns < 1 or not names:
        raise DataError(
            f"rows, columns and names must be at least 1, got {rows}, {columns} and {len(names)}",
            hint="set each to 1 or more",
        )
    if people is None:
        demographics = sample_demographics(seed, rows * columns)
        people = [
            sample_person(seed, number, gender=who, age=age) for number, (who, age) in enumerate(demographics, start=1)
        ]
    tall, columns_total = round(width * 4 / 3), columns * len(names)
    sheet = Image.new("RGB", (gap + columns_total * (width + gap), gap + rows * (tall + gap)), paper)
    corners = Image.new("L", (width * 4, tall * 4), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, width * 4 - 1, tall * 4 - 1), radius * 4, fill=255)
    corners = corners.resize((width, tall), Image.Resampling.LANCZOS)
    for index, person in enumerate(people[: rows * columns]):
        for offset, name in enumerate(names):
            # Rendered at twice the size: fine lines look better reduced than rendered small.
            photo = render_photo(person, name, size=(width * 2, tall * 2)).image.reduce(2)
            slot = (index % columns) * len(names) + offset
            sheet.paste(photo, (gap + slot * (width + gap), gap + (index // columns) * (tall + gap)), corners)
    return sheet
