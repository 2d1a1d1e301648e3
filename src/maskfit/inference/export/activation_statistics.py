"""Ranges and means of a network's activations on calibration photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.data.preprocessing import ImageBatch
from maskfit.inference.engines.engine import FRAMES
from maskfit.onnx_runtime import import_onnxruntime

FRAMES_PER_RUN = 4
"""Frames that are run at once: all activations of a network are kept, which takes some ten megabytes for each."""


@dataclass
class ChannelStatistics:
    """A tensor's values by channel.

    Attributes:
        low: Smallest value of each channel.
        high: Largest value of each channel.
        mean: Mean of each channel.
        pixels: Height times width.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    mean: NDArray[np.float64]
    pixels: int

    def scale(self, factors: NDArray[np.floating[Any]]) -> None:
        """Multiplies the channels.

        Args:
            factors: A positive factor for each channel.
        """
        self.low, self.high = (np.asarray(values * factors, np.float32) for values in (self.low, self.high))
        self.mean = self.mean * factors


def measure_activations(
    program: Any, batches: Iterable[ImageBatch], tensors: Sequence[str]
) -> dict[str, ChannelStatistics]:
    """Runs a program on frames and summarizes tensors.

    Args:
        program: The program (`onnx.ModelProto`); it is left as it is.
        batches: Frames (batch, height, width, 3), at least one.
        tensors: Names of float tensors; those that are not (batch, channels, height, width) are left out.

    Returns:
        The statistics of each tensor.
    """
    import onnx

    onnxruntime = import_onnxruntime()
    probe = onnx.ModelProto()
    probe.CopyFrom(program)
    known = {item.name for item in probe.graph.output}
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in tensors if name not in known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, ChannelStatistics] = {}
    count = 0
    for batch in batches:
        for start in range(0, len(batch), FRAMES_PER_RUN):
            frames = batch[start : start + FRAMES_PER_RUN]
            count += len(frames)
            for name, values in zip(tensors, session.run(list(tensors), {FRAMES: frames}), strict=True):
                if values.ndim == 4:
                    _add(found, name, values, len(frames) / count)
    return found


def _add(found: dict[str, ChannelStatistics], name: str, values: NDArray[np.float32], share: float) -> None:
    axes = (0, 2, 3)
    low, high, mean = values.min(axes), values.max(axes), values.mean(axes, dtype=np.float64)
    own = found.setdefault(name, ChannelStatistics(low, high, mean, values.shape[2] * values.shape[3]))
    own.low, own.high = np.minimum(own.low, low), np.maximum(own.high, high)
    own.mean = own.mean + share * (mean - own.mean)
