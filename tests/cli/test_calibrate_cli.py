"""`maskfit calibrate`: options reach the fit, and its result is printed; the fit is tested in tests/evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskfit.calibration import Calibration
from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.calibration import AbstentionThreshold
from maskfit.inference.recalibrate import RecalibrationResult
from maskfit.run_dir import RunDir


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
        (["."], "the folder is not a run"),
    ):
        result = command("calibrate", *args)
        assert (result.code, message in result.err) == (2, True), result.err
    assert fits == []
