"""Masks put on drawn faces, whose landmarks are known: where they lie, what they leave alone, what they follow from."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageFilter

from maskfit.errors import DataError
from maskfit.synthesis.drawn import render_photo, sample_person
from maskfit.synthesis.drawn.colors import luminance
from maskfit.synthesis.masks import MASK_TYPES, WEARING_STYLES, Landmarks, PreparedFace, sample_mask, sample_masks
from maskfit.synthesis.masks.head_pose import FEATURES, fit_pose
from maskfit.synthesis.masks.landmark_sources import from_five_points
from maskfit.synthesis.masks.mask_mesh import SHAPES, build_mesh
from maskfit.synthesis.masks.mask_sampling import rng_for
from maskfit.synthesis.masks.mask_types import CORRECT_STYLES, INCORRECT_STYLES, SCARF_STYLE, can_wear
from maskfit.synthesis.masks.patterns import PATTERNS, draw_pattern
from maskfit.synthesis.masks.photometry import estimate_blur, estimate_noise, measure_photometry
from maskfit.synthesis.masks.texture import FABRICS, render_fabric

SIZE = (192, 256)


@lru_cache(maxsize=8)
def bare(number: int = 1) -> tuple[np.ndarray, Landmarks]:
    drawing = render_photo(sample_person(0, number, gender="female", age=30 + number), "normal", size=SIZE)
    return np.array(drawing.image), drawing.landmarks


@lru_cache(maxsize=8)
def face(number: int = 1) -> PreparedFace:
    return PreparedFace(*bare(number))


def wear(kind: str, style: str, seed: int = 0, number: int = 1):
    instance = sample_mask(kind, style, np.random.default_rng(seed))
    return instance, face(number).apply_mask(instance)


def at(mask: np.ndarray, point: tuple[float, float]) -> float:
    return float(mask[int(point[1]), int(point[0])])


def lower_bridge(landmarks: Landmarks) -> tuple[float, float]:
    """The point two thirds of the way from between the eyes to the tip of the nose."""
    left, right, tip = landmarks.points[:3]
    x, y = (left + right) / 2 + (tip - (left + right) / 2) * 2 / 3
    return float(x), float(y)


@pytest.mark.parametrize(
    ("kind", "style"), [(kind, style) for kind in MASK_TYPES for style in WEARING_STYLES if can_wear(kind, style)]
)
def test_every_mask_type_covers_what_its_style_requires(kind, style):
    pixels, landmarks = bare()
    instance, masked = wear(kind, style, len(kind) + 2 * len(style))
    assert masked.pixels.shape == pixels.shape
    assert masked.pixels.dtype == np.uint8
    # Covering the nose defines a correctly worn mask; the eyes are never covered.
    assert instance.state == WEARING_STYLES[style].state
    assert (instance.state == "wear") == (WEARING_STYLES[style].nose == "all")
    if WEARING_STYLES[style].nose != "all":
        assert at(masked.mask, lower_bridge(landmarks)) < 0.5
    if WEARING_STYLES[style].nose != "half":
        assert (at(masked.mask, landmarks.nose) > 0.9) == (WEARING_STYLES[style].nose == "all")
    assert max(at(masked.mask, landmarks.left_eye), at(masked.mask, landmarks.right_eye)) == 0
    left, top, right, bottom = masked.box
    assert 0 <= left < right <= SIZE[0]
    assert 0 <= top < bottom <= SIZE[1]
    if not WEARING_STYLES[style].hangs and kind != "gaiter":
        assert masked.visible > 0.95
    if WEARING_STYLES[style].state == "wear":
        assert min(at(masked.mask, landmarks.mouth_left), at(masked.mask, landmarks.mouth_right)) > 0.9
    if style in ("half the nose", "under the nose"):
        assert at(masked.mask, landmarks.mouth_left) > 0.5 or at(masked.mask, landmarks.mouth_right) > 0.5


@pytest.mark.parametrize("kind", MASK_TYPES)
def test_half_the_nose_style_ends_near_the_tip(kind):
    """The rim lies between the lower third of the bridge and the upper lip, in front of nose and nostrils."""
    _, landmarks = bare()
    x, top = lower_bridge(landmarks)
    lip = landmarks.nose[1] + 0.6 * (landmarks.mouth_left[1] - landmarks.nose[1])
    for seed in range(4):
        _, masked = wear(kind, "half the nose", seed)
        column = masked.mask[:, int(x)]
        assert top <= np.flatnonzero(column > 0.5)[0] <= lip


def test_incorrect_styles_slip_progressively():
    rims = [
        np.mean([wear(kind, style)[1].box[1] for kind in ("surgical", "cloth", "gaiter")])
        for style in ("close", "half the nose", "under the nose", "over the mouth", "on the chin")
    ]
    assert all(second > first + 2 for first, second in pairwise(rims))


def test_pulled_aside_style_is_tilted():
    tilts = [abs(sample_mask("surgical", "pulled aside", np.random.default_rng(seed)).tilt) for seed in range(20)]
    assert max(tilts) > 0.4
    assert max(tilts) > 3 * max(
        abs(sample_mask("surgical", "tilted", np.random.default_rng(n)).tilt) for n in range(20)
    )


def test_mask_without_straps_cannot_dangle():
    assert not can_wear("gaiter", "dangling")
    with pytest.raises(DataError, match="'gaiter' has no straps"):
        sample_mask("gaiter", "below the chin", np.random.default_rng(0))
    assert build_mesh(sample_mask("gaiter", "close", np.random.default_rng(0)), face().pose).straps == ()
    # A gaiter reaches further down than any mask.
    assert wear("gaiter", "close")[1].box[3] > 5 + max(
        wear(kind, "close")[1].box[3] for kind in MASK_TYPES if kind != "gaiter"
    )


@pytest.mark.parametrize("style", ["close", "under the nose", "on the chin", "dangling"])
def test_untouched_pixels_are_unchanged(style):
    pixels, _ = bare()
    _, masked = wear("surgical", style)
    changed = (masked.pixels != pixels).any(-1)
    assert changed.any()
    assert not (changed & ~masked.touched).any()
    assert masked.touched[masked.mask > 0].all()
    # Mask, straps and shadow change only the face region.
    assert masked.touched.mean() < 0.5
    assert not masked.touched[: int(0.25 * SIZE[1])].any()
    assert changed[masked.mask > 0.9].mean() > 0.95


def test_source_photo_is_not_modified():
    pixels, _ = bare()
    before = pixels.copy()
    wear("n95", "close")
    assert (pixels == before).all()


def test_straps_and_shadow_extend_beyond_the_mask():
    pixels, _ = bare()
    _, masked = wear("sport", "on the chin", 3)
    around = masked.touched & (masked.mask == 0)
    darker = masked.pixels[around].mean() < pixels[around].mean()
    assert around.sum() > 200
    assert darker
    assert np.flatnonzero(masked.touched.any(1))[0] < masked.box[1] - 10


def test_compositing_is_deterministic_and_independent_of_earlier_calls():
    first = [masked.pixels for _, masked in (wear("printed", "low", 5), wear("kn95", "tilted", 6))]
    again = [masked.pixels for _, masked in (wear("kn95", "tilted", 6), wear("printed", "low", 5))][::-1]
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    fresh = PreparedFace(*bare()).apply_mask(sample_mask("printed", "low", np.random.default_rng(5)))
    assert (fresh.pixels == first[0]).all()


def test_masks_are_determined_by_seed_and_name():
    worn = sample_masks(3, "images/one.jpg")
    assert worn == sample_masks(3, "images/one.jpg")
    assert worn != sample_masks(4, "images/one.jpg")
    assert worn != sample_masks(3, "images/two.jpg")
    assert list(worn) == ["mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask"]
    assert {worn[f"mask{number}"].style for number in range(1, 6)} == set(CORRECT_STYLES)
    assert worn["incorrect_mask"].style in INCORRECT_STYLES
    assert rng_for(0, "a", "b").random() != rng_for(0, "a", "c").random()


def test_masks_do_not_depend_on_the_counts():
    worn = sample_masks(3, "images/one.jpg")
    few = sample_masks(3, "images/one.jpg", num_correct=2)
    assert list(few) == ["mask1", "mask2", "incorrect_mask"]
    assert few.items() <= worn.items()
    many = sample_masks(3, "images/one.jpg", num_correct=1, num_incorrect=len(INCORRECT_STYLES))
    wrong = [f"incorrect_mask{number}" for number in ("", *range(2, len(INCORRECT_STYLES) + 1))]
    assert list(many) == ["mask1", *wrong]
    assert {many[stem].style for stem in wrong} == set(INCORRECT_STYLES)
    assert many["incorrect_mask"] == worn["incorrect_mask"]
    assert list(sample_masks(3, "images/one.jpg", num_incorrect=3).values())[5:] == [many[stem] for stem in wrong[:3]]


def test_scarf_leaves_the_face_bare():
    _, landmarks = bare()
    worn = sample_masks(3, "images/one.jpg", scarf=True)
    assert worn.items() > sample_masks(3, "images/one.jpg").items()
    assert (worn["normal2"].state, worn["normal2"].style) == ("not_wear", SCARF_STYLE)
    assert not can_wear("cloth", SCARF_STYLE)
    for seed in range(4):
        _, masked = wear("gaiter", SCARF_STYLE, seed)
        assert (
            max(
                at(masked.mask, landmarks.nose),
                at(masked.mask, landmarks.mouth_left),
                at(masked.mask, landmarks.mouth_right),
            )
            == 0
        )
        assert masked.box[1] > 0.6 * landmarks.mouth_left[1] + 0.4 * landmarks.chin[1]
        assert masked.box[3] > landmarks.chin[1] + 5


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_correct": 0}, "num_correct must be 1 to 5, got 0"),
        ({"num_correct": 6}, "num_correct must be 1 to 5, got 6"),
        ({"num_incorrect": 0}, "num_incorrect must be 1 to 7, got 0"),
        ({"num_incorrect": 8}, "num_incorrect must be 1 to 7, got 8"),
    ],
)
def test_invalid_mask_counts_raise(numbers, message):
    with pytest.raises(DataError, match=message):
        sample_masks(0, "one.jpg", **numbers)


def test_all_types_styles_and_patterns_are_sampled():
    drawn = [instance for number in range(200) for instance in sample_masks(0, f"{number}.jpg").values()]
    assert {instance.kind for instance in drawn} == set(MASK_TYPES)
    assert {instance.style for instance in drawn} == {*CORRECT_STYLES, *INCORRECT_STYLES}
    assert {instance.pattern for instance in drawn} == {"", *PATTERNS}
    assert all(len({w.kind for w in list(sample_masks(0, f"{n}.jpg").values())[:5]}) >= 4 for n in range(50))
    shades = [luminance(instance.color) for instance in drawn]
    assert min(shades) < 0.2
    assert max(shades) > 0.85
    share = np.mean([instance.kind == "surgical" for instance in drawn])
    assert 0.2 < share < 0.45


def test_tables_are_consistent():
    assert {kind.shape for kind in MASK_TYPES.values()} == set(SHAPES)
    assert {kind.fabric for kind in MASK_TYPES.values()} == set(FABRICS)
    assert {name for kind in MASK_TYPES.values() for name in kind.patterns} - {""} == set(PATTERNS)
    assert len(CORRECT_STYLES) == 5
    assert {*CORRECT_STYLES, *INCORRECT_STYLES, SCARF_STYLE} == set(WEARING_STYLES)
    assert {WEARING_STYLES[style].state for style in INCORRECT_STYLES} == {"incorrect"}
    for kind in MASK_TYPES.values():
        assert kind.upper[0][0] == kind.lower[0][0] == 0
        assert kind.upper[-1][1] < kind.lower[-1][1]


def test_unknown_type_or_style_raises_with_a_suggestion():
    with pytest.raises(DataError, match=r"unknown mask type 'surgcal'; did you mean 'surgical'"):
        sample_mask("surgcal", "close", np.random.default_rng(0))
    with pytest.raises(DataError, match=r"unknown wearing style 'closed'; did you mean 'close'"):
        sample_mask("surgical", "closed", np.random.default_rng(0))


@pytest.mark.parametrize("kind", MASK_TYPES)
def test_fabric_texture_has_color_and_folds(kind):
    instance = replace(sample_mask(kind, "close", np.random.default_rng(2)), color=(120, 160, 200), pattern="")
    cloth = render_fabric(instance, 90, 110)
    assert cloth.color.shape == (90, 110, 3)
    assert cloth.shade.shape == cloth.height.shape == (90, 110)
    assert cloth.color.min() >= 0
    assert cloth.color.max() <= 1
    assert 0.02 < np.std(cloth.shade) < 0.4
    assert np.std(cloth.height) > 0
    assert np.abs(np.median(cloth.color.reshape(-1, 3), axis=0) * 255 - (120, 160, 200)).max() < 12


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_covers_part_of_the_fabric(name):
    for seed in range(3):
        ink = draw_pattern(name, np.random.default_rng(seed), 80, 96)
        assert ink.shape == (80, 96)
        assert 0.001 < ink.mean() < 0.8
        assert ink.max() > 0.5


@pytest.mark.parametrize(("yaw", "roll"), [(0.0, 0.0), (0.4, 0.0), (-0.5, 0.2), (0.25, -0.5)])
def test_rotated_head_pose_is_recovered(yaw, roll):
    turn = np.array([(np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))])
    lean = np.array([(np.cos(roll), -np.sin(roll), 0), (np.sin(roll), np.cos(roll), 0), (0, 0, 1)])
    flat = (FEATURES @ (lean @ turn).T)[:, :2] * 60 + (100, 90)
    pose = fit_pose(from_five_points(flat[:5]))
    assert pose.yaw == pytest.approx(yaw, abs=0.08)
    assert pose.unit == pytest.approx(60, rel=0.04)
    # The chin is not among the five points, but follows from the mean head.
    assert np.abs(pose.project(FEATURES[5]) - flat[5]).max() < 0.15 * 60
    assert np.abs(pose.project(FEATURES[:5]) - flat[:5]).max() < 0.1 * 60


def test_pose_fits_a_known_chin():
    _, landmarks = bare()
    for lower in (-6, 6):
        moved = replace(landmarks, chin=(landmarks.chin[0], landmarks.chin[1] + lower))
        chins = [fit_pose(item).project(FEATURES[5])[1] for item in (landmarks, moved)]
        assert np.sign(chins[1] - chins[0]) == np.sign(lower)


def test_photometry_is_estimated():
    pixels, landmarks = bare()
    pose = fit_pose(landmarks)
    plain = measure_photometry(pixels, pose)
    dim = measure_photometry((pixels * 0.5).astype(np.uint8), pose)
    assert dim.exposure < 0.7 * plain.exposure
    warm = measure_photometry((pixels * (1.0, 0.85, 0.6)).astype(np.uint8), pose)
    assert warm.color_cast[0] / warm.color_cast[2] > 1.15 * plain.color_cast[0] / plain.color_cast[2]
    ramp = np.linspace(0.4, 1.0, SIZE[0])[None, :, None]
    assert measure_photometry((pixels * ramp).astype(np.uint8), pose).gradient[0] > plain.gradient[0] + 0.1
    gray = np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, axis=2)
    assert (plain.grayness, measure_photometry(gray, pose).grayness) == (0, 1)


def test_mask_matches_brightness_and_saturation_of_the_photo():
    pixels, landmarks = bare()
    instance = sample_mask("cloth", "close", np.random.default_rng(1))
    inside = face().apply_mask(instance).mask > 0.95
    mean = face().apply_mask(instance).pixels[inside].mean()
    dim = PreparedFace((pixels * 0.5).astype(np.uint8), landmarks).apply_mask(instance).pixels[inside].mean()
    assert dim < 0.75 * mean
    gray = np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, axis=2)
    worn = PreparedFace(gray, landmarks).apply_mask(replace(instance, color=(200, 60, 60))).pixels.astype(int)
    assert np.ptp(worn[inside], axis=-1).max() <= 1


@pytest.mark.parametrize("blur", [1.0, 2.0])
def test_blur_is_estimated_and_matched(blur):
    pixels, landmarks = bare()
    soft = np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(blur)))
    rng = np.random.default_rng(0)
    steps = np.kron(rng.choice((20.0, 220.0), (12, 12)), np.ones((16, 16)))
    seen = np.asarray(Image.fromarray(steps.astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur)), dtype=float)
    assert estimate_blur(seen) == pytest.approx(blur, abs=0.35)
    instance = replace(sample_mask("printed", "close", rng), color=(240, 240, 240), ink=(20, 20, 20), pattern="stripes")
    crisp, dull = (
        np.abs(np.diff(PreparedFace(item, landmarks).apply_mask(instance).mask, axis=0)).max()
        for item in (pixels, soft)
    )
    assert dull < 0.7 * crisp


def test_noise_is_estimated_and_matched():
    pixels, landmarks = bare()
    rng = np.random.default_rng(0)
    noisy = np.clip(pixels + rng.normal(0, 8, (*pixels.shape[:2], 1)), 0, 255).astype(np.uint8)
    assert estimate_noise(np.full((60, 60), 128.0) + rng.normal(0, 6, (60, 60))) == pytest.approx(6, rel=0.15)
    instance = replace(sample_mask("sport", "close", rng), color=(120, 120, 120), pattern="")
    grains = []
    for item in (pixels, noisy):
        masked = PreparedFace(item, landmarks).apply_mask(instance)
        left, top, right, bottom = masked.box
        third = (bottom - top) // 3
        inner = masked.pixels[top + third : bottom - third, left + (right - left) // 3 : right - (right - left) // 3]
        grains.append(estimate_noise(inner.mean(-1)))
    assert grains[1] > grains[0] + 3


def test_mask_is_cropped_at_the_image_border():
    pixels, landmarks = bare()
    down = int(landmarks.mouth_left[1])
    cut = PreparedFace(pixels[:down].copy(), landmarks).apply_mask(
        sample_mask("surgical", "close", np.random.default_rng(0))
    )
    assert cut.pixels.shape[0] == down
    assert cut.box[3] == down
    assert 0.3 < cut.visible < 0.9
    gone = PreparedFace(pixels[:40].copy(), landmarks).apply_mask(
        sample_mask("surgical", "close", np.random.default_rng(0))
    )
    assert gone.box == (0, 0, 0, 0)
    assert gone.visible == 0


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([(10, 10), (14, 10), (12, 13), (10, 16), (14, 16)], "4 pixels apart"),
        ([(50, 50), (90, 50), (70, 30), (55, 10), (85, 10)], "not below the eyes"),
        ([(60, 50), (70, 50), (66, 80), (60, 105), (70, 105)], "turned too far"),
        ([(50, 50), (90, 50), (70, 40), (55, 90), (85, 90)], "nose is not between"),
        ([(50, 50), (90, 50), (float("nan"), 70), (55, 90), (85, 90)], "not a finite number"),
        ([(50, 50), (90, 50), (70, 72), (55, 92), (85, 92)], ""),
    ],
)
def test_invalid_landmarks_give_a_reason(points, reason):
    assert reason in from_five_points(points).invalid_reason
    assert bool(from_five_points(points).invalid_reason) == bool(reason)
