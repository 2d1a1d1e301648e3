"""Contact sheets: rows of people, their photos side by side, for documents and for looking."""

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
    """Draws a sheet of photos, a person after the other.

    Args:
        seed: Seed of the set; its first people are shown.
        rows: Rows of people.
        people: People to show instead, in the order of reading; `rows` times `columns` of them at most.
        names: Photos of each person, from left to right.
        columns: People in a row.
        width: Width of a photo in pixels; its height is four thirds of that.
        gap: Pixels between photos and round the sheet.
        radius: Radius of the photos' rounded corners in pixels.
        paper: Color of the sheet.

    Raises:
        DataError: Fewer than one row or column, or no photo names.
    """
    if rows < 1 or columns < 1 or not names:
        raise DataError("a contact sheet needs a row, a column and a photo name", hint="give at least 1 of each")
    if people is None:
        demographics = sample_demographics(seed, rows * columns)
        people = [
            sample_person(seed, number, gender=who, age=age) for number, (who, age) in enumerate(demographics, start=1)
        ]
    tall, across = round(width * 4 / 3), columns * len(names)
    sheet = Image.new("RGB", (gap + across * (width + gap), gap + rows * (tall + gap)), paper)
    corners = Image.new("L", (width * 4, tall * 4), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, width * 4 - 1, tall * 4 - 1), radius * 4, fill=255)
    corners = corners.resize((width, tall), Image.Resampling.LANCZOS)
    for index, person in enumerate(people[: rows * columns]):
        for offset, name in enumerate(names):
            # Drawn at twice the size: fine lines survive shrinking better than they survive being drawn small.
            photo = render_photo(person, name, size=(width * 2, tall * 2)).image.reduce(2)
            place = (index % columns) * len(names) + offset
            sheet.paste(photo, (gap + place * (width + gap), gap + (index // columns) * (tall + gap)), corners)
    return sheet
