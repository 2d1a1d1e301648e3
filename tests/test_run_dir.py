"""Which models a fold and a run keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskfit.errors import RunError
from maskfit.run_dir import FoldDir, RunDir


def make_fold(path: Path, names: list[str] | None, *, done: bool = True) -> FoldDir:
    path.mkdir(parents=True)
    for name in names or ["best.safetensors"]:
        (path / name).write_text(name)
    if names is not None:
        rows = [{"file": name, "epoch": 9 - place, "score": 0.9 - place / 10} for place, name in enumerate(names)]
        (path / "models.json").write_text(json.dumps(rows))
    if done:
        (path / "scores.json").write_text("{}")
    return FoldDir(path)


def names_of(paths: list[Path]) -> list[str]:
    return [f"{path.parent.name}/{path.name}" for path in paths]


def test_the_index_says_which_models_there_are_and_in_which_order(tmp_path):
    fold = make_fold(tmp_path / "fold0", ["best.safetensors", "second.safetensors", "a.safetensors"])
    assert names_of(fold.top_k_models()) == ["fold0/best.safetensors"]
    assert names_of(fold.top_k_models(2)) == ["fold0/best.safetensors", "fold0/second.safetensors"]
    assert names_of(fold.top_k_models(3))[-1] == "fold0/a.safetensors"


def test_without_an_index_only_the_best_counts_whatever_else_lies_there(tmp_path):
    fold = make_fold(tmp_path / "fold0", None)
    (fold.path / "second.safetensors").write_text("no index names it")
    assert fold.top_k_models() == [fold.model]
    with pytest.raises(RunError, match="keeps 1 model, not 2") as caught:
        fold.top_k_models(2)
    assert "trainer.save_top_k=2" in str(caught.value)


def test_fewer_than_wanted_is_an_error_that_says_how_many_there_are(tmp_path):
    fold = make_fold(tmp_path / "fold0", ["best.safetensors", "second.safetensors"])
    with pytest.raises(RunError, match="keeps 2 models, not 3") as caught:
        fold.top_k_models(3)
    assert "--top-k 2" in str(caught.value)
    with pytest.raises(RunError, match="not 0"):
        fold.top_k_models(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[1]",
        '[{"epoch": 1}]',
        '[{"file": 3}]',
        '[{"file": "../other/best.safetensors"}]',
        '[{"file": "/etc/passwd"}]',
        '[{"file": ".."}]',
    ],
)
def test_an_index_that_is_none_or_leads_elsewhere_is_refused(tmp_path, text):
    fold = make_fold(tmp_path / "fold0", None)
    fold.models_index.write_text(text)
    with pytest.raises(RunError, match="index") as caught:
        fold.top_k_models()
    assert str(fold.models_index) in str(caught.value)


def test_a_model_that_is_gone_is_named(tmp_path):
    fold = make_fold(tmp_path / "fold0", ["best.safetensors", "second.safetensors"])
    (fold.path / "second.safetensors").unlink()
    assert fold.top_k_models(1) == [fold.model]
    with pytest.raises(RunError, match=r"second\.safetensors, which is missing"):
        fold.top_k_models(2)


def test_a_run_is_the_models_of_its_folds_that_are_done(tmp_path):
    for number in range(3):
        make_fold(tmp_path / f"fold{number}", ["best.safetensors", "epoch001.safetensors"], done=number != 1)
    run = RunDir(tmp_path)
    assert names_of(run.models()) == ["fold0/best.safetensors", "fold2/best.safetensors"]
    assert names_of(run.models(2)) == [
        "fold0/best.safetensors",
        "fold0/epoch001.safetensors",
        "fold2/best.safetensors",
        "fold2/epoch001.safetensors",
    ]


@pytest.mark.parametrize(
    ("attribute", "new", "old"),
    [("splits", "splits.csv", "folds.csv"), ("oof_probabilities", "oof_probabilities.csv", "probabilities.csv")],
)
def test_a_run_of_an_earlier_version_is_read_by_its_old_file_names(tmp_path, attribute, new, old):
    run = RunDir(tmp_path)
    assert getattr(run, attribute).name == new
    (tmp_path / old).touch()
    assert getattr(run, attribute).name == old
    # A file under the new name counts, whatever else is left.
    (tmp_path / new).touch()
    assert getattr(run, attribute).name == new


@pytest.mark.parametrize(
    ("attribute", "new", "old"),
    [
        ("full_data_model", "full_data.safetensors", "final.safetensors"),
        ("train_loss", "train_loss.csv", "steps.csv"),
    ],
)
def test_a_fold_of_an_earlier_version_is_read_by_its_old_file_names(tmp_path, attribute, new, old):
    fold = RunDir(tmp_path).fold(0)
    assert getattr(fold, attribute).name == new
    fold.path.mkdir()
    (fold.path / old).touch()
    assert getattr(fold, attribute).name == old
    # Held-out predictions of a fold have always had this name.
    assert fold.probabilities.name == "probabilities.csv"
