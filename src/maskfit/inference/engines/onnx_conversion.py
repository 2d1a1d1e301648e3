"""Where the ONNX conversions of models' weights are: in the user's cache, under the hash of the weights' content."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from maskfit.errors import DataError
from maskfit.inference.engines.int8_files import is_intact, mark_used, networks_dir

EXPORT_VERSION = 2
"""Part of the file names of converted networks, so that a change of the export does not find old ones."""


def find_converted(path: Path) -> Path:
    """Finds what to open for few images: the ONNX conversion of a model's weights, if the cache has it.

    ONNX Runtime starts in a tenth of the time that importing torch takes.

    Args:
        path: The weights, a `.safetensors` file.

    Returns:
        The conversion; the weights where there is none, or a GPU.
    """
    if not path.is_file() or has_gpu():
        return path
    converted = converted_path(path)
    if converted is None or not is_intact(converted):
        return path
    mark_used(converted)
    return converted


def converted_path(path: Path) -> Path | None:
    """Returns where the conversion of a model's weights is or would be.

    Args:
        path: The weights.

    Returns:
        The ONNX file; None without a home folder, so without a cache.
    """
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    try:
        return networks_dir() / f"{digest}-{EXPORT_VERSION}.onnx"
    except DataError:
        return None


def has_gpu() -> bool:
    """Returns whether torch has a GPU; without a sign of one torch is not imported, which takes seconds."""
    devices = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
    if sys.platform == "linux" and not any(device.exists() for device in devices):
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
