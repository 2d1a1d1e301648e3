"""Ages in years: errors, coverage, the fitted temperature, and the file."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.calibration import AgeCalibration
from maskfit.errors import DataError
from maskfit.evaluation.ages import build_ages, fit_ages, read_age_table, score_ages, write_age_table
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS, softmax

FULL = LABEL_SCHEMAS["mask-gender-age"]
FINE = AgeLabelRule(bin_width=5).training_schema(FULL)["age"]
EDGES = FULL["age"].bin_edges


def simulate(count: int, sharp: float, seed: int = 0):
    """Ages, and the narrow bands of a model whose error has a standard deviation of eight years.

    With `sharp` above 1 it is too sure of itself by that factor.
    """
    random = np.random.default_rng(seed)
    years = random.integers(18, 80, count).astype(float)
    seen = years + random.normal(scale=8, size=count)
    centers = np.array([18, 22, 27, 32, 37, 42, 47, 52, 57, 70.0])
    prior = np.array([2, 5, 5, 5, 5, 5, 5, 5, 5, 20.0])
    logits = np.log(prior) - (seen[:, None] - centers) ** 2 / (2 * 8**2)
    narrow = softmax(sharp * logits)
    bands = np.add.reduceat(narrow, [0, 3, 9], axis=1)
    return years, narrow, bands


def test_scores_are_what_a_loop_finds():
    quantiles = np.array([[20, 30, 40], [20, 30, 40], [50, 55, 60], [1, 2, 3]])
    years = np.array([40.0, 41.9, 50.0, np.nan])
    score = score_ages(quantiles, years, ["a", "a", "b", "c"])
    assert score is not None
    assert score.mean_absolute_error.value == pytest.approx((10 + 11 + 5) / 3)
    assert score.coverage.value == pytest.approx(2 / 3)
    assert score.width == pytest.approx((20 + 20 + 10) / 3)
    assert (score.photos, score.persons) == (3, 2)
    assert score_ages(quantiles, np.full(4, np.nan), ["a"] * 4) is None


def test_the_temperature_repairs_a_model_that_is_too_sure():
    persons = [str(number) for number in range(600)]
    years, narrow, bands = simulate(600, 4.0)
    fitted = fit_ages(FINE, narrow, EDGES, bands, years, persons)
    assert fitted is not None
    assert fitted.temperature > 1.5
    assert fitted.age_range == (18, 79)
    assert fitted.coverage is not None
    before = build_ages(FINE, narrow, EDGES, bands, fitted.model_copy(update={"temperature": 1.0})).quantiles()
    assert fitted.coverage > ((before[:, 0] <= years) & (years <= before[:, 2])).mean()
    honest_years, honest, honest_bands = simulate(600, 1.0)
    honest_fit = fit_ages(FINE, honest, EDGES, honest_bands, honest_years, persons)
    assert honest_fit is not None
    assert honest_fit.coverage == pytest.approx(0.8, abs=0.08)
    assert honest_fit.mean_absolute_error == pytest.approx(6.4, abs=1.2)


def test_what_is_measured_comes_from_other_persons():
    """Each person has one age; labels without any relation to the photos must not look covered by fitting."""
    random = np.random.default_rng(1)
    years, narrow, bands = simulate(300, 1.0)
    shuffled = random.permutation(years)
    fitted = fit_ages(FINE, narrow, EDGES, bands, shuffled, [str(number) for number in range(300)])
    assert fitted is not None
    assert fitted.mean_absolute_error is not None
    assert fitted.mean_absolute_error > 15


def test_few_persons_keep_the_temperature_and_no_age_gives_nothing():
    years, narrow, bands = simulate(30, 3.0)
    few = fit_ages(FINE, narrow, EDGES, bands, years, ["a"] * 15 + ["b"] * 15)
    assert few is not None
    assert (few.temperature, few.coverage, few.persons) == (1.0, None, 2)
    assert fit_ages(FINE, narrow, EDGES, bands, np.full(30, np.nan), ["a"] * 30) is None
    with pytest.raises(ValueError, match="ascend"):
        AgeCalibration(age_range=(60, 60))


def test_the_file_gives_back_what_was_written(tmp_path):
    _, narrow, bands = simulate(12, 1.0)
    names = [f"{number}.jpg" for number in range(12)]
    table = build_ages(FINE, narrow, EDGES, bands, AgeCalibration(age_range=(18, 80)))
    path = write_age_table(tmp_path / "oof_ages.csv", names, table)
    read = read_age_table(path, names[::-1])
    assert read.first == 18
    assert read.quantiles().tolist() == table.quantiles()[::-1].tolist()
    assert read.mean() == pytest.approx(table.mean()[::-1], abs=0.02)
    with pytest.raises(DataError, match="has no age"):
        read_age_table(path, ["other.jpg"])
    broken = tmp_path / "broken.csv"
    broken.write_text("ImageID,y18,y20\na,1,2\n")
    with pytest.raises(DataError, match="no table of ages"):
        read_age_table(broken, ["a"])
    broken.write_text("ImageID,y18\na,x\n")
    with pytest.raises(DataError, match="is no number"):
        read_age_table(broken, ["a"])
    broken.write_text("ImageID,y18\na,1\nb,1\na,1\n")
    with pytest.raises(DataError, match="row 4: duplicate of row 2, a"):
        read_age_table(broken, ["a"])
