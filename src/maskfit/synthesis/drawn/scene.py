"""The setting of one photo: pose, light, background, clothes, mask, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskfit.errors import DataError, did_you_mean
from maskfit.synthesis.drawn.colors import CLOTH, WALLS, Color, blend, pick_color
from maskfit.synthesis.drawn.person import PHOTO_STREAM, Person

MASK_NAMES = ("mask1", "mask2", "mask3", "mask4", "mask5")
"""Photos with a correctly worn mask."""
PHOTO_NAMES = (*MASK_NAMES, "incorrect_mask", "normal")
"""File name stems of a person's photos, as in the competition."""

_SURGICAL: tuple[Color, ...] = (
    (164, 206, 226),
    (240, 242, 244),
    (240, 196, 206),
    (178, 216, 196),
    (50, 52, 58),
    (196, 190, 222),
)
_PLAIN: tuple[Color, ...] = ((238, 240, 240), (246, 246, 244), (52, 52, 58), (214, 206, 196), (176, 186, 196))
_PATTERN_INKS: tuple[Color, ...] = ((250, 248, 244), (38, 44, 60), (226, 170, 84), (206, 88, 92))


@dataclass(frozen=True)
class MaskSpec:
    """A mask and how it is worn.

    Attributes:
        kind: "surgical", "kn95", "cup" or "cloth".
        wearing_style: "wear", "under nose", "chin" or "dangle".
        color: Color of the fabric.
        pattern: "", "dots", "stripes", "checks" or "flowers".
        ink: Color of the pattern.
        accent: Color of loops and straps.
        height: Shift of the upper rim in head units; down is positive.
        tilt: How much lower the right end is than the left, in head units.
        side: Ear that a dangling mask hangs from: -1 left, 1 right in the image.
        variety: Random number 0 to 1 that controls small details.
    """

    kind: str
    wearing_style: str
    color: Color
    pattern: str
    ink: Color
    accent: Color
    height: float
    tilt: float
    side: int
    variety: float


@dataclass(frozen=True)
class Scene:
    """Setting of one photo; angles in radians, shifts as fractions of the image's width.

    Attributes:
        yaw: Rotation of the head to the right of the image.
        pitch: Downward rotation of the head.
        roll: Tilt of the head to the right of the image.
        scale: Size of the head, 1 usual.
        shift: Shift of the head to the right and down.
        light: Side of the light, -1 left to 1 right.
        contrast: Darkness of shadows, 1 usual.
        exposure: Factor on the brightness.
        warmth: Color temperature, -1 cold to 1 warm.
        smile: 0 none to 1 broad.
        mouth_open: 0 closed to 1 open.
        eye_open: Factor on the opening of the lids; below 0.2 the eyes are shut.
        gaze: Direction of the eyes, right and down, -1 to 1.
        brow_lift: Shift of the eyebrows in head units; up is positive.
        background: "plain", "gradient", "room", "bokeh" or "outdoors".
        walls: Two colors of the background.
        clothes: Name of the garment.
        cloth: Two colors of the garment.
        scarf: Whether a scarf is worn round the neck.
        mask: The mask; None without one.
        noise: Half range of the uniform sensor noise in gray levels.
        blur: Radius of the lens blur as a fraction of the image's width.
        quality: JPEG quality.
        texture_seed: Seed of random details.
    """

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    light: float
    contrast: float
    exposure: float
    warmth: float
    smile: float
    mouth_open: float
    eye_open: float
    gaze: tuple[float, float]
    brow_lift: float
    background: str
    walls: tuple[Color, Color]
    clothes: str
    cloth: tuple[Color, Color]
    scarf: bool
    mask: MaskSpec | None
    noise: int
    blur: float
    quality: int
    texture_seed: int


def sample_scene(person: Person, name: str) -> Scene:
    """Samples the setting of one photo.

    Args:
        person: The person in the photo.
        name: One of `PHOTO_NAMES`.

    Returns:
        The setting.

    Raises:
        DataError: Unknown photo name.
    """
    if name not in PHOTO_NAMES:
        raise DataError(f"unknown photo name {name!r}", hint=did_you_mean(name, PHOTO_NAMES))
    entropy = [person.seed, person.number, PHOTO_STREAM, PHOTO_NAMES.index(name)]
    streams = np.random.SeedSequence(entropy).spawn(4)
    pose_rng, look_rng, setting_rng, mask_rng = (np.random.default_rng(stream) for stream in streams)
    # As in the competition's dataset, most photos of a person share the place and the clothes.
    person_rng = np.random.default_rng(np.random.SeedSequence([person.seed, person.number, PHOTO_STREAM, 99]))
    place_rng = person_rng if setting_rng.random() < 0.55 else setting_rng
    background = ("plain", "gradient", "room", "bokeh", "outdoors")[
        int(place_rng.choice(5, p=(0.3, 0.2, 0.22, 0.18, 0.1)))
    ]
    walls = (pick_color(place_rng, WALLS), pick_color(place_rng, WALLS))
    dress_rng = person_rng if setting_rng.random() < 0.7 else setting_rng
    clothes, cloth = _sample_clothes(dress_rng, person.gender, person.age)
    shut = look_rng.random() < 0.035
    return Scene(
        yaw=_normal(pose_rng, 0.12, 0.28),
        pitch=_normal(pose_rng, 0.07, 0.15),
        roll=_normal(pose_rng, 0.045, 0.12),
        scale=float(np.clip(pose_rng.normal(1.0, 0.055), 0.86, 1.12)),
        shift=(_normal(pose_rng, 0.022, 0.06), _normal(pose_rng, 0.022, 0.05)),
        light=float(look_rng.uniform(-1, 1)),
        contrast=float(look_rng.uniform(0.65, 1.25)),
        exposure=float(np.clip(look_rng.normal(0.99, 0.07), 0.78, 1.10)),
        warmth=_normal(look_rng, 0.4, 1.0),
        smile=float(look_rng.beta(2.2, 1.5)),
        mouth_open=float(look_rng.uniform(0.25, 0.8)) if look_rng.random() < 0.22 else 0.0,
        eye_open=0.0 if shut else float(np.clip(look_rng.normal(0.97, 0.08), 0.75, 1.1)),
        gaze=(_normal(look_rng, 0.22, 0.7), _normal(look_rng, 0.12, 0.35)),
        brow_lift=_normal(look_rng, 0.018, 0.05),
        background=background,
        walls=walls,
        clothes=clothes,
        cloth=cloth,
        scarf=bool(setting_rng.random() < 0.08),
        mask=_sample_mask(mask_rng, name, person),
        noise=int(look_rng.integers(1, 5)),
        blur=float(max(0.0, look_rng.normal(0.0008, 0.0010))),
        quality=int(look_rng.integers(80, 96)),
        texture_seed=int(setting_rng.integers(2**31)),
    )


def _normal(rng: np.random.Generator, spread: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, spread), -limit, limit))


def _sample_clothes(rng: np.random.Generator, gender: str, age: int) -> tuple[str, tuple[Color, Color]]:
    names = ("crew neck", "shirt", "hoodie", "turtleneck", "v neck", "jacket", "striped", "dotted")
    weights = np.array((20, 20, 12, 6, 10, 14, 10, 2) if gender == "male" else (20, 12, 9, 9, 20, 8, 9, 9), dtype=float)
    # More hoodies and stripes for the young, more jackets and collars for the old.
    young, old = np.clip((34 - age) / 10, 0, 1), np.clip((age - 50) / 15, 0, 1)
    weights *= (
        1
        + young * np.array((0.3, -0.5, 2.0, -0.3, -0.3, -0.6, 1.2, 0))
        + old * np.array((-0.4, 0.8, -0.9, 0.6, 0.2, 1.2, -0.6, 0.3))
    )
    kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    return kind, (pick_color(rng, CLOTH), pick_color(rng, CLOTH))


def _sample_mask(rng: np.random.Generator, name: str, person: Person) -> MaskSpec | None:
    if name == "normal":
        return None
    kind = ("surgical", "kn95", "cup", "cloth")[int(rng.choice(4, p=(0.40, 0.22, 0.09, 0.29)))]
    wearing_style = "wear"
    if name == "incorrect_mask":
        wearing_style = ("under nose", "chin", "dangle")[int(rng.choice(3, p=(0.56, 0.34, 0.10)))]
        kind = "surgical" if wearing_style == "dangle" or (wearing_style == "chin" and kind == "cup") else kind
    pattern = ""
    colors = _SURGICAL if kind == "surgical" else _PLAIN
    if kind == "cloth":
        colors = CLOTH
        pattern = ("", "dots", "stripes", "checks", "flowers")[int(rng.choice(5, p=(0.34, 0.18, 0.16, 0.16, 0.16)))]
    color = pick_color(rng, colors)
    if kind == "cloth" and rng.random() < 0.12:
        color = blend(person.skin, color, 0.25)  # skin-colored: color alone must not reveal the mask state
    ink = _PATTERN_INKS[int(rng.integers(len(_PATTERN_INKS)))]
    if abs(sum(ink) - sum(color)) < 150:
        ink = _PATTERN_INKS[0] if sum(color) < 400 else _PATTERN_INKS[1]
    accent = (246, 246, 244) if rng.random() < 0.8 else (60, 60, 66)
    return MaskSpec(
        kind=kind,
        wearing_style=wearing_style,
        color=color,
        pattern=pattern,
        ink=ink,
        accent=color if kind == "cloth" else accent,
        height=_normal(rng, 0.025, 0.05),
        tilt=_normal(rng, 0.025, 0.06),
        side=int(rng.choice((-1, 1))),
        variety=float(rng.random()),
    )
