"""Spellings of labels in other people's tables: whole-number floats, synonyms, bands and dates."""

from __future__ import annotations

import math

import pytest

from maskfit.errors import LabelError
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import AGE, GENDER, LABEL_SCHEMAS, MASK, UNKNOWN, Attribute
from maskfit.labels.spellings import SYNONYMS, as_integer, is_spreadsheet_date, parse_range


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("2", 2),
        ("2.0", 2),
        (1.0, 1),
        (3, 3),
        (" 0. ", 0),
        ("-1.0", -1),
        ("2.5", None),
        ("", None),
        ("٣", None),
        ("1_0", None),
        ("nan", None),
        ("two", None),
    ],
)
def test_a_whole_number_float_is_its_integer(value, number):
    assert as_integer(value) == number


@pytest.mark.parametrize(("attribute", "code"), [(MASK, "2.0"), (MASK, 2.0), (GENDER, "1.0"), (GENDER, 1.0)])
def test_codes_may_be_written_as_floats(attribute, code):
    assert attribute.encode(code) == int(float(code))
    with pytest.raises(LabelError, match="is not a value of"):
        attribute.encode("0.5")


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("with_mask", "wear"),
        ("Without Mask", "not_wear"),
        ("no mask", "not_wear"),
        ("NO-MASK", "not_wear"),
        ("mask_weared_incorrect", "incorrect"),
        ("incorrect mask", "incorrect"),
        ("WithMask", "wear"),
        ("withoutmask", "not_wear"),
        ("face_with_mask_incorrect", "incorrect"),
        ("sem máscara", "not_wear"),
        ("착용", "wear"),
        ("미착용", "not_wear"),
    ],
)
def test_synonyms_of_mask_states(spelling, value):
    assert MASK.values[MASK.encode(spelling)] == value


@pytest.mark.parametrize(("spelling", "value"), [("남", "male"), ("여성", "female"), ("Women", "female")])
def test_synonyms_of_genders(spelling, value):
    assert GENDER.values[GENDER.encode(spelling)] == value


def test_an_attributes_own_spellings_come_before_synonyms():
    own = Attribute(name="mask", values=("not_wear", "wear"), aliases={"no_mask": "wear"})
    assert own.encode("no_mask") == 1
    assert own.encode("without_mask") == 0
    assert Attribute(name="a", values=("x y", "x_y")).encode("X_Y") == 1
    with pytest.raises(LabelError):
        Attribute(name="a", values=("x y", "x_y")).encode("x-y")


@pytest.mark.parametrize("attribute", [MASK, GENDER])
def test_what_the_program_prints_is_a_spelling(attribute: Attribute):
    for value in range(len(attribute.values)):
        shown = attribute.display_name(value)
        for spelling in (shown, f"{attribute.name} {shown}", f"{attribute.name}_{shown}".replace(" ", "_")):
            if attribute is MASK or spelling == shown:
                assert attribute.encode(spelling) == value


def test_no_synonym_has_two_values():
    spellings = [word.casefold() for words in SYNONYMS.values() for word in words]
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("3-9", (3, 9)),
        ("0 to 2", (0, 2)),
        ("30~59", (30, 59)),
        ("(25, 32)", (25, 32)),
        ("[20, 30)", (20, 29)),
        ("(29, 59]", (30, 59)),
        ("more than 70", (71, math.inf)),
        ("70+", (70, math.inf)),
        ("60 and over", (60, math.inf)),
        ("60세 이상", (60, math.inf)),
        ("under 20", (-math.inf, 19)),
        ("20 미만", (-math.inf, 19)),
        ("20s", (20, 29)),
        ("30대", (30, 39)),
        ("59-30", None),
        ("(25, 32", None),
        ("(34,75)", (34, 75)),
        ("34, 75", (34, 75)),
        ("34,75", None),
        ("25,5 세", None),
        ("25", None),
        ("old", None),
    ],
)
def test_bands_of_other_datasets(text, band):
    assert parse_range(text) == band


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("0-2", [1, 0, 0]),
        ("20-29", [1, 0, 0]),
        ("(38, 43)", [0, 1, 0]),
        ("50-59", [0, 1, 0]),
        ("(60, 100)", [0, 0, 1]),
        ("more than 70", [0, 0, 1]),
        ("(25, 32)", [1, 1, 0]),
        ("(48, 60)", [0, 1, 1]),
        ("(8, 100)", [1, 1, 1]),
    ],
)
def test_a_band_inside_one_value_is_it_and_one_across_a_border_leaves_both(text, allowed):
    assert AGE.allowed_mask(text).astype(int).tolist() == allowed
    assert AGE.encode(text) == (allowed.index(1) if sum(allowed) == 1 else UNKNOWN)


def test_a_band_is_read_with_the_training_bands():
    decades = AgeLabelRule(by_decade=True).training_schema(LABEL_SCHEMAS["age"])
    rows = decades.allowed_mask_from_labels([{"age": "(25, 32)"}, {"age": "40-49"}], "age").astype(int).tolist()
    assert rows == [[0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]]


def test_a_band_out_of_range_is_an_error():
    with pytest.raises(LabelError, match="got 130"):
        AGE.encode("100-130")


@pytest.mark.parametrize("text", ["9-Mar", "Mar-09", "19-Oct", "2022-03-09", "2022-03-09 00:00:00", "3월 9일"])
def test_dates_of_spreadsheets_are_named(text):
    assert is_spreadsheet_date(text)
    with pytest.raises(LabelError, match="it is a date, which spreadsheets make of a band"):
        AGE.encode(text)


@pytest.mark.parametrize("text", ["3-9", "30", "May", "<30"])
def test_other_texts_are_no_dates(text):
    assert not is_spreadsheet_date(text)


@pytest.mark.parametrize("dash", "-‐‑‒–—―−~～〜")
def test_every_dash_joins_a_band(dash):
    assert parse_range(f"18{dash}24") == (18, 24)
