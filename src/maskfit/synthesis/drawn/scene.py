"""What differs from photo to photo of one person: pose, light, room, clothes, mask, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskfit.errors import DataError, did_you_mean
from maskfit.synthesis.drawn.colors import CLOTH, WALLS, Colour, mixed, pick
from maskfit.synthesis.drawn.person import PHOTO_STREAM, Person

MASK_NAMES = ("mask1", "mask2", "mask3", "mask4", "mask5")
PHOTO_NAMES = (*MASK_NAMES, "incorrect_mask", "normal")

_SURGICAL: tuple[Colour, ...] = (
    (164, 206, 226),
    (240, 242, 244),
    (240, 196, 206),
    (178, 216, 196),
    (50, 52, 58),
    (196, 190, 222),
)
_PLAIN: tuple[Colour, ...] = ((238, 240, 240), (246, 246, 244), (52, 52, 58), (214, 206, 196), (176, 186, 196))
_PATTERN_INKS: tuple[Colour, ...] = ((250, 248, 244), (38, 44, 60), (226, 170, 84), (206, 88, 92))


@dataclass(frozen=True)
class MaskLook:
    """A mask and how it is worn.

    Args:
        kind: "surgical", "kn95", "cup" or "cloth".
        worn: "wear", "under nose", "chin" or "dangle".
        colour: Colour of the fabric.
        pattern: "", "dots", "stripes", "checks" or "flowers".
        ink: Colour of the pattern.
        accent: Colour of the loops and straps.
        height: Shift of the upper rim in head units; higher up is negative.
        tilt: How much lower the right end sits than the left, in head units.
        side: Ear it hangs from when it dangles, -1 left or 1 right on the picture.
        variety: A number 0 to 1 that small details follow.
    """

    kind: str
    worn: str
    colour: Colour
    pattern: str
    ink: Colour
    accent: Colour
    height: float
    tilt: float
    side: int
    variety: float


@dataclass(frozen=True)
class Scene:
    """One photo's setting; angles in radians, shifts in shares of the picture's width, light x from -1 to 1.

    Args:
        yaw: Head turned to the right of the picture.
        pitch: Head lowered.
        roll: Head leaning to the right shoulder on the picture.
        scale: Size of the head, 1 usual.
        shift: Shift of the head to the right and down.
        light: Side the light comes from.
        contrast: How dark shadows are, 1 usual.
        exposure: Factor on brightness.
        warmth: -1 cold to 1 warm.
        smile: 0 none to 1 broad.
        mouth_open: 0 closed to 1 open.
        eye_open: Factor on the lids' opening; below 0.2 the eyes are shut.
        gaze: Where the eyes look, right and down, -1 to 1.
        brow_lift: Shift of the brows in head units, up positive.
        backdrop: "plain", "gradient", "room", "bokeh", "outdoors".
        walls: Two colours of the backdrop.
        clothes: Name of the garment.
        cloth: Two colours of the garment.
        scarf: Whether a scarf lies round the neck.
        mask: The mask, or None.
        noise: Half range of the sensor's noise in grey levels.
        blur: Radius of the lens's blur in shares of the picture's width.
        quality: JPEG quality.
        texture_seed: Seed of what is strewn by chance while drawing.
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
    backdrop: str
    walls: tuple[Colour, Colour]
    clothes: str
    cloth: tuple[Colour, Colour]
    scarf: bool
    mask: MaskLook | None
    noise: int
    blur: float
    quality: int
    texture_seed: int


def sample_scene(person: Person, name: str) -> Scene:
    """Draws the setting of one of a person's photos.

    Args:
        person: Who is photographed.
        name: One of `PHOTO_NAMES`.

    Raises:
        DataError: There is no photo of that name.
    """
    if name not in PHOTO_NAMES:
        raise DataError(f"drawn people have no photo {name!r}", hint=did_you_mean(name, PHOTO_NAMES))
    entropy = [person.seed, person.number, PHOTO_STREAM, PHOTO_NAMES.index(name)]
    streams = np.random.SeedSequence(entropy).spawn(4)
    pose, look, setting, mask_rng = (np.random.default_rng(stream) for stream in streams)
    # As in the photos this stands in for, most pictures of a person are taken in one place, in one set of clothes.
    same = np.random.default_rng(np.random.SeedSequence([person.seed, person.number, PHOTO_STREAM, 99]))
    place = same if setting.random() < 0.55 else setting
    backdrop = ("plain", "gradient", "room", "bokeh", "outdoors")[int(place.choice(5, p=(0.3, 0.2, 0.22, 0.18, 0.1)))]
    walls = (pick(place, WALLS), pick(place, WALLS))
    dress = same if setting.random() < 0.7 else setting
    clothes, cloth = _draw_clothes(dress, person.gender, person.age)
    shut = look.random() < 0.035
    return Scene(
        yaw=_normal(pose, 0.12, 0.28),
        pitch=_normal(pose, 0.07, 0.15),
        roll=_normal(pose, 0.045, 0.12),
        scale=float(np.clip(pose.normal(1.0, 0.055), 0.86, 1.12)),
        shift=(_normal(pose, 0.022, 0.06), _normal(pose, 0.022, 0.05)),
        light=float(look.uniform(-1, 1)),
        contrast=float(look.uniform(0.65, 1.25)),
        exposure=float(np.clip(look.normal(0.99, 0.07), 0.78, 1.10)),
        warmth=_normal(look, 0.4, 1.0),
        smile=float(look.beta(2.2, 1.5)),
        mouth_open=float(look.uniform(0.25, 0.8)) if look.random() < 0.22 else 0.0,
        eye_open=0.0 if shut else float(np.clip(look.normal(0.97, 0.08), 0.75, 1.1)),
        gaze=(_normal(look, 0.22, 0.7), _normal(look, 0.12, 0.35)),
        brow_lift=_normal(look, 0.018, 0.05),
        backdrop=backdrop,
        walls=walls,
        clothes=clothes,
        cloth=cloth,
        scarf=bool(setting.random() < 0.08),
        mask=_draw_mask(mask_rng, name, person),
        noise=int(look.integers(1, 5)),
        blur=float(max(0.0, look.normal(0.0008, 0.0010))),
        quality=int(look.integers(80, 96)),
        texture_seed=int(setting.integers(2**31)),
    )


def _normal(rng: np.random.Generator, spread: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, spread), -limit, limit))


def _draw_clothes(rng: np.random.Generator, gender: str, age: int) -> tuple[str, tuple[Colour, Colour]]:
    names = ("crew neck", "shirt", "hoodie", "turtleneck", "v neck", "jacket", "striped", "dotted")
    weights = np.array((20, 20, 12, 6, 10, 14, 10, 2) if gender == "male" else (20, 12, 9, 9, 20, 8, 9, 9), dtype=float)
    # The young wear more hoodies and stripes, the old more jackets and collars.
    young, old = np.clip((34 - age) / 10, 0, 1), np.clip((age - 50) / 15, 0, 1)
    weights *= (
        1
        + young * np.array((0.3, -0.5, 2.0, -0.3, -0.3, -0.6, 1.2, 0))
        + old * np.array((-0.4, 0.8, -0.9, 0.6, 0.2, 1.2, -0.6, 0.3))
    )
    kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    return kind, (pick(rng, CLOTH), pick(rng, CLOTH))


def _draw_mask(rng: np.random.Generator, name: str, person: Person) -> MaskLook | None:
    if name == "normal":
        return None
    kind = ("surgical", "kn95", "cup", "cloth")[int(rng.choice(4, p=(0.40, 0.22, 0.09, 0.29)))]
    worn = "wear"
    if name == "incorrect_mask":
        worn = ("under nose", "chin", "dangle")[int(rng.choice(3, p=(0.56, 0.34, 0.10)))]
        kind = "surgical" if worn == "dangle" or (worn == "chin" and kind == "cup") else kind
    pattern = ""
    colours = _SURGICAL if kind == "surgical" else _PLAIN
    if kind == "cloth":
        colours = CLOTH
        pattern = ("", "dots", "stripes", "checks", "flowers")[int(rng.choice(5, p=(0.34, 0.18, 0.16, 0.16, 0.16)))]
    colour = pick(rng, colours)
    if kind == "cloth" and rng.random() < 0.12:
        colour = mixed(person.skin, colour, 0.25)  # a skin-coloured mask: colour alone must not tell the state
    ink = _PATTERN_INKS[int(rng.integers(len(_PATTERN_INKS)))]
    if abs(sum(ink) - sum(colour)) < 150:
        ink = _PATTERN_INKS[0] if sum(colour) < 400 else _PATTERN_INKS[1]
    accent = (246, 246, 244) if rng.random() < 0.8 else (60, 60, 66)
    return MaskLook(
        kind=kind,
        worn=worn,
        colour=colour,
        pattern=pattern,
        ink=ink,
        accent=colour if kind == "cloth" else accent,
        height=_normal(rng, 0.025, 0.05),
        tilt=_normal(rng, 0.025, 0.06),
        side=int(rng.choice((-1, 1))),
        variety=float(rng.random()),
    )
