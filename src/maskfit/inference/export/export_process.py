"""ONNX export in a process of its own: torch's memory, and the lines it prints at its end, stay out of this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from maskfit.errors import MaskfitError


def export_in_process(model: Path, out: Path) -> None:
    """Exports a `.safetensors` model to ONNX, compared with torch as in `export_model`, without importing torch here.

    Torch would take 400 MB of a service for as long as it runs, because a module is never unloaded.

    Args:
        model: The model.
        out: The file to write.

    Raises:
        MaskfitError: The export failed.
        MemoryError: The process was killed; most often for its memory.
        OSError: The file could not be written.
    """
    # -P: the current folder does not come before the installed packages.
    command = [sys.executable, "-P", "-m", __name__, str(model), str(out)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_module_folders())},
    )
    if done.returncode < 0:
        raise MemoryError(f"the process that exports was killed by signal {-done.returncode}")
    if not done.returncode:
        return
    try:
        report = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        # Python itself failed, or torch while it was imported.
        report = {"kind": "", "reason": (done.stderr.strip().splitlines() or ["no error message"])[-1]}
    raise {"MemoryError": MemoryError, "OSError": OSError}.get(report["kind"], MaskfitError)(report["reason"])


def _module_folders() -> list[str]:
    """The folders from which this process imports, also those that a program added itself; the current one is last."""
    current = os.getcwd()
    folders = [os.path.abspath(folder) for folder in sys.path]
    return [*(folder for folder in folders if folder != current), *([current] if current in folders else [])]


def main() -> int:
    """Exports what the command line names; reports an error as a line of JSON.

    Returns:
        Exit code.
    """
    from maskfit.inference.export import export_model

    try:
        export_model(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # torch's exporter raises nearly anything for a layer that it does not know
        kind = next((one.__name__ for one in (MemoryError, OSError) if isinstance(error, one)), "")
        reason = error.message if isinstance(error, MaskfitError) else f"{error}".strip() or type(error).__name__
        print(json.dumps({"kind": kind, "reason": reason}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
