"""Traits of a drawn person that are the same in all photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskfit.errors import DataError
from maskfit.synthesis.drawn import hairstyles
from maskfit.synthesis.drawn.colors import CLOTH, IRIS, Color, blend, pick_color, skin_color

GENDERS = ("male", "female")
"""Values of the gender attribute."""
YOUNGEST, OLDEST = 18, 75
"""Range of ages in years."""
# First entropy word of the random streams, so that traits, labels and photos never share one.
TRAIT_STREAM, LABEL_STREAM, PHOTO_STREAM = 1, 2, 3

# Signs of aging by age: continuous, but steepest near 30 and 60, so that the age bands can be learned.
_LINES = ((24, 28, 32, 46, 57, 62, 73), (0, 0.08, 0.42, 0.52, 0.62, 0.92, 1))
_SAG = ((36, 56, 62, 73), (0, 0.25, 0.80, 1))
_GREY = ((36, 46, 56, 61, 70), (0, 0.12, 0.36, 0.90, 1))
_BLOOM = ((23, 28, 32, 37), (1, 0.9, 0.15, 0))


@dataclass(frozen=True)
class FaceShape:
    """Shape of head and features; lengths in head units (half a face width).

    Attributes:
        jaw: Half width of the jaw.
        chin: Half width of the chin.
        length: Height of the chin below the eyes.
        cheek: Half width at the cheeks.
        neck: Half width of the neck.
        eye_size: Half width of an eye.
        eye_open: Height of the eye relative to its width.
        eye_tilt: Height of the outer corner above the inner one.
        eye_spacing: Distance of an eye from the middle.
        lid_fold: Visibility of the lid's crease, 0 to 1.
        iris: Eye color.
        brow_weight: Thickness of the eyebrows.
        brow_arch: Height of their arch.
        brow_height: Height of the eyebrows above the eyes.
        nose_width: Half width of the nose.
        nose_length: Length of the nose below the eyes.
        mouth_width: Half width of the mouth.
        lip_upper: Height of the upper lip.
        lip_lower: Height of the lower lip.
        ear_size: Factor on the size of the ears.
    """

    jaw: float
    chin: float
    length: float
    cheek: float
    neck: float
    eye_size: float
    eye_open: float
    eye_tilt: float
    eye_spacing: float
    lid_fold: float
    iris: Color
    brow_weight: float
    brow_arch: float
    brow_height: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    ear_size: float


@dataclass(frozen=True)
class AgingTraits:
    """Signs of aging, each 0 (none) to 1 (strong) and with its own random variation.

    Attributes:
        forehead: Wrinkles of the forehead.
        eyes: Crow's feet.
        folds: Nasolabial folds.
        bags: Bags under the eyes.
        sag: Sagging skin.
        spots: Age spots.
        gray: Gray hair.
        beard_gray: Gray beard.
        receding: Receding hairline.
        bald: Bald crown.
        thin_lips: Thinning lips.
        bloom: Fresh complexion of the young.
    """

    forehead: float
    eyes: float
    folds: float
    bags: float
    sag: float
    spots: float
    gray: float
    beard_gray: float
    receding: float
    bald: float
    thin_lips: float
    bloom: float


@dataclass(frozen=True)
class Accessories:
    """What is worn in every photo, make-up, and skin marks; an empty name means none.

    Attributes:
        glasses: "", "round", "square", "cat eye" or "browline".
        glasses_color: Color of the frame.
        earrings: "", "stud", "hoop", "drop" or "pearl".
        lashes: Strength of the lashes, 0 to 1.
        lipstick: Strength of the lipstick, 0 to 1.
        lip_color: Color of the lipstick.
        eyeshadow: Strength of the eyeshadow, 0 to 1.
        freckles: Density of freckles, 0 to 1.
        moles: Positions of moles in head coordinates.
        beard: "", "stubble", "short", "full", "goatee" or "moustache".
        beard_density: Density of the beard, 0 to 1.
        headwear: "", or a name such as "beanie".
        headwear_color: Color of the headwear.
    """

    glasses: str
    glasses_color: Color
    earrings: str
    lashes: float
    lipstick: float
    lip_color: Color
    eyeshadow: float
    freckles: float
    moles: tuple[tuple[float, float], ...]
    beard: str
    beard_density: float
    headwear: str
    headwear_color: Color


@dataclass(frozen=True)
class Person:
    """A drawn person.

    Attributes:
        seed: Seed of the dataset that the person belongs to.
        number: Number of the person in the dataset.
        gender: "male" or "female".
        age: Age in years, 18 to 75.
        skin: Skin color.
        tone: Darkness of the skin, 0 to 1.
        hair: A key of `hairstyles.STYLES`.
        hair_color: Hair color including gray.
        hair_side: Side of the parting, -1 left to 1 right in the image.
        face: Shape of head and features.
        aging: Signs of aging.
        accessories: Glasses, earrings, make-up, beard, headwear, skin marks.
    """

    seed: int
    number: int
    gender: str
    age: int
    skin: Color
    tone: float
    hair: str
    hair_color: Color
    hair_side: float
    face: FaceShape
    aging: AgingTraits
    accessories: Accessories


def sample_person(seed: int, number: int, *, gender: str | None = None, age: int | None = None) -> Person:
    """Samples the traits of one person.

    The same arguments give the same person, independent of other persons. Setting gender or age changes only the traits
    that
    depend on them.

    Args:
        seed: Seed of the dataset, >= 0.
        number: Number of the person in the dataset, >= 0.
        gender: "male" or "female"; None to sample it (40 % male).
        age: Age in years, 18 to 75; None to sample it (47 % below 30, 8 % from 60).

    Returns:
        The person.

    Raises:
        DataError: A negative seed or number, an unknown gender, or an age outside 18 to 75.
    """
    _check(seed, number, gender, age)
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, LABEL_STREAM]))
    sampled_gender = GENDERS[int(rng.random() >= 0.4)]
    band = ((18, 29), (30, 59), (60, OLDEST))[int(np.searchsorted((0.47, 0.92), rng.random(), side="right"))]
    sampled_age = int(rng.integers(band[0], band[1] + 1))
    gender = sampled_gender if gender is None else gender
    age = sampled_age if age is None else age
    # One child stream per group: a new trait in one group does not change the other groups of any person.
    groups = np.random.SeedSequence([seed, number, TRAIT_STREAM]).spawn(5)
    skin_rng, face_rng, aging_rng, hair_rng, accessories_rng = (np.random.default_rng(group) for group in groups)
    tone = float(skin_rng.beta(1.15, 1.6))
    skin = skin_color(tone, float(skin_rng.uniform(-1, 1)))
    aging = _sample_aging(aging_rng, gender, age)
    natural = hairstyles.sample_hair_color(hair_rng, tone)
    style_age = age + float(hair_rng.normal(0, 3))
    style = hairstyles.sample_hairstyle(hair_rng, gender, style_age, tone)
    dyed = hairstyles.sample_dye_color(hair_rng, gender, age, natural)
    color = hairstyles.blend_gray(natural if dyed is None else dyed, aging.gray * (0.22 if dyed else 1.0))
    side = float(hair_rng.choice((-1, 1)) * hair_rng.uniform(0.25, 0.6))
    return Person(
        seed=seed,
        number=number,
        gender=gender,
        age=age,
        skin=skin,
        tone=tone,
        hair=style,
        hair_color=color,
        hair_side=side,
        face=_sample_face(face_rng, gender, age, tone),
        aging=aging,
        accessories=_sample_accessories(accessories_rng, gender, age, skin, tone, hairstyles.STYLES[style].top),
    )


def _check(seed: int, number: int, gender: str | None, age: int | None) -> None:
    if seed < 0 or number < 0:
        raise DataError(f"seed and number must be >= 0, got {seed} and {number}", hint="use whole numbers from 0")
    if gender is not None and gender not in GENDERS:
        raise DataError(f"gender must be 'male' or 'female', got {gender!r}", hint="use 'male' or 'female'")
    if age is not None and not YOUNGEST <= age <= OLDEST:
        raise DataError(f"age must be {YOUNGEST} to {OLDEST}, got {age}", hint="use an age in this range")


def _sample_face(rng: np.random.Generator, gender: str, age: int, tone: float) -> FaceShape:
    # One latent variable controls all bone structure together; the genders overlap in it.
    masculinity = float(np.clip(rng.normal(0.80 if gender == "male" else 0.17, 0.14), -0.15, 1.2))

    def vary(middle: float, spread: float) -> float:
        return float(middle + spread * np.clip(rng.normal(), -2, 2))

    iris_names = list(IRIS)
    light = np.clip((0.45 - tone) / 0.3, 0, 1)
    weights = np.array([6, 4, 1.6 * light + 0.1, 1.0 * light, 1.7 * light, 0.9 * light])
    return FaceShape(
        jaw=vary(0.66 + 0.16 * masculinity, 0.035),
        chin=vary(0.24 + 0.14 * masculinity, 0.025),
        length=vary(1.40 + 0.09 * masculinity, 0.045),
        cheek=vary(0.965 - 0.02 * masculinity, 0.02),
        neck=vary(0.46 + 0.17 * masculinity, 0.025),
        eye_size=vary(0.222 - 0.022 * masculinity, 0.011),
        eye_open=vary(0.61 - 0.10 * masculinity, 0.04) - 0.0012 * max(0, age - 35),
        eye_tilt=vary(0.05 - 0.03 * masculinity, 0.05),
        eye_spacing=vary(0.425, 0.018),
        lid_fold=float(rng.uniform(0, 1)),
        iris=IRIS[iris_names[int(rng.choice(len(iris_names), p=weights / weights.sum()))]],
        brow_weight=vary(0.060 + 0.062 * masculinity, 0.012),
        brow_arch=vary(0.085 - 0.055 * masculinity, 0.02),
        brow_height=vary(0.345 - 0.055 * masculinity, 0.022),
        nose_width=vary(0.205 + 0.05 * masculinity + 0.04 * tone, 0.02),
        nose_length=vary(0.60 + 0.03 * masculinity, 0.025),
        mouth_width=vary(0.37 + 0.035 * masculinity, 0.03),
        lip_upper=vary(0.078 - 0.022 * masculinity + 0.02 * tone, 0.013),
        lip_lower=vary(0.112 - 0.026 * masculinity + 0.02 * tone, 0.014),
        ear_size=vary(1.0 + 0.06 * masculinity, 0.07),
    )


def _sample_aging(rng: np.random.Generator, gender: str, age: int) -> AgingTraits:
    # People may look younger or older than they are, and the signs of aging vary independently.
    apparent_age = age + float(np.clip(rng.normal(0, 1.6), -4, 4))

    def at_age(curve: tuple[tuple[float, ...], tuple[float, ...]], spread: float) -> float:
        return float(np.interp(apparent_age + spread * np.clip(rng.normal(), -2, 2), *curve))

    gene = float(rng.random()) if gender == "male" else 0.18 * float(rng.random())
    receding = at_age(((24, 56, 66), (0, 0.7, 1)), 3) * gene * 1.35
    return AgingTraits(
        forehead=at_age(_LINES, 2.5),
        eyes=at_age(_LINES, 2.5),
        folds=at_age(_LINES, 2.5),
        bags=at_age(_LINES, 2.5),
        sag=at_age(_SAG, 2.5),
        spots=at_age(((48, 72), (0, 1)), 4),
        gray=at_age(_GREY, 3),
        beard_gray=at_age(((33, 52, 61), (0, 0.5, 1)), 3),
        receding=min(receding, 1.0),
        bald=float(np.clip((receding - 0.72) / 0.22, 0, 1)),
        thin_lips=at_age(((34, 70), (0, 1)), 3),
        bloom=at_age(_BLOOM, 1.5),
    )


def _sample_accessories(
    rng: np.random.Generator, gender: str, age: int, skin: Color, tone: float, hair_top: float
) -> Accessories:
    female = gender == "female"
    makeup = float(np.clip(rng.normal(0.62, 0.3), 0, 1)) * (1 - 0.006 * max(0, age - 40)) if female else 0.0
    glasses_probability = float(np.interp(age, (18, 38, 55, 62), (0.13, 0.18, 0.36, 0.75)))
    shapes = ("round", "square", "cat eye") if female else ("round", "square", "browline")
    glasses = shapes[int(rng.choice(3, p=(0.4, 0.4, 0.2)))] if rng.random() < glasses_probability else ""
    frames: tuple[Color, ...] = ((38, 36, 40), (92, 60, 42), (178, 148, 96), (110, 114, 122), (130, 50, 56))
    frame = frames[int(rng.choice(5, p=(0.36, 0.22, 0.16, 0.2, 0.06)))]
    earring = ("stud", "hoop", "drop", "pearl")[int(rng.integers(4))]
    earrings = earring if rng.random() < (0.55 if female else 0.05) else ""
    lip: tuple[Color, ...] = ((190, 70, 80), (205, 98, 100), (168, 58, 72), (196, 112, 104), (214, 90, 110))
    lip_color = blend(lip[int(rng.integers(len(lip)))], skin, 0.12 + 0.18 * tone)
    freckles = float(rng.uniform(0.3, 1)) if rng.random() < max(0.0, 0.28 - 0.8 * tone) else 0.0
    moles = tuple((float(rng.uniform(-0.75, 0.75)), float(rng.uniform(-0.8, 1.1))) for _ in range(rng.poisson(0.6)))
    beards = ("", "stubble", "short", "full", "goatee", "moustache")
    probabilities = (0.44, 0.22, 0.12, 0.08, 0.07, 0.07) if age >= 27 else (0.62, 0.22, 0.06, 0.02, 0.06, 0.02)
    beard = beards[int(rng.choice(6, p=probabilities))]
    density = float(rng.uniform(0.55, 1.0))
    hats = ("headscarf", "headband", "beanie", "beret") if female else ("cap", "beanie", "turban", "flat cap")
    headwear = hats[int(rng.choice(4, p=(0.42, 0.24, 0.2, 0.14)))] if rng.random() < 0.10 else ""
    if hair_top > 0.27 and headwear not in ("headscarf", "headband", "turban"):
        headwear = ""  # a cap does not fit on tall hair
    return Accessories(
        glasses=glasses,
        glasses_color=frame,
        earrings=earrings,
        lashes=0.35 + 0.65 * makeup if female else 0.0,
        lipstick=makeup if rng.random() < 0.6 else 0.25 * makeup,
        lip_color=lip_color,
        eyeshadow=makeup * float(rng.random() < 0.45),
        freckles=freckles,
        moles=moles,
        beard="" if female else beard,
        beard_density=density,
        headwear=headwear,
        headwear_color=pick_color(rng, CLOTH),
    )
