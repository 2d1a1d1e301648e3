"""Age rules: what they move and drop in training, and that scores stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from maskfit.errors import LabelError
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS

OFFICIAL = LABEL_SCHEMAS["mask-gender-age"]


@pytest.mark.parametrize("first", [57, 58, 59, 60])
def test_the_oldest_band_begins_where_the_rule_says(first):
    age = AgeLabelRule(old_from_age=first).training_schema(OFFICIAL)["age"]
    assert [age.encode(years) for years in (29, 30, first - 1, first, 60)] == [0, 1, 1, 2, 2]
    # The official attribute is another object, and where it was.
    assert [OFFICIAL["age"].encode(years) for years in (57, 59, 60)] == [1, 1, 2]


def test_without_a_rule_the_scheme_is_the_official_one():
    assert AgeLabelRule().training_schema(OFFICIAL) is OFFICIAL
    assert AgeLabelRule(exclude=((27, 29),)).training_schema(OFFICIAL) is OFFICIAL


@pytest.mark.parametrize(
    ("years", "left_out"),
    [
        (26, False),
        (27, True),
        ("28", True),
        (29, True),
        (30, False),
        (56.9, False),
        (57, True),
        (59, True),
        (60, False),
        (None, False),
        ("", False),
        ("30-59", False),
    ],
)
def test_ranges_drop_with_both_ends(years, left_out):
    assert AgeLabelRule(exclude=((27, 29), (57, 59))).excludes(years) is left_out


@pytest.mark.parametrize("low_high", [(29, 27), (float("nan"), 29)])
def test_a_range_that_could_drop_nobody_is_refused(low_high):
    with pytest.raises(ValidationError, match=r"must be \[low, high\]"):
        AgeLabelRule(exclude=(low_high,))


def test_decades_are_the_bands_of_seed_s4():
    age = AgeLabelRule(by_decade=True).training_schema(OFFICIAL)["age"]
    assert age.values == ("<20", "20-29", "30-39", "40-49", "50-59", ">=60")
    assert age.parent_of == ("<30", "<30", "30-59", "30-59", "30-59", ">=60")
    assert [age.encode(years) for years in (19, 20, 29, 30, 39, 40, 49, 50, 59, 60)] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]


def test_narrow_bands_are_cut_at_every_step_and_at_the_official_edges():
    both = AgeLabelRule(by_decade=True, bin_width=10)
    assert AgeLabelRule(bin_width=10).training_schema(OFFICIAL) == both.training_schema(OFFICIAL)
    age = AgeLabelRule(bin_width=8).training_schema(OFFICIAL)["age"]
    assert age.values == ("<20", "20-27", "28-29", "30-35", "36-43", "44-51", "52-59", ">=60")
    assert age.parent_of == ("<30",) * 3 + ("30-59",) * 4 + (">=60",)


@settings(max_examples=60, deadline=None)
@given(
    years=st.integers(0, 120), old_from=st.sampled_from([None, 57, 58, 59, 60, 61]), step=st.sampled_from([2, 5, 7, 10])
)
def test_a_certain_answer_in_narrow_bands_folds_to_the_band_of_its_rule(years, old_from, step):
    rule = AgeLabelRule(bin_width=step, old_from_age=old_from)
    trained = rule.training_schema(OFFICIAL)
    codes = trained.encode_batch([{"mask": "incorrect", "gender": "female", "age": years}])
    certain = np.zeros((1, trained.num_classes))
    certain[0, trained.to_class_index(codes)[0]] = 1
    band = 0 if years < 30 else 1 if years < (old_from or 60) else 2
    folded = trained.to_scored_probabilities(certain)
    assert folded.shape == (1, 18)
    assert folded[0, 6 + 3 + band] == 1
    # Answers are about the official values, in the official order.
    assert [item.values for item in trained.scored_schema().attributes] == [item.values for item in OFFICIAL.attributes]


def test_scores_stay_on_the_official_rule():
    """A 58-year-old trained as old is still 30-59 in the truth."""
    trained = AgeLabelRule(old_from_age=58).training_schema(OFFICIAL)
    label = [{"mask": "wear", "gender": "male", "age": 58.0}]
    assert trained.encode_batch(label).tolist() == [[0, 0, 2]]
    assert OFFICIAL.encode_batch(label).tolist() == [[0, 0, 1]]


def test_rules_that_cannot_hold_are_refused():
    for rule in (AgeLabelRule(old_from_age=58), AgeLabelRule(by_decade=True)):
        with pytest.raises(LabelError, match="bin_edges"):
            rule.training_schema(LABEL_SCHEMAS["mask-gender"])
    with pytest.raises(LabelError, match="above 30"):
        AgeLabelRule(old_from_age=30).training_schema(OFFICIAL)
    for wrong in ({"by_decade": True, "bin_width": 5}, {"bin_width": 1}):
        with pytest.raises(ValidationError):
            AgeLabelRule(**wrong)
    for wrong in (0, 121):
        with pytest.raises(ValidationError):
            AgeLabelRule(old_from_age=wrong)
