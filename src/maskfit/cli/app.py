"""`maskfit app`: a web page with the prediction for every face on uploaded or taken photos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, require_extra
from maskfit.cli.defaults import MODEL, resolve_models, setup_allocator
from maskfit.cli.server_options import HERE, PORT, Host, Open, Port, print_url
from maskfit.errors import DataError, MaskfitError, ModelFileError, did_you_mean
from maskfit.labels.schema import LABEL_SCHEMAS

if TYPE_CHECKING:
    from maskfit.apps.webapp.app_state import AppState

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL_OR_RUN...",
        help="Model files or run folders (all their folds); by default the only run under ./runs, or the bundled "
        "model.",
        show_default=False,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Show the report of this run, review and explore its photos, and predict with it."
    ),
]
Photos = Annotated[Path | None, typer.Option(metavar="ROOT|CSV", help="Review and explore these photos.")]
SchemaOption = Annotated[
    str, typer.Option("--schema", metavar="NAME", help=f"Label schema of --photos: {', '.join(LABEL_SCHEMAS)}.")
]
EngineWord = Annotated[str, typer.Option(help="Inference engine: auto, torch, onnx, openvino.")]
Log = Annotated[Path, typer.Option(metavar="FILE", help="Audit log of the review.")]
Corrections = Annotated[Path, typer.Option(metavar="FILE", help="CSV into which the review writes corrections.")]


def app(
    models: Models = None,
    run: Run = None,
    photos: Photos = None,
    scheme: SchemaOption = "mask-gender-age",
    engine: EngineWord = "auto",
    log: Log = Path("review.jsonl"),
    corrections: Corrections = Path("corrections.csv"),
    host: Host = HERE,
    port: Port = PORT,
    open_: Open = False,
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
    if scheme not in LABEL_SCHEMAS:
        raise DataError(f"label schema '{scheme}' is unknown; {did_you_mean(scheme, LABEL_SCHEMAS)}")
    require_extra("app", "app", "streamlit")
    check_overwrite(corrections, force=True)
    from maskfit.apps.streamlit_server import build_url, check_port_free
    from maskfit.apps.webapp.app_state import load_app_state, serve
    from maskfit.apps.webapp.tab_content import TabContent

    check_port_free(host, port)
    beside = TabContent(run, photos, LABEL_SCHEMAS[scheme], log, corrections)
    words = models or _words(run, photos)
    if not all(word.endswith(".onnx") for word in words):
        setup_allocator()
    studio = load_app_state(words, beside, engine=engine)
    address = build_url(host, port, studio.access_token)
    _greet(studio, address, host, port)
    serve(studio, host, port, lambda: typer.launch(address) if open_ else None)


def _words(run: Path | None, photos: Path | None) -> list[str]:
    """Returns the default models: those of --run, SM_CHANNEL_MODEL, the only run under ./runs, or the bundled one.

    Raises:
        ModelFileError: There are several runs, and --photos is not given.
    """
    from maskfit.apps.webapp.app_state import find_only_run, find_runs

    if run is not None:
        return [str(run)]
    if os.environ.get(MODEL) or not find_runs():
        return resolve_models(None)
    try:
        return [find_only_run()]
    except ModelFileError as error:
        if photos is None:
            raise
        err.print(f"{error.message}: showing only the photos", style="yellow")
        return []


def _greet(studio: AppState, address: str, host: str, port: int) -> None:
    for word, members in studio.models.items():
        many = f"{len(members)} models" if len(members) > 1 else "a model"
        err.print(f"{word}: {many} of {', '.join(members[0].scored_schema.names)}")
    try:
        if studio.models:
            studio.face_predictor(studio.default_settings)
    except MaskfitError as error:
        err.print(f"no face detector, so each photo is taken as one face: {error}", style="yellow")
    closing = (
        "then open the URL there. Browsers allow the camera on localhost and https only.",
        "Ctrl-C stops the page; uploaded photos are discarded.",
    )
    print_url(address, host, port, "can use the models and see the pages", closing)
