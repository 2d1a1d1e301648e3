"""`maskfit run`: from a recipe to a submission in stages that can be resumed."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from maskfit.calibration import DEFAULT_DECIDE, parse_decide_mode
from maskfit.cli.console import TRAIN_MODULES, err, out, print_json, print_next, progress, require_extra
from maskfit.cli.defaults import setup_allocator
from maskfit.cli.predict_options import MODELS, PHOTOS, EngineOption, ImageListOption, TopKOption, TtaOption
from maskfit.errors import RecipeError
from maskfit.file_locks import claim


def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `maskfit recipes`), or a YAML or JSON file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys to set.")] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Folder of the photos to predict.", rich_help_panel=PHOTOS),
    ] = None,
    image_list: ImageListOption = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder of everything; runs/RECIPE-submission by default.", show_default=False
        ),
    ] = None,
    top_k: TopKOption = 1,
    tta: TtaOption = "original",
    combine: Annotated[
        list[str],
        typer.Option(
            "--combine",
            metavar="NAME",
            rich_help_panel=MODELS,
            help="Votes to compare, as for maskfit ensemble; may be repeated.",
        ),
    ] = ["all"],  # noqa: B006 (Typer copies it)
    vote: Annotated[
        str,
        typer.Option(
            metavar="NAME|best",
            rich_help_panel=MODELS,
            help="The vote of the submission; best has the highest macro F1 on held-out photos.",
        ),
    ] = "best",
    decide: Annotated[
        str,
        typer.Option(
            metavar="argmax|macro-f1|accuracy",
            help="How the submission chooses a class: the most probable one, or with weights fitted for a metric on "
            "the held-out photos; argmax where these gain nothing on other persons.",
            rich_help_panel=MODELS,
        ),
    ] = DEFAULT_DECIDE,
    engine: EngineOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the stages and the decision as JSON.")] = False,
) -> None:
    """Go from a recipe to a submission: train, views, ensemble, decide, submit, report; resumable.

    The same command again goes on where it was: finished stages are kept, an interrupted training continues. Other
    options or photos to predict repeat the stages that they concern; with another recipe or other training photos the
    folder is refused. Writes submission.csv, report.html, progress.html, which is rewritten at each stage, and
    pipeline.json, which says what each stage was made from. `data.path` defaults to SM_CHANNEL_TRAIN.

    Examples:

        maskfit run baseline data.path=photos cv.num_folds=5 --images eval/images --image-list eval/info.csv --tta flip

        maskfit run champion data.path=photos trainer.save_top_k=2 --images eval/images --top-k 2 --out final
    """
    mode = parse_decide_mode(decide)
    named = [item for item in overrides or [] if item.partition("=")[0] in ("output_dir", "run")]
    if named:
        raise RecipeError("the run's folder is run within --out", location=named[0], hint="use --out DIR instead")
    require_extra("run", "train", *TRAIN_MODULES)
    setup_allocator()
    from maskfit.cli.predict import list_images, resolve_images
    from maskfit.cli.train import read_checked_recipe
    from maskfit.progress_log import log_progress

    resolved = read_checked_recipe(recipe, overrides)
    with log_progress(err, "importing torch"):
        from maskfit.pipeline.pipeline import run_pipeline
        from maskfit.pipeline.progress_page import PROGRESS_FILE
        from maskfit.pipeline.stages import Pipeline

    folder = folder or Path("runs") / f"{resolved.name}-submission"
    claim(folder)
    photos = list(list_images(*resolve_images(images, image_list)))
    pipeline = Pipeline(
        folder, resolved, photos, top_k, tta, tuple(combine), vote, mode, engine, console=err, progress=progress
    )
    state = run_pipeline(pipeline, err)
    decided = json_text.loads(pipeline.decisions.read_text(encoding="utf-8"))
    if json:
        stages = {name: record.model_dump(mode="json") for name, record in state.stages.items()}
        print_json(
            {"folder": str(folder), "submission": str(pipeline.submission), "decided": decided, "stages": stages}
        )
        return
    out.print(
        f"{decided['vote']}: macro F1 {decided['held_out_macro_f1']:.4f} on held-out photos; {len(photos):,} rows in "
        f"{pipeline.submission}",
        soft_wrap=True,
    )
    out.print(f"report: {pipeline.report}, progress: {folder / PROGRESS_FILE}", soft_wrap=True)
    print_next(f"report {pipeline.run.path} --out run.html")
