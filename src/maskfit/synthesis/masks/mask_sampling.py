"""Which mask a person wears on which photo, and how: a draw from the tables that follows from seed and photo alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from maskfit.errors import DataError, did_you_mean
from maskfit.synthesis.drawn.colors import Colour, dimmed, luminance, mixed, turned
from maskfit.synthesis.masks.mask_types import (
    BLACK,
    MASK_TYPES,
    SCARF_TYPES,
    WEARING_STYLES,
    WHITE,
    WORN,
    WRONG,
    can_wear,
)

MOST_WORN = len(WORN)
WRONG_PHOTO = "incorrect_mask"
SCARF_PHOTO = "normal2"

_INKS: tuple[Colour, ...] = (
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

_DYED = ("sewn", "foam", "tube")
"""Fabrics that come in any colour."""


@dataclass(frozen=True, slots=True)
class MaskInstance:
    """One mask and how it is worn.

    Args:
        kind: A name in `KINDS`.
        way: A name in `WAYS`.
        colour: Colour of the fabric under white light.
        pattern: Its pattern; "" for none.
        ink: Colour of pattern and print.
        strap: Colour of loops or bands.
        height: Further shift of the whole mask, in head units; down is positive.
        scale: Factor on its width.
        tilt: How much further down the right end lies than the left.
        aside: Shift to the right.
        side: Ear that it hangs from when it dangles, -1 left or 1 right on the picture.
        light: Factor on its brightness: no two masks shine alike.
        seed: Seed of creases, dots and print.
    """

    kind: str
    way: str
    colour: Colour
    pattern: str
    ink: Colour
    strap: Colour
    height: float = 0.0
    scale: float = 1.0
    tilt: float = 0.0
    aside: float = 0.0
    side: int = 1
    light: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in MASK_TYPES:
            raise DataError(f"there is no mask '{self.kind}'; {did_you_mean(self.kind, MASK_TYPES)}")
        if self.way not in WEARING_STYLES:
            raise DataError(f"no mask is worn '{self.way}'; {did_you_mean(self.way, WEARING_STYLES)}")
        if not can_wear(self.kind, self.way):
            held = "has straps" if MASK_TYPES[self.kind].straps != "none" else "has no straps"
            raise DataError(f"a {self.kind} {held}, and so cannot be worn '{self.way}'")

    @property
    def state(self) -> str:
        """The value of the mask attribute: "wear", "incorrect", or "not_wear" for a scarf."""
        return WEARING_STYLES[self.way].state


def rng_for(seed: int, name: str, purpose: str) -> np.random.Generator:
    """A generator that follows from its arguments alone, whatever else was drawn and in whichever process."""
    digest = hashlib.blake2b(f"{seed}\0{name}\0{purpose}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def draw_wearings(
    seed: int, name: str, *, worn: int = MOST_WORN, wrongly: int = 1, scarf: bool = False
) -> dict[str, MaskInstance]:
    """What a person wears: by default five masks worn well, in five ways and of at least four kinds, and one wrongly.

    Whatever the counts, the first photos are the same.

    Args:
        seed: Seed of the set.
        name: Name of the bare photo in its set.
        worn: How many are worn well, each in another way; 1 to 5.
        wrongly: How many are worn wrongly, each in another way; 1 to the number of wrong ways.
        scarf: Whether there is also a bare face with a scarf about the neck.

    Returns:
        By the photo's stem, `mask1` to `mask5`, `incorrect_mask`, `incorrect_mask2`... and `normal2` with the scarf.

    Raises:
        DataError: A count is out of its range.
    """
    for count, most, what in ((worn, MOST_WORN, "well"), (wrongly, len(WRONG), "wrongly")):
        if not 1 <= count <= most:
            raise DataError(f"{count} masks a person cannot be worn {what}", hint=f"give 1 to {most}")
    chance = rng_for(seed, name, "choice")
    ways = [str(way) for way in chance.permutation(WORN)]
    names, shares = list(MASK_TYPES), np.array([kind.share for kind in MASK_TYPES.values()], dtype=float)
    kinds = [str(kind) for kind in chance.choice(names, size=4, replace=False, p=shares / shares.sum())]
    kinds.insert(int(chance.integers(5)), str(chance.choice(names, p=shares / shares.sum())))
    chosen = {f"mask{number}": pair for number, pair in enumerate(zip(kinds, ways, strict=True), start=1)}
    chosen = dict(list(chosen.items())[:worn])
    weights = np.array(list(WRONG.values()), dtype=float)
    wrong = chance.choice(list(WRONG), size=len(WRONG), replace=False, p=weights / weights.sum())
    for number, way in enumerate(map(str, wrong[:wrongly]), start=1):
        able = shares * [can_wear(kind, way) for kind in names]
        kind = str(chance.choice(names, p=able / able.sum()))
        chosen[WRONG_PHOTO + (str(number) if number > 1 else "")] = kind, way
    if scarf:
        chosen[SCARF_PHOTO] = "gaiter", SCARF_TYPES
    return {photo: sample_mask(*pair, rng_for(seed, name, photo)) for photo, pair in chosen.items()}


def sample_mask(kind: str, way: str, chance: np.random.Generator) -> MaskInstance:
    """One mask of a kind worn in a way, its colour and small differences left to chance.

    Raises:
        DataError: There is no such kind or way, or the one cannot be worn the other.
    """
    if kind not in MASK_TYPES or way not in WEARING_STYLES or not can_wear(kind, way):
        MaskInstance(kind, way, WHITE, "", WHITE, WHITE)  # says what is wrong
    made = MASK_TYPES[kind]
    shares = np.array([share for _, share in made.colours], dtype=float)
    base = made.colours[int(chance.choice(len(shares), p=shares / shares.sum()))][0]
    hue, most = (0.07, 1.4) if made.fabric in _DYED else (0.012, 1.15)
    colour = turned(
        base, hue=chance.normal(0, hue), saturation=chance.uniform(0.75, most), value=chance.uniform(0.93, 1.03)
    )
    inks = [ink for ink in _INKS if abs(luminance(ink) - luminance(colour)) > 0.2]
    ink = inks[int(chance.integers(len(inks)))]
    if made.fabric in ("foam", "tube") or (made.fabric == "sewn" and chance.random() < 0.7):
        strap = dimmed(colour, 0.94)
    elif made.straps == "bands" and chance.random() < 0.6:
        strap = (226, 196, 96)
    else:
        strap = mixed(WHITE, BLACK, 0.95) if luminance(colour) < 0.25 and chance.random() < 0.8 else WHITE
    tilt, drift, aside = WEARING_STYLES[way].tilt, WEARING_STYLES[way].drift, WEARING_STYLES[way].aside
    return MaskInstance(
        kind=kind,
        way=way,
        colour=colour,
        pattern=str(chance.choice(made.patterns)),
        ink=ink,
        strap=strap,
        height=float(np.clip(chance.normal(0, drift / 2), -drift, drift)),
        scale=float(np.clip(chance.normal(1.0, 0.035), 0.92, 1.08)),
        tilt=float(chance.uniform(-tilt, tilt)),
        aside=float(np.clip(chance.normal(0, aside / 2), -aside, aside)),
        side=int(chance.choice((-1, 1))),
        light=float(np.clip(chance.normal(1.02, 0.12), 0.75, 1.32)),
        seed=int(chance.integers(2**31)),
    )
