"""A synthetic video of painted persons whose masks are gray patches, and a network that classifies the gray level."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import maskfit.cli
from maskfit.apps.video.video_writer import open_video_writer
from maskfit.calibration import Calibration
from maskfit.data.preprocessing import CropResize, Normalize, Preprocessing
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata
from maskfit.registry import ComponentSpec
from maskfit.synthesis.drawn.synthetic_video import PersonSprites, SyntheticVideo, Walk

GRAY_LEVELS = {"wear": 245, "incorrect": 128, "not_wear": 10}
"""Gray level of the patch on a face, by mask state."""

RATE = 12.5
SIZE = (320, 240)


def painted_looks(color: tuple[int, int, int], width: int = 40, height: int = 56) -> PersonSprites:
    """A rectangle as the detector `painted` finds it, with a patch of gray in its middle."""
    pictures = {}
    for state, gray in GRAY_LEVELS.items():
        picture = Image.new("RGBA", (width, height), (*color, 255))
        inner = (width // 5, height // 5, width - width // 5, height - height // 5)
        picture.paste((gray, gray, gray, 255), inner)
        pictures[state] = picture
    return PersonSprites(pictures, (0, 0, width, height))


@pytest.fixture(scope="session")
def film() -> SyntheticVideo:
    """One walks through and takes the mask off; one comes later, puts it right, and is there to the end."""
    background = Image.fromarray(np.random.default_rng(0).integers(90, 140, SIZE[::-1], dtype=np.uint8)).convert("RGB")
    walks = (
        Walk(painted_looks((255, 0, 0)), ((0.4, 40, 60), (4.4, 260, 60)), ((0, "wear"), (2.4, "not_wear"))),
        Walk(
            painted_looks((0, 255, 0)),
            ((1.2, 270, 170), (3.2, 60, 170), (6, 60, 170)),
            ((0, "incorrect"), (3.6, "wear")),
        ),
    )
    return SyntheticVideo(background, walks, 6.0, RATE)


@pytest.fixture(scope="session")
def video(film: SyntheticVideo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film as a file."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with open_video_writer(path, SIZE, RATE) as out:
        for time, pixels in film.frames():
            out.write(time, pixels)
    return path


def gray_model(path: Path, unsure_below: dict[str, float] | None = None) -> Path:
    """A network that answers by the brightness of the middle of a face, and takes everybody for a woman."""
    metadata = ModelMetadata(
        label_schema=LABEL_SCHEMAS["mask-gender"],
        preprocessing=Preprocessing(
            crop_resize=CropResize(
                size=(16, 16), crop=ComponentSpec.create("face", left=-0.3, right=-0.3, top=-0.3, bottom=-0.3)
            ),
            normalization=Normalize(mean=(0, 0, 0), std=(1, 1, 1)),
        ),
        backbone=ComponentSpec.create("small"),
        head=ComponentSpec.create("multi_head"),
        heads=("mask", "gender"),
        calibration=Calibration(abstain_below=unsure_below or {}),
    )
    levels = np.array(list(GRAY_LEVELS.values()), dtype=np.float32) / 255
    # -(brightness - level)², less what all have in common, is linear: the nearest level wins.
    weights = {
        "mask_w": 60 * levels[None],
        "mask_b": -30 * levels**2,
        "gender_w": np.zeros((1, 2), np.float32),
        "gender_b": np.array([0, 3], np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["photos"], ["planes"], axes=[2, 3], keepdims=0),
            helper.make_node("ReduceMean", ["planes"], ["gray"], axes=[1], keepdims=1),
            helper.make_node("Gemm", ["gray", "mask_w", "mask_b"], ["mask"]),
            helper.make_node("Gemm", ["gray", "gender_w", "gender_b"], ["gender"]),
        ],
        "gray",
        [helper.make_tensor_value_info("photos", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
            for name, size in metadata.label_schema.sizes.items()
        ],
        [numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata.to_metadata())
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gray_model(tmp_path_factory.mktemp("model") / "gray.onnx")


@pytest.fixture
def reader(model: Path, painted) -> FacePredictor:
    return FacePredictor(Predictor.load(model, threads=1), predict_whole_image=False)


class CommandResult(NamedTuple):
    """Exit code and output of a command."""

    code: int | str | None
    out: str
    err: str


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., CommandResult]:
    """Runs `maskfit video WORDS...` in a folder of its own; a traceback is a failure."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SM_CHANNEL_MODEL", raising=False)

    def run(*words: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["maskfit", "video", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            maskfit.cli.main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return CommandResult(exit_.value.code, captured.out, captured.err)

    return run
