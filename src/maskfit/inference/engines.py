"""Engines: what runs a network. They take the network's numbers and give its logits, and know nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import ModelFileError
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
        self.path = path
        self.session = open_onnx(path, threads)
        self.facts = parse_facts(self.session.get_modelmeta().custom_metadata_map, path)
        wanted = _describe([INPUT], [(None, 3, *self.facts.preprocessing.framing.size)])
        wanted += " to " + _describe(self.facts.heads, [(None, width) for width in self.facts.widths.values()])
        found = " to ".join(
            _describe([item.name for item in items], [item.shape for item in items])
            for items in (self.session.get_inputs(), self.session.get_outputs())
        )
        # Widths too: heads of (2, 3) values where (3, 2) are meant would multiply to the same number of classes.
        if found != wanted:
            raise ModelFileError(
                f"its network goes from {found:.300}, and its facts say from {wanted:.300}",
                where=path,
                fix="export it anew with maskfit export",
            )

    def logits(self, photos: Batch) -> dict[str, NDArray[np.float32]]:
        """Logits by head, (batch, values).

        Raises:
            ModelFileError: The network cannot run.
        """
        try:
            values = self.session.run(list(self.facts.heads), {INPUT: photos})
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise ModelFileError(
                f"its network cannot run: {str(error).splitlines()[0]:.300}", where=self.path, fix="export it anew"
            ) from error
        return dict(zip(self.facts.heads, values, strict=True))


def _describe(names: Sequence[str], shapes: Sequence[Sequence[object]]) -> str:
    """Names with their shapes; a side that is free, as a batch must be, is `any`."""
    sides = [[str(side) if isinstance(side, int) else "any" for side in shape] for shape in shapes]
    return ", ".join(f"{name} ({' x '.join(shape)})" for name, shape in zip(names, sides, strict=True)) or "nothing"


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
        # First of all, since it says more of a bad file than that torch is missing, and says that too.
        network, self.facts = load_network(path)
        import torch

        self._torch = torch
        if threads:
            torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
