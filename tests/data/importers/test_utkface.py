"""Tests of UTKFace, with the eight kinds of names that are off its pattern."""

from __future__ import annotations


def test_names_on_and_off_the_pattern(write_tree, import_, labels_of):
    on = [f"{age}_{gender}_2_201701161745251{age:02d}.jpg.chip.jpg" for age in (25, 31, 47) for gender in (0, 1)]
    on += [f"{number}_0_0_201612191405303{number}.jpg.chip.jpg" for number in range(60, 80)]
    oldest = "116_1_0_20170120134921760.jpg.chip.jpg"
    off = {
        "39_1_20170116174525125.jpg.chip.jpg": "the name has no race, so that its numbers are not certain",
        "61_1_20170109142408075.jpg.chip.jpg": "the name has no race, so that its numbers are not certain",
        "55_0_0_20170116232725357jpg.chip.jpg": "the name's ending is off the pattern",
        "24_0_1_20170116220224657 .jpg.chip.jpg": "the name's ending is off the pattern",
        "44_1_4_20170116235150272.pg.chip.jpg": "the name's ending is off the pattern",
        "1_0_2_2017011017340.jpg.chip.jpg": "the name's date does not have 17 digits",
        "cover.jpg": "the name is off the pattern age_gender_race_date.jpg.chip.jpg",
    }
    dataset = import_(write_tree(*on, oldest, *off, folder="UTKFace"), "utkface")
    assert {item.location: item.reason for item in dataset.left_out} == off
    labels = labels_of(dataset)
    assert labels[oldest] == {"gender": "female", "age": "116"}
    assert labels["25_0_2_20170116174525125.jpg.chip.jpg"] == {"gender": "male", "age": "25"}
    assert len(dataset.rows) == 27
    assert [(code.word, code.meaning, code.how) for code in dataset.codes if code.key == "gender"] == [
        ("0", "gender male", "format"),
        ("1", "gender female", "format"),
    ]


def test_found_by_itself_and_a_code_may_be_mapped(write_tree, import_, labels_of):
    root = write_tree("25_0_2_20170116174525125.jpg", "30_1_0_20170116174525126.jpg")
    assert import_(root).format == "utkface"
    swapped = labels_of(import_(root, None, "gender:0=female", "gender:1=male"))
    assert swapped["25_0_2_20170116174525125.jpg"] == {"gender": "female", "age": "25"}


def test_a_folder_of_infants_is_not_taken_for_bands(write_tree, import_, labels_of):
    root = write_tree("1_0_2_20170116174525125.jpg.chip.jpg", "2_1_0_20170116174525126.jpg.chip.jpg")
    assert labels_of(import_(root))["1_0_2_20170116174525125.jpg.chip.jpg"] == {"gender": "male", "age": "1"}
