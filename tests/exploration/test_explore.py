"""Exploration of a dataset: counts, outliers, thumbnails, contact sheets, and unreadable files."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data.image_decoding import decode, open_downscaled
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.validation import validate_dataset
from maskfit.errors import DataError
from maskfit.exploration.explore import explore
from maskfit.exploration.image_stats import collect_image_stats
from maskfit.exploration.mean_faces import MeanFaces, choose_sheets, open_picture
from maskfit.exploration.near_duplicates import edge_features
from maskfit.exploration.statistics import (
    count_classes,
    count_files,
    count_values,
    count_years,
    find_imbalance,
    to_json,
)
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN


@pytest.fixture(scope="module")
def result(drawn):
    return explore(drawn, LABEL_SCHEMAS["mask-gender-age"], limit=5)


def test_counts_are_those_of_the_labels(result):
    names = [photo.name for photo in result.photos]
    assert len(names) == 42
    people = {photo.person: photo.labels for photo in result.photos}
    expected = Counter(
        (photo.labels["mask"], labels["gender"], int(np.searchsorted((30, 60), labels["age"], "right")))
        for photo in result.photos
        for labels in (people[photo.person],)
    )
    assert sorted(item.photos for item in count_classes(result) if item.photos) == sorted(expected.values())
    mask = {item.name: (item.photos, item.persons) for item in count_values(result, result.schema["mask"])}
    assert mask == {"worn": (30, 6), "worn wrongly": (6, 6), "not worn": (6, 6)}
    most, least = find_imbalance(count_classes(result))
    assert most.photos == 5 * least.photos


def test_ages_count_persons_and_not_photos(result):
    years, names = count_years(result, result.schema["age"])
    assert names == ("male", "female")
    assert sum(map(sum, years.values())) == 6
    assert set(years) == {photo.labels["age"] for photo in result.photos}


def test_files_are_counted_by_size_ending_and_format(result):
    counts = count_files(result)
    assert counts["sizes"] == {"96 × 128": 42}
    assert sum(counts["endings"].values()) == 42
    assert set(counts["formats"]) <= {"JPEG", "PNG"}


def test_problems_are_those_of_the_data_check(people, schema):
    first, second = sorted(people.iterdir())[:2]
    (first / "mask1.jpg").write_bytes(b"")
    (first / "mask2.jpg").write_text("a letter")
    (second / "mask3.jpg").unlink()
    (second / "normal.jpg").write_bytes((second / "incorrect_mask.jpg").read_bytes())
    found = explore(people, schema)
    assert found.problems == validate_dataset(people, schema).problems
    assert [found.photos[number].name for number in found.unreadable] == [
        f"{first.name}/mask1.jpg",
        f"{first.name}/mask2.jpg",
    ]
    assert len(found.identical) == 1
    assert not found.spans_persons(found.identical[0])
    values = to_json(found)
    assert values["unreadable"][0] == {"photo": f"{first.name}/mask1.jpg", "reason": "the file is empty"}
    assert (values["photos"], values["persons"]) == (41, 6)


def test_outliers_of_every_kind(people, schema):
    face = Image.open(next(people.glob("*/normal.jpg")))
    names = [folder.name for folder in sorted(people.iterdir())]
    pixels = np.asarray(face, dtype=np.float64)
    outliers = {
        "dark": Image.fromarray((pixels * 0.2).astype(np.uint8)),
        "bright": Image.fromarray((230 + pixels * 0.09).astype(np.uint8)),
        "gray": face.convert("L"),
        "tiny": face.resize((48, 64)),
        "shape": face.resize((128, 96)),
    }
    for image, name in zip(outliers.values(), names, strict=False):
        image.save(people / name / "normal.jpg", quality=95)
    found = explore(people, schema)
    where = {kind: {found.photos[n].person for n in numbers} for kind, numbers in found.outliers.items()}
    for kind, name in zip(outliers, names, strict=False):
        assert name in where[kind], kind
    assert where["tiny"] == {names[3]}
    assert where["shape"] == {names[4]}
    assert where["flat"] >= {names[1]}


def test_a_property_of_most_photos_is_not_an_outlier(people, schema):
    for path in people.glob("*/*"):
        Image.open(path).convert("L").save(path)
    assert explore(people, schema).outliers["gray"] == ()


def test_a_set_that_knows_only_the_mask_is_counted_by_it(people, schema):
    path = people / "photos.csv"
    folder = sorted(item for item in people.iterdir() if item.is_dir())[0].name
    path.write_text(f"path,mask\n{folder}/mask1.jpg,wear\n{folder}/normal.jpg,not_wear\n")
    found = explore(path, schema)
    assert found.schema.names == ("mask",)
    assert found.unlabeled_attributes == ("gender", "age")
    assert set(found.contact_sheets) == {0, 2}
    path.write_text(f"path\n{folder}/mask1.jpg\n")
    found = explore(path, schema)
    assert set(found.contact_sheets) == {UNKNOWN}
    assert to_json(found)["imbalance"] is None


def test_a_dataset_without_readable_photos_is_an_error(tmp_path, schema):
    with pytest.raises(DataError, match="no photos here"):
        explore(tmp_path, schema)
    folder = tmp_path / "000001_male_Asian_20"
    folder.mkdir()
    (folder / "normal.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="maskfit data check"):
        explore(tmp_path, schema)
    with pytest.raises(DataError, match="limit"):
        explore(tmp_path, schema, limit=0)


def test_progress_is_called_for_every_photo(drawn, schema):
    calls: list[tuple[str, int, int]] = []
    explore(drawn, schema, progress=lambda *call: calls.append(call))
    assert [call for call in calls if call[0] == "reading"] == [("reading", n, 42) for n in range(1, 43)]


def test_a_sheet_shows_each_person_before_anyone_twice(result):
    for number, sheet in result.contact_sheets.items():
        people = [result.photos[n].person for n in sheet.indices]
        held = {result.photos[n].person for n in np.nonzero(result.classes == number)[0]}
        assert len(people) == min(5, int((result.classes == number).sum()))
        assert len(set(people)) == min(len(held), len(people))
        assert Image.open(io.BytesIO(sheet.strip)).size == (96 * len(people), 128)


def test_the_seed_decides_who_is_on_a_sheet(result):
    photos, classes = result.photos, result.classes
    assert choose_sheets(photos, classes, 2, 1) == choose_sheets(photos, classes, 2, 1)
    assert choose_sheets(photos, classes, 2, 1) != choose_sheets(photos, classes, 2, 2)


def test_mean_faces_are_means(schema):
    faces = MeanFaces(schema)
    for value in (0, 100, 200):
        faces.add(np.full((128, 96, 3), value, dtype=np.uint8), 4, [0, 1, 1])
    faces.add(np.full((128, 96, 3), 255, dtype=np.uint8), UNKNOWN, [2, UNKNOWN, UNKNOWN])
    jpeg, count = faces.of_class(4)
    assert count == 3
    assert abs(int(np.asarray(Image.open(io.BytesIO(jpeg))).mean()) - 100) <= 1
    assert faces.of_value("mask", 2)[1] == 1
    assert faces.of_class(0) is None


def test_a_small_decoding_is_the_photo_and_knows_its_size(tmp_path, face):
    image = face(0).resize((768, 1024))
    for name, turn in (("a.jpg", 1), ("b.jpg", 6), ("c.png", 6)):
        exif = Image.Exif()
        exif[0x0112] = turn
        image.save(tmp_path / name, exif=exif)
        small, size = open_downscaled(tmp_path / name, (96, 128))
        full = decode(tmp_path / name)
        assert size == (full.shape[1], full.shape[0]) == ((768, 1024) if turn == 1 else (1024, 768))
        least = small.size if small.size != size else (192, 144)
        assert least[0] >= 96
        assert least[1] >= 128
        again = Image.fromarray(full).resize(small.size, Image.Resampling.BOX)
        assert np.abs(np.asarray(small, dtype=float) - np.asarray(again, dtype=float)).mean() < 3
    assert open_downscaled(tmp_path / "a.jpg", (96, 128))[0].size == (96, 128)


@pytest.mark.parametrize("size", [(4000, 3), (3, 4000), (1, 1)])
def test_a_photo_of_any_shape_can_be_looked_at_and_shown(tmp_path, size):
    Image.new("RGB", size, "teal").save(tmp_path / "strip.png")
    photo = Photo(tmp_path / "strip.png", "strip.png", "p")
    width, height = Image.open(io.BytesIO(open_picture(photo, 100))).size
    assert 1 <= width <= 200
    assert 1 <= height <= 100
    stats, thumbnail = collect_image_stats(photo)
    assert stats.info.size == size
    assert thumbnail.shape == (128, 96, 3)
    assert edge_features(photo).shape == (3, 2, 94, 70)


def test_absent_classes_have_no_sheet():
    photos = PhotoDataset(Path(), tuple(Photo(Path(str(n)), str(n), str(n)) for n in range(3)))
    assert choose_sheets(photos, np.array([UNKNOWN, 7, UNKNOWN]), 9, 0).keys() == {7, UNKNOWN}
