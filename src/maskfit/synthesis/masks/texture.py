"""What masks are made of: the colour of the flat sheet, its pleats, seams, hems and creases as heights and shadows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.synthesis.drawn.colors import Colour, luminance, mixed, turned
from maskfit.synthesis.masks.mask_sampling import MaskInstance
from maskfit.synthesis.masks.mask_types import MASK_TYPES
from maskfit.synthesis.masks.patterns import draw_pattern, draw_print

Array = NDArray[np.float64]

METAL: Colour = (182, 186, 192)


@dataclass
class FabricTexture:
    """A flat sheet of fabric, row by row from the upper rim.

    Attributes:
        across: -1 at the left side to 1 at the right, shape (1, columns).
        down: 0 at the upper rim to 1 at the lower, shape (rows, 1).
        colour: Under white light, 0 to 1, shape (rows, columns, 3).
        height: How far it stands off the mask's smooth shape, in head units, shape (rows, columns).
        shade: Factor on the colour where folds lie in their own shadow.
    """

    across: Array
    down: Array
    colour: Array
    height: Array
    shade: Array

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.down.shape[0], self.across.shape[1]

    def ink(self, colour: Colour, share: Array | float) -> None:
        """Lays a colour over the fabric, `share` 0 to 1 of it."""
        share = np.broadcast_to(np.asarray(share, dtype=np.float64), self.height.shape)[..., None]
        self.colour += (np.array(colour) / 255 - self.colour) * share

    def fold(self, line: Array | float, depth: float, width: float) -> None:
        """An edge of a fold across the sheet at heights `line`, its shadow below it and its lit back above."""
        below = self.down - line
        self.shade *= 1 - depth * np.where(below > 0, np.exp(-np.abs(below) / width), 0)
        self.shade *= 1 + 0.28 * depth * np.where(below <= 0, np.exp(-np.abs(below) / (1.6 * width)), 0)

    def groove(self, distance: Array, depth: float, width: float) -> None:
        """A line pressed or sewn into the sheet, where `distance` from it is 0."""
        self.shade *= 1 - depth * np.exp(-((distance / width) ** 2))


def render_fabric(wearing: MaskInstance, rows: int, columns: int) -> FabricTexture:
    """The flat fabric of a mask, of rows x columns samples."""
    across, down = np.linspace(-1, 1, columns)[None, :], np.linspace(0, 1, rows)[:, None]
    colour = np.tile(np.array(wearing.colour) / 255, (rows, columns, 1))
    cloth = FabricTexture(across, down, colour, np.zeros((rows, columns)), np.ones((rows, columns)))
    chance = np.random.default_rng(wearing.seed)
    if wearing.pattern:
        cloth.ink(wearing.ink, 0.95 * draw_pattern(wearing.pattern, chance, rows, columns))
    FABRICS[MASK_TYPES[wearing.kind].fabric](cloth, wearing, chance)
    return cloth


def _clouds(chance: np.random.Generator, cloth: FabricTexture, knots: tuple[int, int]) -> Array:
    """Smooth noise about 0 with a deviation of about 1: random values on a few knots, blown up."""
    small = Image.fromarray(chance.normal(0, 1, knots).astype(np.float32))
    rows, columns = cloth.size
    return np.asarray(small.resize((columns, rows), Image.Resampling.BICUBIC), dtype=np.float64)


def _crease(cloth: FabricTexture, chance: np.random.Generator, count: int, height: float) -> None:
    """Creases that run from the sides inwards, where loops pull, and a few across the middle."""
    for _ in range(count):
        side = chance.choice((-1, 1))
        start, slope = chance.uniform(0.05, 0.95), chance.normal(0, 0.25)
        reach, width = chance.uniform(0.25, 0.8), chance.uniform(0.02, 0.045)
        inward = (1 - side * cloth.across) / 2 * 2
        line = start + (0.5 - start) * 0.5 * inward + slope * inward * (1 - inward)
        fade = np.exp(-((inward / reach) ** 2)) * np.clip(inward / 0.06, 0, 1)
        cloth.height += height * chance.choice((-1, 1)) * fade * np.exp(-(((cloth.down - line) / width) ** 2))


def _hem(cloth: FabricTexture, width: float, depth: float) -> None:
    """Rims that are folded over and sewn."""
    for edge in (cloth.down, 1 - cloth.down):
        cloth.groove(edge - width, depth, 0.010)
        cloth.shade *= 1 - 0.10 * np.exp(-edge / 0.012)
    for edge in (1 + cloth.across, 1 - cloth.across):
        cloth.groove(edge - 1.4 * width, 0.8 * depth, 0.014)


def _wire(cloth: FabricTexture, chance: np.random.Generator) -> None:
    """The bendable wire over the bridge of the nose, under the fabric."""
    band = np.exp(-(((cloth.down - 0.055) / 0.022) ** 2)) / (1 + np.exp((np.abs(cloth.across) - 0.34) / 0.012))
    cloth.height += 0.012 * band
    cloth.shade *= 1 + 0.05 * chance.uniform(0.4, 1.0) * band


def _pleated(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator) -> None:
    squeezed = wearing.way in ("on the chin", "below the chin")
    for place in (0.33, 0.51, 0.69):
        bow = chance.normal(0, 0.015) + 0.045 * (0.5 - place) * 2
        line = place + chance.normal(0, 0.015) + bow * (1 - cloth.across**2)
        cloth.fold(line, chance.uniform(0.20, 0.38), chance.uniform(0.016, 0.032))
        cloth.height += 0.016 * np.tanh((line - cloth.down) / 0.03)
    _crease(cloth, chance, 14 if squeezed else 9, 0.026 if squeezed else 0.018)
    cloth.height += 0.016 * _clouds(chance, cloth, (6, 7))
    _hem(cloth, 0.045, 0.10)
    _wire(cloth, chance)
    _pale_lining(cloth, wearing)


def _closed_pleats(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator) -> None:
    for place in (0.30, 0.44, 0.58):
        line = place + chance.normal(0, 0.008) + chance.normal(0, 0.01) * cloth.across
        cloth.fold(line, chance.uniform(0.12, 0.22), 0.014)
    _crease(cloth, chance, 4, 0.010)
    cloth.height += 0.010 * _clouds(chance, cloth, (4, 6))
    _hem(cloth, 0.055, 0.10)
    _wire(cloth, chance)
    _pale_lining(cloth, wearing)


def _pale_lining(cloth: FabricTexture, wearing: MaskInstance) -> None:
    """A surgical mask's white binding shows at its rims."""
    if luminance(wearing.colour) > 0.35:
        pale = mixed(wearing.colour, (240, 242, 244), 0.6)
        for edge in (cloth.down, 1 - cloth.down):
            cloth.ink(pale, 0.6 / (1 + np.exp((edge - 0.03) / 0.005)))


def _welded(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator) -> None:
    cloth.groove(cloth.across, 0.14, 0.014)
    for rim in (0.045, 0.955):
        dashes = 0.5 + 0.5 * np.sin(cloth.across * 110)
        cloth.shade *= 1 - 0.16 * dashes * np.exp(-(((cloth.down - rim) / 0.010) ** 2))
    for side in (-1, 1):
        bend = 0.80 - 0.25 * (cloth.down - 0.5) ** 2
        cloth.groove(side * cloth.across - bend, 0.12, 0.016)
    _crease(cloth, chance, 4, 0.012)
    cloth.height += 0.010 * _clouds(chance, cloth, (4, 5))
    if chance.random() < 0.35:
        clip = np.exp(-(((cloth.down - 0.07) / 0.022) ** 4)) / (1 + np.exp((np.abs(cloth.across) - 0.24) / 0.01))
        cloth.ink(METAL, 0.75 * clip)
    if chance.random() < 0.6:
        grey = (96, 102, 112) if luminance(wearing.colour) > 0.4 else (170, 172, 176)
        cloth.ink(grey, draw_print(chance, *cloth.size))
    if chance.random() < 0.2:
        _valve(cloth, wearing, chance, 0.42 * chance.choice((-1, 1)), 0.56)


def _moulded(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator) -> None:
    around = np.hypot(cloth.across * 0.9, (cloth.down - 0.52) * 1.9)
    for ring in (0.62, 0.86):
        cloth.groove(around - ring, 0.10, 0.020)
    cloth.height += 0.0012 * _clouds(chance, cloth, (40, 48))
    clip = np.exp(-(((cloth.down - 0.085) / 0.030) ** 4)) / (1 + np.exp((np.abs(cloth.across) - 0.42) / 0.012))
    cloth.ink(METAL, 0.85 * clip)
    cloth.height += 0.02 * clip
    for side in (-1, 1):
        for place in (0.30, 0.74):
            tab = np.exp(-(((cloth.across - side * 0.93) / 0.04) ** 4 + ((cloth.down - place) / 0.045) ** 4))
            cloth.ink(wearing.strap, 0.8 * tab)
    if chance.random() < 0.35:
        _valve(cloth, wearing, chance, chance.choice((0.0, 0.4, -0.4)), 0.60)
    elif chance.random() < 0.6:
        cloth.ink((92, 98, 112), draw_print(chance, *cloth.size))


def _valve(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator, x: float, y: float) -> None:
    """A round or square outlet of plastic, with slots."""
    power = 2 if chance.random() < 0.6 else 5
    size = chance.uniform(0.13, 0.18)
    far = (np.abs((cloth.across - x) / size) ** power + np.abs((cloth.down - y) / (size * 0.62)) ** power) ** (
        1 / power
    )
    body = 1 / (1 + np.exp((far - 1) / 0.05))
    grey = mixed(wearing.colour, (150, 156, 166), chance.uniform(0.2, 0.9))
    cloth.ink(grey, body)
    cloth.height += 0.06 * body
    slots = 0.5 + 0.5 * np.cos((cloth.down - y) / (size * 0.62) * 9)
    cloth.shade *= 1 - 0.35 * slots**4 / (1 + np.exp((far - 0.72) / 0.05))
    cloth.groove(far - 1.05, 0.22, 0.10)


def _sewn(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator) -> None:
    if chance.random() < 0.6:
        cloth.groove(cloth.across, 0.20, 0.014)
        cloth.height += 0.012 * np.exp(-(((np.abs(cloth.across) - 0.035) / 0.03) ** 2))
    else:
        for place in (0.36, 0.62):
            cloth.fold(place + 0.02 * (1 - cloth.across**2), chance.uniform(0.12, 0.24), 0.03)
    for rim in (0.05, 0.95):
        stitches = (np.sin(cloth.across * 150) > 0).astype(float)
        cloth.shade *= 1 - 0.14 * stitches * np.exp(-(((cloth.down - rim) / 0.008) ** 2))
    _hem(cloth, 0.07, 0.08)
    _crease(cloth, chance, 9, 0.018)
    cloth.height += 0.014 * _clouds(chance, cloth, (6, 8))
    cloth.shade *= 1 + 0.025 * chance.normal(0, 1, cloth.height.shape)


def _foam(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator) -> None:
    cloth.groove(cloth.across, 0.25, 0.012)
    cloth.height += 0.010 * np.exp(-((cloth.across / 0.05) ** 2))
    for edge in (cloth.down, 1 - cloth.down):
        cloth.shade *= 1 + 0.12 * np.exp(-edge / 0.012)
    if chance.random() < 0.2:
        for side in (-1, 1):
            _valve(cloth, wearing, chance, 0.46 * side, 0.55)
    _crease(cloth, chance, 5, 0.012)
    cloth.height += 0.006 * _clouds(chance, cloth, (5, 6))
    if luminance(wearing.colour) < 0.3:
        # A sheen: no black fabric is black all over.
        cloth.ink(turned(wearing.colour, value=2.2), 0.12 * np.clip(_clouds(chance, cloth, (3, 4)), 0, 1))


def _tube(cloth: FabricTexture, wearing: MaskInstance, chance: np.random.Generator) -> None:
    # Cloth that is gathered about a neck falls into long folds, nearly level.
    for _ in range(int(chance.integers(5, 9))):
        place, bow = chance.uniform(0.12, 0.98), chance.normal(0, 0.05)
        line = place + bow * (1 - cloth.across**2) + chance.normal(0, 0.03) * cloth.across
        cloth.fold(line, chance.uniform(0.10, 0.26) * min(1, 1.6 * place), chance.uniform(0.015, 0.04))
    cloth.height += 0.020 * _clouds(chance, cloth, (7, 5))
    cloth.shade *= 1 - 0.10 * np.exp(-cloth.down / 0.012)
    cloth.shade *= 1 + 0.02 * chance.normal(0, 1, cloth.height.shape)


FABRICS: dict[str, Callable[[FabricTexture, MaskInstance, np.random.Generator], None]] = {
    "pleated": _pleated,
    "closed pleats": _closed_pleats,
    "welded": _welded,
    "moulded": _moulded,
    "sewn": _sewn,
    "foam": _foam,
    "tube": _tube,
}
"""How each fabric is worked into a sheet of its plain colour."""
