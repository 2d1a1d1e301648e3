"""ONNX export in a process of its own: the same file, its errors, and no torch in the process that asks for it."""

import os
import subprocess
import sys

import pytest

from maskfit.errors import MaskfitError
from maskfit.inference.export import export_model
from maskfit.inference.export.export_process import export_in_process


def test_it_writes_what_the_export_in_this_process_writes(models, tmp_path):
    export_model(models["attributes"], tmp_path / "here.onnx")
    export_in_process(models["attributes"], tmp_path / "apart.onnx")
    assert (tmp_path / "apart.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()


def test_an_error_is_raised_with_its_reason_and_kind(models, tmp_path):
    with pytest.raises(MaskfitError, match="there is no such model"):
        export_in_process(tmp_path / "absent.safetensors", tmp_path / "out.onnx")
    (tmp_path / "file").touch()
    with pytest.raises((MaskfitError, OSError), match="file"):
        export_in_process(models["attributes"], tmp_path / "file" / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("done", "error", "reason"),
    [
        ((1, '{"kind": "OSError", "reason": "No space left on device"}\n', ""), OSError, "No space left"),
        ((1, 'a warning\n{"kind": "", "reason": "no such layer"}\n', "more\n"), MaskfitError, "^no such layer$"),
        ((1, "", "Traceback\nImportError: libtorch.so\n"), MaskfitError, "ImportError: libtorch.so"),
        ((1, "no JSON\n", ""), MaskfitError, "no error message"),
        ((-9, "", ""), MemoryError, "signal 9"),
    ],
)
def test_what_the_process_reports_becomes_an_error(monkeypatch, tmp_path, done, error, reason):
    run = lambda command, **options: subprocess.CompletedProcess(command, *done)  # noqa: E731
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(error, match=reason):
        export_in_process(tmp_path / "m.safetensors", tmp_path / "m.onnx")


def test_torch_is_not_imported_where_the_conversion_is_asked_for(models, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = (
        "import sys; from maskfit.inference.predictor import Predictor; "
        "lines = []; Predictor.load(sys.argv[1], log=lines.append); "
        "assert len(lines) == 1 and 'converting' in lines[0], lines; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program, models["attributes"]], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_process_imports_from_the_folders_that_a_program_added(models, tmp_path, monkeypatch):
    """Also a package that is installed nowhere; and what lies in the current folder does not come before others."""
    packages = os.pathsep.join(path for path in sys.path if path)
    (tmp_path / "json.py").write_text("raise SystemExit('the current folder comes first')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    asked: list[dict[str, object]] = []
    run = lambda command, **options: asked.append(options) or subprocess.CompletedProcess(command, 0)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", run)
        export_in_process(models["attributes"], tmp_path / "m.onnx")
    (options,) = asked
    assert options["env"]["PYTHONPATH"] == os.pathsep.join((packages, str(tmp_path)))
    program = "from maskfit.inference.export.export_process import main"
    assert subprocess.run([sys.executable, "-S", "-P", "-c", program], env=options["env"]).returncode == 0
