"""Networks in ONNX Runtime that only prepare photos: how one is opened, and how one is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError
from maskfit.onnx_runtime import import_onnxruntime


def open_session(path: Path, fix: str) -> Any:
    """An ONNX Runtime session on one thread: photos are looked at side by side, which is faster, and the numbers of one
    photo do not hang on how many threads there are.

    Args:
        path: The `.onnx` file.
        fix: What to do where it is none.

    Raises:
        DataError: The file is no network.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        reason = str(error).splitlines()[0]
        raise DataError(f"this is no ONNX network that can run: {reason:.300}", location=path, hint=fix) from None


def run_session(session: Any, blob: NDArray[np.float32], path: Path, what: str, fix: str) -> dict[str, Any]:
    """The outputs by name, in the network's order, for its one input.

    Args:
        session: The network.
        blob: Its input.
        path: Where it lies, for the message.
        what: What cannot look at photos where it fails: "this detector".
        fix: What to do then.

    Raises:
        DataError: The network cannot run on it.
    """
    names = [item.name for item in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, {session.get_inputs()[0].name: blob}), strict=True))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{what} cannot look at photos: {reason:.300}", location=path, hint=fix) from None
