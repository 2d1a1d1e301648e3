"""`maskfit app`: a web page with the prediction for every face on uploaded or taken photos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, require_extra
from maskfit.cli.dataset_options import SCHEMA_CHOICES, find_schema
from maskfit.cli.defaults import setup_allocator
from maskfit.cli.server_options import DEFAULT_HOST, DEFAULT_PORT, HostOption, OpenOption, PortOption, print_url
from maskfit.environment import MODEL
from maskfit.errors import MaskfitError, ModelFileError

if TYPE_CHECKING:
    from maskfit.apps.webapp.app_state import AppState

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL_OR_RUN...",
        help="Model files or run folders (all their folds); by default the only run under ./runs, or the bundled "
        "model.",
        show_default=False,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Show the report of this run, review and explore its photos, and predict with it."
    ),
]
PhotosOption = Annotated[Path | None, typer.Option(metavar="ROOT|CSV", help="Review and explore these photos.")]
SchemaOption = Annotated[
    str, typer.Option("--schema", metavar="NAME|FILE|RUN", help=f"Label schema of --photos: {SCHEMA_CHOICES}.")
]
EngineOption = Annotated[str, typer.Option(help="Inference engine: auto, torch, onnx, openvino.")]
LogOption = Annotated[Path, typer.Option(metavar="FILE", help="Audit log of the review.")]
CorrectionsOption = Annotated[Path, typer.Option(metavar="FILE", help="CSV into which the review writes corrections.")]


def app(
    models: ModelsArgument = None,
    run: RunOption = None,
    photos: PhotosOption = None,
    schema: SchemaOption = "mask-gender-age",
    engine: EngineOption = "auto",
    log: LogOption = Path("review.jsonl"),
    corrections: CorrectionsOption = Path("corrections.csv"),
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    open_: OpenOption = False,
) -> None:
    """Open a web page to upload or take photos and see the prediction for every face.

    Each face gets mask state, gender and age with the probability of every value, or "not sure". Shows the network
    input and Grad-CAM of a face; downloads all faces as CSV. Photos stay in memory, and nothing leaves the machine.
    With --run or --photos, review, exploration and report are further pages.

    To use it from another machine, run the printed line with 'ssh -L' there.

    Examples:

        maskfit app runs/champion

        maskfit app model.onnx --open

        maskfit app --run runs/champion --log mine.jsonl

        maskfit app runs/first runs/second --photos photos
    """
    label_schema = find_schema(schema)
    require_extra("app", "app", "streamlit")
    check_overwrite(corrections, force=True)
    from maskfit.apps.streamlit_server import build_url, check_port_free
    from maskfit.apps.webapp.app_state import load_app_state, serve
    from maskfit.apps.webapp.tab_content import TabContent

    check_port_free(host, port)
    content = TabContent(run, photos, label_schema, log, corrections)
    sources = models or _default_models(run, photos)
    if not all(source.endswith(".onnx") for source in sources):
        setup_allocator()
    state = load_app_state(sources, content, engine=engine)
    url = build_url(host, port, state.access_token)
    _print_started(state, url, host, port)
    serve(state, host, port, lambda: typer.launch(url) if open_ else None)


def _default_models(run: Path | None, photos: Path | None) -> list[str]:
    """Returns the default models: those of --run, SM_CHANNEL_MODEL, the only run under ./runs, or the bundled one.

    Raises:
        ModelFileError: There are several runs, and --photos is not given.
    """
    from maskfit.apps.webapp.app_state import find_only_run, find_runs
    from maskfit.inference.input_resolution import resolve_models

    if run is not None:
        return [str(run)]
    if os.environ.get(MODEL) or not find_runs():
        return resolve_models(None, err.print)
    try:
        return [find_only_run()]
    except ModelFileError as error:
        if photos is None:
            raise
        err.print(f"{error.message}: showing only the photos", style="yellow")
        return []


def _print_started(state: AppState, url: str, host: str, port: int) -> None:
    for source, members in state.models.items():
        count = f"{len(members)} models" if len(members) > 1 else "a model"
        err.print(f"{source}: {count} of {', '.join(members[0].scored_schema.names)}")
    try:
        if state.models:
            state.face_predictor(state.default_settings)
    except MaskfitError as error:
        err.print(f"no face detector, so each photo is taken as one face: {error}", style="yellow")
    closing = (
        "then open the URL there. Browsers allow the camera on localhost and https only.",
        "Ctrl-C stops the page; uploaded photos are discarded.",
    )
    print_url(url, host, port, "can use the models and see the pages", closing)
