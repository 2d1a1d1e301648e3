"""`maskfit app`: a page in the browser that answers for every face on the photos that are brought to it."""

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
        help="Model files, or run folders with all their folds; left out, the one run under ./runs; or else the "
        "model that comes with maskfit.",
        show_default=False,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Show this run's report, review and explore its photos, and answer with it."),
]
Photos = Annotated[Path | None, typer.Option(metavar="ROOT|CSV", help="Review and explore these photos.")]
SchemeName = Annotated[
    str, typer.Option("--schema", metavar="NAME", help=f"What the labels of --photos are about: {', '.join(LABEL_SCHEMAS)}.")
]
EngineWord = Annotated[str, typer.Option(help="What runs the models: auto, torch, onnx, openvino.")]
Log = Annotated[Path, typer.Option(metavar="FILE", help="The audit log of the review.")]
Corrections = Annotated[Path, typer.Option(metavar="FILE", help="Where the review writes corrections.")]


def app(
    models: Models = None,
    run: Run = None,
    photos: Photos = None,
    scheme: SchemeName = "mask-gender-age",
    engine: EngineWord = "auto",
    log: Log = Path("review.jsonl"),
    corrections: Corrections = Path("corrections.csv"),
    host: Host = HERE,
    port: Port = PORT,
    open_: Open = False,
) -> None:
    """Open a page on which photos are uploaded or taken, and every face on them is boxed and answered for.

    Each face gets its mask state, gender and age with the probability of every value, and "not sure" where the model is
    not. See what the model saw of a face and where it looked; download all faces as a CSV. Photos stay in memory, and
    nothing leaves the machine. With --run or --photos, review, explore and report are pages beside it.

    On another machine than the one you sit at, start it there and run the line with 'ssh -L' that it prints here.

    Examples:

        maskfit app runs/champion

        maskfit app model.onnx --open

        maskfit app --run runs/champion --log mine.jsonl

        maskfit app runs/first runs/second --photos photos
    """
    if scheme not in LABEL_SCHEMAS:
        raise DataError(f"scheme '{scheme}' is unknown; {did_you_mean(scheme, LABEL_SCHEMAS)}")
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
    """The models where none is named: those of the run, of the environment, of the one run that is here, or in the box.

    Raises:
        ModelFileError: There are several runs, and nothing else was asked for.
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
        err.print(f"{error.message}: only the photos are shown", style="yellow")
        return []


def _greet(studio: AppState, address: str, host: str, port: int) -> None:
    for word, members in studio.models.items():
        many = f"{len(members)} models" if len(members) > 1 else "a model"
        err.print(f"{word}: {many} of {', '.join(members[0].scored_schema.names)}")
    try:
        if studio.models:
            studio.face_predictor(studio.default_settings)
    except MaskfitError as error:
        err.print(f"only whole photos can be read, for faces cannot be looked for: {error}", style="yellow")
    closing = (
        "then open the address there. A browser gives its camera to localhost and https only.",
        "Ctrl-C ends the page; photos that were brought are forgotten then.",
    )
    print_url(address, host, port, "can use the models and sees what the pages show", closing)
