"""Fabric textures: color of the flat fabric, and its pleats, seams, hems and creases as height and shade maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.synthesis.drawn.colors import Color, blend, luminance, shift_hsv
from maskfit.synthesis.masks.mask_sampling import MaskInstance
from maskfit.synthesis.masks.mask_types import MASK_TYPES
from maskfit.synthesis.masks.patterns import draw_pattern, draw_print

Array = NDArray[np.float64]

METAL: Color = (182, 186, 192)
"""Color of nose clips."""


@dataclass
class FabricTexture:
    """A flat piece of fabric, row by row from the upper rim.

    Attributes:
        across: -1 at the left to 1 at the right side, shape (1, columns).
        down: 0 at the upper to 1 at the lower rim, shape (rows, 1).
        color: Color under white light, 0 to 1, shape (rows, columns, 3).
        height: Height above the mask's smooth shape in head units, shape (rows, columns).
        shade: Factor on the color, for folds that shade themselves, shape (rows, columns).
    """

    across: Array
    down: Array
    color: Array
    height: Array
    shade: Array

    @property
    def size(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.down.shape[0], self.across.shape[1]

    def ink(self, color: Color, alpha: Array | float) -> None:
        """Blends a color over the fabric in place.

        Args:
            color: RGB 0 to 255.
            alpha: Opacity 0 to 1, a number or an array that broadcasts to (rows, columns).
        """
        alpha = np.broadcast_to(np.asarray(alpha, dtype=np.float64), self.height.shape)[..., None]
        self.color += (np.array(color) / 255 - self.color) * alpha

    def fold(self, line: Array | float, depth: float, width: float) -> None:
        """Adds the edge of a fold to the shade map: a shadow below it, a highlight above it.

        Args:
            line: Position down the fabric, 0 to 1, a number or shape (1, columns).
            depth: Strength of the shadow, 0 to 1.
            width: Decay length of the shadow.
        """
        below = self.down - line
        self.shade *= 1 - depth * np.where(below > 0, np.exp(-np.abs(below) / width), 0)
        self.shade *= 1 + 0.28 * depth * np.where(below <= 0, np.exp(-np.abs(below) / (1.6 * width)), 0)

    def groove(self, distance: Array, depth: float, width: float) -> None:
        """Adds a pressed or sewn line to the shade map.

        Args:
            distance: Distance from the line, of any shape that broadcasts to (rows, columns).
            depth: Strength, 0 to 1.
            width: Width of the line, in the unit of `distance`.
        """
        self.shade *= 1 - depth * np.exp(-((distance / width) ** 2))


def render_fabric(instance: MaskInstance, rows: int, columns: int) -> FabricTexture:
    """Renders the flat fabric of a mask.

    Args:
        instance: Mask with colors, pattern and seed.
        rows: Number of rows.
        columns: Number of columns.

    Returns:
        The texture.
    """
    across, down = np.linspace(-1, 1, columns)[None, :], np.linspace(0, 1, rows)[:, None]
    color = np.tile(np.array(instance.color) / 255, (rows, columns, 1))
    fabric = FabricTexture(across, down, color, np.zeros((rows, columns)), np.ones((rows, columns)))
    rng = np.random.default_rng(instance.seed)
    if instance.pattern:
        fabric.ink(instance.ink, 0.95 * draw_pattern(instance.pattern, rng, rows, columns))
    FABRICS[MASK_TYPES[instance.kind].fabric](fabric, instance, rng)
    return fabric


def _clouds(rng: np.random.Generator, fabric: FabricTexture, knots: tuple[int, int]) -> Array:
    """Returns smooth noise of mean 0 and standard deviation about 1: random knots, bicubically upsampled."""
    small = Image.fromarray(rng.normal(0, 1, knots).astype(np.float32))
    rows, columns = fabric.size
    return np.asarray(small.resize((columns, rows), Image.Resampling.BICUBIC), dtype=np.float64)


def _crease(fabric: FabricTexture, rng: np.random.Generator, count: int, height: float) -> None:
    """Adds creases that run inwards from the sides, where loops pull."""
    for _ in range(count):
        side = rng.choice((-1, 1))
        start, slope = rng.uniform(0.05, 0.95), rng.normal(0, 0.25)
        reach, width = rng.uniform(0.25, 0.8), rng.uniform(0.02, 0.045)
        inward = (1 - side * fabric.across) / 2 * 2
        line = start + (0.5 - start) * 0.5 * inward + slope * inward * (1 - inward)
        fade = np.exp(-((inward / reach) ** 2)) * np.clip(inward / 0.06, 0, 1)
        fabric.height += height * rng.choice((-1, 1)) * fade * np.exp(-(((fabric.down - line) / width) ** 2))


def _hem(fabric: FabricTexture, width: float, depth: float) -> None:
    """Adds folded and sewn rims."""
    for edge in (fabric.down, 1 - fabric.down):
        fabric.groove(edge - width, depth, 0.010)
        fabric.shade *= 1 - 0.10 * np.exp(-edge / 0.012)
    for edge in (1 + fabric.across, 1 - fabric.across):
        fabric.groove(edge - 1.4 * width, 0.8 * depth, 0.014)


def _wire(fabric: FabricTexture, rng: np.random.Generator) -> None:
    """Adds the bendable wire under the fabric over the bridge of the nose."""
    band = np.exp(-(((fabric.down - 0.055) / 0.022) ** 2)) / (1 + np.exp((np.abs(fabric.across) - 0.34) / 0.012))
    fabric.height += 0.012 * band
    fabric.shade *= 1 + 0.05 * rng.uniform(0.4, 1.0) * band


def _pleated(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator) -> None:
    squeezed = instance.style in ("on the chin", "below the chin")
    for position in (0.33, 0.51, 0.69):
        bow = rng.normal(0, 0.015) + 0.045 * (0.5 - position) * 2
        line = position + rng.normal(0, 0.015) + bow * (1 - fabric.across**2)
        fabric.fold(line, rng.uniform(0.20, 0.38), rng.uniform(0.016, 0.032))
        fabric.height += 0.016 * np.tanh((line - fabric.down) / 0.03)
    _crease(fabric, rng, 14 if squeezed else 9, 0.026 if squeezed else 0.018)
    fabric.height += 0.016 * _clouds(rng, fabric, (6, 7))
    _hem(fabric, 0.045, 0.10)
    _wire(fabric, rng)
    _pale_lining(fabric, instance)


def _closed_pleats(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator) -> None:
    for position in (0.30, 0.44, 0.58):
        line = position + rng.normal(0, 0.008) + rng.normal(0, 0.01) * fabric.across
        fabric.fold(line, rng.uniform(0.12, 0.22), 0.014)
    _crease(fabric, rng, 4, 0.010)
    fabric.height += 0.010 * _clouds(rng, fabric, (4, 6))
    _hem(fabric, 0.055, 0.10)
    _wire(fabric, rng)
    _pale_lining(fabric, instance)


def _pale_lining(fabric: FabricTexture, instance: MaskInstance) -> None:
    """Adds the white binding at the rims of a surgical mask."""
    if luminance(instance.color) > 0.35:
        pale = blend(instance.color, (240, 242, 244), 0.6)
        for edge in (fabric.down, 1 - fabric.down):
            fabric.ink(pale, 0.6 / (1 + np.exp((edge - 0.03) / 0.005)))


def _welded(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator) -> None:
    fabric.groove(fabric.across, 0.14, 0.014)
    for rim in (0.045, 0.955):
        dashes = 0.5 + 0.5 * np.sin(fabric.across * 110)
        fabric.shade *= 1 - 0.16 * dashes * np.exp(-(((fabric.down - rim) / 0.010) ** 2))
    for side in (-1, 1):
        bend = 0.80 - 0.25 * (fabric.down - 0.5) ** 2
        fabric.groove(side * fabric.across - bend, 0.12, 0.016)
    _crease(fabric, rng, 4, 0.012)
    fabric.height += 0.010 * _clouds(rng, fabric, (4, 5))
    if rng.random() < 0.35:
        clip = np.exp(-(((fabric.down - 0.07) / 0.022) ** 4)) / (1 + np.exp((np.abs(fabric.across) - 0.24) / 0.01))
        fabric.ink(METAL, 0.75 * clip)
    if rng.random() < 0.6:
        gray = (96, 102, 112) if luminance(instance.color) > 0.4 else (170, 172, 176)
        fabric.ink(gray, draw_print(rng, *fabric.size))
    if rng.random() < 0.2:
        _valve(fabric, instance, rng, 0.42 * rng.choice((-1, 1)), 0.56)


def _molded(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator) -> None:
    around = np.hypot(fabric.across * 0.9, (fabric.down - 0.52) * 1.9)
    for ring in (0.62, 0.86):
        fabric.groove(around - ring, 0.10, 0.020)
    fabric.height += 0.0012 * _clouds(rng, fabric, (40, 48))
    clip = np.exp(-(((fabric.down - 0.085) / 0.030) ** 4)) / (1 + np.exp((np.abs(fabric.across) - 0.42) / 0.012))
    fabric.ink(METAL, 0.85 * clip)
    fabric.height += 0.02 * clip
    for side in (-1, 1):
        for position in (0.30, 0.74):
            tab = np.exp(-(((fabric.across - side * 0.93) / 0.04) ** 4 + ((fabric.down - position) / 0.045) ** 4))
            fabric.ink(instance.strap, 0.8 * tab)
    if rng.random() < 0.35:
        _valve(fabric, instance, rng, rng.choice((0.0, 0.4, -0.4)), 0.60)
    elif rng.random() < 0.6:
        fabric.ink((92, 98, 112), draw_print(rng, *fabric.size))


def _valve(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator, x: float, y: float) -> None:
    """Adds a round or square exhalation valve with slots."""
    power = 2 if rng.random() < 0.6 else 5
    size = rng.uniform(0.13, 0.18)
    far = (np.abs((fabric.across - x) / size) ** power + np.abs((fabric.down - y) / (size * 0.62)) ** power) ** (
        1 / power
    )
    body = 1 / (1 + np.exp((far - 1) / 0.05))
    gray = blend(instance.color, (150, 156, 166), rng.uniform(0.2, 0.9))
    fabric.ink(gray, body)
    fabric.height += 0.06 * body
    slots = 0.5 + 0.5 * np.cos((fabric.down - y) / (size * 0.62) * 9)
    fabric.shade *= 1 - 0.35 * slots**4 / (1 + np.exp((far - 0.72) / 0.05))
    fabric.groove(far - 1.05, 0.22, 0.10)


def _sewn(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator) -> None:
    if rng.random() < 0.6:
        fabric.groove(fabric.across, 0.20, 0.014)
        fabric.height += 0.012 * np.exp(-(((np.abs(fabric.across) - 0.035) / 0.03) ** 2))
    else:
        for position in (0.36, 0.62):
            fabric.fold(position + 0.02 * (1 - fabric.across**2), rng.uniform(0.12, 0.24), 0.03)
    for rim in (0.05, 0.95):
        stitches = (np.sin(fabric.across * 150) > 0).astype(float)
        fabric.shade *= 1 - 0.14 * stitches * np.exp(-(((fabric.down - rim) / 0.008) ** 2))
    _hem(fabric, 0.07, 0.08)
    _crease(fabric, rng, 9, 0.018)
    fabric.height += 0.014 * _clouds(rng, fabric, (6, 8))
    fabric.shade *= 1 + 0.025 * rng.normal(0, 1, fabric.height.shape)


def _foam(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator) -> None:
    fabric.groove(fabric.across, 0.25, 0.012)
    fabric.height += 0.010 * np.exp(-((fabric.across / 0.05) ** 2))
    for edge in (fabric.down, 1 - fabric.down):
        fabric.shade *= 1 + 0.12 * np.exp(-edge / 0.012)
    if rng.random() < 0.2:
        for side in (-1, 1):
            _valve(fabric, instance, rng, 0.46 * side, 0.55)
    _crease(fabric, rng, 5, 0.012)
    fabric.height += 0.006 * _clouds(rng, fabric, (5, 6))
    if luminance(instance.color) < 0.3:
        # A sheen: no black fabric is uniformly black.
        fabric.ink(shift_hsv(instance.color, value=2.2), 0.12 * np.clip(_clouds(rng, fabric, (3, 4)), 0, 1))


def _tube(fabric: FabricTexture, instance: MaskInstance, rng: np.random.Generator) -> None:
    # Cloth gathered round a neck falls into long, nearly horizontal folds.
    for _ in range(int(rng.integers(5, 9))):
        position, bow = rng.uniform(0.12, 0.98), rng.normal(0, 0.05)
        line = position + bow * (1 - fabric.across**2) + rng.normal(0, 0.03) * fabric.across
        fabric.fold(line, rng.uniform(0.10, 0.26) * min(1, 1.6 * position), rng.uniform(0.015, 0.04))
    fabric.height += 0.020 * _clouds(rng, fabric, (7, 5))
    fabric.shade *= 1 - 0.10 * np.exp(-fabric.down / 0.012)
    fabric.shade *= 1 + 0.02 * rng.normal(0, 1, fabric.height.shape)


FABRICS: dict[str, Callable[[FabricTexture, MaskInstance, np.random.Generator], None]] = {
    "pleated": _pleated,
    "closed pleats": _closed_pleats,
    "welded": _welded,
    "molded": _molded,
    "sewn": _sewn,
    "foam": _foam,
    "tube": _tube,
}
"""How each fabric is rendered into a plainly colored texture."""
