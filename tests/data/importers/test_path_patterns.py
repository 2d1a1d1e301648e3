"""Tests of sets that say labels in the paths of photos: AFAD, FG-NET, MORPH, CACD, AgeDB."""

from __future__ import annotations

import pytest

from maskfit.errors import DataError


def rows(dataset) -> list[tuple[str, str, dict[str, str]]]:
    return [(row.photo.name, row.person, dict(row.labels)) for row in dataset.rows]


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        (
            "afad",
            {
                "AFAD-Lite/18/111/1-0.jpg": ("", {"gender": "male", "age": "18"}),
                "AFAD-Lite/18/112/2-0.jpg": ("", {"gender": "female", "age": "18"}),
                "AFAD-Lite/61/112/3-1.jpg": ("", {"gender": "female", "age": "61"}),
            },
        ),
        (
            "fg-net",
            {
                "images/001A02.JPG": ("001", {"age": "2"}),
                "images/001A43a.JPG": ("001", {"age": "43"}),
                "images/082A18.JPG": ("082", {"age": "18"}),
            },
        ),
        (
            "morph",
            {
                "009055_1M54.JPG": ("009055", {"gender": "male", "age": "54"}),
                "009055_2M55.JPG": ("009055", {"gender": "male", "age": "55"}),
                "310154_02F29.JPG": ("310154", {"gender": "female", "age": "29"}),
            },
        ),
        (
            "cacd",
            {
                "14_Aaron_Johnson_0001.jpg": ("Aaron_Johnson", {"age": "14"}),
                "53_Robin_Williams_0002.jpg": ("Robin_Williams", {"age": "53"}),
                "54_Robin_Williams_0010.jpg": ("Robin_Williams", {"age": "54"}),
            },
        ),
        (
            "agedb",
            {
                "AgeDB/0_MariaCallas_35_f.jpg": ("MariaCallas", {"gender": "female", "age": "35"}),
                "AgeDB/10000_GlennClose_62_f.jpg": ("GlennClose", {"gender": "female", "age": "62"}),
                "AgeDB/16516_PeterO'Toole_101_m.jpg": ("PeterO'Toole", {"gender": "male", "age": "101"}),
            },
        ),
    ],
)
def test_paths_say_the_labels(write_tree, import_, format, expected):
    dataset = import_(write_tree(*expected))
    assert dataset.format == format
    assert rows(dataset) == [(name.rpartition("/")[2], *said) for name, said in sorted(expected.items())]


def test_a_name_off_the_pattern_is_left_out(write_tree, import_):
    names = [f"{number:03}A{number}.JPG" for number in range(20, 40)]
    dataset = import_(write_tree(*names, "Thumbs.jpg"))
    assert dataset.format == "fg-net"
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("Thumbs.jpg", "the name is off the pattern")
    ]


def test_a_code_may_be_mapped(write_tree, import_):
    root = write_tree("18/111/a.jpg", "18/112/b.jpg")
    assert [labels["gender"] for *_, labels in rows(import_(root, "afad", "gender:111=female", "gender:112=male"))] == [
        "female",
        "male",
    ]


def test_labels_in_place_of_names_are_no_persons(write_tree, import_):
    root = write_tree("14_masked_0001.jpg", "15_with_mask_0002.jpg", "62_female_0001.jpg")
    with pytest.raises(DataError, match="it may be flat"):
        import_(root)
    assert [person for _, person, _ in rows(import_(root, "cacd"))] == ["masked", "with_mask", "female"]
