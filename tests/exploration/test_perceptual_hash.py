"""The hash is robust to edits of a photo, differs between photos, and the search misses no near pair."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from maskfit.exploration.near_duplicates import MAX_HASH_DISTANCE
from maskfit.exploration.perceptual_hash import SIDE, distance, find_near, hash_gray, mirror

HASHES = st.lists(st.integers(0, 2**64 - 1), min_size=0, max_size=12)


def hash_of(image: Image.Image) -> int:
    return hash_gray(np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)))


def recompress(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, 5),
    scale=st.floats(0.5, 1.5),
    quality=st.integers(30, 95),
    light=st.floats(0.75, 1.2),
    color=st.floats(0, 1.5),
)
def test_a_recompressed_scaled_or_brightened_face_stays_near(face, number, scale, quality, light, color):
    image = face(number)
    changed = image.resize((round(192 * scale), round(256 * scale)))
    changed = recompress(ImageEnhance.Color(ImageEnhance.Brightness(changed).enhance(light)).enhance(color), quality)
    assert distance(hash_of(image), hash_of(changed)) <= MAX_HASH_DISTANCE


@pytest.mark.parametrize("number", range(1, 8))
def test_another_face_is_far(face, number):
    far = min(distance(hash_of(face(0)), hash_of(face(number))), distance(mirrored(face(0)), hash_of(face(number))))
    assert far > MAX_HASH_DISTANCE


def mirrored(image: Image.Image) -> int:
    return int(mirror(np.array([hash_of(image)], dtype=np.uint64))[0])


@pytest.mark.parametrize("number", range(6))
def test_the_mirrored_hash_is_the_hash_of_the_mirror_image(face, number):
    assert distance(mirrored(face(number)), hash_of(ImageOps.mirror(face(number)))) <= 1


def test_brightness_alone_changes_nothing(face):
    gray = np.asarray(face(0).convert("L").resize((SIDE, SIDE)), dtype=np.float64)
    assert hash_gray(gray) == hash_gray(0.5 * gray + 40)


def slow_pairs(hashes: list[int], persons: list[int], most: int) -> set[tuple[int, int, int]]:
    """The result of `find_near` from two nested loops."""
    mirrored_hashes = [int(value) for value in mirror(np.array(hashes, dtype=np.uint64))]
    found = set()
    for one in range(len(hashes)):
        for two in range(one + 1, len(hashes)):
            bits = min(distance(hashes[one], hashes[two]), distance(hashes[one], mirrored_hashes[two]))
            if persons[one] != persons[two] and bits <= most:
                found.add((one, two, bits))
    return found


@given(hashes=HASHES, most=st.integers(0, 64), data=st.data())
def test_the_search_finds_what_two_loops_find(hashes, most, data):
    persons = data.draw(st.lists(st.integers(0, 4), min_size=len(hashes), max_size=len(hashes)))
    near = find_near(np.array(hashes, dtype=np.uint64), np.array(persons, dtype=np.int64), most)
    found = zip(near.first.tolist(), near.second.tolist(), near.distance.tolist(), strict=True)
    assert set(found) == slow_pairs(hashes, persons, most)
    assert near.distance.tolist() == sorted(near.distance.tolist())
    assert not near.truncated


def test_no_pair_is_missed_between_blocks():
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, 700, dtype=np.uint64)
    hashes[699], hashes[5] = hashes[10] ^ np.uint64(7), mirror(hashes[650:651])[0]
    near = find_near(hashes, np.arange(700), 4)
    found = list(zip(near.first, near.second, near.distance, near.mirrored, strict=True))
    assert found == [(5, 650, 0, True), (10, 699, 3, False)]


def test_the_nearest_of_too_many_pairs_are_kept():
    hashes = np.array([0, 1, 3, 7, 15], dtype=np.uint64)
    near = find_near(hashes, np.arange(5), 64, max_pairs=4)
    assert near.truncated
    assert near.distance.tolist() == [1, 1, 1, 1]
