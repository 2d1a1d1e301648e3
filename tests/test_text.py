"""Counts with their noun."""

from __future__ import annotations

import pytest

from maskfit.text import format_count


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
