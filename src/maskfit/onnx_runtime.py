"""The one door to ONNX Runtime, which is told to be silent before it is let in."""

from __future__ import annotations

import os
from types import ModuleType

SILENT = "ORT_DISABLE_TELEMETRY"
"""From 1.29 on ONNX Runtime's own builds tell their makers over the network of every session: which file, which
processor, an identifier of the machine that it keeps in the user's cache. Only this variable stops all of it, and only
where it is set before the first import; the call that the module offers comes after a first report."""


def import_onnxruntime() -> ModuleType:
    """The module, without its telemetry; a user who set the variable to something else is left their choice."""
    os.environ.setdefault(SILENT, "1")
    import onnxruntime

    module: ModuleType = onnxruntime
    return module
