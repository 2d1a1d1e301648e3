"""`maskfit export`: a trained model as a file that runs without torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import out, refuse_overwriting, require


class Format(StrEnum):
    """What a model can be exported to."""

    onnx = "onnx"


def export(
    model: Annotated[Path, typer.Argument(help="A .safetensors model, or a run folder with one fold.")],
    file: Annotated[Path, typer.Option("--out", help="The file to write.")],
    to: Annotated[Format, typer.Option(help="The format.")] = Format.onnx,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Export a model to ONNX, which the base install runs without torch.

    The file holds labels and preprocessing, and is tried against torch before it is written.

    Examples:

        maskfit export runs/baseline/fold0/best.safetensors --to onnx --out model.onnx

        maskfit predict model.onnx --images photos
    """
    require("export", "train", "torch", "timm", "onnx", "onnxscript")
    refuse_overwriting(file, force)
    from maskfit.errors import ModelFileError
    from maskfit.inference.export import export_onnx
    from maskfit.inference.members import find_models

    models = find_models([model])
    if len(models) > 1:
        raise ModelFileError(
            f"this run has {len(models)} models, and a file holds one",
            where=model,
            fix=f"name one of them: {models[0]}",
        )
    done = export_onnx(models[0], file)
    out.print(f"wrote {done.path}: {done.bytes / 1e6:.1f} MB", soft_wrap=True)
    out.print(f"its probabilities differ from torch's by at most {done.difference:.1e}")
