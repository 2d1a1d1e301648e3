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


def wear(kind: str, way: str, seed: int = 0, number: int = 1):
    instance = sample_mask(kind, way, np.random.default_rng(seed))
    return instance, face(number).apply_mask(instance)


def at(mask: np.ndarray, point: tuple[float, float]) -> float:
    return float(mask[int(point[1]), int(point[0])])


def lower_bridge(marks: Landmarks) -> tuple[float, float]:
    """Two thirds of the way from between the eyes to the tip of the nose."""
    left, right, tip = marks.points[:3]
    x, y = (left + right) / 2 + (tip - (left + right) / 2) * 2 / 3
    return float(x), float(y)


@pytest.mark.parametrize(
    ("kind", "way"), [(kind, way) for kind in MASK_TYPES for way in WEARING_STYLES if can_wear(kind, way)]
)
def test_every_kind_lies_as_its_way_says(kind, way):
    pixels, marks = bare()
    instance, masked = wear(kind, way, len(kind) + 2 * len(way))
    assert masked.pixels.shape == pixels.shape
    assert masked.pixels.dtype == np.uint8
    # The nose tells whether a mask is worn well; the eyes are free in any case.
    assert instance.state == WEARING_STYLES[way].state
    assert (instance.state == "wear") == (WEARING_STYLES[way].nose == "all")
    if WEARING_STYLES[way].nose != "all":
        assert at(masked.mask, lower_bridge(marks)) < 0.5
    if WEARING_STYLES[way].nose != "half":
        assert (at(masked.mask, marks.nose) > 0.9) == (WEARING_STYLES[way].nose == "all")
    assert max(at(masked.mask, marks.left_eye), at(masked.mask, marks.right_eye)) == 0
    left, top, right, bottom = masked.box
    assert 0 <= left < right <= SIZE[0]
    assert 0 <= top < bottom <= SIZE[1]
    if not WEARING_STYLES[way].hangs and kind != "gaiter":
        assert masked.visible > 0.95
    if WEARING_STYLES[way].state == "wear":
        assert min(at(masked.mask, marks.mouth_left), at(masked.mask, marks.mouth_right)) > 0.9
    if way in ("half the nose", "under the nose"):
        assert at(masked.mask, marks.mouth_left) > 0.5 or at(masked.mask, marks.mouth_right) > 0.5


@pytest.mark.parametrize("kind", MASK_TYPES)
def test_a_mask_over_half_the_nose_ends_about_its_tip(kind):
    """The rim lies between the lower third of the bridge and the upper lip, in front of nose and nostrils."""
    _, marks = bare()
    x, top = lower_bridge(marks)
    lip = marks.nose[1] + 0.6 * (marks.mouth_left[1] - marks.nose[1])
    for seed in range(4):
        _, masked = wear(kind, "half the nose", seed)
        column = masked.mask[:, int(x)]
        assert top <= np.flatnonzero(column > 0.5)[0] <= lip


def test_wrong_ways_slip_further_and_further():
    rims = [
        np.mean([wear(kind, way)[1].box[1] for kind in ("surgical", "cloth", "gaiter")])
        for way in ("close", "half the nose", "under the nose", "over the mouth", "on the chin")
    ]
    assert all(second > first + 2 for first, second in pairwise(rims))


def test_a_mask_pulled_aside_lies_askew():
    tilts = [abs(sample_mask("surgical", "pulled aside", np.random.default_rng(seed)).tilt) for seed in range(20)]
    assert max(tilts) > 0.4
    assert max(tilts) > 3 * max(
        abs(sample_mask("surgical", "tilted", np.random.default_rng(n)).tilt) for n in range(20)
    )


def test_what_has_no_straps_neither_dangles_nor_shows_any():
    assert not can_wear("gaiter", "dangling")
    with pytest.raises(DataError, match="'gaiter' has no straps"):
        sample_mask("gaiter", "below the chin", np.random.default_rng(0))
    assert build_mesh(sample_mask("gaiter", "close", np.random.default_rng(0)), face().pose).straps == ()
    # It reaches further down than any mask.
    assert wear("gaiter", "close")[1].box[3] > 5 + max(
        wear(kind, "close")[1].box[3] for kind in MASK_TYPES if kind != "gaiter"
    )


@pytest.mark.parametrize("way", ["close", "under the nose", "on the chin", "dangling"])
def test_what_is_not_touched_stays_to_the_bit(way):
    pixels, _ = bare()
    _, masked = wear("surgical", way)
    changed = (masked.pixels != pixels).any(-1)
    assert changed.any()
    assert not (changed & ~masked.touched).any()
    assert masked.touched[masked.mask > 0].all()
    # Mask, straps and shadow are a part of the face, not of the photo.
    assert masked.touched.mean() < 0.5
    assert not masked.touched[: int(0.25 * SIZE[1])].any()
    assert changed[masked.mask > 0.9].mean() > 0.95


def test_the_bare_photo_itself_is_never_written_to():
    pixels, _ = bare()
    before = pixels.copy()
    wear("n95", "close")
    assert (pixels == before).all()


def test_straps_reach_beyond_the_mask_and_a_shadow_lies_about_it():
    pixels, _ = bare()
    _, masked = wear("sport", "on the chin", 3)
    around = masked.touched & (masked.mask == 0)
    darker = masked.pixels[around].mean() < pixels[around].mean()
    assert around.sum() > 200
    assert darker
    assert np.flatnonzero(masked.touched.any(1))[0] < masked.box[1] - 10


def test_the_same_arguments_give_the_same_pixels_whatever_came_before():
    first = [masked.pixels for _, masked in (wear("printed", "low", 5), wear("kn95", "tilted", 6))]
    again = [masked.pixels for _, masked in (wear("kn95", "tilted", 6), wear("printed", "low", 5))][::-1]
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    fresh = PreparedFace(*bare()).apply_mask(sample_mask("printed", "low", np.random.default_rng(5)))
    assert (fresh.pixels == first[0]).all()


def test_what_is_worn_follows_from_seed_and_name():
    worn = sample_masks(3, "images/one.jpg")
    assert worn == sample_masks(3, "images/one.jpg")
    assert worn != sample_masks(4, "images/one.jpg")
    assert worn != sample_masks(3, "images/two.jpg")
    assert list(worn) == ["mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask"]
    assert {worn[f"mask{number}"].style for number in range(1, 6)} == set(CORRECT_STYLES)
    assert worn["incorrect_mask"].style in INCORRECT_STYLES
    assert rng_for(0, "a", "b").random() != rng_for(0, "a", "c").random()


def test_more_or_fewer_masks_are_the_same_masks():
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


def test_a_scarf_leaves_the_face_bare():
    _, marks = bare()
    worn = sample_masks(3, "images/one.jpg", scarf=True)
    assert worn.items() > sample_masks(3, "images/one.jpg").items()
    assert (worn["normal2"].state, worn["normal2"].style) == ("not_wear", SCARF_STYLE)
    assert not can_wear("cloth", SCARF_STYLE)
    for seed in range(4):
        _, masked = wear("gaiter", SCARF_STYLE, seed)
        assert (
            max(at(masked.mask, marks.nose), at(masked.mask, marks.mouth_left), at(masked.mask, marks.mouth_right)) == 0
        )
        assert masked.box[1] > 0.6 * marks.mouth_left[1] + 0.4 * marks.chin[1]
        assert masked.box[3] > marks.chin[1] + 5


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"num_correct": 0}, "num_correct must be 1 to 5, got 0"),
        ({"num_correct": 6}, "num_correct must be 1 to 5, got 6"),
        ({"num_incorrect": 0}, "num_incorrect must be 1 to 7, got 0"),
        ({"num_incorrect": 8}, "num_incorrect must be 1 to 7, got 8"),
    ],
)
def test_a_number_of_masks_that_there_cannot_be_is_an_error(numbers, said):
    with pytest.raises(DataError, match=said):
        sample_masks(0, "one.jpg", **numbers)


def test_people_wear_everything_there_is():
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


def test_the_tables_fit_together():
    assert {kind.shape for kind in MASK_TYPES.values()} == set(SHAPES)
    assert {kind.fabric for kind in MASK_TYPES.values()} == set(FABRICS)
    assert {name for kind in MASK_TYPES.values() for name in kind.patterns} - {""} == set(PATTERNS)
    assert len(CORRECT_STYLES) == 5
    assert {*CORRECT_STYLES, *INCORRECT_STYLES, SCARF_STYLE} == set(WEARING_STYLES)
    assert {WEARING_STYLES[way].state for way in INCORRECT_STYLES} == {"incorrect"}
    for kind in MASK_TYPES.values():
        assert kind.upper[0][0] == kind.lower[0][0] == 0
        assert kind.upper[-1][1] < kind.lower[-1][1]


def test_an_unknown_kind_or_way_is_named():
    with pytest.raises(DataError, match=r"unknown mask type 'surgcal'; did you mean 'surgical'"):
        sample_mask("surgcal", "close", np.random.default_rng(0))
    with pytest.raises(DataError, match=r"unknown wearing style 'closed'; did you mean 'close'"):
        sample_mask("surgical", "closed", np.random.default_rng(0))


@pytest.mark.parametrize("kind", MASK_TYPES)
def test_fabric_is_colour_with_folds(kind):
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
def test_a_pattern_covers_some_of_the_sheet(name):
    for seed in range(3):
        ink = draw_pattern(name, np.random.default_rng(seed), 80, 96)
        assert ink.shape == (80, 96)
        assert 0.001 < ink.mean() < 0.8
        assert ink.max() > 0.5


@pytest.mark.parametrize(("yaw", "roll"), [(0.0, 0.0), (0.4, 0.0), (-0.5, 0.2), (0.25, -0.5)])
def test_a_turned_head_is_found_again(yaw, roll):
    turn = np.array([(np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))])
    lean = np.array([(np.cos(roll), -np.sin(roll), 0), (np.sin(roll), np.cos(roll), 0), (0, 0, 1)])
    flat = (FEATURES @ (lean @ turn).T)[:, :2] * 60 + (100, 90)
    pose = fit_pose(from_five_points(flat[:5]))
    assert pose.yaw == pytest.approx(yaw, abs=0.08)
    assert pose.unit == pytest.approx(60, rel=0.04)
    # What the five points do not show, the chin, comes out where the whole head has it.
    assert np.abs(pose.project(FEATURES[5]) - flat[5]).max() < 0.15 * 60
    assert np.abs(pose.project(FEATURES[:5]) - flat[:5]).max() < 0.1 * 60


def test_a_known_chin_is_met():
    _, marks = bare()
    for lower in (-6, 6):
        moved = replace(marks, chin=(marks.chin[0], marks.chin[1] + lower))
        chins = [fit_pose(item).project(FEATURES[5])[1] for item in (marks, moved)]
        assert np.sign(chins[1] - chins[0]) == np.sign(lower)


def test_light_is_read_from_the_photo():
    pixels, marks = bare()
    pose = fit_pose(marks)
    plain = measure_photometry(pixels, pose)
    dim = measure_photometry((pixels * 0.5).astype(np.uint8), pose)
    assert dim.exposure < 0.7 * plain.exposure
    warm = measure_photometry((pixels * (1.0, 0.85, 0.6)).astype(np.uint8), pose)
    assert warm.color_cast[0] / warm.color_cast[2] > 1.15 * plain.color_cast[0] / plain.color_cast[2]
    ramp = np.linspace(0.4, 1.0, SIZE[0])[None, :, None]
    assert measure_photometry((pixels * ramp).astype(np.uint8), pose).gradient[0] > plain.gradient[0] + 0.1
    gray = np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, axis=2)
    assert (plain.grayness, measure_photometry(gray, pose).grayness) == (0, 1)


def test_a_mask_is_as_bright_and_colourless_as_its_photo():
    pixels, marks = bare()
    instance = sample_mask("cloth", "close", np.random.default_rng(1))
    inside = face().apply_mask(instance).mask > 0.95
    mean = face().apply_mask(instance).pixels[inside].mean()
    dim = PreparedFace((pixels * 0.5).astype(np.uint8), marks).apply_mask(instance).pixels[inside].mean()
    assert dim < 0.75 * mean
    gray = np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, axis=2)
    worn = PreparedFace(gray, marks).apply_mask(replace(instance, color=(200, 60, 60))).pixels.astype(int)
    assert np.ptp(worn[inside], axis=-1).max() <= 1


@pytest.mark.parametrize("blur", [1.0, 2.0])
def test_sharpness_is_measured_and_matched(blur):
    pixels, marks = bare()
    soft = np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(blur)))
    rng = np.random.default_rng(0)
    steps = np.kron(rng.choice((20.0, 220.0), (12, 12)), np.ones((16, 16)))
    seen = np.asarray(Image.fromarray(steps.astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur)), dtype=float)
    assert estimate_blur(seen) == pytest.approx(blur, abs=0.35)
    instance = replace(sample_mask("printed", "close", rng), color=(240, 240, 240), ink=(20, 20, 20), pattern="stripes")
    crisp, dull = (
        np.abs(np.diff(PreparedFace(item, marks).apply_mask(instance).mask, axis=0)).max() for item in (pixels, soft)
    )
    assert dull < 0.7 * crisp


def test_grain_is_measured_and_matched():
    pixels, marks = bare()
    rng = np.random.default_rng(0)
    noisy = np.clip(pixels + rng.normal(0, 8, (*pixels.shape[:2], 1)), 0, 255).astype(np.uint8)
    assert estimate_noise(np.full((60, 60), 128.0) + rng.normal(0, 6, (60, 60))) == pytest.approx(6, rel=0.15)
    instance = replace(sample_mask("sport", "close", rng), color=(120, 120, 120), pattern="")
    grains = []
    for item in (pixels, noisy):
        masked = PreparedFace(item, marks).apply_mask(instance)
        left, top, right, bottom = masked.box
        third = (bottom - top) // 3
        inner = masked.pixels[top + third : bottom - third, left + (right - left) // 3 : right - (right - left) // 3]
        grains.append(estimate_noise(inner.mean(-1)))
    assert grains[1] > grains[0] + 3


def test_a_face_at_the_border_gets_the_part_of_the_mask_that_is_on_the_photo():
    pixels, marks = bare()
    down = int(marks.mouth_left[1])
    cut = PreparedFace(pixels[:down].copy(), marks).apply_mask(
        sample_mask("surgical", "close", np.random.default_rng(0))
    )
    assert cut.pixels.shape[0] == down
    assert cut.box[3] == down
    assert 0.3 < cut.visible < 0.9
    gone = PreparedFace(pixels[:40].copy(), marks).apply_mask(
        sample_mask("surgical", "close", np.random.default_rng(0))
    )
    assert gone.box == (0, 0, 0, 0)
    assert gone.visible == 0


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        ([(10, 10), (14, 10), (12, 13), (10, 16), (14, 16)], "4 pixels apart"),
        ([(50, 50), (90, 50), (70, 30), (55, 10), (85, 10)], "not below the eyes"),
        ([(60, 50), (70, 50), (66, 80), (60, 105), (70, 105)], "turned too far"),
        ([(50, 50), (90, 50), (70, 40), (55, 90), (85, 90)], "nose is not between"),
        ([(50, 50), (90, 50), (float("nan"), 70), (55, 90), (85, 90)], "not a finite number"),
        ([(50, 50), (90, 50), (70, 72), (55, 92), (85, 92)], ""),
    ],
)
def test_landmarks_that_are_no_faces_say_why(points, fault):
    assert fault in from_five_points(points).invalid_reason
    assert bool(from_five_points(points).invalid_reason) == bool(fault)
