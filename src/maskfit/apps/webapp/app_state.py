"""A studio: what one started page serves to every visitor. Models are opened once; no photo is kept here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from maskfit.apps.streamlit_server import ProcessState, generate_access_token, run_streamlit
from maskfit.apps.webapp.tab_content import TabContent
from maskfit.data.crops.face import FaceCrop
from maskfit.data.image_decoding import Pixels
from maskfit.errors import DataError, ModelFileError
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.members import Member, check_compatible, open_members
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import FloatArray
from maskfit.run_dir import RunDir, is_run_dir

if TYPE_CHECKING:
    from maskfit.models.network import Network

MAX_UPLOAD_MB = 25
"""The largest file that the browser may send."""

AS_TRAINED = ""
"""The detector that the models were trained with, or else the usual one."""

RUNS_DIR = Path("runs")
"""Where models are looked for when none is named."""

MODEL_HINTS = (
    "maskfit demo --out demo trains one on drawn faces in three minutes: maskfit app demo/run",
    "maskfit train champion data.path=PHOTOS output_dir=runs/first trains one on your photos",
)
"""How to come by a model."""


@dataclass(frozen=True)
class PredictionSettings:
    """How a visitor wants photos to be read.

    Attributes:
        models: Words of the studio's; their models vote.
        vote: A name of `voting.VOTES` that needs no weights.
        find: Whether faces are looked for; without, each photo is one portrait.
        detector: A name of `DETECTORS`, or `AS_TRAINED`.
    """

    models: tuple[str, ...]
    vote: str = "arithmetic"
    find_faces: bool = True
    detector: str = AS_TRAINED


class AppState:
    """Readers of faces for every setting, and heat maps; may be asked by many threads at once.

    Args:
        models: The words that the user named, each with its models; none, and no photo can be read.
        beside: What the other pages show.

    Raises:
        ModelFileError: The models cannot answer together.
    """

    def __init__(self, models: Mapping[str, Sequence[Member]], beside: TabContent | None = None) -> None:
        self.models = {word: tuple(members) for word, members in models.items()}
        if models:
            check_compatible([member for members in self.models.values() for member in members])
        self.tabs = beside or TabContent()
        self.access_token = generate_access_token()
        self.predictor = lru_cache(maxsize=16)(self._open_predictor)
        self.face_predictor = lru_cache(maxsize=16)(self._open_reader)
        self._network = lru_cache(maxsize=4)(_load)
        self._looking = threading.Lock()

    @property
    def default_settings(self) -> PredictionSettings:
        """All models, faces looked for as in training."""
        return PredictionSettings(tuple(self.models))

    def _open_predictor(self, models: tuple[str, ...], vote: str) -> Predictor:
        """The models of these words together; `predictor` gives the same one again.

        Raises:
            ModelFileError: No model is chosen.
        """
        return Predictor([member for word in models for member in self.models[word]], vote=vote)

    def _open_reader(self, settings: PredictionSettings) -> FacePredictor:
        """The reader for these settings; `reader` gives the same one again.

        Raises:
            ModelFileError: No model is chosen.
            DataError: A detector's weights are not here and cannot be fetched.
            MissingExtraError: The detector needs an extra.
        """
        predictor = self.predictor(settings.models, settings.vote)
        detector = FaceCrop(settings.detector) if settings.find_faces and settings.detector else None
        return FacePredictor(predictor, detector=detector, find=settings.find_faces, whole=not settings.find_faces)

    def grad_cam(
        self, settings: PredictionSettings, frames: Sequence[Pixels], attribute: str, code: int
    ) -> tuple[Pixels, FloatArray, str]:
        """Where a model saw what speaks for a value: of several the first that can be asked.

        Args:
            settings: The models.
            frames: One face as each of the predictor's framings shows it.
            attribute: Its name.
            code: Of the official value.

        Returns:
            The frame (height, width, 3) that the model saw, its heat (height, width) from 0 to 1, and the model's name.

        Raises:
            MissingExtraError: The library for this is not installed.
            DataError: No model can be asked, or it has no maps to look into.
        """
        from maskfit.explain.gradcam import grad_cam, logits_for, refuse_without_library

        refuse_without_library()
        predictor = self.predictor(settings.models, settings.vote)
        asked = next((member for member in predictor.members if _has_gradients(member, attribute)), None)
        if asked is None:
            raise DataError(
                "these models are made to run and keep no gradients, which a heat map is made of",
                hint="start the page with the .safetensors model that they were exported from",
            )
        facts = asked.engine.metadata
        frame = frames[predictor.crop_resizes.index(facts.preprocessing.crop_resize)]
        head, logits = logits_for(facts.label_schema, facts.heads, attribute, code)
        # A network of its own: its layers are listened to, which must not meet what others ask the engine's.
        with self._looking:
            network = self._network(asked.name)
            (heat,) = grad_cam(network, facts.preprocessing.normalization(frame[None]), head, logits)
        return frame, heat, asked.name

    def close(self) -> None:
        """Lets other processes have the log of a review."""
        self.tabs.close()


def _has_gradients(member: Member, attribute: str) -> bool:
    return Path(member.name).suffix == ".safetensors" and attribute in member.scored_schema.names


def _load(path: str) -> Network:
    from maskfit.model_file import load_model

    return load_model(path)[0]


def load_app_state(words: Sequence[str], beside: TabContent | None = None, *, engine: str = "auto") -> AppState:
    """Opens the models that words stand for; `engine` as for `engines.open_engine`.

    Raises:
        ModelFileError: One is no model, or they cannot answer together.
        RunError: A run has no fold that is done.
        MissingExtraError: One needs what is not installed.
        RecipeError: There is no such engine.
        DataError: A detector that a model crops with is not here and cannot be fetched.
    """
    once = dict.fromkeys(words)
    studio = AppState({word: open_members([word], engine=engine) for word in once}, beside)
    if studio.models:
        # Asked now: a model whose crop needs a detector that is not here could not look at a single photo.
        studio.predictor(studio.default_settings.models, studio.default_settings.vote)
    return studio


def find_runs(folder: Path = RUNS_DIR) -> list[Path]:
    """The runs in a folder that have a model."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = [path for path in entries if is_run_dir(path)]
    return [path for path in runs if any(RunDir(path).fold(number).done for number in RunDir(path).fold_numbers())]


def find_only_run(folder: Path = RUNS_DIR) -> str:
    """The one run in a folder that has a model.

    Raises:
        ModelFileError: There is none, or there are several.
    """
    done = find_runs(folder)
    if not done:
        what = (
            "no model was named, and there is none under ./runs"
            if folder == RUNS_DIR
            else f"no run in {folder} has a model"
        )
        raise ModelFileError(what, hint="; or ".join(("maskfit app MODEL_OR_RUN", *MODEL_HINTS)))
    if len(done) > 1:
        shown = ", ".join(map(str, done[:6])) + (f" and {len(done) - 6} more" if len(done) > 6 else "")
        raise ModelFileError(f"no model was named, and there are several: {shown}", hint=f"maskfit app {done[-1]}")
    return str(done[0])


_SEAT: ProcessState[AppState] = ProcessState("no studio is open", fix="start the page with maskfit app MODEL_OR_RUN")
set_app_state, get_app_state = _SEAT.set, _SEAT.get
"""Say which studio the page of this process serves, and ask for it."""


MAIN_SCRIPT = Path(__file__).parent / "pages" / "main.py"


def serve(studio: AppState, host: str, port: int, opened: Callable[[], object] = lambda: None) -> None:
    """Serves a studio; see `serving.serve_page`."""
    set_app_state(studio)
    try:
        run_streamlit(MAIN_SCRIPT, host, port, opened, server_maxUploadSize=MAX_UPLOAD_MB)
    finally:
        set_app_state(None)
        studio.close()
