"""The real command, really killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maskfit.run_dir import RunDir


def start(faces: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    words = [
        f"output_dir={folder}",
        f"data.path={faces}",
        f"data.cache_dir={folder.parent / 'stores'}",
        "cv.num_folds=2",
        "data.image_size=32",
        "model.backbone.width=8",
        "trainer.epochs=6",
        "trainer.save_every_n_steps=2",
        "trainer.device=cpu",
        *more,
    ]
    command = [sys.executable, "-m", "maskfit", "train", "fast", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_with_kill_nine_and_resumed_the_weights_are_those_of_the_uncut_run(faces: Path, tmp_path: Path) -> None:
    assert start(faces, tmp_path / "whole").wait() == 0
    cut = RunDir(tmp_path / "cut")
    process = start(faces, cut.path)
    while not cut.fold(0).checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    moment = random.random() * 2
    time.sleep(moment)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert start(faces, cut.path, "--resume").wait() == 0
    whole = RunDir(tmp_path / "whole")
    for fold in (0, 1):
        ours, theirs = load_file(cut.fold(fold).model), load_file(whole.fold(fold).model)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), (
            f"killed {moment:.3f} s after a checkpoint"
        )
        assert cut.fold(fold).train_loss.read_text() == whole.fold(fold).train_loss.read_text()
