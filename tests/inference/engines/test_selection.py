"""Which engine answers: by device, by what is installed, by the file, by how much there is to do."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import onnx
import pytest

import maskfit.inference.engines
import maskfit.inference.engines.selection as choosing
from maskfit import cpu_features
from maskfit.data.preprocessing import CropResize
from maskfit.errors import ModelFileError
from maskfit.inference.engines import onnx_conversion, open_engine, select_batch_size
from maskfit.inference.engines.engine import OnnxEngine, TorchEngine
from maskfit.inference.engines.int8_origin import INT8_KEY, Int8Origin
from maskfit.inference.engines.selection import (
    MIN_IMAGES_FOR_THROUGHPUT_MODE,
    MIN_IMAGES_TO_CONVERT,
    EngineChoice,
    configure_engine,
    select_continuous_engine,
    select_engine,
    select_num_streams,
    select_num_workers,
)
from maskfit.inference.predictor import Predictor
from maskfit.models.backbone_names import OWN_BACKBONES
from maskfit.registry import ComponentSpec, LazyComponent

BF16, F32 = ComponentSpec.create("openvino", precision="checked"), ComponentSpec.create("openvino", precision="f32")
REAL_LIMIT = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
QUIET = lambda line: None  # noqa: E731


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpu=..., bf16=..., openvino=...)`: what there is."""
    find = importlib.util.find_spec

    def make(gpu: bool = False, bf16: bool = True, openvino: bool = True, limit: str = "") -> None:
        monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: "AVX512_CORE_BF16")
        monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        for module in (choosing, onnx_conversion):
            monkeypatch.setattr(module, "has_gpu", lambda: gpu)
        monkeypatch.setattr(choosing, "has_bf16", lambda: bf16)
        spec = lambda name: (openvino or None) if name == "openvino" else find(name)  # noqa: E731
        monkeypatch.setattr(importlib.util, "find_spec", spec)

    return make


@pytest.mark.parametrize(
    ("file", "there", "expected"),
    [
        ("onnx", {}, BF16),
        ("onnx", {"bf16": False}, F32),
        ("onnx", {"openvino": False}, ComponentSpec.create("onnx")),
        ("onnx", {"limit": "AVX2"}, F32),
        ("onnx", {"limit": "AVX512_CORE_BF16"}, BF16),
        ("safetensors", {"limit": "AVX2"}, ComponentSpec.create("torch")),
        ("onnx", {"gpu": True}, BF16),
        ("safetensors", {}, ComponentSpec.create("torch")),
        ("safetensors", {"gpu": True}, ComponentSpec.create("torch", precision="checked")),
    ],
)
def test_many_photos(machine, models, exported, file, there, expected):
    machine(**there)
    path = (exported if file == "onnx" else models)["attributes"]
    choice = select_engine(path, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, QUIET)
    assert (choice.path, choice.engine) == (path, expected)
    assert choice.gpu == (file == "safetensors" and there.get("gpu", False))
    assert select_engine(path, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE - 1, QUIET).engine == ComponentSpec.create("auto")
    assert select_engine(path, "torch:precision=bf16", 10**6, QUIET).engine == ComponentSpec.create(
        "torch", precision="bf16"
    )


def test_under_a_restricted_instruction_set_openvino_computes_in_f32(machine):
    """Its oneDNN has no bf16 kernels then, whatever the processor has."""
    machine(limit="avx2")
    assert choosing._select_cpu_engine(Path("model.xml")) == F32


def test_eight_bits_stay_with_those_who_set_them(machine, tmp_path):
    machine()
    node = onnx.helper.make_node("QuantizeLinear", ["a", "b"], ["c"])
    program = onnx.helper.make_model(onnx.helper.make_graph([node], "network", [], []))
    path, lines = tmp_path / "small.onnx", []
    onnx.save(program, path)
    assert select_engine(path, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, lines.append).engine == ComponentSpec.create(
        "onnx"
    )
    assert not lines
    program.metadata_props.add(key=INT8_KEY, value=Int8Origin("AVX2", 100).to_json())
    onnx.save(program, path)
    select_engine(path, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, lines.append)
    (line,) = lines
    assert "calibrated on a processor with AVX2, this one has " in line


def test_a_model_that_is_not_there_is_said_to_be(machine, tmp_path):
    machine()
    for ending in ("onnx", "xml", "safetensors"):
        with pytest.raises(ModelFileError, match="there is no such model"):
            select_engine(tmp_path / f"absent.{ending}", "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, QUIET)


@pytest.mark.parametrize("content", [b"", b"no network"])
def test_a_file_that_is_no_network_is_said_to_be_none(machine, tmp_path, content):
    machine()
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="invalid ONNX network"):
        Predictor.load(path, num_images=MIN_IMAGES_FOR_THROUGHPUT_MODE, batch_size=None)


@pytest.mark.openvino
def test_weights_are_converted_once_where_it_pays(machine, models, exported, monkeypatch, tmp_path):
    import maskfit.inference.export

    made: list[Path] = []

    def export(model: Path, out: Path) -> None:
        made.append(out)
        out.write_bytes(exported["attributes"].read_bytes())

    machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(maskfit.inference.export, "export_model", export)
    model = models["attributes"]
    looks = -(-MIN_IMAGES_TO_CONVERT * choosing.REFERENCE_PIXELS // (32 * 24))
    said: list[str] = []
    assert select_engine(model, "auto", looks - 1, said.append) == EngineChoice(model, ComponentSpec.create("torch"))
    assert (made, said) == ([], [])
    choice = select_engine(model, "auto", looks, said.append)
    assert (choice.path, choice.engine) == (onnx_conversion.converted_path(model), BF16)
    assert "converting" in said[0]
    # What is there is taken, however little there is to do.
    assert select_engine(model, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, said.append) == choice
    assert (len(made), len(said)) == (1, 1)
    # Damaged weights in it would answer otherwise, and nobody would know.
    content = choice.path.read_bytes()
    choice.path.write_bytes(content[:4000] + bytes(400) + content[4400:])
    assert onnx_conversion.find_converted(model) == model
    assert select_engine(model, "auto", looks, said.append) == choice
    assert (len(made), choice.path.read_bytes() == content) == (2, True)
    assert {path.suffix for path in choice.path.parent.iterdir()} <= {".onnx", ".lock", ".used"}
    choice.path.write_bytes(choice.path.read_bytes()[:1000])
    assert select_engine(model, "auto", looks, said.append) == choice
    assert len(made) == 3
    # Opened for real, so under the instruction sets that this process really has.
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", REAL_LIMIT)
    assert Predictor.load(model, num_images=looks, batch_size=None).members[0].name == str(model)


def test_few_photos_take_a_conversion_that_is_there(machine, models, exported, monkeypatch, tmp_path):
    """Importing torch takes longer than everything else then."""
    machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = models["attributes"]
    assert isinstance(open_engine(model), TorchEngine)
    converted = onnx_conversion.converted_path(model)
    converted.parent.mkdir(parents=True)
    converted.write_bytes(exported["attributes"].read_bytes())
    assert isinstance(open_engine(model), OnnxEngine)
    assert isinstance(open_engine(model, engine="torch"), TorchEngine)
    assert Predictor.load(model).members[0].name == str(model)
    # Another content is another model, and a damaged conversion none.
    assert isinstance(open_engine(models["sibling"]), TorchEngine)
    converted.write_bytes(converted.read_bytes()[:1000])
    assert isinstance(open_engine(model), TorchEngine)
    converted.write_bytes(exported["attributes"].read_bytes())
    machine(gpu=True)
    assert isinstance(open_engine(model), TorchEngine)


@pytest.mark.parametrize("gpu", [False, True])
def test_what_runs_on_and_on_converts_weights_first(machine, models, exported, monkeypatch, tmp_path, gpu):
    import maskfit.inference.export

    machine(gpu=gpu, openvino=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    export = lambda model, out: out.write_bytes(exported["attributes"].read_bytes())  # noqa: E731
    monkeypatch.setattr(maskfit.inference.export, "export_model", export)
    model, said = models["attributes"], []
    for engine in ("torch", "auto", "auto"):
        assert select_continuous_engine([model, model], engine, said.append).name == engine
        assert onnx_conversion.find_converted(model) != model or gpu or engine == "torch"
    assert ["converting" in line for line in said] == ([] if gpu else [True])
    if not gpu:
        with pytest.raises(ModelFileError, match="there is no such model"):
            select_continuous_engine([tmp_path / "absent.safetensors"], "auto")


def test_weights_are_converted_before_torch_is_imported_for_few_photos(
    machine, models, exported, monkeypatch, tmp_path
):
    machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    export = lambda model, out: out.write_bytes(exported["attributes"].read_bytes())  # noqa: E731
    # Where torch is not imported, a process of its own exports.
    monkeypatch.setattr("maskfit.inference.export.export_process.export_in_process", export)
    model, said = models["attributes"], []
    for imported, engine in ((True, "auto"), (False, "torch"), (False, "auto"), (False, "auto")):
        monkeypatch.setattr(choosing, "_is_torch_imported", lambda imported=imported: imported)
        assert Predictor.load(model, engine=engine, log=said.append).members[0].name == str(model)
        assert bool(said) == (engine == "auto" and not imported)
    (line,) = said
    assert "converting" in line
    # An engine that runs no weights runs their conversion.
    assert isinstance(open_engine(model, engine="onnx"), OnnxEngine)


def test_what_cannot_be_converted_is_run_by_torch(machine, models, monkeypatch, tmp_path):
    import maskfit.inference.export

    def export(model: Path, out: Path) -> None:
        raise ValueError("no such layer\nand more")

    machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(maskfit.inference.export, "export_model", export)
    said: list[str] = []
    assert select_engine(models["joint"], "auto", 10**9, said.append).engine == ComponentSpec.create("torch")
    assert said[-1].endswith("torch runs the model: no such layer")
    # It is tried again with other packages only.
    assert select_engine(models["joint"], "auto", 10**9, said.append).engine == ComponentSpec.create("torch")
    assert len(said) == 2
    monkeypatch.setattr(choosing, "_describe_exporter", lambda: "torch 99")
    select_engine(models["joint"], "auto", 10**9, said.append)
    assert len(said) == 4


def test_what_a_killed_conversion_left_is_removed(machine, models, exported, monkeypatch, tmp_path):
    import maskfit.inference.export

    machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    export = lambda model, out: out.write_bytes(exported["attributes"].read_bytes())  # noqa: E731
    monkeypatch.setattr(maskfit.inference.export, "export_model", export)
    networks = tmp_path / "maskfit" / "networks"
    drafts = [
        networks / f".{name}.onnx.x1y2z3" / "draft"
        for name in (onnx_conversion.converted_path(models["joint"]).stem, "other")
    ]
    for draft in drafts:
        draft.mkdir(parents=True)
    select_engine(models["joint"], "auto", 10**9, lambda line: None)
    assert [draft.exists() for draft in drafts] == [False, True]


@pytest.mark.parametrize(
    ("executable", "is_frozen", "is_apart"),
    [("/usr/bin/python3", False, True), ("/usr/bin/uwsgi", False, False), ("", False, False), ("/python", True, False)],
)
def test_only_python_is_started_for_a_conversion(monkeypatch, tmp_path, executable, is_frozen, is_apart):
    """A program with Python inside would start itself again."""
    asked: list[str] = []
    monkeypatch.setattr(choosing, "_is_torch_imported", lambda: False)
    monkeypatch.setattr(
        "maskfit.inference.export.export_process.export_in_process", lambda model, out: asked.append("apart")
    )
    monkeypatch.setattr("maskfit.inference.export.export_model", lambda model, out: asked.append("here"))
    monkeypatch.setattr(sys, "executable", executable)
    if is_frozen:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    choosing._export(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    assert asked == ["apart" if is_apart else "here"]
    monkeypatch.setitem(OWN_BACKBONES, "mine", LazyComponent("maskfit.models.backbones:small_cnn"))
    choosing._export(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    assert asked[1:] == ["here"]


def test_a_full_disk_may_have_room_the_next_time(machine, models, monkeypatch, tmp_path):
    import maskfit.inference.export

    def export(model: Path, out: Path) -> None:
        raise OSError(28, "No space left on device")

    machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(maskfit.inference.export, "export_model", export)
    said: list[str] = []
    for _ in range(2):
        assert select_engine(models["joint"], "auto", 10**9, said.append).engine == ComponentSpec.create("torch")
    assert ["failed" in line for line in said] == [False, True] * 2


def test_without_a_cache_torch_runs_what_would_be_converted(machine, models, monkeypatch, tmp_path):
    machine()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    said: list[str] = []
    assert select_engine(models["joint"], "auto", 10**9, said.append).engine == ComponentSpec.create("torch")
    assert "the conversion failed, so torch runs the model: " in said[-1]


def test_lanes_and_batches(monkeypatch):
    monkeypatch.setattr(choosing, "available_cpus", lambda: 6)
    plain, gpu = EngineChoice(Path("a"), BF16), EngineChoice(Path("b"), ComponentSpec.create("torch"), gpu=True)
    assert [select_num_streams(kinds, MIN_IMAGES_FOR_THROUGHPUT_MODE) for kinds in ([plain], [plain, gpu])] == [6, 1]
    assert [select_num_workers(kinds, MIN_IMAGES_FOR_THROUGHPUT_MODE) for kinds in ([plain], [plain, gpu])] == [7, 1]
    assert (
        select_num_workers([plain], MIN_IMAGES_FOR_THROUGHPUT_MODE - 1)
        == select_num_streams([plain], MIN_IMAGES_FOR_THROUGHPUT_MODE - 1)
        == 1
    )
    sizes = [(8, 8), (112, 112), (224, 224), (448, 448), (2048, 2048)]
    framings = [[CropResize(size=size)] for size in sizes]
    assert [select_batch_size(framing, gpu=False) for framing in framings] == [64, 32, 8, 2, 1]
    assert [select_batch_size(framing, gpu=True) for framing in framings] == [1024, 1024, 256, 64, 4]
    assert select_batch_size([framings[0][0], framings[3][0]], gpu=False) == 2


def test_a_network_takes_as_many_at_once_as_it_likes_and_the_batch_divides_by(exported):
    path = exported["attributes"]  # of 32 x 24 pixels, where any number fits
    fitted = [
        configure_engine(EngineChoice(path, part), batch, MIN_IMAGES_FOR_THROUGHPUT_MODE)
        for part, batch in ((BF16, 8), (F32, 5), (ComponentSpec.create("onnx"), 1))
    ]
    assert [part.options["infer_batch_size"] for part in fitted] == [8, 5, 1]
    own = ComponentSpec.create("openvino", infer_batch_size=3)
    assert configure_engine(EngineChoice(path, own), 8, MIN_IMAGES_FOR_THROUGHPUT_MODE) == own
    assert configure_engine(EngineChoice(path, BF16), 8, MIN_IMAGES_FOR_THROUGHPUT_MODE - 1) == BF16
    assert configure_engine(
        EngineChoice(path, ComponentSpec.create("torch")), 8, MIN_IMAGES_FOR_THROUGHPUT_MODE
    ) == ComponentSpec.create("torch")


def test_of_large_photos_a_few_are_taken_at_once(exported, monkeypatch):
    monkeypatch.setattr(maskfit.inference.engines, "REFERENCE_PIXELS", 32 * 24)
    path = exported["attributes"]
    batches = (8, 7, 9, 2)
    assert [
        configure_engine(EngineChoice(path, BF16), batch, MIN_IMAGES_FOR_THROUGHPUT_MODE).options["infer_batch_size"]
        for batch in batches
    ] == [4, 1, 3, 2]
    assert [
        configure_engine(EngineChoice(path, F32), batch, MIN_IMAGES_FOR_THROUGHPUT_MODE).options["infer_batch_size"]
        for batch in batches
    ] == [2, 1, 1, 2]
