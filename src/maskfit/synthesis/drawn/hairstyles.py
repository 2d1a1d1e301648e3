"""Hairstyles as data, and how likely they are by gender and age.

A style tells how far the hair stands off the skull, the shape of the hairline and how low the hair falls; `hair` draws
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskfit.synthesis.drawn.colors import DYED, GRAY, HAIR, WHITE_HAIR, Color, blend, shift_hsv


@dataclass(frozen=True)
class HairStyle:
    """Shape of a hairstyle; lengths in head units (half a face width), down is positive.

    Attributes:
        front: Hairline over the forehead: "up", "bangs", "swept", "curtain" or "tousled".
        top: Height of the hair above the skull.
        side: Thickness at the sides.
        fall: Height at which the hair beside the face ends; the eyes are at 0, the chin at about 1.45.
        back: Height at which the hair behind the neck ends; None for none visible.
        texture: "straight", "wavy", "curly" or "coily".
        tied: "", "bun", "top bun", "ponytail" or "braids".
        spread: How much wider than the head the back hair is at its end.
        close: Whether it is cropped so short that skin shines through.
    """

    front: str
    top: float
    side: float
    fall: float
    back: float | None = None
    texture: str = "straight"
    tied: str = ""
    spread: float = 0.0
    close: bool = False

    @property
    def covers_ears(self) -> bool:
        """Whether the hair covers the ears."""
        return self.fall > 0.45


STYLES: dict[str, HairStyle] = {
    "buzz": HairStyle("up", 0.05, 0.01, 0.10, close=True),
    "crop": HairStyle("up", 0.16, 0.03, 0.12),
    "textured crop": HairStyle("tousled", 0.22, 0.04, 0.10),
    "side part": HairStyle("swept", 0.22, 0.05, 0.18),
    "quiff": HairStyle("up", 0.36, 0.03, 0.12, texture="wavy"),
    "two block": HairStyle("bangs", 0.24, 0.06, 0.10),
    "middle part": HairStyle("curtain", 0.22, 0.08, 0.12),
    "short curls": HairStyle("tousled", 0.28, 0.10, 0.12, texture="curly"),
    "coils": HairStyle("up", 0.22, 0.09, 0.10, texture="coily"),
    "afro": HairStyle("up", 0.52, 0.42, 0.42, texture="coily"),
    "long loose": HairStyle("curtain", 0.17, 0.10, 1.75, 2.1, "wavy", spread=0.05),
    "long straight": HairStyle("curtain", 0.15, 0.08, 2.25, 2.6, spread=0.06),
    "long waves": HairStyle("curtain", 0.20, 0.16, 2.15, 2.5, "wavy", spread=0.22),
    "long bangs": HairStyle("bangs", 0.18, 0.10, 2.1, 2.5, spread=0.08),
    "swept long": HairStyle("swept", 0.20, 0.12, 1.95, 2.3, "wavy", spread=0.14),
    "long curls": HairStyle("curtain", 0.30, 0.28, 1.8, 2.1, "curly", spread=0.35),
    "lob": HairStyle("curtain", 0.17, 0.12, 1.45, 1.6, spread=0.10),
    "bob": HairStyle("swept", 0.20, 0.16, 1.05, 1.15, spread=0.06),
    "bob bangs": HairStyle("bangs", 0.18, 0.15, 1.05, 1.15, spread=0.06),
    "pixie": HairStyle("swept", 0.22, 0.07, 0.36),
    "ponytail": HairStyle("up", 0.10, 0.02, 0.05, tied="ponytail"),
    "swept ponytail": HairStyle("swept", 0.13, 0.04, 0.30, tied="ponytail"),
    "bun": HairStyle("up", 0.10, 0.03, 0.08, tied="top bun"),
    "low bun": HairStyle("swept", 0.13, 0.05, 0.22, tied="bun"),
    "braids": HairStyle("curtain", 0.12, 0.05, 0.40, tied="braids"),
    "perm": HairStyle("up", 0.30, 0.24, 0.62, 0.85, "curly"),
    "set waves": HairStyle("swept", 0.28, 0.20, 0.72, 0.8, "wavy"),
}
"""Hairstyles by name."""

# Weights up to 24, from 35 to 55, and from 64 years, interpolated in between: style is only a weak cue of age.
_FEMALE: dict[str, tuple[float, float, float]] = {
    "long straight": (9, 3.5, 0.3),
    "long waves": (8, 5, 0.4),
    "long bangs": (11, 1, 0.1),
    "swept long": (5, 5, 1),
    "long curls": (4, 3, 0.7),
    "lob": (4, 9, 2.5),
    "bob": (2, 9, 6),
    "bob bangs": (5, 4, 2.5),
    "pixie": (1.5, 4, 6),
    "ponytail": (8, 3.5, 0.7),
    "swept ponytail": (4, 4, 1.5),
    "bun": (7, 2.5, 1.5),
    "low bun": (1.5, 5, 5),
    "braids": (6, 0.4, 0.2),
    "perm": (0.05, 1.5, 15),
    "set waves": (0.1, 3, 11),
    "afro": (1.5, 1.2, 1),
    "crop": (0.3, 0.7, 2),
    "textured crop": (0.7, 0.7, 1),
    "short curls": (0.8, 1.5, 3),
}
_MALE: dict[str, tuple[float, float, float]] = {
    "buzz": (3, 5, 4),
    "crop": (3, 10, 9),
    "textured crop": (10, 3, 0.6),
    "side part": (3, 11, 10),
    "quiff": (6, 5, 1.5),
    "two block": (12, 1, 0.1),
    "middle part": (8, 1, 0.2),
    "short curls": (4, 3, 1.5),
    "coils": (2, 2, 2),
    "afro": (0.8, 0.5, 0.3),
    "long loose": (1.6, 1.4, 0.6),
    "bun": (0.9, 0.6, 0.2),
    "ponytail": (0.3, 0.4, 0.4),
}
_DARK_SKIN_TEXTURES = {"coily": 7.0, "curly": 1.8, "wavy": 0.6, "straight": 0.45}
_LIGHT_SKIN_TEXTURES = {"coily": 0.08, "curly": 0.8, "wavy": 1.0, "straight": 1.0}


def sample_hairstyle(rng: np.random.Generator, gender: str, age: float, tone: float) -> str:
    """Samples a hairstyle that is typical of gender, age and skin tone.

    Args:
        rng: Random generator; advanced.
        gender: "male" or "female".
        age: Age in years.
        tone: Darkness of the skin, 0 to 1.

    Returns:
        A key of `STYLES`.
    """
    table = _FEMALE if gender == "female" else _MALE
    names = list(table)
    weights = np.array([np.interp(age, (24, 35, 55, 64), (*table[name][:2], *table[name][1:])) for name in names])
    dark = float(np.clip((tone - 0.55) / 0.25, 0, 1))
    for index, name in enumerate(names):
        texture = STYLES[name].texture
        weights[index] *= _LIGHT_SKIN_TEXTURES[texture] * (1 - dark) + _DARK_SKIN_TEXTURES[texture] * dark
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def sample_hair_color(rng: np.random.Generator, tone: float) -> Color:
    """Samples the hair color before it turns gray.

    Args:
        rng: Random generator; advanced.
        tone: Darkness of the skin, 0 to 1.

    Returns:
        The color.
    """
    names = list(HAIR)
    light = np.array([5, 5, 6, 5, 3, 1.5, 2.5, 2, 1.2])
    dark = np.array([9, 7, 3, 0.6, 0.2, 0.1, 0, 0, 0])
    fraction = float(np.clip((tone - 0.3) / 0.3, 0, 1))
    weights = light * (1 - fraction) + dark * fraction
    color = HAIR[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
    return shift_hsv(color, saturation=rng.uniform(0.85, 1.15), value=rng.uniform(0.9, 1.12))


def sample_dye_color(rng: np.random.Generator, gender: str, age: float, natural: Color) -> Color | None:
    """Samples the color of dyed hair: unnatural colors of the young, brown over gray later.

    Args:
        rng: Random generator; advanced by the same amount in all cases.
        gender: "male" or "female".
        age: Age in years.
        natural: Color of the undyed hair.

    Returns:
        The color; None for undyed hair.
    """
    bright = np.interp(age, (18, 30, 45), (0.20, 0.07, 0.01)) * (1.0 if gender == "female" else 0.5)
    hides = np.interp(age, (35, 48, 58, 66), (0.05, 0.42, 0.28, 0.10)) * (1.0 if gender == "female" else 0.25)
    roll = rng.random()
    tint = DYED[int(rng.integers(len(DYED)))]
    if roll < bright:
        return tint
    return blend(natural, HAIR["brown"], 0.35) if roll < bright + hides else None


def blend_gray(color: Color, gray: float) -> Color:
    """Blends a hair color with gray.

    Args:
        color: Color without gray.
        gray: Fraction of gray, 0 none to 1 white.

    Returns:
        The color.
    """
    target = blend(GRAY, WHITE_HAIR, max(0.0, gray - 0.6) / 0.4)
    return blend(color, target, gray**0.9)
