"""Drawn faces to try the page with, without a photo of anybody."""

from __future__ import annotations

from functools import cache

from PIL import Image

from maskfit.apps.webapp.session import UploadedPhoto, to_jpeg
from maskfit.synthesis.drawn import render_photo, sample_person

GROUP = (
    (15, "male", 34, "mask1"),
    (11, "female", 63, "incorrect_mask"),
    (20, "female", 24, "normal"),
    (15, "female", 45, "mask3"),
    (20, "male", 70, "normal"),
    (19, "male", 21, "incorrect_mask"),
)
"""Seed, gender, age and photo of each drawn person: every mask state, gender and age band is among them."""

COLUMNS, CELL = 3, (360, 480)


@cache
def sample_items() -> tuple[UploadedPhoto, ...]:
    """A group of six, and the second of them alone; drawn when somebody first asks."""
    photos = [
        render_photo(sample_person(seed, number, gender=gender, age=age), name, size=CELL).image
        for number, (seed, gender, age, name) in enumerate(GROUP, start=1)
    ]
    width, height = CELL
    group = Image.new("RGB", (COLUMNS * width, -(-len(photos) // COLUMNS) * height))
    for place, photo in enumerate(photos):
        group.paste(photo, (place % COLUMNS * width, place // COLUMNS * height))
    return UploadedPhoto("drawn group.jpg", to_jpeg(group)), UploadedPhoto("drawn portrait.jpg", to_jpeg(photos[1]))
