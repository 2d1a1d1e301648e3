"""Means of the weights of networks of one architecture: of two ONNX files, or of the last epochs of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from maskfit.file_io import atomic_write


def average_networks(first: Path, second: Path, share: float, out: Path) -> None:
    """Writes the second of two exported networks of one architecture, with a weighted mean of the weights of both."""
    networks = [onnx.load(path) for path in (first, second)]
    weights = [[numpy_helper.to_array(item) for item in network.graph.initializer] for network in networks]
    for item, one, other in zip(networks[1].graph.initializer, *weights, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            raise SystemExit(f"{first} and {second} are of different networks: {item.name}")
        if one.dtype.kind == "f":
            mean = (1 - share) * one.astype(np.float32) + share * other.astype(np.float32)
            item.CopyFrom(numpy_helper.from_array(mean.astype(one.dtype), item.name))
    with atomic_write(out) as temporary:
        temporary.write_bytes(networks[1].SerializeToString())


def average_epochs(fold: Path, count: int, out: Path) -> Path:
    """Writes the mean of the weights of a fold's last epochs, with the metadata of the very last.

    Raises:
        SystemExit: The run did not keep the models of these epochs.
    """
    kept = {item["epoch"]: fold / item["file"] for item in json.loads((fold / "models.json").read_text("utf-8"))}
    epochs = sorted(kept)[-count:]
    if epochs != list(range(epochs[-1] - count + 1, epochs[-1] + 1)):
        raise SystemExit(f"{fold}: the last {count} epochs are needed, kept are {epochs}: set trainer.save_top_k")
    networks = [load_file(kept[epoch]) for epoch in epochs]
    mean = {}
    for name, item in networks[-1].items():
        values = [network[name] for network in networks]
        # Numbers of batches are integers, of which the last counts.
        mean[name] = np.mean(values, axis=0, dtype=np.float32).astype(item.dtype) if item.dtype.kind == "f" else item
    with safe_open(kept[epochs[-1]], "numpy") as last, atomic_write(out) as temporary:
        save_file(mean, temporary, metadata=last.metadata())
    return out
