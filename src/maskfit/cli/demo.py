"""`maskfit demo`: training, evaluation and prediction on synthetic faces, without data."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from maskfit.cli.console import TRAIN_MODULES, err, out, print_next, print_table, require_extra
from maskfit.cli.defaults import setup_allocator


def demo(
    folder: Annotated[Path, typer.Option("--out", help="New folder for all outputs.")] = Path("maskfit-demo"),
    open_: Annotated[bool, typer.Option("--open", help="Open the report and the picture at the end.")] = False,
) -> None:
    """Draw faces, train, evaluate, predict and picture the predictions: under three minutes on two cores.

    Examples:

        maskfit demo

        maskfit demo --out /tmp/demo --open
    """
    require_extra("demo", "train", *TRAIN_MODULES)
    setup_allocator()
    from maskfit.progress_log import log_progress

    with log_progress(err, "importing torch"):
        from maskfit.apps.demo import run_demo

    result = run_demo(folder, err)
    rows = [
        (name, result.held_out.per_attribute[name].macro_f1, item.macro_f1)
        for name, item in result.eval_images.per_attribute.items()
    ]
    rows.insert(0, ("all classes", result.held_out.macro_f1 or 0.0, result.eval_images.macro_f1 or 0.0))
    print_table(f"macro F1 after {result.seconds:.0f} seconds", ["", "held-out persons", "evaluation set"], rows)
    out.print(f"model        {result.run.fold(0).model}", soft_wrap=True)
    out.print(f"report       {result.run.report}", soft_wrap=True)
    out.print(f"submission   {result.submission}", soft_wrap=True)
    out.print(f"predictions  {result.prediction_grid}", soft_wrap=True)
    run = quote(str(result.run.path))
    print_next(
        f"predict {run} --images {quote(str(folder / 'eval' / 'images'))} --out answers.csv",
        f"model-card {run}",
        "train quick data.path=YOUR_PHOTOS output_dir=runs/first",
    )
    if open_:
        for path in (result.run.report, result.prediction_grid):
            typer.launch(str(path.resolve()))
