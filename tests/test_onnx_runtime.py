"""ONNX Runtime says nothing to anybody: it leaves no identifier, no file and no thread that would send one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

CI = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "BUILD_ID", "BUILD_NUMBER", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")
"""Where one of these is set it is silent by itself, and would prove nothing."""

OPEN = """
import sys
from pathlib import Path
from maskfit.model_metadata import open_onnx
open_onnx(Path(sys.argv[1]))
"""


def left_behind(code: str, model: Path, home: Path, **more: str) -> list[str]:
    """The files in a new home after a process that opened a model."""
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in CI and not name.startswith("XDG_")}
    subprocess.run([sys.executable, "-c", code, str(model)], check=True, env={**kept, "HOME": str(home), **more})
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_nothing_is_kept_to_be_sent(saliency_file, tmp_path):
    assert left_behind(OPEN, saliency_file, tmp_path / "home") == []


@pytest.mark.skipif(sys.platform != "linux", reason="where its builds keep their identifier differs by system")
def test_opened_past_the_door_it_would_keep_an_identifier(saliency_file, tmp_path):
    """If this fails the makers have thought better of it, and the door may go."""
    code = "import onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    if tuple(map(int, version("onnxruntime").split(".")[:2])) < (1, 29):
        pytest.skip("reports came with 1.29")
    assert any("deviceid" in name for name in left_behind(code, saliency_file, tmp_path / "home"))


def test_a_user_who_chose_keeps_the_choice(monkeypatch):
    from maskfit.onnx_runtime import TELEMETRY_VARIABLE, import_onnxruntime

    monkeypatch.setenv(TELEMETRY_VARIABLE, "0")
    import_onnxruntime()
    assert os.environ[TELEMETRY_VARIABLE] == "0"
