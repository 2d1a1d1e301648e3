"""Export: every format is tried against torch before it takes its place, and answers as the model it came from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import maskfit
from maskfit.data.image_lists import find_images
from maskfit.errors import DataError, MaskfitError, MissingExtraError, ModelFileError
from maskfit.inference import export
from maskfit.inference.engines import open_engine
from maskfit.inference.engines.engine import TorchEngine
from maskfit.inference.engines.int8_origin import Int8Origin, describe_instructions, read_int8_origin
from maskfit.inference.export import EXPORTS, ExportFormat, export_model
from maskfit.inference.export.fp16_weights import convert_weights_to_fp16
from maskfit.inference.export.parity import compare, f32_rounding_error, random_inputs, read_frames
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import logits_to_probabilities
from maskfit.model_file import load_model, read_model_metadata, save_model
from maskfit.models.network import AgeRegressor

SERVING = Path(__file__).parents[2] / "docs" / "serving.md"


def _formats(names):
    """Parameters, of which OpenVINO's is skipped where it cannot compile."""
    return [pytest.param(name, marks=pytest.mark.openvino) if name == "openvino" else name for name in names]


SHRINKING = _formats(name for name, form in EXPORTS.items() if form.supports_compression)


@pytest.fixture
def few(photos):
    """The photos as `export_model` takes them."""
    return find_images(photos[0].parent)


@pytest.mark.parametrize("to", _formats(EXPORTS))
def test_every_format_answers_as_the_model_it_came_from(models, tmp_path, quick, photos, to):
    out = tmp_path / "new" / f"model{EXPORTS[to].suffix}"
    done = export_model(models["attributes"], out, to)
    assert sorted(out.parent.iterdir()) == sorted(done.files) == sorted(EXPORTS[to].files(out))
    assert done.bytes == sum(path.stat().st_size for path in done.files)
    assert done.compared_on == "4 random images"
    assert done.parity[0].max_difference < 1e-4
    assert (done.parity[0].num_changed, done.parity[0].num_images) == (0, 4)
    assert len(done.parity) == len(done.engines)
    assert read_model_metadata(out) == read_model_metadata(models["attributes"])
    # In batches of 3 and a rest of 2, so that a batch is seen to be of any size.
    expected = Predictor.load(models["attributes"], batch_size=3).predict(photos).table.probabilities
    found = Predictor.load(out, batch_size=3).predict(photos).table.probabilities
    assert np.abs(found - expected).max() < 1e-4
    assert np.ptp(expected, axis=0).max() > 0.05


@pytest.mark.parametrize("to", SHRINKING)
def test_eight_bits_answer_nearly_as_the_model(models, tmp_path, quick, few, to):
    out = tmp_path / f"model{EXPORTS[to].suffix}"
    done = export_model(models["attributes"], out, to, calibrate=few, photos=few)
    assert done.engines == EXPORTS[to].int8_engines()
    assert done.engines[0] == EXPORTS[to].engines[0]
    assert done.compared_on == "11 photos"
    # Some distance, or nothing was made coarser; little, or the ranges are wrong.
    for parity in done.parity:
        assert 1e-4 < parity.max_difference < 0.03
        assert parity.num_changed <= 2
    assert read_model_metadata(out) == read_model_metadata(models["attributes"])
    assert read_int8_origin(out) == Int8Origin(describe_instructions(), len(few))


@pytest.mark.parametrize("bf16", [False, True])
def test_bf16_is_compared_where_the_processor_multiplies_in_it(monkeypatch, bf16):
    monkeypatch.setattr("maskfit.inference.export.has_bf16", lambda: bf16)
    assert EXPORTS["openvino"].available_engines() == ("openvino", *["openvino:precision=bf16"] * bf16)
    assert EXPORTS["onnx"].available_engines() == ("onnx",)


def test_int8_is_timed_against_the_same_network_in_f32(models, tmp_path, quick, few):
    seen = []

    def compare_speed(int8, f32, engine):
        layers = [{node.op_type for node in onnx.load(path).graph.node} for path in (int8, f32)]
        seen.append((engine, ["QuantizeLinear" in kinds for kinds in layers]))
        return 1.7

    done = export_model(models["attributes"], tmp_path / "a.onnx", calibrate=few, compare_speed=compare_speed)
    assert seen == [(engine, [True, False]) for engine in done.engines]
    assert done.speedups == dict.fromkeys(done.engines, 1.7)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert not export_model(models["attributes"], tmp_path / "b.onnx", compare_speed=compare_speed).speedups


@pytest.mark.parametrize("to", SHRINKING)
def test_half_the_bits_answer_nearly_as_the_model(models, tmp_path, quick, few, to):
    whole = export_model(models["attributes"], tmp_path / f"whole{EXPORTS[to].suffix}", to)
    done = export_model(models["attributes"], tmp_path / f"half{EXPORTS[to].suffix}", to, half=True, photos=few)
    assert done.engines == EXPORTS[to].engines
    # Some distance, or nothing was halved; little, or a weight is another.
    assert 1e-6 < done.parity[0].max_difference < 0.02
    assert done.parity[0].num_changed == 0
    program = torch.onnx.export().model_proto  # what `quick` gives again
    halved = sum(int(np.prod(item.dims)) for item in program.graph.initializer if len(item.dims) >= 2)
    assert halved > 10_000
    # Weights stand in the last file; a layer that widens them takes a hundred bytes in it.
    less = whole.files[-1].stat().st_size - done.files[-1].stat().st_size
    assert less == pytest.approx(2 * halved, rel=0.1)
    assert read_model_metadata(done.files[0]) == read_model_metadata(models["attributes"])


def test_weights_that_sixteen_bits_cannot_hold_stay_as_they_are(exported):
    program = onnx.load(exported["attributes"])
    wide = [item for item in program.graph.initializer if len(item.dims) >= 2]
    values = {item.name: onnx.numpy_helper.to_array(item).copy() for item in wide}
    large, tiny, none = list(values)[:3]
    values[large].flat[0] = 70_000
    values[tiny] *= 1e-9
    values[none] *= 0
    for item in wide:
        item.CopyFrom(onnx.numpy_helper.from_array(values[item.name], item.name))
    halved = convert_weights_to_fp16(program, read_model_metadata(exported["attributes"]))
    kept = {item.name: onnx.numpy_helper.to_array(item) for item in halved.graph.initializer}
    for name, own in values.items():
        if name in (large, tiny, none):
            assert np.array_equal(kept[name], own)
        else:
            assert kept[f"{name}.half"].dtype == np.float16
            assert np.allclose(kept[f"{name}.half"], own, rtol=2**-11, atol=2**-25)
    onnx.checker.check_model(halved)


def test_the_first_convolutions_and_the_heads_keep_their_bits(models, tmp_path, quick, few):
    export_model(models["attributes"], tmp_path / "a.onnx", calibrate=few)
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    makers = {output: node.op_type for node in nodes for output in node.output}
    first, second, *others = [node for node in nodes if node.op_type == "Conv"]
    assert "DequantizeLinear" not in {makers.get(node.input[1]) for node in (first, second)}
    inside = [node for node in others if makers[node.input[0]] != "AveragePool"]
    assert len(inside) >= 3
    assert {makers[node.input[1]] for node in inside} == {"DequantizeLinear"}
    # ONNX Runtime would fuse the pooling before these into one that gives other numbers.
    assert "DequantizeLinear" not in {makers.get(node.input[1]) for node in others if node not in inside}
    heads = [node for node in nodes if node.op_type in ("Gemm", "MatMul")]
    assert heads
    assert "DequantizeLinear" not in {makers.get(node.input[1]) for node in heads}


def test_photos_that_set_ranges_are_not_those_that_are_compared_on(models, tmp_path, quick, few, monkeypatch):
    seen = {}

    def write(model, out, shrink):
        seen["calibrate"] = shrink.keywords["photos"]
        out.write_bytes(Path(model).read_bytes())

    monkeypatch.setitem(EXPORTS, "torch", ExportFormat(".safetensors", write, ("torch",)))
    done = export_model(models["mask"], tmp_path / "a.safetensors", "torch", calibrate=few)
    assert seen["calibrate"] == few[::2]
    assert done.compared_on == f"{len(few[1::2])} photos"


@pytest.mark.parametrize("name", ["attributes", "joint-decades"])
def test_probabilities_come_out_beside_the_logits(exported, photos, name):
    session = onnxruntime.InferenceSession(exported[name])
    facts = read_model_metadata(exported[name])
    frames = np.concatenate(list(read_frames(facts.preprocessing.crop_resize, find_images(photos[0].parent))))
    found = session.run(["probabilities"], {"frames": frames})[0]
    logits = dict(zip(facts.heads, session.run(list(facts.heads), {"frames": frames}), strict=True))
    assert found.shape == (len(photos), 18)
    assert np.abs(found - logits_to_probabilities(facts.label_schema, logits)).max() < 1e-5


def test_an_export_holds_the_facts_and_nothing_else(models, exported):
    for name, path in exported.items():
        assert read_model_metadata(path) == read_model_metadata(models[name])
        proto = onnx.load(path)
        assert [item.key for item in proto.metadata_props] == ["maskfit"]
        assert str(models[name]) not in str(proto)
        # torch's exporter notes where each layer stands in the code, on the machine that exports.
        assert not [word for word in (str(Path(maskfit.__file__).parent), "site-packages") if word in str(proto)]


@pytest.mark.openvino
def test_openvino_keeps_every_character_and_no_path(make, tmp_path, quick):
    about = 'ein Satz 😷 "&amp;" <b> \u2028 \x07 \\ end'
    model = make(tmp_path / "m.safetensors", description=about, scores={"f1": float("inf")})
    export_model(model, tmp_path / "out.xml", "openvino")
    assert read_model_metadata(tmp_path / "out.xml") == read_model_metadata(model)
    assert str(tmp_path) not in (tmp_path / "out.xml").read_text("utf-8")


def test_weights_alone_are_without_the_layer_of_years(models, tmp_path, photos):
    network, facts = load_model(models["attributes"])
    network.age_regressor = AgeRegressor(network.backbone.features)
    aged = save_model(
        tmp_path / "m.safetensors", network.state_dict(), facts.model_copy(update={"age_regression": True})
    )
    export_model(aged, tmp_path / "a.safetensors", "torch")
    assert read_model_metadata(tmp_path / "a.safetensors") == facts
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert not [name for name in file.keys() if name.startswith("age_regressor")]  # noqa: SIM118 (no mapping)


@pytest.mark.openvino
def test_what_answers_otherwise_takes_no_place(models, tmp_path, quick):
    """The export of one network, tried against another."""
    for path in (tmp_path / "a.xml", tmp_path / "a.bin"):
        path.write_text("the old file")
    with pytest.raises(MaskfitError, match="probabilities differ by") as caught:
        export_model(models["sibling"], tmp_path / "a.xml", "openvino")
    assert str(tmp_path / "a.xml") in str(caught.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ["a.xml", "a.bin"], "the old file"
    )


@pytest.mark.parametrize("bits", ["all", "half", "int8"])
def test_what_answers_nan_takes_no_place(models, tmp_path, few, monkeypatch, bits):
    def write(model, out, shrink):
        network, facts = load_model(model)
        save_model(out, {name: values * float("nan") for name, values in network.state_dict().items()}, facts)

    monkeypatch.setitem(EXPORTS, "torch", ExportFormat(".safetensors", write, ("torch",)))
    words = {"half": bits == "half", "calibrate": few if bits == "int8" else None}
    with pytest.raises(MaskfitError, match="differ by nan"):
        export_model(models["mask"], tmp_path / "a.safetensors", "torch", **words)
    assert list(tmp_path.iterdir()) == []


def test_on_noise_a_file_may_be_as_far_off_as_the_models_own_rounding(models, tmp_path, few, quick, monkeypatch):
    """A trained EfficientNet-B0 was refused for 2.3e-4 on noise, where torch itself rounds by 1.3e-4."""
    monkeypatch.setattr(export, "PARITY_TOLERANCE", -1.0)
    monkeypatch.setattr(export, "f32_rounding_error", lambda engine, frames: 1e-3)
    done = export_model(models["attributes"], tmp_path / "a.onnx")
    assert 0 <= done.parity[0].max_difference < 4e-3
    monkeypatch.setattr(export, "f32_rounding_error", lambda engine, frames: 0.0)
    with pytest.raises(MaskfitError, match="probabilities differ by"):
        export_model(models["attributes"], tmp_path / "b.onnx")
    # Photos are what the network was trained for: there no more is let pass.
    monkeypatch.setattr(export, "f32_rounding_error", lambda engine, frames: 1e-3)
    with pytest.raises(MaskfitError, match="probabilities differ by"):
        export_model(models["attributes"], tmp_path / "c.onnx", photos=few)


def test_another_network_is_seen_where_every_probability_is_near_one(models, tmp_path, monkeypatch):
    """Its answers on a few images of noise agree to 1e-4 by chance; its logits do not."""
    network, facts = load_model(models["mask"])
    certain = network.state_dict()
    bias = next(name for name in certain if name.startswith("head") and name.endswith("bias"))
    certain[bias] = certain[bias] + torch.tensor([40.0, 0, 0])
    path = save_model(tmp_path / "certain.safetensors", certain, facts)

    def write(model, out, shrink):
        save_model(out, {**certain, bias: certain[bias] + torch.tensor([0, 2.0, 0])}, facts)

    monkeypatch.setitem(EXPORTS, "torch", ExportFormat(".safetensors", write, ("torch",)))
    with pytest.raises(MaskfitError, match="logits differ by"):
        export_model(path, tmp_path / "a.safetensors", "torch")
    assert not (tmp_path / "a.safetensors").exists()


def test_rounding_grows_with_the_logits(models, tmp_path):
    network, facts = load_model(models["attributes"])
    frames = random_inputs(facts, 9)
    own = f32_rounding_error(TorchEngine(models["attributes"]), frames)
    assert 0 < own < 1e-6
    state = {name: values * (100 if name.startswith("head") else 1) for name, values in network.state_dict().items()}
    engine = TorchEngine(save_model(tmp_path / "wide.safetensors", state, facts))
    finest, plain = engine.logits_f64(frames), engine.logits(frames)
    for head, values in finest.items():
        assert values.dtype == np.float64
        assert 0 < np.abs(values - plain[head]).max() < 1e-5 * np.abs(values).max()
    assert f32_rounding_error(engine, frames) > 0


def test_what_was_compared_is_counted_right(models):
    """By hand, on two networks that answer differently."""
    one, other = open_engine(models["attributes"]), open_engine(models["sibling"])
    frames = random_inputs(one.metadata, 9)
    ours, theirs = (
        logits_to_probabilities(engine.metadata.label_schema, engine.logits(frames)) for engine in (one, other)
    )
    (found,) = compare([one, other], [frames[:5], frames[5:]])
    assert found.num_images == 9
    assert found.max_difference == pytest.approx(np.abs(ours - theirs).max(), abs=1e-5)
    assert found.num_changed == (ours.argmax(1) != theirs.argmax(1)).sum() > 0


def test_photos_that_cannot_be_read_are_left_out(models, tmp_path, photos):
    (tmp_path / "a.jpg").write_text("no photo")
    framing = read_model_metadata(models["mask"]).preprocessing.crop_resize
    (tmp_path / "b.png").write_bytes(photos[0].read_bytes())
    assert [batch.shape for batch in read_frames(framing, find_images(tmp_path))] == [(1, 32, 24, 3)]
    with pytest.raises(DataError, match="no photo to compare on"):
        compare([open_engine(models["mask"])], read_frames(framing, find_images(tmp_path)[:1]))


def test_the_noise_is_of_every_brightness(models):
    facts = read_model_metadata(models["decades"])
    means = random_inputs(facts, 4).mean(axis=(1, 2, 3))
    assert random_inputs(facts, 4).shape == (4, *facts.preprocessing.crop_resize.size, 3)
    assert (np.diff(means) > 20).all()


def test_other_endings_and_other_models_are_refused(make, models, exported, tmp_path, few):
    for to, form in EXPORTS.items():
        with pytest.raises(ModelFileError, match=rf"ends in \{form.suffix}"):
            export_model(models["mask"], tmp_path / "a.pb", to)
        with pytest.raises(ModelFileError, match="not weights to load"):
            export_model(exported["attributes"], tmp_path / f"a{form.suffix}", to)
        with pytest.raises(ModelFileError, match="no such model"):
            export_model(tmp_path / "absent.safetensors", tmp_path / f"a{form.suffix}", to)
    with pytest.raises(DataError, match="the format torch has no int8"):
        export_model(models["mask"], tmp_path / "a.safetensors", "torch", calibrate=few)
    with pytest.raises(DataError, match="the format torch has no half"):
        export_model(models["mask"], tmp_path / "a.safetensors", "torch", half=True)
    with pytest.raises(DataError, match="fp16 or in int8, not both"):
        export_model(models["mask"], tmp_path / "a.onnx", half=True, calibrate=few)
    with pytest.raises(DataError, match="too few photos"):
        export_model(models["mask"], tmp_path / "a.onnx", calibrate=few[:1])
    odd = make(tmp_path / "odd" / "m.safetensors", scheme=_called("frames"))
    with pytest.raises(ModelFileError, match="an attribute called 'frames'"):
        export_model(odd, tmp_path / "a.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["odd"]


def _called(name):
    from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

    return LabelSchema(attributes=(LABEL_SCHEMAS["mask"].attributes[0].model_copy(update={"name": name}),))


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "torch"])
def test_what_is_not_installed_is_named(models, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="needs the extra 'train'"):
        export_model(models["mask"], tmp_path / "a.onnx")


def _example(number):
    marker = "<!-- example: tests/inference/test_export.py runs this -->\n```python\n"
    return SERVING.read_text("utf-8").split(marker)[1 + number].split("```")[0]


def test_the_script_without_maskfit_answers_the_same(exported, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(exported["attributes"].read_bytes())
    code = _example(0)
    assert "maskfit " not in code
    for photo in photos:
        Image.open(photo).convert("RGB").save("door.png", exif=Image.open(photo).getexif())
        exec(compile(code.replace("door.jpg", "door.png"), "docs/serving.md", "exec"), {})
        _, _, share = next(iter(Predictor.load("model.onnx").predict([photo])))
        number = int(Predictor.load("model.onnx").predict([photo]).table.predictions[0])
        said = capsys.readouterr().out.split()
        assert int(said[0]) == number
        assert float(said[1]) == pytest.approx(share, abs=0.01)


def test_the_weights_load_into_plain_timm(make, tmp_path, monkeypatch, capsys):
    from maskfit.labels.schema import LABEL_SCHEMAS
    from maskfit.models.network import build_network
    from maskfit.registry import ComponentSpec

    facts = read_model_metadata(make(tmp_path / "m.safetensors")).model_copy(
        update={"backbone": ComponentSpec.create("mobilenetv3_small_050", pad_type="same")}
    )
    torch.manual_seed(0)
    network = build_network(facts.backbone, facts.head, LABEL_SCHEMAS["mask-gender-age"].sizes).eval()
    model = save_model(tmp_path / "m.safetensors", network.state_dict(), facts)
    export_model(model, tmp_path / "weights.safetensors", "torch")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(_example(1), "docs/serving.md", "exec"), names)
    photos = torch.randn(2, 3, 32, 24)
    with torch.inference_mode():
        assert torch.allclose(names["backbone"](photos), network.backbone(photos), atol=1e-5)


@pytest.fixture
def pair(models, tmp_path, quick):
    """An OpenVINO model, its `.xml` and its `.bin`."""
    return export_model(models["attributes"], tmp_path / "m.xml", "openvino").files


def _edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.openvino
def test_openvino_files_that_are_damaged_or_hostile_are_refused(pair):
    xml, weights = pair
    whole, values = xml.read_text("utf-8"), weights.read_bytes()
    weights.write_bytes(values[: len(values) // 2])
    with pytest.raises(ModelFileError, match="no network that OpenVINO can run"):
        open_engine(xml)
    weights.unlink()
    with pytest.raises(ModelFileError, match=r"put the \.bin into the folder of its \.xml"):
        open_engine(xml)
    weights.write_bytes(values)
    xml.write_text(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="invalid OpenVINO network description"):
        open_engine(xml)
    xml.write_text('<!DOCTYPE net [<!ENTITY a "aaaaaaaa">]>' + whole.split("?>", 1)[1])
    with pytest.raises(ModelFileError, match="declares a document type"):
        open_engine(xml)
    xml.write_text(whole)
    _edit(xml, "<maskfit ", "<other ")
    with pytest.raises(ModelFileError, match="not made by maskfit"):
        open_engine(xml)
    xml.write_text(whole)
    # Facts of another network: as many classes, of other heads.
    _edit(
        xml,
        "&quot;heads&quot;: [&quot;mask&quot;, &quot;gender&quot;, &quot;age&quot;]",
        "&quot;heads&quot;: [&quot;joint&quot;]",
    )
    with pytest.raises(ModelFileError, match="its metadata says"):
        open_engine(xml)


@pytest.mark.openvino
def test_only_the_facts_of_the_network_itself_count(pair):
    """The same words elsewhere in the description are a layer's, or anybody's."""
    xml, _ = pair
    text = xml.read_text("utf-8")
    start = text.index("<maskfit ")
    facts = text[start : text.index("/>", start) + 2]
    xml.write_text(text.replace(facts, f"<deeper>{facts}</deeper>"))
    with pytest.raises(ModelFileError, match="not made by maskfit"):
        read_model_metadata(xml)
