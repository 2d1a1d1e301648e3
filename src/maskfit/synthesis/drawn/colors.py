"""Colors of people, cloth and rooms, and color arithmetic."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

Color = tuple[float, float, float]
"""Red, green and blue, 0 to 255."""

# From very light to very dark; the undertone varies per person.
_SKIN: tuple[Color, ...] = (
    (250, 220, 198),
    (245, 209, 182),
    (239, 196, 164),
    (230, 182, 146),
    (214, 160, 120),
    (190, 134, 96),
    (160, 106, 74),
    (128, 82, 58),
    (98, 62, 46),
    (76, 48, 38),
)
HAIR: dict[str, Color] = {
    "black": (36, 31, 34),
    "soft black": (50, 41, 42),
    "dark brown": (70, 48, 40),
    "brown": (104, 69, 49),
    "chestnut": (128, 76, 52),
    "auburn": (150, 72, 44),
    "dark blond": (170, 128, 82),
    "blond": (214, 174, 112),
    "red": (190, 92, 48),
}
"""Natural hair colors by name."""
DYED: tuple[Color, ...] = ((196, 120, 140), (120, 96, 160), (92, 132, 168), (206, 190, 168), (150, 60, 72))
"""Unnatural hair colors."""
GRAY: Color = (196, 194, 194)
WHITE_HAIR: Color = (232, 230, 226)
IRIS: dict[str, Color] = {
    "dark brown": (62, 40, 32),
    "brown": (96, 62, 42),
    "hazel": (126, 96, 56),
    "green": (92, 122, 92),
    "blue": (86, 128, 164),
    "gray": (120, 132, 142),
}
"""Eye colors by name."""
CLOTH: tuple[Color, ...] = (
    (52, 72, 102),
    (232, 226, 214),
    (196, 84, 72),
    (70, 120, 116),
    (228, 172, 86),
    (120, 92, 132),
    (62, 64, 72),
    (150, 178, 196),
    (214, 150, 150),
    (108, 134, 92),
    (244, 240, 236),
    (36, 38, 46),
    (176, 128, 92),
    (92, 110, 168),
)
"""Colors of clothes."""
WALLS: tuple[Color, ...] = (
    (222, 214, 204),
    (198, 212, 216),
    (232, 210, 196),
    (206, 216, 200),
    (212, 206, 222),
    (238, 230, 214),
    (176, 192, 204),
    (196, 182, 170),
    (158, 176, 168),
    (226, 196, 176),
    (136, 150, 168),
    (244, 238, 232),
)
"""Colors of backgrounds."""


def to_uint8(color: Color) -> tuple[int, int, int]:
    """Rounds a color to integers 0 to 255."""
    red, green, blue = int(color[0] + 0.5), int(color[1] + 0.5), int(color[2] + 0.5)
    return min(255, max(0, red)), min(255, max(0, green)), min(255, max(0, blue))


def blend(first: Color, second: Color, fraction: float) -> Color:
    """Interpolates between two colors.

    Args:
        first: Color at fraction 0.
        second: Color at fraction 1.
        fraction: Position between them, 0 to 1.

    Returns:
        The color.
    """
    return (
        first[0] + (second[0] - first[0]) * fraction,
        first[1] + (second[1] - first[1]) * fraction,
        first[2] + (second[2] - first[2]) * fraction,
    )


def scale_brightness(color: Color, factor: float) -> Color:
    """Multiplies a color by a factor; above 1 it blends towards white.

    Args:
        color: The color.
        factor: 0 for black, 1 for no change, 2 for white.

    Returns:
        The color.
    """
    if factor <= 1:
        return color[0] * factor, color[1] * factor, color[2] * factor
    return blend(color, (255, 255, 255), min(factor - 1, 1.0))


def scale_channels(color: Color, factors: Sequence[float]) -> Color:
    """Multiplies each channel by its own factor.

    Args:
        color: The color.
        factors: Factors of red, green and blue.

    Returns:
        The color.
    """
    return color[0] * factors[0], color[1] * factors[1], color[2] * factors[2]


def luminance(color: Color) -> float:
    """Computes the luma of a color (ITU-R BT.601), 0 to 1."""
    return (0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]) / 255


def shift_hsv(color: Color, hue: float = 0.0, saturation: float = 1.0, value: float = 1.0) -> Color:
    """Shifts the hue and multiplies saturation and value.

    Args:
        color: The color.
        hue: Shift of the hue in turns.
        saturation: Factor on the saturation.
        value: Factor on the value.

    Returns:
        The color.
    """
    hsv = colorsys.rgb_to_hsv(*(min(max(channel, 0.0), 255.0) / 255 for channel in color))
    red, green, blue = colorsys.hsv_to_rgb((hsv[0] + hue) % 1, min(hsv[1] * saturation, 1), min(hsv[2] * value, 1))
    return red * 255, green * 255, blue * 255


def skin_color(tone: float, warmth: float = 0.0) -> Color:
    """Computes a skin color.

    Args:
        tone: 0 very light to 1 very dark.
        warmth: Undertone, -1 rosy to 1 golden.

    Returns:
        The color.
    """
    where = min(max(tone, 0.0), 1.0) * (len(_SKIN) - 1)
    low = min(int(where), len(_SKIN) - 2)
    plain = blend(_SKIN[low], _SKIN[low + 1], where - low)
    return scale_channels(plain, (1 + 0.004 * warmth, 1 + 0.012 * warmth, 1 - 0.045 * warmth))


def pick_color(rng: np.random.Generator, colors: Sequence[Color]) -> Color:
    """Samples one of the colors with a slight random variation.

    Args:
        rng: Random generator; advanced.
        colors: Colors to choose from.

    Returns:
        The color.
    """
    color = colors[int(rng.integers(len(colors)))]
    return shift_hsv(color, hue=rng.normal(0, 0.012), saturation=rng.uniform(0.85, 1.1), value=rng.uniform(0.93, 1.04))
