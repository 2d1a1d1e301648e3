"""ONNX Runtime: its only import, which disables its telemetry first, and sessions of networks that read photos."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from maskfit.errors import DataError

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""Environment variable that disables ONNX Runtime's telemetry.

From 1.29 on, official builds of ONNX Runtime report every session over the network: which file, which processor, and
an identifier of the machine that is stored in the user's cache. Only this variable disables all of it, and only where
it is set before the first import; the module's own function for it takes effect after a first report."""


def import_onnxruntime() -> ModuleType:
    """Imports ONNX Runtime with telemetry disabled, unless the user has set the variable to another value.

    Returns:
        The module `onnxruntime`.
    """
    os.environ.setdefault(TELEMETRY_VARIABLE, "1")
    import onnxruntime

    module: ModuleType = onnxruntime
    return module


def open_session(path: Path, hint: str, content: bytes | None = None) -> Any:
    """Opens an ONNX Runtime session on one CPU thread.

    Photos are processed in parallel instead, which is faster; and with one thread the results do not depend on the
    number of cores.

    Args:
        path: The `.onnx` file.
        hint: Hint of the error.
        content: What to open instead of the file's own content; `path` then only names it.

    Returns:
        The session.

    Raises:
        DataError: The file is not an ONNX network that can run.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class.
        reason = str(error).splitlines()[0]
        raise DataError(
            f"the file is not an ONNX network that can run: {reason:.300}", location=path, hint=hint
        ) from None


def run_session(session: Any, blob: NDArray[Any], path: Path, network: str, hint: str) -> dict[str, Any]:
    """Runs a network with one input.

    Args:
        session: Result of `open_session`.
        blob: The input.
        path: The `.onnx` file, for the error message.
        network: Subject of the error message: "the detector".
        hint: Hint of the error.

    Returns:
        The outputs by name, in the network's order.

    Raises:
        DataError: The network cannot run on the input.
    """
    names = [item.name for item in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, {session.get_inputs()[0].name: blob}), strict=True))
    except Exception as error:  # ONNX Runtime's errors share no base class.
        reason = str(error).splitlines()[0]
        raise DataError(f"{network} cannot run on photos: {reason:.300}", location=path, hint=hint) from None
