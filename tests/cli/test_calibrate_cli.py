"""`maskfit calibrate`: options reach the fit, and its result is printed; the fit is tested in tests/evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskfit.calibration import Calibration
from maskfit.data.splits import PersonSplits
from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.calibration import AbstentionThreshold
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.recalibrate import RecalibrationResult, keep_thresholds
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import read_model_metadata
from maskfit.run_dir import RunDir

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunDir, dict[str, dict[str, float]]]]:
    """Replaces the fit; returns run and options of each call."""
    calls: list[tuple[RunDir, dict[str, dict[str, float]]]] = []

    def recalibrate(run: RunDir, **options: dict[str, float]) -> RecalibrationResult:
        calls.append((run, options))
        threshold = AbstentionThreshold(
            0.8, Interval(0.9, 0.8, 1.0), Interval(0.99, 0.9, 1.0), Interval(0.95, 0.9, 1.0)
        )
        calibration = Calibration(temperatures={"mask": 1.5}, abstain_below={"mask": 0.8}, photos=70, persons=10)
        return RecalibrationResult(calibration, {"mask": threshold}, (Path("best.safetensors"),))

    monkeypatch.setattr("maskfit.inference.recalibrate.recalibrate", recalibrate)
    return calls


def test_options_reach_the_fit_and_the_result_is_printed(command, run_dir, fits):
    result = command(
        "calibrate", run_dir, "--accuracy", "mask=0.99", "--coverage", "age=0.8", "--threshold", "gender=0.7"
    )
    assert result.code == 0, result.err
    ((run, options),) = fits
    assert run.path == run_dir
    assert options == {"accuracy": {"mask": 0.99}, "coverage": {"age": 0.8}, "threshold": {"gender": 0.7}}
    assert "fitted on 70 photos of 10 persons" in result.out
    assert "mask: on held-out persons 90.0% of photos are above the threshold, 99.0% of them correct" in result.out
    assert "of them correct (95% interval 90.0% to 100.0%); without" in result.out
    assert "without a threshold 95.0% are correct" in result.out
    assert "of 10 persons, too few (below 20 persons): do not rely on temperatures" in result.err
    assert "written: thresholds of 1 model;" in result.err


def test_json_has_temperatures_and_thresholds(command, run_dir, fits):
    data = json.loads(command("calibrate", run_dir, "--json").out)
    assert (data["temperatures"], data["abstain_below"], data["models"]) == (
        {"mask": 1.5},
        {"mask": 0.8},
        ["best.safetensors"],
    )
    assert data["thresholds"]["mask"]["coverage"]["value"] == 0.9


def test_user_errors_fit_nothing(command, run_dir, fits):
    for args, message in (
        ([run_dir, "--accuracy", "mask"], "expected NAME=NUMBER, got 'mask'"),
        ([run_dir, "--coverage", "age=much"], "expected NAME=NUMBER, got 'age=much'"),
        ([run_dir, "--threshold", "age=0.5", "--threshold", "age=0.6"], "attribute 'age' is given twice"),
        (["."], "this is not a run: it has no recipe.yaml"),
    ):
        result = command("calibrate", *args)
        assert (result.code, message in result.err) == (2, True), result.err
    assert fits == []


@pytest.fixture
def perfect_run(run_dir: Path) -> Callable[[int], Path]:
    """Gives a run one photo of each of some persons, all predicted correctly with a mask probability of 0.9."""

    def write(persons: int) -> Path:
        run = RunDir(run_dir)
        truth = np.arange(persons) % SCHEMA.num_classes
        rows = np.full((persons, SCHEMA.num_classes), 0.1 / (SCHEMA.num_classes - 1))
        rows[np.arange(persons), truth] = 0.9
        names = tuple(f"{number:06d}_female_Asian_20/normal.jpg" for number in range(persons))
        table = ProbabilityTable(names, rows, truth)
        table.write(run.fold(0).probabilities)
        table.write(run.oof_probabilities)
        PersonSplits({name.split("/")[0]: 0 for name in names}, 1).write(run.splits)
        return run.path

    return write


def thresholds_of(run: Path) -> dict[str, float]:
    """The thresholds in the run's model."""
    return read_model_metadata(RunDir(run).models()[0]).calibration.abstain_below


def test_a_few_persons_without_an_error_do_not_lower_the_threshold(command, perfect_run):
    """Any accuracy is reached on 18 correct photos without a threshold; the model would never be "not sure" again."""
    run = perfect_run(18)
    assert command("calibrate", run, "--threshold", "mask=0.7", "--threshold", "gender=0.5").code == 0
    result = command("calibrate", run, "--accuracy", "mask=0.99", "--coverage", "gender=0.8")
    assert result.code == 0, result.err
    assert thresholds_of(run) == {"mask": 0.7, "gender": 0.5, "age": 0.6}
    for part in (
        "mask: the threshold stays at 0.7000 and is not lowered to the fitted 0.0000: 18 held-out persons are too few",
        "(below 100)",
        "cv.num_folds=5",
        "--threshold mask=0.00",
        "gender: the threshold stays at 0.5000",
    ):
        assert part in result.err, result.err
    assert "mask: with the fitted 0.0000, which is not used, on held-out persons 100.0%" in result.out
    figures = json.loads(command("calibrate", run, "--accuracy", "mask=0.99", "--json").out)
    assert figures["kept_thresholds"]["mask"] == {
        "probability": 0.7,
        "fitted": 0.0,
        "persons": 18,
        "persons_needed": 100,
    }
    assert figures["abstain_below"]["mask"] == 0.7


def test_enough_persons_lower_it_and_the_user_always_can(command, perfect_run):
    """At 0.95 one error is expected among 20 persons; an accuracy of 1 is shown by no number of persons."""
    run = perfect_run(20)
    result = command("calibrate", run, "--accuracy", "mask=0.95", "--accuracy", "age=1")
    assert thresholds_of(run) == {"mask": 0.0, "gender": 0.6, "age": 0.6}
    assert "mask: the threshold stays" not in result.err
    assert "no number of persons shows an accuracy of 1" in result.err
    assert command("calibrate", perfect_run(18), "--threshold", "mask=0.1").code == 0
    assert thresholds_of(run)["mask"] == 0.1


def test_a_threshold_is_raised_on_few_persons():
    whole = Interval(1.0, 1.0, 1.0)
    raised = {"mask": AbstentionThreshold(0.9, whole, whole, whole)}
    assert keep_thresholds({"mask": 0.6}, raised, 5, {"mask": 0.99}) == {}
    assert keep_thresholds({}, {"mask": AbstentionThreshold(0.5, whole, whole, whole)}, 19, {})["mask"].fitted == 0.5
