"""Draws a street with persons, the photo of the README and of "Your first photo".

python scripts/docs_site/street_scene.py street.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from maskfit.synthesis.drawn.demographics import sample_demographics
from maskfit.synthesis.drawn.person import sample_person
from maskfit.synthesis.drawn.synthetic_video import render_sprites

SIZE = (1200, 675)
"""Width and height in pixels."""

PEOPLE = (
    # Place of the sprite's center, its height, mask state: from back to front.
    (0.215, 255, "wear"),
    (0.425, 265, "not_wear"),
    (0.745, 270, "wear"),
    (0.09, 390, "not_wear"),
    (0.59, 400, "incorrect"),
    (0.91, 430, "wear"),
    (0.335, 440, "wear"),
)
"""The persons of the scene."""


def draw_street(seed: int) -> Image.Image:
    """Draws the scene.

    Args:
        seed: Seed of the persons and houses, >= 0.

    Returns:
        RGB image of `SIZE`.
    """
    image = _draw_background(np.random.default_rng(seed))
    demographics = sample_demographics(seed, len(PEOPLE))
    for number, (across, height, state) in enumerate(PEOPLE, start=1):
        gender, age = demographics[number - 1]
        sprites = render_sprites(sample_person(seed, number, gender=gender, age=age), height)
        sprite = sprites.images[state]
        top = SIZE[1] - height if height > 380 else round(SIZE[1] * 0.93) - height
        image.paste(sprite, (round(across * SIZE[0] - sprite.width / 2), top), sprite)
    return image


def _draw_background(rng: np.random.Generator) -> Image.Image:
    """Sky, houses with windows, a pavement; blurred a little, as behind people in focus."""
    width, height = SIZE
    image = Image.new("RGB", SIZE, (196, 216, 232))
    draw = ImageDraw.Draw(image)
    left = -20
    while left < width:
        wide, top = int(rng.integers(150, 260)), int(rng.integers(20, 170))
        tone = rng.integers(150, 215, 3)
        draw.rectangle((left, top, left + wide, height * 0.72), fill=tuple(int(value) for value in tone))
        for across in range(left + 18, left + wide - 30, 46):
            for down in range(top + 22, int(height * 0.6), 62):
                glass = int(rng.integers(90, 150))
                draw.rectangle((across, down, across + 24, down + 36), fill=(glass, glass + 18, glass + 34))
        left += wide + 4
    draw.rectangle((0, height * 0.7, width, height), fill=(158, 156, 152))
    for across in range(-200, width + 200, 90):
        draw.line((across, height, (across + width) / 2 + 0, height * 0.7), fill=(146, 144, 140), width=2)
    return image.filter(ImageFilter.GaussianBlur(2.2))


if __name__ == "__main__":
    draw_street(21).save(Path(sys.argv[1]), quality=92)
