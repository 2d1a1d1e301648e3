"""`maskfit serve`: models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.apps.streamlit_server import LOOPBACK_HOSTS, check_port_free
from maskfit.cli.console import err, out, require_extra
from maskfit.cli.defaults import LEFT_OUT, resolve_models, setup_allocator
from maskfit.cli.server_options import HERE, Host, Port

if TYPE_CHECKING:
    from maskfit.apps.service.service import InferenceService

MB = 1_000_000

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL_OR_RUN...",
        help=f"Model files, or run folders with all their folds; {LEFT_OUT}.",
        show_default=False,
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, max=256, help="Processes; each loads the models, and they share the cores.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A file with the token that callers must show; or MASKFIT_TOKEN.", show_default=False
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, max=4096, help="Faces that a network sees at once, at most.")]
BatchWait = Annotated[
    float, typer.Option(metavar="MS", min=0, max=1000, help="Milliseconds that a face waits for others, at most.")
]
Faces = Annotated[
    bool,
    typer.Option(
        "--faces/--portraits",
        help="Answer for every face that is found; or take each photo whole, which needs no detector.",
    ),
]
Queue = Annotated[int, typer.Option(min=1, help="Photos that may wait; beyond, requests get 429.")]
Body = Annotated[float, typer.Option("--max-body", metavar="MB", min=0.001, help="Megabytes of a request.")]
PhotoBytes = Annotated[float, typer.Option("--max-photo", metavar="MB", min=0.001, help="Megabytes of one photo.")]
PhotoPixels = Annotated[
    float, typer.Option("--max-pixels", metavar="MP", min=0.001, help="Megapixels of one photo, before it is decoded.")
]
Photos = Annotated[int, typer.Option("--max-photos", min=1, help="Photos in a request.")]
MostFaces = Annotated[int, typer.Option("--max-faces", min=1, help="Faces of a photo, the largest first.")]
Seconds = Annotated[float, typer.Option("--max-seconds", min=0.1, help="Seconds that a request may take.")]
StopSeconds = Annotated[
    int, typer.Option(min=1, help="Seconds that what was begun may still take after SIGTERM or Ctrl-C.")
]
Top = Annotated[int, typer.Option("--top-k", metavar="K", min=1, help="How many of each fold's best models answer.")]
Views = Annotated[str, typer.Option("--tta", help="How each face is seen, as for 'maskfit predict'.")]
Vote = Annotated[
    str,
    typer.Option(
        "--combine", help="How members are combined: arithmetic, geometric, majority, majority_per_attribute."
    ),
]
Engine = Annotated[str, typer.Option(help="What runs the networks: auto, torch, onnx, openvino:precision=bf16.")]


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
    """Serve models over HTTP: POST photos to /v1/predict, get every face's answer as JSON.

    GET /v1/model says what is served, /healthz and /readyz how it is, /metrics feeds Prometheus, /openapi.json
    describes it all. Photos are neither kept nor logged. SIGTERM or Ctrl-C ends it when what was begun is answered.

    Examples:

        maskfit serve

        maskfit serve model.onnx

        curl -F files=@photo.jpg http://127.0.0.1:8000/v1/predict

        maskfit serve model.onnx --host 0.0.0.0 --token-file token.txt --workers 2
    """
    require_extra("serve", "serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client")
    models = resolve_models(models)
    if not all(model.endswith((".onnx", ".xml")) for model in models):
        # torch gains from it as in training; the other engines keep their memory by themselves.
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
    """Says what is served and where, and who can reach it."""
    if host not in LOOPBACK_HOSTS and not service.requires_token:
        err.print(f"whoever reaches {host} can use this service; --token-file asks callers for a token", style="yellow")
    members, own = len(service.predictor.members), service.settings
    count = "1 model" if members == 1 else f"{members} models"
    err.print(f"serving {count} for {', '.join(service.predictor.schema.names)}; {own.workers} x {own.threads} threads")
    out.print(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1/predict", soft_wrap=True)
