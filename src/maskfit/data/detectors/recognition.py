"""Recognizes which detector an ONNX file belongs to, by the names of its inputs and outputs."""

from __future__ import annotations

from pathlib import Path

from maskfit.data.detectors import bundled, centerface, ultra_light, yunet
from maskfit.errors import DataError
from maskfit.onnx_runtime import open_session

SIGNATURES: dict[str, tuple[str, frozenset[str]]] = {
    "bundled": (bundled.INPUT, frozenset(bundled.OUTPUTS)),
    "yunet": (yunet.INPUT, frozenset(yunet.OUTPUTS)),
    "centerface": (centerface.INPUT, frozenset(centerface.OUTPUTS)),
    "ultra_light": (ultra_light.INPUT, frozenset(ultra_light.OUTPUTS)),
}
"""Input and outputs of the detectors that come as an ONNX file, by their name in `DETECTORS`."""


def recognize_detector(path: Path) -> str:
    """Returns which detector a file belongs to.

    Args:
        path: The `.onnx` file.

    Returns:
        A name of `DETECTORS`.

    Raises:
        DataError: The file is missing, is not an ONNX network, or is none of a known detector.
    """
    if not path.is_file():
        state = "is a folder, not a detector's file" if path.is_dir() else "does not exist"
        raise DataError(
            f"the detector file {state}",
            location=path,
            hint="name the .onnx file itself; 'maskfit detectors' lists the detectors on this machine",
        )
    session = open_session(path, hint="name the .onnx file of a face detector")
    inputs = {item.name for item in session.get_inputs()}
    outputs = {item.name for item in session.get_outputs()}
    for name, (source, results) in SIGNATURES.items():
        if source in inputs and outputs == results:
            return name
    found = ", ".join(sorted(outputs))
    raise DataError(
        f"the file is none of a face detector known here: its outputs are {found:.200}",
        location=path,
        hint=f"known are files of {', '.join(SIGNATURES)}; 'maskfit detectors' lists them",
    )
