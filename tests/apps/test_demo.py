"""The demo at a small size, and the files that it writes."""

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


def test_the_demo_writes_model_report_submission_and_prediction_grid(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    output = io.StringIO()
    overrides = ["trainer.epochs=1", "data.image_size=24", "model.backbone.width=4", "trainer.device=cpu"]
    result = run_demo(
        tmp_path / "demo", Console(file=output), num_train_persons=8, num_eval_persons=6, overrides=overrides
    )
    assert result.run.fold(0).model.is_file()
    assert result.run.report.is_file()
    assert list(read_submission(result.submission)) == list(read_submission(tmp_path / "demo" / "eval" / "info.csv"))
    assert result.eval_images.photos == 42
    assert result.eval_images.macro_f1 is not None
    assert Image.open(result.prediction_grid).width > 600
    assert "drawing 8 persons" in output.getvalue()


def test_the_demo_rejects_a_non_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        run_demo(tmp_path, Console(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
