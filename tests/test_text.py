"""Counts with their noun, and what is said of a cell that is no number."""

from __future__ import annotations

import pytest

from maskfit.errors import LabelError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.text import explain_number, format_count


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((0, "photo"), "0 photos"),
        ((1, "photo"), "1 photo"),
        ((1200, "photo"), "1,200 photos"),
        ((1, "class", "classes"), "1 class"),
        ((2, "photo has", "photos have"), "2 photos have"),
    ],
)
def test_a_count_agrees_with_its_noun(args, expected):
    assert format_count(*args) == expected


def test_a_decimal_comma_is_named_and_nothing_else() -> None:
    for cell, number in {"0,7": "0.7", " 27,5 ": "27.5", "-,5": "-.5"}.items():
        assert explain_number(cell) == f"; it has a decimal comma, write {number}"
    for cell in ("", "x", "0.7", "1,000.5", "1,2,3", "a,5", "7,"):
        assert explain_number(cell) == ""


def test_years_with_a_decimal_comma_are_named() -> None:
    with pytest.raises(LabelError, match=r"'27,5' is not a value of age; .* it has a decimal comma, write 27\.5"):
        LABEL_SCHEMAS["age"]["age"].encode("27,5")
    with pytest.raises(LabelError) as caught:
        LABEL_SCHEMAS["mask"]["mask"].encode("1,5")
    assert "comma" not in str(caught.value)
