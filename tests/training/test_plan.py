"""Tests of a training's plan that need no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskfit.config.recipe import Recipe
from maskfit.pretrained_weights import MissingWeightsError
from maskfit.training.plan import make_plan

CROP = "data.crop={name: face, detector: yunet, align: true}"


def test_missing_weights_of_a_detector_name_the_one_that_ships(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MASKFIT_DETECTORS", raising=False)
    monkeypatch.setattr("maskfit.pretrained_weights._download_to", offline)
    with pytest.raises(MissingWeightsError, match="Network is unreachable") as caught:
        make_plan(tiny(CROP))
    hint = str(caught.value.hint)
    order = ["data.crop.detector=bundled", "set MASKFIT_DETECTORS", "maskfit detectors", "download https://"]
    assert sorted(order, key=hint.index) == order
    # The remedy works, as it is written.
    crop = make_plan(tiny(CROP, "data.crop.detector=bundled")).preprocessing.crop_resize.crop
    assert crop.options["detector"] == "bundled"


def test_a_small_set_gets_more_epochs_where_steps_are_few(tiny: Callable[..., Recipe]) -> None:
    plain = make_plan(tiny("trainer.epochs=2"))
    photos = min(len(plain.split(fold)[0]) for fold in plain.fold_numbers())
    steps = -(-photos // 16)
    plan = make_plan(tiny("trainer.epochs=2", f"trainer.min_steps={10 * steps - 1}"))
    assert plan.recipe.trainer.epochs == 10
    assert any("10 epochs in place of 2" in line for line in plan.warnings)
    enough = make_plan(tiny("trainer.epochs=2", f"trainer.min_steps={2 * steps}"))
    assert enough.recipe.trainer.epochs == 2
    assert enough.warnings == plain.warnings
