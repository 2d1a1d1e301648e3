"""Int8 conversions: made once from the first photos, run with an f32 twin, chosen where they pay."""

from __future__ import annotations

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

import maskfit.inference.engines.selection as choosing
from maskfit import cpu_features
from maskfit.data.image_decoding import decode
from maskfit.data.image_lists import ImageFolder
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, MissingExtraError, ModelFileError
from maskfit.inference.engines import int8_files, open_engine
from maskfit.inference.engines.int8_conversion import (
    MIN_CALIBRATION_PHOTOS,
    NUM_CALIBRATION_PHOTOS,
    convert_to_int8,
    lock_conversion,
    suits_int8,
)
from maskfit.inference.engines.int8_files import compiled_folder, find_int8
from maskfit.inference.engines.int8_origin import read_int8_origin
from maskfit.inference.engines.selection import (
    MIN_IMAGES_FOR_INT8_AVX2,
    MIN_IMAGES_FOR_THROUGHPUT_MODE,
    MIN_IMAGES_TO_QUANTIZE,
    MIN_IMAGES_TO_QUANTIZE_PLAIN,
    select_engine,
)
from maskfit.inference.export.fp16_weights import convert_weights_to_fp16
from maskfit.inference.export.onnx_graph import OnnxGraph
from maskfit.inference.predictor import Predictor
from maskfit.model_file import read_model_metadata
from maskfit.registry import ComponentSpec

INT8 = ComponentSpec.create("openvino", precision="int8")
MANY = -(-MIN_IMAGES_TO_QUANTIZE * choosing.REFERENCE_PIXELS // (32 * 24))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def vnni(monkeypatch):
    """A processor with VNNI and bf16, and no restriction."""
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: "AVX512_CORE_BF16")
    monkeypatch.setattr(choosing, "has_bf16", lambda: True)
    for name in cpu_features.ISA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_model_is_quantized_once_on_evenly_spaced_photos(model, folder, monkeypatch):
    read: list[str] = []
    original = type(read_model_metadata(model).preprocessing.crop_resize).read
    monkeypatch.setattr(
        "maskfit.data.preprocessing.CropResize.read",
        lambda self, photo: read.append(photo.name) or original(self, photo),
    )
    assert find_int8(model) is None
    said: list[str] = []
    made = convert_to_int8(model, ImageFolder(folder), said.append)
    assert sorted(read) == [f"{number:03}.png" for number in range(0, 3 * NUM_CALIBRATION_PHOTOS, 3)]
    assert len(said) == 1
    assert said[0].startswith(f"quantizing {model} to int8 once, calibrated on {NUM_CALIBRATION_PHOTOS} of the photos")
    assert convert_to_int8(model, ImageFolder(folder), said.append) == made == find_int8(model)
    assert (len(said), len(read)) == (1, NUM_CALIBRATION_PHOTOS)
    assert {node.op_type for node in onnx.load(made).graph.node} >= {"QuantizeLinear", "DequantizeLinear"}
    assert read_model_metadata(made) == read_model_metadata(model)
    assert read_int8_origin(made).photos == NUM_CALIBRATION_PHOTOS


def test_weights_in_fp16_are_quantized_like_those_in_f32(model, folder, tmp_path):
    """The bundled model stores its weights in fp16."""
    program = onnx.load(model)
    half = tmp_path / "half.onnx"
    half.write_bytes(convert_weights_to_fp16(program, read_model_metadata(model)).SerializeToString())
    names = [layer.node.op_type for layer in OnnxGraph(onnx.load(half)).convolutions]
    assert len(names) == len(OnnxGraph(onnx.load(model)).convolutions) > 2
    counts = [
        sum(node.op_type == "QuantizeLinear" for node in onnx.load(convert_to_int8(path, photos, print)).graph.node)
        for path in (model, half)
        for photos in [ImageFolder(folder)]
    ]
    assert counts[0] == counts[1] > 0


@pytest.mark.openvino
def test_int8_with_close_predictions_in_f32_predicts_as_f32(model, folder):
    photos = ImageFolder(folder)
    expected = Predictor.load(model, engine="openvino").predict(list(photos)).table
    said: list[str] = []
    for count in (len(photos), MIN_IMAGES_FOR_THROUGHPUT_MODE):
        predictor = Predictor.load(
            model, engine="openvino:precision=int8", num_images=count, photos=photos, log=said.append
        )
        assert predictor.engines == ("OpenVINO, f32 for the first images, then int8 where that is safe",)
        found = predictor.predict(list(photos)).table
        assert (found.predictions != expected.predictions).sum() <= 1
    assert len(said) == 1
    engine = predictor.members[0].engine
    frames = np.stack([engine.metadata.preprocessing.crop_resize.read(photo) for photo in photos])
    fast, exact, plain = (
        own.logits(frames) for own in (engine, engine.f32_twin, open_engine(model, engine="openvino"))
    )
    for head in fast:
        assert np.abs(exact[head] - plain[head]).max() < 1e-4
        assert np.abs(fast[head] - exact[head]).max() > 1e-4


@pytest.mark.openvino
def test_what_cannot_run_in_int8_is_refused_with_the_next_step(model, folder, tmp_path):
    with pytest.raises(ModelFileError, match="there is no int8 conversion of this model") as caught:
        open_engine(model, engine="openvino:precision=int8")
    assert "--engine openvino:precision=int8 calibrates one" in caught.value.hint
    assert "--calibrate PHOTOS does for serve and video" in caught.value.hint
    photos = list(ImageFolder(folder))
    with pytest.raises(DataError, match="calibrated on 16 photos or more, there are 15"):
        Predictor.load(model, engine="openvino:precision=int8", photos=photos[: MIN_CALIBRATION_PHOTOS - 1])
    unreadable = [Photo(tmp_path / f"{number}.jpg", f"{number}.jpg", f"{number}.jpg") for number in range(20)]
    with pytest.raises(DataError, match="no photo to calibrate on that can be read"):
        convert_to_int8(model, unreadable, print)
    assert find_int8(model) is None
    made = convert_to_int8(model, photos, print)
    made.write_bytes(made.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="this int8 conversion is damaged") as caught:
        open_engine(model, engine="openvino:precision=int8")
    assert caught.value.location == str(made)


@pytest.mark.openvino
@pytest.mark.parametrize("size", [0, 1000, -1])
def test_a_damaged_conversion_is_made_again(vnni, model, folder, size):
    photos, said = ImageFolder(folder), []
    made = convert_to_int8(model, photos, said.append)
    content = made.read_bytes()
    made.write_bytes(content[:size])
    # Where a new one does not pay, the model runs without it.
    few = select_engine(model, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, said.append, photos).engine
    assert few == ComponentSpec.create("openvino", precision="checked")
    assert select_engine(model, "auto", MANY, said.append, photos).engine == INT8
    assert made.read_bytes() == content
    made.write_bytes(content[:size])
    Predictor.load(model, engine="openvino:precision=int8", photos=photos, log=said.append)
    assert made.read_bytes() == content
    assert [line.partition(" ")[2][:10] for line in said[1::2]] == ["is damaged"] * 2


def test_a_second_process_says_what_it_waits_for_and_quantizes_nothing(model, folder):
    said: list[str] = []
    photos, expected = list(ImageFolder(folder)), int8_files.conversion_path(int8_files.content_hash(model))
    content = convert_to_int8(model, photos, print).read_bytes()
    expected.unlink()
    with ThreadPoolExecutor(1) as pool:
        with lock_conversion(expected, model, print):
            waiting = pool.submit(convert_to_int8, model, photos, said.append)
            while not said and not waiting.done():
                time.sleep(0.01)
            expected.write_bytes(content)
        assert waiting.result(timeout=60) == expected
    assert said == [f"another process is calibrating an int8 conversion of {model}; waiting until it is done"]


def test_a_model_in_int8_is_not_quantized_again(model, folder, tmp_path):
    again = tmp_path / "int8.onnx"
    again.write_bytes(convert_to_int8(model, ImageFolder(folder), print).read_bytes())
    assert not suits_int8(again)
    with pytest.raises(ModelFileError, match="this model is in int8 already"):
        convert_to_int8(again, ImageFolder(folder), print)
    assert find_int8(again) is None


@pytest.mark.openvino
def test_a_cache_that_cannot_be_written_is_named_and_auto_goes_without(vnni, model, folder, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="the cache folder cannot be written: Not a directory") as caught:
        convert_to_int8(model, ImageFolder(folder), print)
    assert caught.value.location == str(tmp_path / "file" / "maskfit" / "networks")
    said: list[str] = []
    chosen = select_engine(model, "auto", MANY, said.append, ImageFolder(folder)).engine
    assert chosen == ComponentSpec.create("openvino", precision="checked")
    assert "so it is not run in int8: the cache folder cannot be written" in said[-1]


def test_a_model_without_layers_to_quantize_is_refused(model, folder, tmp_path):
    program = onnx.load(model)
    for node in list(program.graph.node):
        if node.op_type == "Conv":
            # Weights that are computed.
            program.graph.node.insert(0, onnx.helper.make_node("Identity", [node.input[1]], [f"{node.input[1]}.copy"]))
            node.input[1] += ".copy"
    path = tmp_path / "none.onnx"
    onnx.save(program, path)
    with pytest.raises(ModelFileError, match="no layer of this network can be quantized"):
        convert_to_int8(path, ImageFolder(folder), print)
    assert find_int8(path) is None


def test_without_onnx_conversions_are_found_and_not_made(model, folder, monkeypatch):
    find = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
        with pytest.raises(MissingExtraError, match="a new int8 conversion needs the extra 'train'"):
            convert_to_int8(model, ImageFolder(folder), print)
    made = convert_to_int8(model, ImageFolder(folder), print)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
    assert convert_to_int8(model, ImageFolder(folder), print) == made


@pytest.mark.openvino
@pytest.mark.parametrize("resizer", [object(), None], ids=["fast", "without fast"])
def test_auto_takes_int8_where_it_pays_or_is_there(vnni, model, folder, monkeypatch, resizer):
    monkeypatch.setattr(choosing, "import_resizer", lambda: resizer)
    photos, said = ImageFolder(folder), []
    many = MANY if resizer else -(-MIN_IMAGES_TO_QUANTIZE_PLAIN * choosing.REFERENCE_PIXELS // (32 * 24))

    def choose(num_passes, **changes):
        return select_engine(model, "auto", num_passes, said.append, **{"photos": photos, **changes}).engine

    bf16 = ComponentSpec.create("openvino", precision="checked")
    assert choose(many - 1) == choose(many, photos=None) == bf16
    assert not said
    assert choose(many) == INT8
    assert "quantizing" in said[0]
    assert choose(MIN_IMAGES_FOR_THROUGHPUT_MODE) == INT8
    assert choose(MIN_IMAGES_FOR_THROUGHPUT_MODE - 1) == ComponentSpec.create("auto")
    assert choose(many, photos=None) == bf16
    assert len(said) == 1


@pytest.mark.openvino
def test_with_avx2_alone_auto_takes_int8_in_place_of_f32(vnni, model, folder, monkeypatch):
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: "AVX2")
    monkeypatch.setattr(choosing, "has_bf16", lambda: False)
    photos, f32 = ImageFolder(folder), ComponentSpec.create("openvino", precision="f32")
    # In place of f32 with and without approximate pixels.
    monkeypatch.setattr(choosing, "import_resizer", lambda: None)
    enough = MANY
    assert select_engine(model, "auto", enough - 1, print, photos).engine == f32
    assert select_engine(model, "auto", enough, print, photos).engine == INT8
    assert select_engine(model, "auto", MIN_IMAGES_FOR_INT8_AVX2, print, photos).engine == INT8
    assert select_engine(model, "auto", MIN_IMAGES_FOR_INT8_AVX2 - 1, print, photos).engine == f32
    assert select_engine(model, "openvino", enough, print, photos).engine == ComponentSpec.create("openvino")


@pytest.mark.openvino
def test_what_openvino_compiles_is_kept_and_made_again_where_it_is_damaged(model, folder, monkeypatch):
    photos = [photo.path for photo in ImageFolder(folder)]
    conversion = convert_to_int8(model, ImageFolder(folder), print)

    def logits() -> np.ndarray:
        engine = open_engine(model, engine="openvino:precision=int8,infer_batch_size=4")
        return engine.logits(
            np.stack([engine.metadata.preprocessing.crop_resize(decode(path)) for path in photos[:8]])
        )["age"]

    expected = logits()
    compiled = compiled_folder(conversion)
    assert compiled is not None
    (kept,) = compiled.iterdir()
    assert np.array_equal(logits(), expected)
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:-1000])
    assert np.array_equal(logits(), expected)
    monkeypatch.setattr(int8_files.os, "access", lambda path, mode: False)
    assert compiled_folder(conversion) is None
    assert np.array_equal(logits(), expected)


@pytest.mark.openvino
def test_auto_leaves_int8_where_it_was_not_measured_to_be_faster(vnni, model, folder, monkeypatch, tmp_path):
    photos = ImageFolder(folder)
    bf16 = ComponentSpec.create("openvino", precision="checked")
    smooth = tmp_path / "smooth.onnx"
    program = onnx.load(model)
    program.graph.node.append(onnx.helper.make_node("Sigmoid", ["a"], ["b"]))
    onnx.save(program, smooth)
    assert [suits_int8(path) for path in (model, smooth)] == [True, False]
    assert select_engine(smooth, "auto", MANY, print, photos).engine == bf16
    for level in ("AVX", "AVX512_CORE", None):
        monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda level=level: level)
        assert select_engine(model, "auto", MANY, print, photos).engine == bf16
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: "AVX512_CORE_BF16")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert select_engine(model, "auto", MANY, print, photos).engine == ComponentSpec.create("openvino", precision="f32")
    assert find_int8(model) is None


@pytest.mark.openvino
def test_what_cannot_be_quantized_is_run_in_bf16_and_said(vnni, model, folder, monkeypatch):
    def fail(*rest: object) -> Path:
        raise ValueError("no such layer\nand more")

    monkeypatch.setattr(choosing, "convert_to_int8", fail)
    said: list[str] = []
    chosen = select_engine(model, "auto", MANY, said.append, ImageFolder(folder)).engine
    assert chosen == ComponentSpec.create("openvino", precision="checked")
    assert said == ["it could not be quantized, so it is not run in int8: no such layer"]
