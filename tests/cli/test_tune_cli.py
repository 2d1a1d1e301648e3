"""`maskfit tune` as a user types it, with two real trainings."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from maskfit.config.loader import read_recipe
from maskfit.training.recipe_registry import RECIPE_REGISTRY

SPACE = "optimizer.lr: {low: 1.0e-4, high: 1.0e-2, log: true}\naugmentation: [light, none]\n"


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from maskfit.synthesis.drawn import write_train_set

    return write_train_set(tmp_path_factory.mktemp("faces") / "drawn", 8, seed=3, size=(48, 64), workers=1)


def tune_args(faces: Path) -> list[str]:
    return [
        "fast",
        f"data.path={faces}",
        "data.cache_dir=stores",
        "data.image_size=24",
        "model.backbone.width=4",
        "trainer.epochs=1",
        "trainer.device=cpu",
        "cv.val_fraction=0.4",
        "--space",
        "space.yaml",
    ]


def test_a_sweep_writes_its_table_its_page_and_its_best_recipe(command, parsed, faces):
    Path("space.yaml").write_text(SPACE)
    result = command("tune", *tune_args(faces), "--trials", "2", "--out", "sweep")
    assert result.code == 0, result.err
    assert "2 trials: 2 done, 0 pruned, 0 failed" in result.out
    assert "its score is optimistic" in result.out
    assert "held-out photos of 3 persons" in result.out
    assert {path.name for path in Path("sweep").iterdir()} == {
        "recipe.yaml",
        "space.yaml",
        "study.db",
        "lock",
        "trials.csv",
        "report.html",
        "best.yaml",
        "trials",
        "logs",
    }
    with Path("sweep/trials.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["trial"] for row in rows] == ["0", "1"]
    best = max(rows, key=lambda row: float(row["macro_f1"]))
    recipe = read_recipe("sweep/best.yaml", registries=RECIPE_REGISTRY)
    assert recipe.optimizer.options["lr"] == pytest.approx(float(best["optimizer.lr"]))
    assert recipe.augmentation.name == best["augmentation"]
    assert recipe.output_dir is None
    page = parsed(Path("sweep/report.html").read_text())
    assert "Value by value" in page.text
    assert page.named("script") == []
    again = command("tune", *tune_args(faces), "--trials", "2", "--out", "sweep")
    assert again.code == 2
    assert "add --resume" in again.err
    data = json.loads(command("tune", *tune_args(faces), "--trials", "2", "--out", "sweep", "--resume", "--json").out)
    assert [item["number"] for item in data["trials"]] == [0, 1]
    assert data["best"]["score"] == pytest.approx(float(best["macro_f1"]), abs=1e-6)


def test_errors_end_the_sweep_before_the_first_trial(command, faces):
    Path("space.yaml").write_text("optimizer.lrr: {low: 0.1, high: 0.2}\ntrainer.epochs: {low: 0, high: 3}\n")
    result = command("tune", *tune_args(faces), "--out", "sweep")
    assert result.code == 2
    assert "did you mean 'lr'" in result.err
    assert "trainer.epochs: must be >= 1, got 0" in result.err
    assert not Path("sweep").exists()
    Path("space.yaml").write_text(SPACE)
    result = command("tune", *tune_args(faces), "--sampler", "tpee")
    assert "'tpee' is unknown; did you mean 'tpe'" in result.err
    result = command("tune", *tune_args(faces), "--pruner", "median:start=3")
    assert "'median' has no option 'start'" in result.err
    assert not Path("sweeps").exists()


@pytest.mark.parametrize(("missing", "extra"), [("optuna", "tune"), ("torch", "train")])
def test_missing_packages_name_the_extra(command, monkeypatch, missing, extra):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else real(name, *rest))
    result = command("tune", "fast")
    assert result.code == 2
    assert f"'maskfit tune' needs the extra '{extra}'" in result.err
