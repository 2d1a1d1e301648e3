"""Engines: torch and ONNX Runtime say the same of the same photos, and a foreign network is not run."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from maskfit import cpu_features
from maskfit.config import aliases
from maskfit.data.image_decoding import decode
from maskfit.errors import MaskfitError, MissingExtraError, ModelFileError, RecipeError
from maskfit.inference.engines import check_engine, open_engine
from maskfit.inference.engines.engine import OnnxEngine, TorchEngine
from maskfit.inference.engines.openvino import OpenvinoEngine
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS, softmax
from maskfit.model_file import ModelMetadata, load_model, read_model_metadata


def framed(facts: ModelMetadata, photos: list[Path]) -> np.ndarray:
    return np.stack([facts.preprocessing.crop_resize(decode(path)) for path in photos])


@pytest.mark.parametrize("kind", [OnnxEngine, pytest.param(OpenvinoEngine, marks=pytest.mark.openvino)])
@pytest.mark.parametrize("name", ["attributes", "joint-decades"])
def test_every_engine_agrees_with_torch_on_photos(models, exported, photos, name, kind):
    torch_engine, other = TorchEngine(models[name]), kind(exported[name])
    assert other.metadata == torch_engine.metadata
    batch = framed(torch_engine.metadata, photos)
    ours, theirs = torch_engine.logits(batch), other.logits(batch)
    assert list(ours) == list(theirs) == list(torch_engine.metadata.heads)
    for head, width in torch_engine.metadata.head_sizes.items():
        assert ours[head].shape == theirs[head].shape == (len(photos), width)
        assert ours[head].dtype == theirs[head].dtype == np.float32
        assert np.abs(softmax(ours[head]) - softmax(theirs[head])).max() < 1e-4
        # Agreement would say little if every photo gave the same.
        assert np.ptp(softmax(ours[head]), axis=0).max() > 0.05


@pytest.mark.parametrize("name", ["attributes", "joint-decades"])
def test_predictions_agree_from_photo_to_class(models, exported, photos, name):
    ours = Predictor.load(models[name]).predict(photos).table
    theirs = Predictor.load(exported[name]).predict(photos).table
    assert np.abs(ours.probabilities - theirs.probabilities).max() < 1e-4
    assert ours.probabilities.shape == (len(photos), 18)


def test_the_torch_engine_gives_the_networks_own_logits(models, photos):
    engine = TorchEngine(models["decades"], threads=1)
    network, facts = load_model(models["decades"])
    batch = framed(facts, photos)
    with torch.inference_mode():
        seen = torch.from_numpy(facts.preprocessing.normalization(batch))
        expected = {head: values.numpy() for head, values in network(seen).items()}
    found = engine.logits(batch)
    assert all(np.allclose(found[head], expected[head], atol=1e-5) for head in expected)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("kind", [OnnxEngine, pytest.param(OpenvinoEngine, marks=pytest.mark.openvino)])
def test_any_batch_and_any_number_of_threads(exported, photos, kind):
    engine = kind(exported["attributes"], threads=1)
    batch = framed(engine.metadata, photos)
    whole = engine.logits(batch)["mask"]
    apart = np.concatenate([engine.logits(batch[place : place + 1])["mask"] for place in range(len(batch))])
    assert np.allclose(whole, apart, atol=1e-5)
    if kind is OnnxEngine:
        assert engine.session.get_session_options().intra_op_num_threads == 1
    else:
        assert engine.compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize("kind", [OnnxEngine, pytest.param(OpenvinoEngine, marks=pytest.mark.openvino)])
def test_threads_may_share_an_engine(exported, photos, kind):
    engine = kind(exported["attributes"], threads=1)
    batch = framed(engine.metadata, photos)
    alone = engine.logits(batch)["age"]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(engine.logits, [batch] * 16))
    assert all(np.allclose(item["age"], alone, atol=1e-5) for item in shared)


def test_the_ending_says_which_engine(models, exported):
    assert isinstance(open_engine(models["mask"]), TorchEngine)
    assert isinstance(open_engine(exported["attributes"]), OnnxEngine)


@pytest.mark.openvino
def test_an_engine_may_be_named(models, exported, photos):
    engine = open_engine(exported["attributes"], engine="openvino:precision=bf16")
    assert isinstance(engine, OpenvinoEngine)
    half = open_engine(models["attributes"], engine="torch:precision=bf16")
    batch = framed(engine.metadata, photos)
    exact = open_engine(models["attributes"]).logits(batch)
    # Coarser, and not by much.
    for head, values in half.logits(batch).items():
        assert 0 < np.abs(values - exact[head]).max() < 0.1 * np.ptp(exact[head])
    found = Predictor.load(exported["attributes"], engine="openvino").predict(photos).table
    expected = Predictor.load(models["attributes"]).predict(photos).table
    assert np.abs(found.probabilities - expected.probabilities).max() < 1e-4


@pytest.mark.openvino
def test_a_checked_engine_has_an_exact_twin(models, exported, photos):
    exact = open_engine(models["attributes"])
    batch = framed(exact.metadata, photos)
    expected = exact.logits(batch)["age"]
    for kind, files in (("torch", models), ("openvino", exported)):
        engine = open_engine(files["attributes"], engine=f"{kind}:precision=checked")
        assert engine.f32_twin is not None
        assert np.abs(engine.f32_twin.logits(batch)["age"] - expected).max() < 1e-3
        assert engine.f32_twin.f32_twin is None
        assert engine.description != engine.f32_twin.description
    half = open_engine(models["attributes"], engine="torch:precision=bf16").logits(batch)["age"]
    checked = open_engine(models["attributes"], engine="torch:precision=checked").logits(batch)["age"]
    assert np.abs(half - expected).max() > 0
    assert np.array_equal(checked, half)


@pytest.mark.parametrize(
    "word",
    [
        "onnx:infer_batch_size={}",
        pytest.param("openvino:infer_batch_size={}", marks=pytest.mark.openvino),
        pytest.param("openvino:precision=checked,infer_batch_size={}", marks=pytest.mark.openvino),
    ],
)
def test_a_batch_is_split_and_padded_and_the_logits_stay(exported, photos, word):
    whole = open_engine(exported["attributes"], engine="onnx")
    batch = np.concatenate([framed(whole.metadata, photos)] * 3)[:7]
    expected = whole.logits(batch)
    for infer_batch_size in (1, 3, 7, 9):
        engine = open_engine(exported["attributes"], engine=word.format(infer_batch_size))
        engine = engine.f32_twin or engine
        for count in (7, 3, 1):
            for head, values in engine.logits(batch[:count]).items():
                assert values.shape == expected[head][:count].shape
                assert np.abs(values - expected[head][:count]).max() < 1e-4


def test_no_photos_at_once_are_refused(exported):
    for word in ("onnx:infer_batch_size=0", "openvino:infer_batch_size=-1"):
        with pytest.raises(MaskfitError, match="infer_batch_size must be >= 1"):
            open_engine(exported["attributes"], engine=word)


def test_what_does_not_fit_into_a_gpus_memory_is_halved(models, photos):
    engine = TorchEngine(models["attributes"])
    batch = framed(engine.metadata, photos)
    expected = engine.logits(batch)
    network, room, asked = engine.network, 3, []

    def small(pixels):
        asked.append(len(pixels))
        if len(pixels) > room:
            raise torch.OutOfMemoryError
        return network(pixels)

    engine.network = small
    found = engine.logits(batch)
    assert all(np.allclose(found[head], expected[head], atol=1e-5) for head in expected)
    assert max(asked) == len(batch) > room
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        engine.logits(batch)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("tensorrt", "there is no engine 'tensorrt'; known: auto, onnx, openvino, torch"),
        ("torch", r"the engine 'torch' runs \.safetensors, not '\.onnx'"),
        ("onnx:precision=bf16", "precision must be one of f32, int8, got bf16"),
        ("openvino:precision=int4", "precision must be one of f32, bf16, auto, checked, int8, got int4"),
        ("auto:threads=2", "there is no engine|has no option"),
        ("onnx:path=x", "has no option 'path'"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(exported, engine, said):
    with pytest.raises(MaskfitError, match=said):
        open_engine(exported["attributes"], engine=engine)


@pytest.mark.parametrize(
    ("engine", "hint"),
    [
        ("ONNXRuntime", "onnx"),
        ("ort", "onnx"),
        ("onxx", "onnx"),
        ("tensorrt", "auto"),
        ("int8", "onnx:precision=int8"),
        ("FP32", "onnx"),
        ("bf16", "openvino:precision=bf16"),
    ],
)
def test_an_engine_by_another_name_gets_the_next_step(exported, engine, hint):
    for check in (lambda: open_engine(exported["attributes"], engine=engine), lambda: check_engine(engine)):
        with pytest.raises(RecipeError) as error:
            check()
        assert error.value.hint == f"--engine {hint}"


@pytest.mark.openvino
def test_the_old_name_of_an_option_is_accepted_with_a_warning(exported, monkeypatch):
    monkeypatch.setattr(aliases, "_warned", set())
    with pytest.warns(FutureWarning, match="at_once is now .*infer_batch_size"):
        engine = open_engine(exported["attributes"], engine="openvino:at_once=3")
    assert engine.infer_batch_size == 3


def test_openvino_that_fails_under_a_restricted_instruction_set_names_the_variable(exported, monkeypatch):
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: "AVX512_CORE_BF16")
    monkeypatch.setattr(OpenvinoEngine, "_compile", _fail_to_compile)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with pytest.raises(ModelFileError, match=r"ONEDNN_MAX_CPU_ISA=AVX2(.|\n)*list is empty") as caught:
        open_engine(exported["attributes"], engine="openvino")
    assert caught.value.hint == "unset ONEDNN_MAX_CPU_ISA, or choose --engine onnx"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
    with pytest.raises(ModelFileError, match="list is empty") as caught:
        open_engine(exported["attributes"], engine="openvino")
    assert ".bin" in caught.value.hint


def _fail_to_compile(engine, *args):
    raise RuntimeError("Supported primitive descriptors list is empty for node: a type: Pooling")


def test_openvino_is_missed_in_plain_words(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="'openvino' needs the extra 'openvino'"):
        open_engine(exported["attributes"], engine="openvino")


def test_openvino_tells_nobody(exported):
    """Its package reports every import over the network, unless its telemetry is not there."""
    script = (
        "import sys; from maskfit.inference.engines.openvino import import_openvino as load; load('x');"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "openvino" in modules
    # The converter takes longer to import than all else, and absl, which it brings, takes over the program's logging.
    assert not {"openvino_telemetry", "openvino.tools.ovc", "absl"} & set(modules)


def test_openvinos_converter_is_there_for_who_asks_and_tells_nobody_either(exported):
    script = (
        "import sys; from maskfit.inference.engines.openvino import import_openvino as load; openvino = load('x');"
        f"print(openvino.convert_model({str(exported['attributes'])!r}).inputs);"
        "import openvino.tools.ovc; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "frames" in done.stdout
    assert "openvino.tools.ovc.telemetry_stub" in done.stdout
    assert "openvino_telemetry" not in done.stdout


def test_a_bad_name_is_said_before_torch_is_missed(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ModelFileError, match="there is no such model"):
        open_engine(tmp_path / "modle.onx")


MASK = ModelMetadata(
    label_schema=LABEL_SCHEMAS["mask"],
    backbone="small",
    head="multi_head",
    heads=("mask",),
    preprocessing={"crop_resize": {"size": (16, 8)}},
)
TWO = MASK.model_copy(update={"label_schema": LABEL_SCHEMAS["mask-gender"], "heads": ("mask", "gender")})


def make_onnx(
    path: Path,
    facts: ModelMetadata,
    *,
    photos=("batch", 3, 16, 8),
    name="photos",
    outputs=(("mask", 3),),
    batch="batch",
) -> Path:
    """A network that averages the normalised pixels and multiplies, as maskfit exported them before frames went in."""
    nodes = [
        helper.make_node("GlobalAveragePool", [name], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    constants = []
    for output, width in outputs:
        constants.append(numpy_helper.from_array(np.ones((3, width), np.float32), f"w_{output}"))
        nodes.append(helper.make_node("MatMul", ["flat", f"w_{output}"], [output]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, photos)]
    values = [helper.make_tensor_value_info(output, TensorProto.FLOAT, (batch, width)) for output, width in outputs]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, values, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    helper.set_model_props(model, facts.to_metadata())
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("kind", [OnnxEngine, pytest.param(OpenvinoEngine, marks=pytest.mark.openvino)])
def test_a_network_that_takes_normalised_photos_goes_on_working(tmp_path, kind):
    engine = kind(make_onnx(tmp_path / "a.onnx", MASK))
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 8, 3), dtype=np.uint8)
    expected = MASK.preprocessing.normalization(frames).mean((2, 3)).sum(1)
    assert np.allclose(engine.logits(frames)["mask"], expected[:, None].repeat(3, axis=1), atol=1e-4)


@pytest.mark.parametrize(
    ("facts", "changes", "said"),
    [
        (MASK, {"name": "frames"}, r"frames \(any x 3 x 16 x 8, float\)"),
        (MASK, {"name": "input"}, r"from input \(any x 3 x 16 x 8, float\)"),
        (MASK, {"photos": ("batch", 3, 8, 16)}, "3 x 8 x 16"),
        (MASK, {"photos": ("batch", 3, "height", "width")}, "3 x any x any"),
        (MASK, {"photos": (1, 3, 16, 8)}, "1 x 3 x 16 x 8"),
        (MASK, {"outputs": (("mask", 4),)}, r"mask \(any x 4, float\)"),
        (MASK, {"outputs": (("gender", 3),)}, r"gender \(any x 3, float\)"),
        (MASK, {"outputs": (("mask", 3), ("gender", 2))}, r"mask \(any x 3, float\), gender"),
        # 2 x 3 classes as 3 x 2: as many, and every one of them another.
        (TWO, {"outputs": (("mask", 2), ("gender", 3))}, r"mask \(any x 2, float\), gender \(any x 3, float\)"),
        (TWO, {"outputs": (("gender", 2), ("mask", 3))}, r"gender \(any x 2, float\), mask"),
    ],
)
def test_a_network_that_is_not_what_its_facts_say_is_refused(tmp_path, facts, changes, said):
    path = make_onnx(tmp_path / "a.onnx", facts, **changes)
    assert read_model_metadata(path) == facts
    with pytest.raises(ModelFileError, match=said) as caught:
        open_engine(path)
    assert str(path) in str(caught.value)


def test_a_network_that_fails_while_it_runs_is_said_to(tmp_path):
    path = make_onnx(tmp_path / "a.onnx", MASK)
    with pytest.raises(ModelFileError, match="the network cannot run"):
        OnnxEngine(path).logits(np.ones((2, 5, 5, 3), np.uint8))


@pytest.mark.parametrize("place", ["../secret.bin", "absolute"])
def test_a_network_cannot_read_files_beside_it(tmp_path, place):
    """Weights kept in another file are refused where that file lies outside of the model's own folder."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(9, np.float32).tobytes())
    folder = tmp_path / "inner"
    folder.mkdir()
    path = make_onnx(folder / "a.onnx", MASK)
    model = onnx.load(path)
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(secret) if place == "absolute" else place)
    path.write_bytes(model.SerializeToString())
    for kind in (OnnxEngine, OpenvinoEngine):
        with pytest.raises(ModelFileError, match="invalid ONNX network"):
            kind(path)
