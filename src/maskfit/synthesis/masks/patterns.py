"""Patterns and prints of masks, drawn as ink on the flat fabric before it is bent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from maskfit.synthesis.drawn.curves import ellipse, spline, translated

Array = NDArray[np.float64]
Pen = ImageDraw.ImageDraw

WIDTH, HEIGHT = 768, 640
"""Pixels of the flat fabric that patterns are drawn on before it is reduced to the texture's size."""


def draw_pattern(name: str, rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Draws a pattern.

    Args:
        name: A key of `PATTERNS`.
        rng: Random generator; advanced.
        rows: Number of rows of the result.
        columns: Number of columns of the result.

    Returns:
        Ink density 0 to 1, shape (rows, columns).
    """
    sheet = Image.new("L", (WIDTH, HEIGHT), 0)
    PATTERNS[name](ImageDraw.Draw(sheet), rng)
    return _shrunk(sheet, rows, columns)


def draw_print(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Draws the small print of a respirator, such as its standard and certificate number.

    Args:
        rng: Random generator; advanced.
        rows: Number of rows of the result.
        columns: Number of columns of the result.

    Returns:
        Ink density 0 to 1, shape (rows, columns).
    """
    sheet = Image.new("L", (WIDTH, HEIGHT), 0)
    pen = ImageDraw.Draw(sheet)
    lines = (
        ("KN95",),
        ("KN95", "GB2626-2019"),
        ("FFP2 NR", "CE 2163"),
        ("N95", f"TC-84A-{rng.integers(1000, 9999)}"),
    )
    size = int(rng.integers(26, 44))
    x = WIDTH * (rng.uniform(0.16, 0.24) if rng.random() < 0.5 else rng.uniform(0.60, 0.66))
    y = HEIGHT * rng.uniform(0.40, 0.62)
    for place, line in enumerate(lines[int(rng.integers(len(lines)))]):
        font = ImageFont.load_default(size if place == 0 else size * 0.6)
        pen.text((x, y + place * size * 1.15), line, fill=200, font=font)
    return _shrunk(sheet, rows, columns)


def _shrunk(sheet: Image.Image, rows: int, columns: int) -> Array:
    return np.asarray(sheet.resize((columns, rows), Image.Resampling.BOX), dtype=np.float64) / 255


def _fill(pen: Pen, points: Array, ink: int = 255) -> None:
    pen.polygon(points.ravel().tolist(), fill=ink)


def _places(rng: np.random.Generator, step: float, loose: float) -> list[tuple[float, float]]:
    """Returns positions in staggered rows, each with a random offset."""
    found = []
    for row in range(-1, round(HEIGHT / step) + 2):
        for column in range(-1, round(WIDTH / step) + 2):
            x, y = (column + 0.5 * (row % 2)) * step, row * step * 0.87
            found.append((x + rng.uniform(-loose, loose) * step, y + rng.uniform(-loose, loose) * step))
    return found


def _dots(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(44, 96)
    radius = step * rng.uniform(0.16, 0.30)
    for x, y in _places(rng, step, 0.0):
        _fill(pen, ellipse(x, y, radius, radius))


def _stripes(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(38, 110)
    broad = step * rng.uniform(0.25, 0.55)
    if rng.random() < 0.5:
        for top in np.arange(rng.uniform(0, step), HEIGHT, step).tolist():
            pen.rectangle((0, top, WIDTH, top + broad), fill=255)
    else:
        for left in np.arange(rng.uniform(0, step), WIDTH, step).tolist():
            pen.rectangle((left, 0, left + broad, HEIGHT), fill=255)


def _checks(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(52, 120)
    half = Image.new("L", (WIDTH, HEIGHT), 0)
    other = ImageDraw.Draw(half)
    for left in np.arange(0, WIDTH, step).tolist():
        other.rectangle((left, 0, left + step / 2, HEIGHT), fill=255)
    for top in np.arange(0, HEIGHT, step).tolist():
        pen.rectangle((0, top, WIDTH, top + step / 2), fill=130)
    # Where a vertical and a horizontal stripe cross, their densities add up, as threads do in gingham.
    pen.bitmap((0, 0), half.point([value * 125 // 255 for value in range(256)]), fill=255)


def _flowers(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(90, 160)
    for x, y in _places(rng, step, 0.16):
        size, spin = step * rng.uniform(0.12, 0.20), rng.uniform(0, 6.3)
        for petal in range(5):
            angle = spin + petal * 2 * np.pi / 5
            _fill(
                pen, ellipse(x + size * np.cos(angle), y + size * np.sin(angle), size * 0.72, size * 0.62, turn=angle)
            )
        _fill(pen, ellipse(x, y, size * 0.45, size * 0.45), 60)


def _leaves(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(80, 140)
    for x, y in _places(rng, step, 0.2):
        size, turn = step * rng.uniform(0.3, 0.5), rng.uniform(0, 3.2)
        _fill(pen, ellipse(x, y, size, size * 0.26, turn=turn), int(rng.integers(150, 256)))


def _blotches(pen: Pen, rng: np.random.Generator) -> None:
    for ink in (110, 190, 255):
        for _ in range(16):
            rim = ellipse(0, 0, 1, 1, count=9) * rng.uniform(0.5, 1.5, (9, 1)) * rng.uniform(34, 80)
            place = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
            _fill(pen, translated(spline(rim * (1.5, 0.8), closed=True), *place), ink)


def _badge(pen: Pen, rng: np.random.Generator) -> None:
    """Draws one small sign at a side, such as a logo."""
    x, y = WIDTH * rng.choice((0.28, 0.5, 0.72)), HEIGHT * rng.uniform(0.4, 0.6)
    size = rng.uniform(24, 60)
    kind = int(rng.integers(3))
    if kind == 0:
        _fill(pen, ellipse(x, y, size, size))
        _fill(pen, ellipse(x, y, size * 0.62, size * 0.62), 0)
    elif kind == 1:
        tips = ellipse(x, y, size, size, count=10) - (x, y)
        tips[1::2] *= 0.45
        _fill(pen, translated(tips, x, y))
    else:
        for line in range(2):
            pen.rectangle((x - size, y + line * size * 0.6, x + size, y + line * size * 0.6 + size * 0.3), fill=255)


PATTERNS: dict[str, Callable[[Pen, np.random.Generator], None]] = {
    "dots": _dots,
    "stripes": _stripes,
    "checks": _checks,
    "flowers": _flowers,
    "leaves": _leaves,
    "blotches": _blotches,
    "badge": _badge,
}
"""Patterns by name; each draws white ink on a black image of WIDTH x HEIGHT."""
