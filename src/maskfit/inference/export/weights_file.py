"""Weights alone: a `.safetensors` model without what only training used.

Not a program of torch.export, whose loader unpickles whatever a `.pt2` file holds (`weights_only=False` in
`torch.export.pt2_archive`), so that opening a stranger's file runs a stranger's code; nor TorchScript, which torch has
retired. Weights by name can do neither harm nor more than their own network, and timm reads them.
"""

from __future__ import annotations

from pathlib import Path

from maskfit.inference.export.onnx_export import Shrink
from maskfit.model_file import load_model, save_model


def write_weights(model: Path, out: Path, shrink: Shrink | None = None) -> None:
    """Writes a model's weights without its layer of years, if it has one; `shrink` is for formats that are ONNX's.

    Raises:
        ModelFileError: `model` is no such model.
        MissingExtraError: torch is not installed.
    """
    network, facts = load_model(model)
    network.years = None
    save_model(out, network.state_dict(), facts.model_copy(update={"years": False}))
