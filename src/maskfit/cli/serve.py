"""`maskfit serve`: models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.apps.streamlit_server import LOOPBACK_HOSTS, check_port_free
from maskfit.calibration import DEFAULT_DECIDE, MIN_FACE_SIDE, parse_decide_mode
from maskfit.cli.console import err, out, require_extra
from maskfit.cli.data.crop import DetectorOption
from maskfit.cli.defaults import DEFAULT_MODEL_HELP, setup_allocator
from maskfit.cli.int8_options import CalibrateOption, calibrate_models, describe_int8
from maskfit.cli.predict_options import AgeBordersOption
from maskfit.cli.server_options import DEFAULT_HOST, HostOption, PortOption
from maskfit.errors import DataError
from maskfit.labels.age_distribution import parse_age_borders
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.apps.service.service import InferenceService
    from maskfit.inference.face_predictor import FacePredictor
    from maskfit.inference.predictor import Predictor

MB = 1_000_000

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL_OR_RUN...",
        help=f"Model files or run folders (all their folds); {DEFAULT_MODEL_HELP}.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int, typer.Option(min=1, max=256, help="Worker processes; each loads the models, and they share the cores.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="File with the bearer token that clients must send; or MASKFIT_TOKEN.", show_default=False
    ),
]
BatchSizeOption = Annotated[int, typer.Option(min=1, max=4096, help="Maximum number of faces in a batch.")]
BatchWaitOption = Annotated[
    float,
    typer.Option(metavar="MS", min=0, max=1000, help="Maximum time in milliseconds that a face waits for others."),
]
RememberOption = Annotated[
    int,
    typer.Option(
        metavar="FACES",
        min=0,
        max=1_000_000,
        help="Predictions to keep in memory for photos that come again, by a hash of the file; 0 keeps none.",
    ),
]
FacesOption = Annotated[
    bool,
    typer.Option(
        "--faces/--portraits",
        help="Detect faces and predict each; or take each photo as one face, without a detector.",
    ),
]
QueueOption = Annotated[int, typer.Option(min=1, help="Maximum number of waiting photos; beyond it requests get 429.")]
MaxBodyOption = Annotated[
    float, typer.Option("--max-body", metavar="MB", min=0.001, help="Maximum size of a request in megabytes.")
]
MaxPhotoOption = Annotated[
    float, typer.Option("--max-photo", metavar="MB", min=0.001, help="Maximum size of a photo in megabytes.")
]
MaxPixelsOption = Annotated[
    float,
    typer.Option(
        "--max-pixels", metavar="MP", min=0.001, help="Maximum size of a photo in megapixels, checked before decoding."
    ),
]
MaxPhotosOption = Annotated[int, typer.Option("--max-photos", min=1, help="Maximum number of photos in a request.")]
MaxFacesOption = Annotated[
    int, typer.Option("--max-faces", min=1, help="Maximum number of faces per photo, the largest first.")
]
MinFaceOption = Annotated[
    float,
    typer.Option(
        "--min-face",
        metavar="PIXELS",
        min=1,
        help="Shorter side of the smallest face that is predicted.",
        show_default=f"{MIN_FACE_SIDE:g}",
    ),
]
MaxSecondsOption = Annotated[
    float, typer.Option("--max-seconds", min=0.1, help="Maximum duration of a request in seconds.")
]
StopSecondsOption = Annotated[
    int, typer.Option(min=1, help="Seconds to finish running requests after SIGTERM or Ctrl-C.")
]
TopKOption = Annotated[int, typer.Option("--top-k", metavar="K", min=1, help="Number of best models per fold to use.")]
TtaOption = Annotated[
    str, typer.Option("--tta", metavar="NAME", help="Test-time augmentation, as for 'maskfit predict'.")
]
CombineOption = Annotated[
    str,
    typer.Option(
        "--combine",
        metavar="NAME",
        help="How ensemble members are combined: arithmetic, geometric, majority, majority_per_attribute.",
    ),
]
DecideOption = Annotated[
    str,
    typer.Option(metavar="argmax|macro-f1|accuracy", help="How a class is chosen, as for 'maskfit predict'."),
]
EngineOption = Annotated[
    str, typer.Option(metavar="NAME", help="Inference engine: auto, torch, onnx, openvino:precision=bf16.")
]


def serve(
    models: ModelsArgument = None,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = 8000,
    workers: WorkersOption = 1,
    token_file: TokenFileOption = None,
    faces: FacesOption = True,
    detector: DetectorOption = None,
    batch_size: BatchSizeOption = 8,
    batch_wait: BatchWaitOption = 5.0,
    remember: RememberOption = 4096,
    queue: QueueOption = 256,
    max_body: MaxBodyOption = 64.0,
    max_photo: MaxPhotoOption = 16.0,
    max_pixels: MaxPixelsOption = 32.0,
    max_photos: MaxPhotosOption = 32,
    max_faces: MaxFacesOption = 32,
    min_face: MinFaceOption = MIN_FACE_SIDE,
    max_seconds: MaxSecondsOption = 30.0,
    stop_seconds: StopSecondsOption = 20,
    top_k: TopKOption = 1,
    tta: TtaOption = "original",
    combine: CombineOption = "arithmetic",
    decide: DecideOption = DEFAULT_DECIDE,
    age_borders: AgeBordersOption = None,
    engine: EngineOption = "auto",
    calibrate: CalibrateOption = None,
) -> None:
    """Serve models over HTTP: POST photos to /v1/predict, get the prediction of every face as JSON.

    GET /v1/model describes the models, /healthz and /readyz the state, /metrics is for Prometheus, /openapi.json has
    the schema. Photos are neither stored nor logged. SIGTERM or Ctrl-C stops after running requests are finished.

    Examples:

        maskfit serve

        maskfit serve model.onnx

        curl -F files=@photo.jpg http://127.0.0.1:8000/v1/predict

        maskfit serve model.onnx --host 0.0.0.0 --token-file token.txt --workers 2

        maskfit serve model.onnx --calibrate photos
    """
    if detector is not None and not faces:
        raise DataError("--detector is of no use with --portraits", hint="leave out one of the two")
    if min_face != MIN_FACE_SIDE and not faces:
        raise DataError("--min-face is of no use with --portraits", hint="leave out one of the two")
    require_extra("serve", "serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client")
    from maskfit.inference.input_resolution import resolve_models

    models = resolve_models(models, err.print)
    if not all(model.endswith((".onnx", ".xml")) for model in models):
        # torch gains from it as in training; the other engines manage their memory themselves.
        setup_allocator()
    from maskfit.apps.service.server import serve as run
    from maskfit.apps.service.settings import Limits, ServiceSettings

    check_port_free(host, port)
    calibrate_models(models, calibrate, engine, lambda predictor: _face_predictor(predictor, faces, detector, min_face))
    limits = Limits(
        body_bytes=round(max_body * MB),
        photo_bytes=round(max_photo * MB),
        photo_pixels=round(max_pixels * MB),
        photos=max_photos,
        faces=max_faces,
        min_face=min_face,
        queue=queue,
        seconds=max_seconds,
    )
    settings = ServiceSettings(
        models=tuple(models),
        top=top_k,
        views=tta,
        vote=combine,
        decide=parse_decide_mode(decide),
        age_borders=parse_age_borders(age_borders),
        engine=engine,
        faces=faces,
        detector=detector,
        limits=limits,
        batch_size=batch_size,
        batch_wait=batch_wait / 1000,
        remember=remember,
        workers=workers,
        token_file=token_file,
        stop_seconds=stop_seconds,
    )
    run(settings, host, port, lambda service: _print_started(service, host, port, calibrate is not None), err.print)


def _face_predictor(predictor: Predictor, faces: bool, detector: str | None, min_face: float) -> FacePredictor:
    """What the service will run, for calibration."""
    from maskfit.inference.detector_choice import parse_detector
    from maskfit.inference.face_predictor import FacePredictor

    named = parse_detector(detector) if detector else None
    return FacePredictor(predictor, detector=named, detect=faces, predict_whole_image=not faces, min_face_side=min_face)


def _print_started(service: InferenceService, host: str, port: int, calibrated: bool) -> None:
    """Prints what is served, where, and who can reach it."""
    if host not in LOOPBACK_HOSTS and not service.requires_token:
        err.print(f"anybody who reaches {host} can use this service; --token-file requires a token", style="yellow")
    members, settings = len(service.predictor.members), service.settings
    count = format_count(members, "model")
    attributes = ", ".join(service.predictor.schema.names)
    err.print(f"serving {count} for {attributes}; {settings.workers} x {settings.threads} threads")
    if service.predictor.decision_weights:
        err.print(f"decisions: {service.predictor.describe_decisions()}")
    if line := describe_int8(service.predictor, settings.engine, calibrated):
        err.print(f"network: {line}")
    if service.detector_note:
        err.print(service.detector_note)
    out.print(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1/predict", soft_wrap=True)
