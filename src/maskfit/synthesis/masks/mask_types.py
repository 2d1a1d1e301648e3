"""Mask types and wearing styles as data, for `mask_mesh`, `texture` and `mask_sampling`.

Rims are in head coordinates (see `head_pose`): the right half of the upper and the lower rim, from the middle outwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from maskfit.synthesis.drawn.colors import Color

Half = tuple[tuple[float, float], ...]
"""Right half of a rim: (x, y) in head coordinates."""

WHITE: Color = (236, 238, 238)
BLACK: Color = (34, 34, 38)


@dataclass(frozen=True, slots=True)
class MaskType:
    """A mask type.

    Attributes:
        upper: Right half of the upper rim when worn correctly, from the bridge of the nose outwards.
        lower: Right half of the lower rim, from under the chin outwards.
        shape: How it bulges off the face, a key of `mask_mesh.SHAPES`.
        fabric: Its material, a key of `texture.FABRICS`.
        colors: Colors and their relative frequencies.
        patterns: Keys of `patterns.PATTERNS` it may have; "" is plain.
        straps: "loops" round the ears, "bands" round the head, or "none" where the fabric itself goes round.
        frequency: Percentage of masks of this type.
    """

    upper: Half
    lower: Half
    shape: str
    fabric: str
    colors: tuple[tuple[Color, int], ...]
    patterns: tuple[str, ...]
    straps: str
    frequency: int


_SURGICAL = (
    ((168, 208, 230), 26),
    ((122, 184, 226), 14),
    ((92, 160, 216), 5),
    ((196, 222, 236), 10),
    (WHITE, 20),
    ((164, 214, 204), 8),
    ((92, 182, 170), 4),
    ((196, 224, 212), 3),
    ((240, 200, 210), 4),
    (BLACK, 7),
    ((200, 194, 224), 2),
    ((78, 104, 150), 3),
)
_RESPIRATOR = ((WHITE, 78), ((222, 224, 222), 8), (BLACK, 6), ((186, 206, 226), 5), ((204, 196, 178), 3))
_CLOTH = (
    (BLACK, 24),
    ((52, 66, 96), 11),
    (WHITE, 12),
    ((128, 130, 136), 9),
    ((206, 190, 168), 6),
    ((158, 52, 58), 5),
    ((212, 40, 56), 4),
    ((74, 108, 92), 4),
    ((38, 140, 84), 3),
    ((196, 128, 140), 5),
    ((104, 88, 130), 4),
    ((222, 172, 66), 3),
    ((226, 108, 48), 2),
    ((96, 132, 172), 4),
    ((40, 92, 176), 3),
    ((222, 214, 202), 4),
)
_PRINTED = (
    (WHITE, 18),
    ((46, 58, 88), 18),
    (BLACK, 14),
    ((214, 150, 150), 10),
    ((228, 196, 132), 8),
    ((120, 164, 190), 10),
    ((168, 62, 62), 8),
    ((92, 124, 96), 7),
    ((236, 222, 206), 7),
)

MASK_TYPES: dict[str, MaskType] = {
    "surgical": MaskType(  # pleats open from nose to chin
        upper=((0.0, 0.22), (0.13, 0.26), (0.34, 0.41), (0.66, 0.50), (0.99, 0.53)),
        lower=((0.0, 1.90), (0.28, 1.86), (0.56, 1.68), (0.80, 1.40), (0.95, 1.12)),
        shape="tent",
        fabric="pleated",
        colors=_SURGICAL,
        patterns=("",),
        straps="loops",
        frequency=38,
    ),
    "surgical-flat": MaskType(  # pleats closed: a band across nose and mouth
        upper=((0.0, 0.30), (0.14, 0.33), (0.36, 0.45), (0.68, 0.53), (0.98, 0.56)),
        lower=((0.0, 1.68), (0.28, 1.66), (0.56, 1.54), (0.80, 1.36), (0.97, 1.20)),
        shape="flat",
        fabric="closed pleats",
        colors=_SURGICAL,
        patterns=("",),
        straps="loops",
        frequency=10,
    ),
    "kn95": MaskType(  # folded along the middle, with a beak
        upper=((0.0, 0.16), (0.12, 0.22), (0.34, 0.40), (0.68, 0.58), (0.98, 0.68)),
        lower=((0.0, 1.92), (0.22, 1.84), (0.50, 1.60), (0.78, 1.28), (0.96, 1.00)),
        shape="beak",
        fabric="welded",
        colors=_RESPIRATOR,
        patterns=("",),
        straps="loops",
        frequency=15,
    ),
    "n95": MaskType(  # a stiff cup
        upper=((0.0, 0.18), (0.14, 0.22), (0.40, 0.40), (0.68, 0.62), (0.84, 0.86)),
        lower=((0.0, 1.86), (0.30, 1.81), (0.58, 1.60), (0.77, 1.31), (0.85, 1.06)),
        shape="cup",
        fabric="molded",
        colors=((WHITE, 80), ((222, 214, 196), 12), ((176, 206, 196), 8)),
        patterns=("",),
        straps="bands",
        frequency=7,
    ),
    "cloth": MaskType(
        upper=((0.0, 0.18), (0.13, 0.23), (0.36, 0.41), (0.68, 0.50), (0.98, 0.52)),
        lower=((0.0, 1.90), (0.26, 1.84), (0.54, 1.64), (0.80, 1.32), (0.95, 1.02)),
        shape="seam",
        fabric="sewn",
        colors=_CLOTH,
        patterns=("",),
        straps="loops",
        frequency=12,
    ),
    "printed": MaskType(  # cloth with a pattern
        upper=((0.0, 0.19), (0.14, 0.24), (0.36, 0.41), (0.68, 0.49), (0.98, 0.51)),
        lower=((0.0, 1.90), (0.28, 1.85), (0.56, 1.66), (0.80, 1.36), (0.96, 1.06)),
        shape="seam",
        fabric="sewn",
        colors=_PRINTED,
        patterns=("dots", "stripes", "checks", "flowers", "leaves", "blotches", "badge"),
        straps="loops",
        frequency=8,
    ),
    "sport": MaskType(  # stretchy foam that clings, cut out for the ears
        upper=((0.0, 0.16), (0.12, 0.21), (0.34, 0.40), (0.68, 0.52), (1.02, 0.40)),
        lower=((0.0, 1.86), (0.22, 1.80), (0.50, 1.60), (0.80, 1.18), (1.02, 0.80)),
        shape="cling",
        fabric="foam",
        colors=((BLACK, 66), ((84, 88, 94), 16), ((52, 62, 88), 8), (WHITE, 5), ((190, 190, 192), 5)),
        patterns=("", "", "badge"),
        straps="loops",
        frequency=10,
    ),
    "gaiter": MaskType(  # a tube of cloth round face and neck, or a scarf pulled up
        upper=((0.0, 0.20), (0.13, 0.25), (0.36, 0.42), (0.70, 0.52), (1.06, 0.52)),
        lower=((0.0, 2.52), (0.30, 2.50), (0.60, 2.36), (0.86, 2.06), (1.04, 1.72)),
        shape="cling",
        fabric="tube",
        colors=_CLOTH,
        patterns=("", "", "blotches", "flowers", "stripes", "dots"),
        straps="none",
        frequency=5,
    ),
}
"""Mask types by name."""


@dataclass(frozen=True, slots=True)
class WearingStyle:
    """A wearing style as changes of the rims; lengths in head units, down is positive.

    Attributes:
        state: Value of the mask attribute: "wear", "incorrect", or "not_wear" for a scarf.
        nose: How much of the nose is covered: "all", "half" (below the bridge) or "none".
        upper: Shift of the upper rim, at the middle and at the sides.
        lower: Shift of the lower rim, at the middle and at the sides.
        tilt: Maximum difference in height of the right and left end; the sign is random.
        width: Factor on the width.
        shift_y: Maximum random vertical shift.
        shift_x: Maximum random horizontal shift.
        straps: Whether the style needs straps.
        hangs: Whether the mask hangs from one ear, next to the face.
    """

    state: str
    nose: str = "all"
    upper: tuple[float, float] = (0.0, 0.0)
    lower: tuple[float, float] = (0.0, 0.0)
    tilt: float = 0.03
    width: float = 1.0
    shift_y: float = 0.035
    shift_x: float = 0.05
    straps: bool = False
    hangs: bool = False


WEARING_STYLES: dict[str, WearingStyle] = {
    "close": WearingStyle("wear", upper=(0.03, 0.02), lower=(0.02, 0.0), shift_y=0.05),
    "high": WearingStyle("wear", upper=(-0.05, -0.03), lower=(-0.04, 0.0)),
    "low": WearingStyle("wear", upper=(0.18, 0.07), lower=(0.08, 0.05)),
    "tilted": WearingStyle("wear", upper=(0.07, 0.04), lower=(0.03, 0.02), tilt=0.15),
    "small": WearingStyle("wear", upper=(0.11, 0.05), lower=(-0.10, -0.07), width=0.88),
    "half the nose": WearingStyle("incorrect", "half", upper=(0.45, 0.14), lower=(0.09, 0.07), tilt=0.08, shift_y=0.06),
    "under the nose": WearingStyle(
        "incorrect", "none", upper=(0.64, 0.17), lower=(0.10, 0.10), tilt=0.10, shift_y=0.09
    ),
    "over the mouth": WearingStyle(
        "incorrect", "none", upper=(0.75, 0.30), lower=(0.12, 0.10), tilt=0.12, width=0.94, shift_y=0.10
    ),
    "pulled aside": WearingStyle(
        "incorrect", "none", upper=(0.80, 0.36), lower=(0.20, 0.20), tilt=0.60, shift_y=0.12, shift_x=0.40, straps=True
    ),
    "on the chin": WearingStyle(
        "incorrect", "none", upper=(1.22, 0.44), lower=(0.20, 0.22), tilt=0.14, width=0.88, shift_y=0.14
    ),
    "below the chin": WearingStyle(
        "incorrect", "none", upper=(1.58, 0.72), lower=(0.48, 0.42), tilt=0.12, width=0.82, shift_y=0.10, straps=True
    ),
    "dangling": WearingStyle("incorrect", "none", straps=True, hangs=True),
    "round the neck": WearingStyle(
        "not_wear", "none", upper=(1.72, 0.96), lower=(0.62, 0.70), tilt=0.10, width=0.95, shift_y=0.16
    ),
}
"""Wearing styles by name. Every "wear" style covers the whole nose; no other style does."""

SCARF_STYLE = "round the neck"
"""Style in which a gaiter is a scarf, and its wearer's face bare."""

CORRECT_STYLES = tuple(name for name, style in WEARING_STYLES.items() if style.state == "wear")
"""Names of the styles in which a mask is worn correctly."""
INCORRECT_STYLES = {
    "half the nose": 16,
    "under the nose": 28,
    "over the mouth": 14,
    "pulled aside": 6,
    "on the chin": 24,
    "below the chin": 7,
    "dangling": 5,
}
"""Names of the incorrect styles, and their percentages among masks worn incorrectly."""


def can_wear(kind: str, style: str) -> bool:
    """Checks whether a mask type can be worn in a style: a scarf needs a type without straps, some styles need straps.

    Args:
        kind: A key of `MASK_TYPES`.
        style: A key of `WEARING_STYLES`.

    Returns:
        Whether it can.
    """
    if MASK_TYPES[kind].straps == "none":
        return not WEARING_STYLES[style].straps
    return style != SCARF_STYLE
