"""`maskfit serve`: models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.apps.streamlit_server import LOOPBACK_HOSTS, check_port_free
from maskfit.cli.console import err, out, require_extra
from maskfit.cli.defaults import DEFAULT_MODEL_HELP, resolve_models, setup_allocator
from maskfit.cli.server_options import HERE, Host, Port

if TYPE_CHECKING:
    from maskfit.apps.service.service import InferenceService

MB = 1_000_000

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL_OR_RUN...",
        help=f"Model files or run folders (all their folds); {DEFAULT_MODEL_HELP}.",
        show_default=False,
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, max=256, help="Worker processes; each loads the models, and they share the cores.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="File with the bearer token that clients must send; or MASKFIT_TOKEN.", show_default=False
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, max=4096, help="Maximum number of faces in a batch.")]
BatchWait = Annotated[
    float,
    typer.Option(metavar="MS", min=0, max=1000, help="Maximum time in milliseconds that a face waits for others."),
]
Faces = Annotated[
    bool,
    typer.Option(
        "--faces/--portraits",
        help="Detect faces and predict each; or take each photo as one face, without a detector.",
    ),
]
Queue = Annotated[int, typer.Option(min=1, help="Maximum number of waiting photos; beyond it requests get 429.")]
Body = Annotated[
    float, typer.Option("--max-body", metavar="MB", min=0.001, help="Maximum size of a request in megabytes.")
]
PhotoBytes = Annotated[
    float, typer.Option("--max-photo", metavar="MB", min=0.001, help="Maximum size of a photo in megabytes.")
]
PhotoPixels = Annotated[
    float,
    typer.Option(
        "--max-pixels", metavar="MP", min=0.001, help="Maximum size of a photo in megapixels, checked before decoding."
    ),
]
Photos = Annotated[int, typer.Option("--max-photos", min=1, help="Maximum number of photos in a request.")]
MostFaces = Annotated[
    int, typer.Option("--max-faces", min=1, help="Maximum number of faces per photo, the largest first.")
]
Seconds = Annotated[float, typer.Option("--max-seconds", min=0.1, help="Maximum duration of a request in seconds.")]
StopSeconds = Annotated[int, typer.Option(min=1, help="Seconds to finish running requests after SIGTERM or Ctrl-C.")]
Top = Annotated[int, typer.Option("--top-k", metavar="K", min=1, help="Number of best models per fold to use.")]
Views = Annotated[str, typer.Option("--tta", help="Test-time augmentation, as for 'maskfit predict'.")]
Vote = Annotated[
    str,
    typer.Option(
        "--combine", help="How ensemble members are combined: arithmetic, geometric, majority, majority_per_attribute."
    ),
]
Engine = Annotated[str, typer.Option(help="Inference engine: auto, torch, onnx, openvino:precision=bf16.")]


def serve(
    models: Models = None,
    host: Host = HERE,
    port: Port = 8000,
    workers: Workers = 1,
    token_file: TokenFile = None,
    faces: Faces = True,
    batch_size: BatchSize = 32,
    batch_wait: BatchWait = 5.0,
    queue: Queue = 256,
    max_body: Body = 64.0,
    max_photo: PhotoBytes = 16.0,
    max_pixels: PhotoPixels = 32.0,
    max_photos: Photos = 32,
    max_faces: MostFaces = 32,
    max_seconds: Seconds = 30.0,
    stop_seconds: StopSeconds = 20,
    top: Top = 1,
    views: Views = "original",
    vote: Vote = "arithmetic",
    engine: Engine = "auto",
) -> None:
    """Serve models over HTTP: POST photos to /v1/predict, get the prediction of every face as JSON.

    GET /v1/model describes the models, /healthz and /readyz the state, /metrics is for Prometheus, /openapi.json has
    the schema. Photos are neither stored nor logged. SIGTERM or Ctrl-C stops after running requests are finished.

    Examples:

        maskfit serve

        maskfit serve model.onnx

        curl -F files=@photo.jpg http://127.0.0.1:8000/v1/predict

        maskfit serve model.onnx --host 0.0.0.0 --token-file token.txt --workers 2
    """
    require_extra("serve", "serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client")
    models = resolve_models(models)
    if not all(model.endswith((".onnx", ".xml")) for model in models):
        # torch gains from it as in training; the other engines manage their memory themselves.
        setup_allocator()
    from maskfit.apps.service.server import serve as run
    from maskfit.apps.service.settings import Limits, ServiceSettings

    check_port_free(host, port)
    limits = Limits(
        body_bytes=round(max_body * MB),
        photo_bytes=round(max_photo * MB),
        photo_pixels=round(max_pixels * MB),
        photos=max_photos,
        faces=max_faces,
        queue=queue,
        seconds=max_seconds,
    )
    settings = ServiceSettings(
        models=tuple(models),
        top=top,
        views=views,
        vote=vote,
        engine=engine,
        faces=faces,
        limits=limits,
        batch_size=batch_size,
        batch_wait=batch_wait / 1000,
        workers=workers,
        token_file=token_file,
        stop_seconds=stop_seconds,
    )
    run(settings, host, port, lambda service: _greet(service, host, port))


def _greet(service: InferenceService, host: str, port: int) -> None:
    """Prints what is served, where, and who can reach it."""
    if host not in LOOPBACK_HOSTS and not service.requires_token:
        err.print(f"anybody who reaches {host} can use this service; --token-file requires a token", style="yellow")
    members, own = len(service.predictor.members), service.settings
    count = "1 model" if members == 1 else f"{members} models"
    err.print(f"serving {count} for {', '.join(service.predictor.schema.names)}; {own.workers} x {own.threads} threads")
    out.print(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1/predict", soft_wrap=True)
