"""The demo, small: the whole story, and what it leaves behind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from maskfit.apps.demo import run_demo
from maskfit.errors import DataError
from maskfit.inference.submission import read_submission


def test_the_demo_ends_with_a_model_its_scores_a_sheet_of_faces_and_a_submission(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    told = io.StringIO()
    overrides = ["trainer.epochs=1", "data.image_size=24", "model.backbone.width=4", "trainer.device=cpu"]
    done = run_demo(tmp_path / "demo", Console(file=told), num_train_persons=8, num_eval_persons=6, overrides=overrides)
    assert done.run.fold(0).model.is_file()
    assert done.run.report.is_file()
    assert list(read_submission(done.submission)) == list(read_submission(tmp_path / "demo" / "eval" / "info.csv"))
    assert done.eval_images.photos == 42
    assert done.eval_images.macro_f1 is not None
    assert Image.open(done.prediction_grid).width > 600
    assert "drawing 8 persons" in told.getvalue()


def test_the_demo_leaves_a_folder_with_something_in_it_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        run_demo(tmp_path, Console(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
