"""Ages in years from narrow bands: sums agree with the bands, quantiles are exact, borders move."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.errors import DataError
from maskfit.labels.age_distribution import (
    AgeTable,
    concat_ages,
    find_age_attribute,
    has_narrow_bands,
    move_borders,
    narrow_age_bands,
    parse_age_borders,
    rebin_probabilities,
    sharpen,
    spread_bands,
)
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema, softmax

FULL = LABEL_SCHEMAS["mask-gender-age"]
FINE = AgeLabelRule(bin_width=5).training_schema(FULL)
RANDOM = np.random.default_rng(0)


def test_only_whole_years_in_narrow_bands_give_ages():
    assert find_age_attribute(LABEL_SCHEMAS["mask-gender"]) is None
    assert find_age_attribute(FULL) == FULL["age"]
    height = Attribute(name="height", values=("low", "high"), bin_edges=(1.5,), valid_range=(0, 3))
    assert find_age_attribute(LabelSchema(attributes=(height,))) is None
    assert not has_narrow_bands(FULL["age"])
    assert has_narrow_bands(FINE["age"])
    assert not has_narrow_bands(AgeLabelRule(bin_width=15).training_schema(FULL)["age"])


def test_a_certain_band_has_its_own_years_and_open_bands_end_at_the_range():
    bands = np.eye(10)
    table = spread_bands(FINE["age"], bands, (18, 80))
    assert table.quantiles((0.01, 0.5, 0.99))[4].tolist() == [35, 37, 39]
    assert table.mean()[4] == pytest.approx(37, abs=1e-4)
    assert table.quantiles((0.01, 0.99))[0].tolist() == [18, 19]
    assert table.quantiles((0.01, 0.99))[9].tolist() == [60, 80]
    # A range within the bands leaves the open ones a year each.
    narrow = spread_bands(FINE["age"], bands, (30, 40))
    assert narrow.quantiles((0.01, 0.99))[[0, 9]].tolist() == [[19, 19], [60, 60]]


def test_quantiles_are_those_of_numpy_on_drawn_years():
    shares = RANDOM.dirichlet(np.ones(60), size=3)
    table = AgeTable(20, shares)
    drawn = [np.repeat(table.years, np.round(row * 1e6).astype(int)) for row in shares]
    expected = [np.quantile(own, (0.1, 0.5, 0.9), method="inverted_cdf") for own in drawn]
    assert np.abs(table.quantiles() - np.array(expected)).max() <= 0
    assert table.mean() == pytest.approx([own.mean() for own in drawn], abs=1e-2)


def test_scaled_to_bands_the_sums_are_the_bands():
    table = spread_bands(FINE["age"], RANDOM.dirichlet(np.ones(10), size=20), (18, 80))
    bands = RANDOM.dirichlet(np.ones(3), size=20)
    scaled = table.fit_bands((30, 60), bands)
    assert scaled.band_sums((30, 60)) == pytest.approx(bands)
    # Within a band the proportions stay.
    inside = slice(30, 60)
    before, after = table.shares[:, inside], scaled.shares[:, inside]
    assert after / after.sum(1, keepdims=True) == pytest.approx(before / before.sum(1, keepdims=True))
    # A band that the network excludes has years as soon as it has a probability.
    lone = spread_bands(FINE["age"], np.eye(10)[[0]]).fit_bands((30, 60), np.array([[0.0, 0.0, 1.0]]))
    assert lone.shares.sum() == pytest.approx(1)
    assert lone.quantiles()[0, 0] >= 60


def test_a_band_beyond_every_known_age_has_its_nearest_year():
    early = AgeLabelRule(bin_width=10, old_from_age=58).training_schema(FULL)["age"]
    # Nobody in the data is older than 58, and the official band begins at 60.
    table = spread_bands(early, np.full((2, 6), 1 / 6), (20, 58)).fit_bands((30, 60), np.full((2, 3), 1 / 3))
    assert table.band_sums((30, 60)) == pytest.approx(np.full((2, 3), 1 / 3))
    assert table.shares[:, 60] == pytest.approx([1 / 3, 1 / 3])
    assert table.quantiles()[0, 2] == 60


def test_an_estimate_reads_as_people_write_it():
    (one,) = (
        spread_bands(FINE["age"], np.eye(10)[[4]])
        .fit_bands((30, 60), np.array([[0.0, 0.88, 0.12]]))
        .estimates((30.0, 60.0))
    )
    assert str(one) == "37 (35 to 64), 12% aged 60 or more"
    record = one.to_dict()
    assert record["at_least"] == {"30": pytest.approx(1), "60": pytest.approx(0.12)}
    assert (record["q10"], record["q50"], record["q90"]) == (35, 37, 64)


def test_the_temperature_widens_and_one_changes_nothing():
    bands = softmax(RANDOM.normal(size=(5, 10)) * 3)
    assert sharpen(bands, 1.0) is bands or (sharpen(bands, 1.0) == bands).all()
    wide = spread_bands(FINE["age"], sharpen(bands, 3.0)).quantiles()
    own = spread_bands(FINE["age"], bands).quantiles()
    assert (wide[:, 2] - wide[:, 0]).mean() > (own[:, 2] - own[:, 0]).mean()


def test_bands_of_a_joint_head_are_its_marginals():
    logits = RANDOM.normal(size=(4, FINE.num_classes))
    marginal = softmax(logits).reshape(4, 6, 10).sum(axis=1)
    assert narrow_age_bands(FINE, {"joint": logits}) == pytest.approx(marginal)
    assert narrow_age_bands(FINE, {"age": logits[:, :10]}) == pytest.approx(softmax(logits[:, :10]))
    assert narrow_age_bands(FULL, {"age": logits[:, :3]}) is None


def test_moved_borders_move_only_the_years_between():
    narrow = RANDOM.dirichlet(np.ones(10), size=8)
    classes = FINE.to_scored_probabilities(
        FINE.joint_probabilities({"mask": np.full((8, 3), 1 / 3), "gender": np.full((8, 2), 1 / 2), "age": narrow})
    )
    ages = spread_bands(FINE["age"], narrow, (18, 80))
    moved = move_borders(FULL, (30, 55))
    assert moved["age"].values == ("<30", "30-54", ">=55")
    table = rebin_probabilities(FULL, classes, ages, moved)
    bands = moved.marginals(table)["age"]
    # 55 is a border of the narrow bands, so the result is their exact sum.
    expected = np.stack([narrow[:, :3].sum(1), narrow[:, 3:8].sum(1), narrow[:, 8:].sum(1)], axis=1)
    assert bands == pytest.approx(expected, abs=1e-6)
    assert moved.marginals(table)["mask"] == pytest.approx(np.full((8, 3), 1 / 3))
    assert table.sum(1) == pytest.approx(1)
    four = move_borders(FULL, (18, 40, 65))
    assert four["age"].values == ("<18", "18-39", "40-64", ">=65")
    assert rebin_probabilities(FULL, classes, ages, four).shape == (8, 24)
    assert move_borders(FULL, (30, 60)) is FULL


def test_moved_borders_keep_what_attributes_have_to_do_with_each_other():
    joint = RANDOM.dirichlet(np.ones(18), size=6)
    ages = spread_bands(FINE["age"], RANDOM.dirichlet(np.ones(10), size=6), (18, 80))
    moved = rebin_probabilities(FULL, joint, ages, move_borders(FULL, (60,))).reshape(6, 3, 2, 2)
    before = joint.reshape(6, 3, 2, 3)
    assert moved[..., 0] == pytest.approx(before[..., 0] + before[..., 1])


@pytest.mark.parametrize("text", ["", "thirty", "30;57", "57,30", "30,30", "30,", "-1,30", "30.5"])
def test_borders_that_are_none_are_refused(text):
    with pytest.raises(DataError, match="age borders"):
        parse_age_borders(text)


def test_borders_are_read_and_checked_against_the_schema():
    assert parse_age_borders("30, 57") == (30.0, 57.0)
    assert parse_age_borders(None) is None
    with pytest.raises(DataError, match="none of them in bands of years"):
        move_borders(LABEL_SCHEMAS["mask"], (30,))
    with pytest.raises(DataError, match="130 is not above 0 and at most 120"):
        move_borders(FULL, (30, 130))


def test_batches_are_joined():
    one, two = AgeTable(0, np.ones((2, 5))), AgeTable(0, np.zeros((1, 5)))
    joined = concat_ages([one, None, two])
    assert joined is not None
    assert joined.shares.shape == (3, 5)
    assert concat_ages([None]) is None
