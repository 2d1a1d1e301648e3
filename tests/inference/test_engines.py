"""Engines: torch and ONNX Runtime say the same of the same photos, and a foreign network is not run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from maskfit.data.decoding import decode
from maskfit.errors import ModelFileError
from maskfit.inference.engines import OnnxEngine, TorchEngine, open_engine
from maskfit.inference.predictor import Predictor
from maskfit.labels import SCHEMES, softmax
from maskfit.modelfile import ModelFacts, load_network, read_facts


def normalised(facts: ModelFacts, photos: list[Path]) -> np.ndarray:
    return np.concatenate([facts.preprocessing(decode(path)) for path in photos])


@pytest.mark.parametrize("name", ["attributes", "joint-decades"])
def test_onnx_and_torch_agree_on_photos(models, exported, photos, name):
    torch_engine, onnx_engine = TorchEngine(models[name]), OnnxEngine(exported[name])
    assert onnx_engine.facts == torch_engine.facts
    batch = normalised(torch_engine.facts, photos)
    ours, theirs = torch_engine.logits(batch), onnx_engine.logits(batch)
    assert list(ours) == list(theirs) == list(torch_engine.facts.heads)
    for head, width in torch_engine.facts.widths.items():
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
    network, facts = load_network(models["decades"])
    batch = normalised(facts, photos)
    with torch.inference_mode():
        expected = {head: values.numpy() for head, values in network(torch.from_numpy(batch)).items()}
    found = engine.logits(batch)
    assert all(np.allclose(found[head], expected[head], atol=1e-5) for head in expected)
    assert torch.get_num_threads() == 1


def test_onnx_takes_any_batch_and_any_number_of_threads(exported, photos):
    engine = OnnxEngine(exported["attributes"], threads=1)
    batch = normalised(engine.facts, photos)
    whole = engine.logits(batch)["mask"]
    apart = np.concatenate([engine.logits(batch[place : place + 1])["mask"] for place in range(len(batch))])
    assert np.allclose(whole, apart, atol=1e-5)
    assert engine.session.get_session_options().intra_op_num_threads == 1


def test_the_ending_says_which_engine(models, exported):
    assert isinstance(open_engine(models["mask"]), TorchEngine)
    assert isinstance(open_engine(exported["attributes"]), OnnxEngine)


def test_a_bad_name_is_said_before_torch_is_missed(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ModelFileError, match="there is no such model"):
        open_engine(tmp_path / "modle.onx")


MASK = ModelFacts(scheme=SCHEMES["mask"], backbone="small", head="attributes", heads=("mask",),
                  preprocessing={"framing": {"size": (16, 8)}})  # fmt: skip
TWO = MASK.model_copy(update={"scheme": SCHEMES["mask-gender"], "heads": ("mask", "gender")})


def make_onnx(path: Path, facts: ModelFacts, *, photos=("batch", 3, 16, 8), name="photos", kind=TensorProto.FLOAT,
              outputs=(("mask", 3),), batch="batch", input_used=True) -> Path:  # fmt: skip
    """A network that averages the pixels and multiplies; honest where nothing else is asked for."""
    nodes = [
        helper.make_node("GlobalAveragePool", [name], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    constants = []
    for output, width in outputs:
        constants.append(numpy_helper.from_array(np.ones((3, width), np.float32), f"w_{output}"))
        nodes.append(helper.make_node("MatMul", ["flat", f"w_{output}"], [output]))
    inputs = [helper.make_tensor_value_info(name, kind, photos)]
    values = [helper.make_tensor_value_info(output, TensorProto.FLOAT, (batch, width)) for output, width in outputs]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, values, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    helper.set_model_props(model, facts.to_metadata())
    onnx.save(model, path)
    return path


def test_an_honest_network_of_another_maker_runs(tmp_path):
    engine = OnnxEngine(make_onnx(tmp_path / "a.onnx", MASK))
    logits = engine.logits(np.ones((2, 3, 16, 8), np.float32))
    assert logits["mask"].tolist() == [[3.0] * 3] * 2


@pytest.mark.parametrize(
    ("facts", "changes", "said"),
    [
        (MASK, {"name": "input"}, r"from input \(any x 3 x 16 x 8\)"),
        (MASK, {"photos": ("batch", 3, 8, 16)}, "3 x 8 x 16"),
        (MASK, {"photos": ("batch", 3, "height", "width")}, "3 x any x any"),
        (MASK, {"photos": (1, 3, 16, 8)}, "1 x 3 x 16 x 8"),
        (MASK, {"outputs": (("mask", 4),)}, r"mask \(any x 4\)"),
        (MASK, {"outputs": (("gender", 3),)}, r"gender \(any x 3\)"),
        (MASK, {"outputs": (("mask", 3), ("gender", 2))}, r"mask \(any x 3\), gender"),
        # 2 x 3 classes as 3 x 2: as many, and every one of them another.
        (TWO, {"outputs": (("mask", 2), ("gender", 3))}, r"mask \(any x 2\), gender \(any x 3\)"),
        (TWO, {"outputs": (("gender", 2), ("mask", 3))}, r"gender \(any x 2\), mask"),
    ],
)
def test_a_network_that_is_not_what_its_facts_say_is_refused(tmp_path, facts, changes, said):
    path = make_onnx(tmp_path / "a.onnx", facts, **changes)
    assert read_facts(path) == facts
    with pytest.raises(ModelFileError, match=said) as caught:
        open_engine(path)
    assert str(path) in str(caught.value)


def test_a_network_that_fails_while_it_runs_is_said_to(tmp_path):
    path = make_onnx(tmp_path / "a.onnx", MASK)
    with pytest.raises(ModelFileError, match="its network cannot run"):
        OnnxEngine(path).logits(np.ones((2, 3, 5, 5), np.float32))


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
    with pytest.raises(ModelFileError, match="this is no ONNX network that can run"):
        OnnxEngine(path)
