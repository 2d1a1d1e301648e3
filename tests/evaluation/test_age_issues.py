"""Wrong ages in years: found where the models say otherwise, within a band too."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.evaluation.age_issues import score_age_labels
from maskfit.evaluation.label_issues import find_label_issues
from maskfit.labels.age_distribution import AgeTable, average_ages
from maskfit.labels.schema import LABEL_SCHEMAS

AGE = LABEL_SCHEMAS["age"]
YEARS = np.arange(18, 81)


def simulate(count: int = 400, error: float = 5.0, seed: int = 0) -> tuple[np.ndarray, AgeTable]:
    """True ages, and predictions whose error has the standard deviation that their width says."""
    random = np.random.default_rng(seed)
    true = random.integers(18, 80, count).astype(float)
    seen = true + random.normal(scale=error, size=count)
    shares = np.exp(-0.5 * ((YEARS - seen[:, None]) / error) ** 2) + 1e-12
    return true, AgeTable(18, shares / shares.sum(axis=1, keepdims=True))


def test_planted_ages_come_first_and_the_probabilities_add_up():
    true, ages = simulate()
    labels = true.copy()
    labels[:12] = np.where(true[:12] < 50, true[:12] + 28, true[:12] - 28)
    wrong, model = score_age_labels(ages, labels, 0.03)
    assert set(np.argsort(-wrong)[:12].tolist()) == set(range(12))
    assert wrong.sum() == pytest.approx(12, abs=6)
    assert model.log_likelihood > 0.5


def test_years_that_nobody_has_are_no_evidence():
    """Distributions over all years, as a model file gives them: tails beyond every label must not count."""
    true, ages = simulate()
    whole = np.full((400, 121), 1e-6)
    whole[:, 18:81] += ages.shares
    labels = true.copy()
    labels[:12] = np.where(true[:12] < 50, true[:12] + 28, true[:12] - 28)
    wrong, model = score_age_labels(AgeTable(0, whole), labels, 0.03)
    assert set(np.argsort(-wrong)[:12].tolist()) == set(range(12))
    assert wrong[:12].min() > 0.3
    assert model.width < 8


def test_models_that_are_far_off_now_and_then_accuse_nobody_for_certain():
    true, ages = simulate()
    shares = ages.shares.copy()
    random = np.random.default_rng(1)
    off = random.choice(400, 60, replace=False)
    shares[off] = shares[random.permutation(off)]
    wrong, model = score_age_labels(AgeTable(18, shares), true, 0.03)
    assert model.unknowing >= 0.05
    assert wrong.max() < 0.6


def test_a_wrong_age_within_its_band_is_an_issue_with_years():
    true, ages = simulate()
    labels = true.copy()
    person = int(np.flatnonzero((true >= 32) & (true <= 34))[0])
    labels[person] = 58.0
    codes = np.searchsorted([30, 60], labels, side="right")
    bands = ages.band_sums((30, 60))
    names = [f"p{number}/a.jpg" for number in range(400)]
    persons = [f"p{number}" for number in range(400)]
    found = find_label_issues(names, persons, bands, codes, AGE, labels, ages=ages)
    assert found[0].person == f"p{person}"
    assert found[0].label == ("58",)
    assert 25 <= int(found[0].proposed[0]) <= 42
    assert found[0].reason.startswith(f"labeled 58; predicted {found[0].proposed[0]} (")
    # By bands alone nothing is wrong with it.
    by_band = find_label_issues(names, persons, bands, codes, AGE, labels)
    assert f"p{person}" not in [item.person for item in by_band if item.score > 0.1]


def test_all_photos_of_a_person_count_together():
    true, ages = simulate(100, error=9.0)
    three = AgeTable(18, np.repeat(ages.shares, 3, axis=0))
    labels = np.repeat(true, 3)
    codes = np.searchsorted([30, 60], labels, side="right")
    persons = [f"p{number // 3}" for number in range(300)]
    names = [f"{person}/{number}.jpg" for number, person in enumerate(persons)]
    labels[:3] = 75.0 if true[0] < 50 else 20.0
    codes[:3] = np.searchsorted([30, 60], labels[:3], side="right")
    found = find_label_issues(names, persons, three.band_sums((30, 60)), codes, AGE, labels, ages=three)
    assert found[0].person == "p0"
    assert "3 of 3 photos predicted" in found[0].reason


def test_labels_that_are_bands_are_judged_as_bands():
    true, ages = simulate()
    codes = np.searchsorted([30, 60], true, side="right")
    codes[0] = 2 if true[0] < 45 else 0
    persons = [f"p{number}" for number in range(400)]
    unknown = np.full(400, np.nan)
    found = find_label_issues(persons, persons, ages.band_sums((30, 60)), codes, AGE, unknown, ages=ages)
    assert all(item.label[0] in AGE["age"].values for item in found)


def test_models_of_different_years_are_averaged():
    one, two = AgeTable(18, np.full((1, 2), 0.5)), AgeTable(19, np.full((1, 2), 0.5))
    mean = average_ages([one, two])
    assert mean.first == 18
    assert mean.shares[0] == pytest.approx([0.25, 0.5, 0.25], abs=1e-6)
