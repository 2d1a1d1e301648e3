"""The only import of ONNX Runtime, which disables its telemetry first."""

from __future__ import annotations

import os
from types import ModuleType

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
