"""The picture in the browser's tab."""

from __future__ import annotations

from PIL import Image, ImageDraw

from maskfit.inference.colours import VALUES

LIGHT = (255, 255, 255)


def draw_icon(side: int = 64) -> Image.Image:
    """A face in its box, for the browser's tab."""
    icon = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(icon)
    blue = VALUES[0].ground
    draw.rounded_rectangle((2, 2, side - 3, side - 3), side / 5, outline=blue, width=side // 9)
    draw.ellipse((side * 0.28, side * 0.24, side * 0.72, side * 0.78), fill=blue)
    draw.rectangle((side * 0.28, side * 0.52, side * 0.72, side * 0.66), fill=LIGHT)
    return icon
