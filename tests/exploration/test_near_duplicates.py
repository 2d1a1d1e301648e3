"""Changed copies under two persons are found; different persons who look similar are not."""

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


def search(root: Path, schema) -> tuple[NearDuplicates, list[set[str]], list[str]]:
    photos = read_photos(root, schema)
    stats = [item for item, _ in collect_all_image_stats(photos)]
    names = [photo.name for photo in photos]
    return (
        find_near_duplicates(photos, stats),
        [{names[n] for n in group} for group in find_identical(photos, stats)],
        names,
    )


def zoom(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((round(width * 0.03), round(height * 0.03), round(width * 0.98), round(height * 0.97)))


CHANGES = {
    "saved again": lambda image: image,
    "shrunk": lambda image: image.resize((60, 80)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "gray": lambda image: ImageOps.grayscale(image),
    "cropped": zoom,
    "mirrored": ImageOps.mirror,
}


def test_drawn_people_share_nothing(drawn, schema):
    near, identical, _ = search(drawn, schema)
    assert near.found == ()
    assert identical == []
    assert not near.truncated


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_under_another_person_is_found(people, schema, change):
    first, second = sorted(people.iterdir())[:2]
    CHANGES[change](Image.open(first / "mask2.jpg")).save(second / "normal.jpg", quality=70)
    near, identical, names = search(people, schema)
    assert identical == []
    (found,) = near.found
    assert names[found.second] == f"{second.name}/normal.jpg"
    assert names[found.first].startswith(first.name)
    assert found.mirrored == (change == "mirrored")
    assert MIN_EDGE_SIMILARITY <= found.similarity <= 1
    assert found.hash_distance <= MAX_HASH_DISTANCE


def test_identical_files_are_one_group_and_their_persons_are_not_searched_again(people, schema):
    first, second, third = sorted(people.iterdir())[:3]
    for folder in (second, third):
        (folder / "mask1.jpg").write_bytes((first / "mask1.jpg").read_bytes())
    near, identical, _ = search(people, schema)
    assert identical == [{f"{folder.name}/mask1.jpg" for folder in (first, second, third)}]
    assert near.found == ()


def test_flat_pictures_are_not_compared(people, schema):
    """Their hashes are noise: two gray cards are not a leak."""
    first, second = sorted(people.iterdir())[:2]
    Image.new("RGB", (96, 128), (120, 120, 120)).save(first / "mask1.jpg")
    Image.new("RGB", (96, 128), (121, 121, 121)).save(second / "mask1.jpg")
    assert search(people, schema)[0].found == ()


def test_edges_correlate_with_the_same_photo_and_not_with_a_blank_one(face):
    one, other = edge_features(face(0)), edge_features(face(1))
    assert compare_edges(one, one, False) == pytest.approx(1, abs=1e-4)
    assert compare_edges(one, edge_features(ImageOps.mirror(face(0))), True) > 0.95
    assert compare_edges(one, other, False) < MIN_EDGE_SIMILARITY
    assert compare_edges(one, edge_features(Image.new("RGB", (30, 40))), False) == 0
