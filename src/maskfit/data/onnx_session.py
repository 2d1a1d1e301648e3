"""ONNX Runtime sessions of the networks that preprocess photos: detectors and saliency networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from maskfit.errors import DataError
from maskfit.onnx_runtime import import_onnxruntime


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
