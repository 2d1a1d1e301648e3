"""The call path of `maskfit predict PHOTO.jpg`: few files are entered, and the predictor through one door."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType

import onnx
import pytest
from onnx import TensorProto, helper

import maskfit
from maskfit.cli.predict import predict
from maskfit.data.detectors.yunet import OUTPUT_KINDS, STRIDES, YuNet
from maskfit.pretrained_weights import WeightsFile

SOURCE = Path(maskfit.__file__).parent

MAX_FILES = 33
"""Files of maskfit whose functions a predict of one photo may enter."""

MAX_PREDICTOR_CALLS = 2
"""Calls of functions of predictor.py from other files."""


class CallTrace:
    """Records which functions of maskfit run in any thread, without what runs while a module is imported."""

    def __init__(self) -> None:
        self.functions: dict[str, set[str]] = defaultdict(set)
        self.predictor_calls: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or not path.is_relative_to(SOURCE) or self._is_import(frame):
            return
        file = path.relative_to(SOURCE).as_posix()
        self.functions[file].add(frame.f_code.co_qualname)
        caller = frame.f_back
        if file == "inference/predictor.py" and (
            caller is None or caller.f_code.co_filename != frame.f_code.co_filename
        ):
            self.predictor_calls.append(frame.f_code.co_qualname)

    @staticmethod
    def _is_import(frame: FrameType) -> bool:
        current: FrameType | None = frame
        while current is not None:
            # Below the import system, and not only below the test run's own `<module>`.
            if current.f_code.co_filename.startswith("<frozen importlib"):
                return True
            current = current.f_back
        return False

    def __enter__(self) -> CallTrace:
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def write_yunet_stand_in(path: Path) -> None:
    """Writes a network with YuNet's input and outputs that detects a face in every cell of the coarsest map."""
    channels = dict(zip(OUTPUT_KINDS, (1, 1, 4, 10), strict=True))
    nodes = []
    for stride in STRIDES:
        score = 1.0 if stride == STRIDES[-1] else 0.0
        nodes += [
            helper.make_node("AveragePool", ["input"], [f"p{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("ReduceMean", [f"p{stride}"], [f"m{stride}"], axes=[1], keepdims=1),
            helper.make_node("Reshape", [f"m{stride}", "flat"], [f"f{stride}"]),
            helper.make_node("Mul", [f"f{stride}", "zero"], [f"z{stride}"]),
            helper.make_node("Constant", [], [f"c{stride}"], value_float=score),
            *(helper.make_node("Add", [f"z{stride}", f"c{stride}"], [f"{kind}_{stride}"]) for kind in ("cls", "obj")),
            *(
                helper.make_node("Concat", [f"z{stride}"] * channels[kind], [f"{kind}_{stride}"], axis=2)
                for kind in ("bbox", "kps")
            ),
        ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [
            helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, [1, f"cells{stride}", channels[kind]])
            for kind in OUTPUT_KINDS
            for stride in STRIDES
        ],
        [
            helper.make_tensor("flat", TensorProto.INT64, [3], [1, -1, 1]),
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.fixture
def yunet(tmp_path, monkeypatch):
    """YuNet as the default: its own code, a stand-in for its network."""
    path = tmp_path / "detectors" / "yunet_n_dynamic.onnx"
    path.parent.mkdir()
    write_yunet_stand_in(path)
    weights = WeightsFile(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "https://example.org/none")
    monkeypatch.setattr(YuNet, "published", weights)
    monkeypatch.setenv("MASKFIT_DETECTORS", str(path.parent))
    monkeypatch.setattr("maskfit.data.crops.face.find_local_detector", lambda: "yunet")


@pytest.fixture
def trace(photos, capsys, monkeypatch, tmp_path):
    """`trace(faces)` runs the command's function on one JPEG with the bundled model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SM_CHANNEL_MODEL", raising=False)
    photo = next(path for path in photos if path.suffix == ".jpg")

    def run(faces: str) -> CallTrace:
        with CallTrace() as calls:
            predict([str(photo)], faces=faces)
        assert str(photo) in capsys.readouterr().out
        return calls

    return run


@pytest.mark.parametrize("detector", ["local", "none", "yunet"])
def test_one_photo_enters_few_files_and_the_predictor_once(trace, detector, request):
    """Without a detector, with the default one, and with YuNet."""
    if detector == "yunet":
        request.getfixturevalue("yunet")
    calls = trace("whole" if detector == "none" else "auto")
    assert ("data/detectors/yunet.py" in calls.functions) == (detector == "yunet")
    assert len(calls.functions) <= MAX_FILES, sorted(calls.functions)
    assert len(calls.predictor_calls) <= MAX_PREDICTOR_CALLS, calls.predictor_calls
    # What must be there is seen: the trace covers the threads that read and predict.
    assert "OnnxEngine.logits" in calls.functions["inference/engines/engine.py"]
    assert "load_image" in calls.functions["inference/image_loading.py"]
    assert calls.predictor_calls == ["Predictor.load"]


def test_a_second_prediction_enters_no_more(trace):
    first, second = trace("auto"), trace("auto")
    assert set(second.functions) <= set(first.functions)
