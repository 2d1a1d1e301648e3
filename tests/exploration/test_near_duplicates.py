"""Copies under two persons are found, however they were changed; people who are merely alike are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from maskfit.data.read_dataset import read_photos
from maskfit.exploration.image_stats import collect_all_image_stats
from maskfit.exploration.near_duplicates import (
    MAX_HASH_DISTANCE,
    MIN_EDGE_SIMILARITY,
    NearDuplicates,
    compare_edges,
    edge_features,
    find_identical,
    find_near_duplicates,
)


def search(root: Path, scheme) -> tuple[NearDuplicates, list[set[str]], list[str]]:
    photos = read_photos(root, scheme)
    looks = [look for look, _ in collect_all_image_stats(photos)]
    names = [photo.name for photo in photos]
    return find_near_duplicates(photos, looks), [{names[n] for n in group} for group in find_identical(looks)], names


def zoom(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((round(width * 0.03), round(height * 0.03), round(width * 0.98), round(height * 0.97)))


CHANGES = {
    "saved again": lambda image: image,
    "shrunk": lambda image: image.resize((60, 80)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "grey": lambda image: ImageOps.grayscale(image),
    "cropped": zoom,
    "mirrored": ImageOps.mirror,
}


def test_drawn_people_share_nothing(drawn, scheme):
    twins, identical, _ = search(drawn, scheme)
    assert twins.found == ()
    assert identical == []
    assert not twins.cut


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_under_another_person_is_found(people, scheme, change):
    first, second = sorted(people.iterdir())[:2]
    CHANGES[change](Image.open(first / "mask2.jpg")).save(second / "normal.jpg", quality=70)
    twins, identical, names = search(people, scheme)
    assert identical == []
    (twin,) = twins.found
    assert names[twin.second] == f"{second.name}/normal.jpg"
    assert names[twin.first].startswith(first.name)
    assert twin.mirrored == (change == "mirrored")
    assert MIN_EDGE_SIMILARITY <= twin.likeness <= 1
    assert twin.bits <= MAX_HASH_DISTANCE


def test_identical_files_are_one_group_and_their_persons_are_not_searched_again(people, scheme):
    first, second, third = sorted(people.iterdir())[:3]
    for folder in (second, third):
        (folder / "mask1.jpg").write_bytes((first / "mask1.jpg").read_bytes())
    twins, identical, _ = search(people, scheme)
    assert identical == [{f"{folder.name}/mask1.jpg" for folder in (first, second, third)}]
    assert twins.found == ()


def test_flat_pictures_are_not_compared(people, scheme):
    """Their hashes are noise: two grey cards are no leak."""
    first, second = sorted(people.iterdir())[:2]
    Image.new("RGB", (96, 128), (120, 120, 120)).save(first / "mask1.jpg")
    Image.new("RGB", (96, 128), (121, 121, 121)).save(second / "mask1.jpg")
    assert search(people, scheme)[0].found == ()


def test_edges_correlate_with_their_like_and_a_blank_one_with_nothing(face):
    one, other = edge_features(face(0)), edge_features(face(1))
    assert compare_edges(one, one, False) == pytest.approx(1, abs=1e-4)
    assert compare_edges(one, edge_features(ImageOps.mirror(face(0))), True) > 0.95
    assert compare_edges(one, other, False) < MIN_EDGE_SIMILARITY
    assert compare_edges(one, edge_features(Image.new("RGB", (30, 40))), False) == 0
