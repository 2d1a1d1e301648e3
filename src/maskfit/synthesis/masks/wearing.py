"""Which mask a person wears on which photo, and how: a draw from the tables that follows from seed and photo alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from maskfit.errors import DataError, nearest
from maskfit.synthesis.drawn.palette import Colour, dimmed, luminance, mixed, turned
from maskfit.synthesis.masks.kinds import BLACK, KINDS, WAYS, WHITE, WORN, WRONG

WORN_PHOTOS = ("mask1", "mask2", "mask3", "mask4", "mask5")
WRONG_PHOTO = "incorrect_mask"

_INKS: tuple[Colour, ...] = (WHITE, (30, 36, 56), (226, 176, 92), (204, 84, 88), (96, 146, 180), (240, 206, 200))


@dataclass(frozen=True, slots=True)
class Wearing:
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
        if self.kind not in KINDS:
            raise DataError(f"there is no mask '{self.kind}'; {nearest(self.kind, KINDS)}")
        if self.way not in WAYS:
            raise DataError(f"no mask is worn '{self.way}'; {nearest(self.way, WAYS)}")

    @property
    def state(self) -> str:
        """The value of the mask attribute: "wear" or "incorrect"."""
        return WAYS[self.way].state


def chance_of(seed: int, name: str, purpose: str) -> np.random.Generator:
    """A generator that follows from its arguments alone, whatever else was drawn and in whichever process."""
    digest = hashlib.blake2b(f"{seed}\0{name}\0{purpose}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def draw_wearings(seed: int, name: str) -> dict[str, Wearing]:
    """What a person wears: five masks worn well, in five ways and of at least four kinds, and one worn wrongly.

    Args:
        seed: Seed of the set.
        name: Name of the bare photo in its set.

    Returns:
        By the photo's stem, `mask1` to `mask5` and `incorrect_mask`.
    """
    chance = chance_of(seed, name, "choice")
    ways = [str(way) for way in chance.permutation(WORN)]
    names, shares = list(KINDS), np.array([kind.share for kind in KINDS.values()], dtype=float)
    kinds = [str(kind) for kind in chance.choice(names, size=4, replace=False, p=shares / shares.sum())]
    kinds.insert(int(chance.integers(5)), str(chance.choice(names, p=shares / shares.sum())))
    worn = {
        photo: draw_wearing(kind, way, chance_of(seed, name, photo))
        for photo, kind, way in zip(WORN_PHOTOS, kinds, ways, strict=True)
    }
    wrong = str(chance.choice(list(WRONG), p=np.array(list(WRONG.values())) / sum(WRONG.values())))
    kind = str(chance.choice(names, p=shares / shares.sum()))
    return {**worn, WRONG_PHOTO: draw_wearing(kind, wrong, chance_of(seed, name, WRONG_PHOTO))}


def draw_wearing(kind: str, way: str, chance: np.random.Generator) -> Wearing:
    """One mask of a kind worn in a way, its colour and small differences left to chance.

    Raises:
        DataError: There is no such kind or way.
    """
    if kind not in KINDS or way not in WAYS:
        Wearing(kind, way, WHITE, "", WHITE, WHITE)  # says which of the two it is
    made = KINDS[kind]
    shares = np.array([share for _, share in made.colours], dtype=float)
    base = made.colours[int(chance.choice(len(shares), p=shares / shares.sum()))][0]
    colour = turned(base, hue=chance.normal(0, 0.012), saturation=chance.uniform(0.75, 1.15),
                    value=chance.uniform(0.93, 1.03))  # fmt: skip
    inks = [ink for ink in _INKS if abs(luminance(ink) - luminance(colour)) > 0.2]
    ink = inks[int(chance.integers(len(inks)))]
    if made.fabric == "foam" or (made.fabric == "sewn" and chance.random() < 0.7):
        strap = dimmed(colour, 0.94)
    elif made.straps == "bands" and chance.random() < 0.6:
        strap = (226, 196, 96)
    else:
        strap = mixed(WHITE, BLACK, 0.95) if luminance(colour) < 0.25 and chance.random() < 0.8 else WHITE
    tilt, drift = WAYS[way].tilt, WAYS[way].drift
    return Wearing(
        kind=kind, way=way, colour=colour, pattern=str(chance.choice(made.patterns)), ink=ink, strap=strap,
        height=float(np.clip(chance.normal(0, drift / 2), -drift, drift)),
        scale=float(np.clip(chance.normal(1.0, 0.035), 0.92, 1.08)), tilt=float(chance.uniform(-tilt, tilt)),
        aside=float(np.clip(chance.normal(0, 0.025), -0.05, 0.05)), side=int(chance.choice((-1, 1))),
        light=float(np.clip(chance.normal(1.0, 0.08), 0.82, 1.15)), seed=int(chance.integers(2**31)),
    )  # fmt: skip
