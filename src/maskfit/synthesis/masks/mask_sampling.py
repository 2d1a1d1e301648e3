"""Samples masks and how they are worn from the tables; deterministic in seed and photo name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from maskfit.errors import DataError, did_you_mean
from maskfit.synthesis.drawn.colors import Color, blend, luminance, scale_brightness, shift_hsv
from maskfit.synthesis.masks.mask_types import (
    BLACK,
    CORRECT_STYLES,
    INCORRECT_STYLES,
    MASK_TYPES,
    SCARF_STYLE,
    WEARING_STYLES,
    WHITE,
    can_wear,
)

MAX_CORRECT = len(CORRECT_STYLES)
"""Maximum number of correctly worn masks per face: one per style."""
INCORRECT_STEM = "incorrect_mask"
"""File name stem of the first photo with an incorrectly worn mask."""
SCARF_STEM = "normal2"
"""File name stem of the bare face with a scarf."""

_INKS: tuple[Color, ...] = (
    WHITE,
    (30, 36, 56),
    (226, 176, 92),
    (204, 84, 88),
    (96, 146, 180),
    (240, 206, 200),
    (24, 24, 26),
    (214, 36, 50),
    (250, 206, 60),
    (36, 132, 80),
    (238, 118, 44),
    (58, 84, 190),
)
"""Colors of patterns and prints."""

_DYED = ("sewn", "foam", "tube")
"""Fabrics that come in any color."""


@dataclass(frozen=True, slots=True)
class MaskInstance:
    """One mask and how it is worn.

    Attributes:
        kind: A key of `MASK_TYPES`.
        style: A key of `WEARING_STYLES`.
        color: Fabric color under white light, RGB 0 to 255.
        pattern: A key of `patterns.PATTERNS`; "" for plain.
        ink: Color of pattern and print.
        strap: Color of ear loops or head bands.
        shift_y: Shift of the whole mask in head units; down is positive.
        scale: Factor on its width.
        tilt: How much lower the right end is than the left, per head unit.
        shift_x: Shift to the right in head units.
        side: Ear that a dangling mask hangs from: -1 left, 1 right in the image.
        brightness: Factor on its brightness.
        seed: Seed of creases, pattern and print.

    Raises:
        DataError: Unknown kind or style, or the kind cannot be worn in that style.
    """

    kind: str
    style: str
    color: Color
    pattern: str
    ink: Color
    strap: Color
    shift_y: float = 0.0
    scale: float = 1.0
    tilt: float = 0.0
    shift_x: float = 0.0
    side: int = 1
    brightness: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in MASK_TYPES:
            raise DataError(f"unknown mask type '{self.kind}'; {did_you_mean(self.kind, MASK_TYPES)}")
        if self.style not in WEARING_STYLES:
            raise DataError(f"unknown wearing style '{self.style}'; {did_you_mean(self.style, WEARING_STYLES)}")
        if not can_wear(self.kind, self.style):
            straps = "has straps" if MASK_TYPES[self.kind].straps != "none" else "has no straps"
            raise DataError(f"mask type '{self.kind}' {straps} and cannot be worn '{self.style}'")

    @property
    def state(self) -> str:
        """Value of the mask attribute: "wear", "incorrect", or "not_wear" for a scarf."""
        return WEARING_STYLES[self.style].state


def rng_for(seed: int, name: str, purpose: str) -> np.random.Generator:
    """Creates a random generator from a hash of its arguments, independent of other draws and of the process.

    Args:
        seed: Seed of the dataset.
        name: Name of the photo.
        purpose: Name of the random stream.

    Returns:
        The generator.
    """
    digest = hashlib.blake2b(f"{seed}\0{name}\0{purpose}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def sample_masks(
    seed: int, name: str, *, num_correct: int = MAX_CORRECT, num_incorrect: int = 1, scarf: bool = False
) -> dict[str, MaskInstance]:
    """Samples the masks of one person: by default five worn correctly and one incorrectly.

    The five are in five different styles and of at least four types. The masks of the first photos do not depend on
    the counts.

    Args:
        seed: Seed of the dataset.
        name: Name of the bare photo in its dataset.
        num_correct: Number of masks worn correctly, each in another style; 1 to 5.
        num_incorrect: Number of masks worn incorrectly, each in another style; 1 to 7.
        scarf: Whether to add a bare face with a scarf round the neck.

    Returns:
        Masks by the photo's stem: `mask1` to `mask5`, `incorrect_mask`, `incorrect_mask2`..., and `normal2` with the
        scarf.

    Raises:
        DataError: A count is out of its range.
    """
    counts = {"num_correct": (num_correct, MAX_CORRECT), "num_incorrect": (num_incorrect, len(INCORRECT_STYLES))}
    for argument, (count, maximum) in counts.items():
        if not 1 <= count <= maximum:
            raise DataError(f"{argument} must be 1 to {maximum}, got {count}", hint=f"set it to 1 to {maximum}")
    rng = rng_for(seed, name, "choice")
    styles = [str(style) for style in rng.permutation(CORRECT_STYLES)]
    names, frequencies = list(MASK_TYPES), np.array([kind.frequency for kind in MASK_TYPES.values()], dtype=float)
    kinds = [str(kind) for kind in rng.choice(names, size=4, replace=False, p=frequencies / frequencies.sum())]
    kinds.insert(int(rng.integers(5)), str(rng.choice(names, p=frequencies / frequencies.sum())))
    chosen = {f"mask{number}": pair for number, pair in enumerate(zip(kinds, styles, strict=True), start=1)}
    chosen = dict(list(chosen.items())[:num_correct])
    weights = np.array(list(INCORRECT_STYLES.values()), dtype=float)
    wrong = rng.choice(list(INCORRECT_STYLES), size=len(INCORRECT_STYLES), replace=False, p=weights / weights.sum())
    for number, style in enumerate(map(str, wrong[:num_incorrect]), start=1):
        able = frequencies * [can_wear(kind, style) for kind in names]
        kind = str(rng.choice(names, p=able / able.sum()))
        chosen[INCORRECT_STEM + (str(number) if number > 1 else "")] = kind, style
    if scarf:
        chosen[SCARF_STEM] = "gaiter", SCARF_STYLE
    return {photo: sample_mask(*pair, rng_for(seed, name, photo)) for photo, pair in chosen.items()}


def sample_mask(kind: str, style: str, rng: np.random.Generator) -> MaskInstance:
    """Samples color, pattern and small variations of one mask.

    Args:
        kind: A key of `MASK_TYPES`.
        style: A key of `WEARING_STYLES`.
        rng: Random generator; advanced.

    Returns:
        The mask.

    Raises:
        DataError: Unknown kind or style, or the kind cannot be worn in that style.
    """
    if kind not in MASK_TYPES or style not in WEARING_STYLES or not can_wear(kind, style):
        MaskInstance(kind, style, WHITE, "", WHITE, WHITE)  # raises the error
    mask_type = MASK_TYPES[kind]
    frequencies = np.array([frequency for _, frequency in mask_type.colors], dtype=float)
    base = mask_type.colors[int(rng.choice(len(frequencies), p=frequencies / frequencies.sum()))][0]
    hue, max_saturation = (0.07, 1.4) if mask_type.fabric in _DYED else (0.012, 1.15)
    color = shift_hsv(
        base, hue=rng.normal(0, hue), saturation=rng.uniform(0.75, max_saturation), value=rng.uniform(0.93, 1.03)
    )
    inks = [ink for ink in _INKS if abs(luminance(ink) - luminance(color)) > 0.2]
    ink = inks[int(rng.integers(len(inks)))]
    if mask_type.fabric in ("foam", "tube") or (mask_type.fabric == "sewn" and rng.random() < 0.7):
        strap = scale_brightness(color, 0.94)
    elif mask_type.straps == "bands" and rng.random() < 0.6:
        strap = (226, 196, 96)
    else:
        strap = blend(WHITE, BLACK, 0.95) if luminance(color) < 0.25 and rng.random() < 0.8 else WHITE
    tilt, shift_y, shift_x = WEARING_STYLES[style].tilt, WEARING_STYLES[style].shift_y, WEARING_STYLES[style].shift_x
    return MaskInstance(
        kind=kind,
        style=style,
        color=color,
        pattern=str(rng.choice(mask_type.patterns)),
        ink=ink,
        strap=strap,
        shift_y=float(np.clip(rng.normal(0, shift_y / 2), -shift_y, shift_y)),
        scale=float(np.clip(rng.normal(1.0, 0.035), 0.92, 1.08)),
        tilt=float(rng.uniform(-tilt, tilt)),
        shift_x=float(np.clip(rng.normal(0, shift_x / 2), -shift_x, shift_x)),
        side=int(rng.choice((-1, 1))),
        brightness=float(np.clip(rng.normal(1.02, 0.12), 0.75, 1.32)),
        seed=int(rng.integers(2**31)),
    )
