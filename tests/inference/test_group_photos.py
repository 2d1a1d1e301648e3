"""Photos of several people are noticed before each is predicted as one portrait."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from maskfit.data.crops.face import FaceCrop, default_detector
from maskfit.data.image_lists import ImageFolder, ListedImages
from maskfit.inference.group_photos import SAMPLE, GroupPhotos, find_group_photos
from maskfit.pretrained_weights import DETECTOR_CACHE

PAIR, ALONE = ((10, 10, 40, 50), (50, 12, 80, 48)), ((10, 10, 60, 80), (70, 5, 76, 12))
"""Two people in front; one with a small face in the background."""


@pytest.fixture
def save(tmp_path: Path, paint, painted, monkeypatch):
    monkeypatch.setattr("maskfit.inference.group_photos.default_detector", FaceCrop)

    def write(name: str, *faces: tuple[int, int, int, int]) -> None:
        Image.fromarray(paint(100, 100, *faces)).save(tmp_path / name)

    return write


def test_several_large_faces_are_noticed(save, tmp_path: Path) -> None:
    save("alone.png", *ALONE)
    assert find_group_photos(ImageFolder(tmp_path)) == GroupPhotos(1, 0, "")
    save("pair.png", *PAIR)
    save("nobody.png")
    (tmp_path / "broken.png").write_text("no photo")
    assert find_group_photos(ImageFolder(tmp_path)) == GroupPhotos(3, 1, "pair.png")
    listed = ListedImages(tmp_path, ("alone.png", "pair.png"))
    assert find_group_photos(listed) == GroupPhotos(2, 1, "pair.png")


def test_a_sample_of_a_long_list_is_looked_at(save, painted, tmp_path: Path) -> None:
    save("alone.png", *ALONE)
    assert find_group_photos(ListedImages(tmp_path, ("alone.png",) * 1000)).looked_at == SAMPLE
    assert find_group_photos(ListedImages(tmp_path, ())) == GroupPhotos(0, 0, "")


def test_nothing_is_looked_at_where_faces_are_named_or_no_detector_is_here(save, tmp_path: Path, monkeypatch) -> None:
    save("pair.png", *PAIR)
    assert find_group_photos(ListedImages(tmp_path, ("pair.png[10,10,40,50]",))) == GroupPhotos(0, 0, "")
    monkeypatch.setattr("maskfit.inference.group_photos.default_detector", default_detector)
    (tmp_path / "none.onnx").write_text("no detector")
    monkeypatch.setenv(DETECTOR_CACHE.env_var, str(tmp_path / "none.onnx"))
    assert find_group_photos(ListedImages(tmp_path, ("pair.png",))) == GroupPhotos(0, 0, "")
