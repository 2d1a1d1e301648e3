"""Engines: what runs a network. They take the network's numbers and give its logits, and know nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import MissingExtraError, ModelFileError
from maskfit.modelfile import ModelFacts, load_network, open_onnx, parse_facts

INPUT = "photos"
"""The name of an exported network's input."""

Batch = NDArray[np.float32]
"""Normalised photos (batch, 3, height, width)."""


class Engine(Protocol):
    """Runs one network."""

    facts: ModelFacts

    def logits(self, photos: Batch) -> dict[str, NDArray[np.float32]]:
        """Logits by head, (batch, values)."""
        ...


class OnnxEngine:
    """ONNX Runtime on the processor; needs no torch.

    Args:
        path: A `.onnx` model.
        threads: How many threads one batch uses; ONNX Runtime's choice where left out.

    Raises:
        ModelFileError: The file is no such model, or its network is not what its facts say.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.session = open_onnx(path, threads)
        self.facts = parse_facts(self.session.get_modelmeta().custom_metadata_map, path)
        inputs = [item.name for item in self.session.get_inputs()]
        outputs = [item.name for item in self.session.get_outputs()]
        if inputs != [INPUT] or outputs != list(self.facts.heads):
            raise ModelFileError(
                f"its network goes from {inputs} to {outputs}, not from {[INPUT]} to {list(self.facts.heads)}",
                where=path,
                fix="export it anew with maskfit export",
            )

    def logits(self, photos: Batch) -> dict[str, NDArray[np.float32]]:
        """Logits by head, (batch, values)."""
        return dict(zip(self.facts.heads, self.session.run(list(self.facts.heads), {INPUT: photos}), strict=True))


class TorchEngine:
    """torch, on a GPU where there is one.

    Args:
        path: A `.safetensors` model.
        threads: How many threads one batch uses on a processor; torch's choice where left out.

    Raises:
        MissingExtraError: torch is not installed.
        ModelFileError: The file is no such model.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import torch
        except ImportError:
            raise MissingExtraError(f"a model with weights ({path})", "train") from None
        self._torch = torch
        if threads:
            torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network, self.facts = load_network(path)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)

    def logits(self, photos: Batch) -> dict[str, NDArray[np.float32]]:
        """Logits by head, (batch, values)."""
        torch = self._torch
        with torch.inference_mode():
            batch = torch.from_numpy(photos).to(self.device, memory_format=torch.channels_last)
            return {head: values.float().cpu().numpy() for head, values in self.network(batch).items()}


def open_engine(path: Path, threads: int | None = None) -> Engine:
    """The engine for a model file.

    Raises:
        ModelFileError: It is no model file.
        MissingExtraError: It needs torch, which is not installed; exported to ONNX it would not.
    """
    return OnnxEngine(path, threads) if path.suffix == ".onnx" else TorchEngine(path, threads)
