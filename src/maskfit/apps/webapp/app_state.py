"""State of the web app that all visitors share: models, face predictors and Grad-CAM. No photo is kept here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from maskfit.apps.streamlit_server import ProcessState, generate_access_token, run_streamlit
from maskfit.apps.webapp.model_names import hide_paths, public_names
from maskfit.apps.webapp.tab_content import TabContent
from maskfit.data.crops.face import FaceCrop
from maskfit.data.image_decoding import Pixels
from maskfit.errors import DataError, ModelFileError
from maskfit.inference.ensemble_runner import Member, check_compatible, open_members
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import FloatArray
from maskfit.run_dir import RunDir, is_run_dir

if TYPE_CHECKING:
    from maskfit.models.network import Network

MAX_UPLOAD_MB = 25
"""Size in MiB of the largest file that can be uploaded."""

AS_TRAINED = ""
"""Stands for the face detector that the models were trained with, or else the default one."""

RUNS_DIR = Path("runs")
"""Where runs are searched when no model is named."""

MODEL_HINTS = (
    "maskfit demo --out demo trains one on drawn faces in three minutes: maskfit app demo/run",
    "maskfit train quick data.path=PHOTOS output_dir=runs/first trains one on your photos",
)
"""How to get a model."""

MAIN_SCRIPT = Path(__file__).parent / "pages" / "main.py"
"""The script that Streamlit runs."""

MAX_SHOWN_RUNS = 6
"""Runs that an error message lists."""


@dataclass(frozen=True)
class PredictionSettings:
    """A visitor's settings.

    Attributes:
        models: Keys of `AppState.models`; several are combined.
        vote: How they are combined: a name of `VOTES` that needs no weights.
        find_faces: Whether faces are detected; otherwise each photo is one portrait.
        detector: A name of `DETECTORS`, or `AS_TRAINED`.
        whole_without_face: Whether a photo on which no face is found is predicted as a whole, which is "not sure".
    """

    models: tuple[str, ...]
    vote: str = "arithmetic"
    find_faces: bool = True
    detector: str = AS_TRAINED
    whole_without_face: bool = False


class AppState:
    """Face predictors for every setting, and Grad-CAM; safe to use from several threads.

    Args:
        models: The opened models by the path that the user named; empty for an app without predictions.
        tabs: Content of the other tabs.

    Attributes:
        models: The models.
        tabs: Content of the other tabs.
        model_names: For each path in `models` the name that visitors see.
        access_token: Token in the app's URL.
        predictor: Returns the `Predictor` for (models, vote); cached. Raises ModelFileError without a model.
        face_predictor: Returns the `FacePredictor` for settings; cached. Raises ModelFileError without a model,
            DataError where a detector's weights cannot be downloaded, MissingExtraError where it needs an extra.

    Raises:
        ModelFileError: The models are incompatible.
    """

    def __init__(self, models: Mapping[str, Sequence[Member]], tabs: TabContent | None = None) -> None:
        self.models = {path: tuple(members) for path, members in models.items()}
        if models:
            check_compatible([member for members in self.models.values() for member in members])
        self.tabs = tabs or TabContent()
        self.model_names = public_names(self.models)
        members = [member.name for own in self.models.values() for member in own]
        self._public_names = {**public_names(members), **self.model_names}
        self.access_token = generate_access_token()
        self.predictor = lru_cache(maxsize=16)(self._open_predictor)
        self.face_predictor = lru_cache(maxsize=16)(self._open_face_predictor)
        self._load_network = lru_cache(maxsize=4)(_load_network)
        self._grad_cam_lock = threading.Lock()

    @property
    def default_settings(self) -> PredictionSettings:
        """All models, with the face detection that they were trained with."""
        return PredictionSettings(tuple(self.models))

    def _open_predictor(self, models: tuple[str, ...], vote: str) -> Predictor:
        """Combines models.

        Raises:
            ModelFileError: No model is selected.
        """
        return Predictor([member for path in models for member in self.models[path]], vote=vote)

    def _open_face_predictor(self, settings: PredictionSettings) -> FacePredictor:
        """Opens the face predictor for settings; see the attribute `face_predictor`."""
        predictor = self.predictor(settings.models, settings.vote)
        detector = FaceCrop(settings.detector) if settings.find_faces and settings.detector else None
        return FacePredictor(
            predictor,
            detector=detector,
            detect=settings.find_faces,
            predict_whole_image=settings.whole_without_face or not settings.find_faces,
        )

    def public_text(self, text: str) -> str:
        """Returns a message for visitors, with names of models instead of their paths.

        Args:
            text: A message, such as that of an error.

        Returns:
            The message without these paths.
        """
        return hide_paths(text, self._public_names)

    def grad_cam(
        self, settings: PredictionSettings, frames: Sequence[Pixels], attribute: str, index: int
    ) -> tuple[Pixels, FloatArray, str]:
        """Computes a Grad-CAM heat map with the first of the models that supports it.

        Args:
            settings: The models.
            frames: One face in each of the predictor's crops, uint8 of shape (height, width, 3).
            attribute: Name of the attribute.
            index: Index of the scored value that the heat map explains.

        Returns:
            The model input (height, width, 3), its heat map (height, width) in [0, 1], and the model's path.

        Raises:
            MissingExtraError: The Grad-CAM library is not installed.
            DataError: No model has gradients, or the network has no feature maps.
        """
        from maskfit.explain.gradcam import grad_cam, logits_for, require_grad_cam

        require_grad_cam()
        predictor = self.predictor(settings.models, settings.vote)
        member = next((member for member in predictor.members if _has_gradients(member, attribute)), None)
        if member is None:
            raise DataError(
                "exported models have no gradients, which Grad-CAM needs",
                hint="start the page with the .safetensors model that they were exported from",
            )
        metadata = member.engine.metadata
        frame = frames[predictor.crop_resizes.index(metadata.preprocessing.crop_resize)]
        head, logits = logits_for(metadata.label_schema, metadata.heads, attribute, index)
        # A network of its own: Grad-CAM hooks its layers, which must not affect predictions by the engine's network.
        with self._grad_cam_lock:
            network = self._load_network(member.name)
            (heat,) = grad_cam(network, metadata.preprocessing.normalization(frame[None]), head, logits)
        return frame, heat, member.name

    def close(self) -> None:
        """Closes the review, so that other processes can open its log."""
        self.tabs.close()


def _has_gradients(member: Member, attribute: str) -> bool:
    return Path(member.name).suffix == ".safetensors" and attribute in member.scored_schema.names


def _load_network(path: str) -> Network:
    from maskfit.model_file import load_model

    return load_model(path)[0]


def load_app_state(paths: Sequence[str], tabs: TabContent | None = None, *, engine: str = "auto") -> AppState:
    """Opens models.

    Args:
        paths: Model files and run folders; repeated ones are opened once.
        tabs: Content of the other tabs.
        engine: As for `open_engine`.

    Returns:
        The state.

    Raises:
        ModelFileError: A file is not a model, or the models are incompatible.
        RunError: A run has no completed fold.
        MissingExtraError: A model needs an extra that is not installed.
        RecipeError: There is no such engine.
        DataError: A detector that a model crops with has no weights here and they cannot be downloaded.
    """
    unique = dict.fromkeys(paths)
    app_state = AppState({path: open_members([path], engine=engine) for path in unique}, tabs)
    if app_state.models:
        # Fails now where a crop's detector is missing, instead of on the first photo.
        app_state.predictor(app_state.default_settings.models, app_state.default_settings.vote)
    return app_state


def find_runs(folder: Path = RUNS_DIR) -> list[Path]:
    """Finds the runs in a folder that have a model.

    Args:
        folder: The folder.

    Returns:
        Run folders with at least one completed fold, sorted by name.
    """
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = [path for path in entries if is_run_dir(path)]
    return [path for path in runs if any(RunDir(path).fold(number).done for number in RunDir(path).fold_numbers())]


def find_only_run(folder: Path = RUNS_DIR) -> str:
    """Returns the only run in a folder that has a model.

    Args:
        folder: The folder.

    Returns:
        Path of the run.

    Raises:
        ModelFileError: There is none, or there are several.
    """
    runs = find_runs(folder)
    if not runs:
        if folder == RUNS_DIR:
            message = "no model was named, and there is none under ./runs"
        else:
            message = f"no run in {folder} has a model"
        raise ModelFileError(message, hint="; or ".join(("maskfit app MODEL_OR_RUN", *MODEL_HINTS)))
    if len(runs) > 1:
        shown = ", ".join(map(str, runs[:MAX_SHOWN_RUNS]))
        if len(runs) > MAX_SHOWN_RUNS:
            shown += f" and {len(runs) - MAX_SHOWN_RUNS} more"
        raise ModelFileError(f"no model was named, and there are several: {shown}", hint=f"maskfit app {runs[-1]}")
    return str(runs[0])


_STATE: ProcessState[AppState] = ProcessState("no app is open", hint="start the page with maskfit app MODEL_OR_RUN")
set_app_state, get_app_state = _STATE.set, _STATE.get
"""Set and return the state that the pages of this process show."""


def serve(app_state: AppState, host: str, port: int, on_start: Callable[[], object] = lambda: None) -> None:
    """Serves the web app until the process receives SIGINT or SIGTERM.

    Args:
        app_state: The models and tabs.
        host: The address to listen on.
        port: The TCP port.
        on_start: Called just before the server starts.
    """
    set_app_state(app_state)
    try:
        run_streamlit(MAIN_SCRIPT, host, port, on_start, server_maxUploadSize=MAX_UPLOAD_MB)
    finally:
        set_app_state(None)
        app_state.close()
