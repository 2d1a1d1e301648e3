"""Model files: what is written is read back, and whatever else bears their ending is refused in plain words."""

from __future__ import annotations

import json
import math
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import load_file, save_file

import maskfit.models.network
from maskfit.data.preprocessing import CropResize, Normalize, Preprocessing
from maskfit.errors import ModelFileError
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.model_file import (
    MAX_METADATA_BYTES,
    METADATA_KEY,
    ModelMetadata,
    load_model,
    read_model_metadata,
    save_model,
)
from maskfit.models.network import Network, build_network
from maskfit.registry import ComponentSpec

FULL = LABEL_SCHEMAS["mask-gender-age"]


def make_metadata(**changes: Any) -> ModelMetadata:
    schema = changes.pop("label_schema", FULL)
    defaults = {
        "label_schema": schema,
        "preprocessing": Preprocessing(crop_resize=CropResize(size=(40, 32))),
        "backbone": ComponentSpec.create("small", width=4),
        "head": ComponentSpec.create("multi_head"),
        "heads": schema.names,
    }
    return ModelMetadata(**{**defaults, **changes})


def make_network(metadata: ModelMetadata) -> Network:
    torch.manual_seed(3)
    return build_network(metadata.backbone, metadata.head, metadata.label_schema.sizes).eval()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small spend more time waiting for a second thread than on their work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return make_network(make_metadata()).state_dict()


@pytest.fixture(scope="module")
def written(tmp_path_factory, weights) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "best.safetensors", weights, make_metadata())


@pytest.fixture
def forged(tmp_path, weights) -> Callable[..., Path]:
    """Writes a file whose weights are right and whose metadata are not."""

    def forge(text: str, tensors: dict[str, torch.Tensor] | None = None) -> Path:
        path = tmp_path / "forged.safetensors"
        save_file(weights if tensors is None else tensors, path, {METADATA_KEY: text})
        return path

    return forge


def changed(path: str, value: Any) -> str:
    """Honest metadata as JSON with one value replaced; `path` has dots."""
    metadata = json.loads(make_metadata().to_metadata()[METADATA_KEY])
    inner = metadata
    *way, last = path.split(".")
    for key in way:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[last] = value
    return json.dumps(metadata)


METADATA = {
    "attributes": make_metadata(),
    "joint": make_metadata(head=ComponentSpec.create("single_head", dropout=0.3), heads=(JOINT_HEAD,)),
    "decades": make_metadata(label_schema=AgeLabelRule(by_decade=True, old_from_age=57.5).training_schema(FULL)),
    "all filled": make_metadata(
        preprocessing=Preprocessing(
            crop_resize=CropResize(
                crop=ComponentSpec.create("center", scale=0.8, shift=-0.1), size=(8, 4096), filter="bicubic"
            ),
            normalization=Normalize(mean=(0.1, 0.2, 0.3), std=(1, 2, 1e-3)),
        ),
        recipe={"name": "käse [bold]", "data": {"image_size": [1, 2], "cache_dir": None}, "lr": 1e-4},
        scores={"macro_f1": 1 / 3, "loss": math.inf},
        description="ein Satz 😷",
    ),
}


@pytest.mark.parametrize("name", METADATA)
def test_facts_and_weights_come_back(tmp_path, name):
    metadata = METADATA[name]
    network = make_network(metadata)
    path = save_model(tmp_path / "new" / "best.safetensors", network.state_dict(), metadata)
    assert read_model_metadata(path) == metadata
    assert read_model_metadata(str(path)) == metadata
    loaded, again = load_model(path)
    assert again == metadata
    assert not loaded.training
    before = network.state_dict()
    assert {key: torch.equal(value, before[key]) for key, value in loaded.state_dict().items()} == dict.fromkeys(
        before, True
    )
    photos = torch.randn(2, 3, 40, 32)
    with torch.inference_mode():
        assert all(torch.equal(values, network(photos)[head]) for head, values in loaded(photos).items())
    assert {head: values.shape[1] for head, values in loaded(photos).items()} == metadata.head_sizes
    assert [item.name for item in path.parent.iterdir()] == ["best.safetensors"]


def test_a_score_may_be_no_number(tmp_path, weights):
    """A model must not become unreadable because one of its scores was NaN."""
    path = save_model(tmp_path / "a.safetensors", weights, make_metadata(scores={"loss": math.nan, "f1": 0.5}))
    scores = read_model_metadata(path).scores
    assert math.isnan(scores["loss"])
    assert scores["f1"] == 0.5


def test_weights_that_share_memory_are_written(tmp_path, weights):
    shared = torch.randn(4, 4)
    path = save_model(tmp_path / "a.safetensors", {"a": shared, "b": shared, "c": shared.t()}, make_metadata())
    assert torch.equal(load_file(path)["c"], shared.t())


@pytest.mark.parametrize(
    "backbone",
    [
        "test_resnet",
        "test_efficientnet",
        "test_vit",
        "test_nfnet",
        "test_convnext",
        "test_byobnet",
        "efficientnet_b2_pruned",  # of the recipe level1-06; timm creates its layers twice
    ],
)
def test_timm_networks_come_back(tmp_path, backbone):
    """Each is drafted without memory before it is built, which a network may resist."""
    metadata = make_metadata(
        backbone=ComponentSpec.create(backbone), preprocessing=Preprocessing(crop_resize=CropResize(size=(160, 160)))
    )
    network = make_network(metadata)
    loaded, _ = load_model(save_model(tmp_path / "a.safetensors", network.state_dict(), metadata))
    photos = torch.randn(1, 3, 160, 160)
    with torch.inference_mode():
        assert torch.allclose(loaded(photos)["mask"], network(photos)["mask"], atol=1e-6)


def test_a_write_that_fails_leaves_the_old_model(tmp_path, weights):
    path = save_model(tmp_path / "best.safetensors", weights, make_metadata())
    before = path.read_bytes()
    metadata = SimpleNamespace(to_metadata=lambda: {METADATA_KEY: 3})
    with pytest.raises(TypeError):
        save_model(path, {"other": torch.zeros(2)}, metadata)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["best.safetensors"]


def test_facts_need_no_torch_and_weights_say_that_they_do(written):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from maskfit.model_file import read_model_metadata, load_model\n"
        f"print(read_model_metadata({str(written)!r}).heads)\n"
        f"try: load_model({str(written)!r})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "('mask', 'gender', 'age')" in done.stdout
    assert "MissingExtraError" in done.stdout
    assert "pip install 'maskfit[train]'" in done.stdout


def _header(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


FOREIGN: dict[str, tuple[str, Callable[[Path, bytes], object], str]] = {
    "missing": ("a.safetensors", lambda path, good: None, "there is no such model"),
    "missing onnx": ("a.onnx", lambda path, good: None, "there is no such model"),
    "missing and without an ending": ("a", lambda path, good: None, "there is no such model"),
    "empty": ("a.safetensors", lambda path, good: path.write_bytes(b""), "invalid safetensors file"),
    "empty onnx": ("a.onnx", lambda path, good: path.write_bytes(b""), "invalid ONNX network"),
    "folder": ("a.safetensors", lambda path, good: path.mkdir(), "this is not a file"),
    "onnx folder": ("a.onnx", lambda path, good: path.mkdir(), "this is not a file"),
    "text": ("a.safetensors", lambda path, good: path.write_text("hello, world"), "invalid safetensors file"),
    "text onnx": ("a.onnx", lambda path, good: path.write_text("hello, world"), "invalid ONNX network"),
    "cut in its weights": (
        "a.safetensors",
        lambda path, good: path.write_bytes(good[:-100]),
        "invalid safetensors file",
    ),
    "cut in its header": ("a.safetensors", lambda path, good: path.write_bytes(good[:300]), "invalid safetensors file"),
    "longer than it says": (
        "a.safetensors",
        lambda path, good: path.write_bytes(good + b"x"),
        "invalid safetensors file",
    ),
    "header of terabytes": (
        "a.safetensors",
        lambda path, good: path.write_bytes(struct.pack("<Q", 2**43) + b"{}"),
        "header too large",
    ),
    "header past its end": (
        "a.safetensors",
        lambda path, good: path.write_bytes(struct.pack("<Q", 90_000_000) + b"{}"),
        "header length",
    ),
    "tensor of terabytes": (
        "a.safetensors",
        lambda path, good: path.write_bytes(
            _header(json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode())
        ),
        "invalid safetensors file",
    ),
    "header that is no JSON": (
        "a.safetensors",
        lambda path, good: path.write_bytes(_header(b"{oops      }")),
        "invalid safetensors file",
    ),
    "foreign": (
        "a.safetensors",
        lambda path, good: save_file({"a": torch.zeros(2)}, path, {"format": "pt"}),
        "not made by maskfit",
    ),
    "foreign, no metadata": (
        "a.safetensors",
        lambda path, good: save_file({"a": torch.zeros(2)}, path),
        "not made by maskfit",
    ),
    "checkpoint": ("last.ckpt", lambda path, good: torch.save({}, path), "ends in .* got '.ckpt'"),
    "state dict": ("a.pt", lambda path, good: torch.save({}, path), "never opened"),
    "state dict renamed": ("a.safetensors", lambda path, good: torch.save({}, path), "invalid safetensors file"),
    "safetensors as onnx": ("a.onnx", lambda path, good: path.write_bytes(good), "invalid ONNX network"),
}
"""Files by what is the matter with them: a name, how it is made (from an honest file's bytes), and what is message."""


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("read", [read_model_metadata, load_model])
def test_what_is_no_model_is_refused(tmp_path, written, read, name):
    ending, make, message = FOREIGN[name]
    make(tmp_path / ending, written.read_bytes())
    with pytest.raises(ModelFileError, match=message) as caught:
        read(tmp_path / ending)
    assert str(tmp_path / ending) in str(caught.value)
    assert "next:" in str(caught.value)


HOSTILE: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "invalid JSON"),
    "no object": ("3", "valid dictionary|object"),
    "nothing": ("", "invalid JSON"),
    "nested deeply": ("[" * 2_000_000, "nests too deep"),
    "nested deeply in the recipe": (
        changed("recipe", 0).replace('"recipe": 0', '"recipe": ' + '{"a":' * 500_000),
        "nests too deep",
    ),
    "huge": (changed("description", "x" * MAX_METADATA_BYTES), "the metadata has .* bytes, more than"),
    "of a newer format": (changed("format", 2), "newer maskfit"),
    "an unknown key": (changed("code", "import os"), "code: there is no such key"),
    "a million classes": (
        changed("label_schema.attributes", [{"name": f"a{n}", "values": list("0123456789")} for n in range(6)]),
        "1000000 classes are more than 100,000",
    ),
    "a million values": (
        changed("label_schema.attributes.0.values", [str(n) for n in range(100_000)]),
        "label_schema.attributes.0.values",
    ),
    "no attributes": (changed("label_schema.attributes", []), "label_schema.attributes"),
    "an attribute called joint": (
        changed("label_schema.attributes.0.name", JOINT_HEAD),
        "attribute name 'joint' is reserved",
    ),
    "a size of 100000": (changed("preprocessing.crop_resize.size", [100_000, 100_000]), "4096"),
    "a size of 0": (changed("preprocessing.crop_resize.size", [0, 32]), "preprocessing.crop_resize.size.0"),
    "an unknown crop": (changed("preprocessing.crop_resize.crop", "os.system"), "'os.system' is unknown"),
    "a crop out of range": (changed("preprocessing.crop_resize.crop", {"name": "center", "scale": 7}), "in \\(0, 1\\]"),
    "a crop of text": (changed("preprocessing.crop_resize.crop", {"name": "center", "scale": "x"}), "center:"),
    "a crop with strange options": (
        changed("preprocessing.crop_resize.crop", {"name": "resize", "a": 1}),
        "no option 'a'",
    ),
    "an unknown filter": (changed("preprocessing.crop_resize.filter", "magic"), "preprocessing.crop_resize.filter"),
    "a std of 0": (changed("preprocessing.normalization.std", [0, 1, 1]), "preprocessing.normalization.std.0"),
    "a std that divides to infinity": (changed("preprocessing.normalization.std", [1e-320, 1, 1]), "not finite"),
    "a mean of NaN": (changed("preprocessing.normalization.mean", [math.nan, 0, 0]), "not finite|finite number"),
    "a mean beyond floats": (changed("preprocessing.normalization.mean", [1e300, 0, 0]), "not finite"),
    "too few heads": (changed("heads", ["mask"]), "do not match the attributes"),
    "heads in another order": (changed("heads", ["gender", "mask", "age"]), "do not match the attributes"),
    "joint and more": (changed("heads", [JOINT_HEAD, "mask"]), "do not match the attributes"),
    "no heads": (changed("heads", []), "heads"),
}
"""Facts by what is the matter with them, and what is message."""


@pytest.mark.parametrize("name", HOSTILE)
def test_facts_that_are_wrong_are_refused(forged, name):
    text, message = HOSTILE[name]
    with pytest.raises(ModelFileError, match=message) as caught:
        read_model_metadata(forged(text))
    assert len(str(caught.value)) < 2000, "what a hostile file says must not flood the terminal"


def test_a_message_about_facts_is_short(forged):
    with pytest.raises(ModelFileError) as caught:
        read_model_metadata(forged(changed("heads", ["x" * 100_000] * 16)))
    assert len(str(caught.value)) < 2000


BUILT: dict[str, tuple[str, str]] = {
    "no such backbone": (changed("backbone", "smal"), "did you mean 'small'"),
    "a path as backbone": (changed("backbone", "hf-hub:someone/else"), "is unknown"),
    "pretrained": (changed("backbone", {"name": "resnet18", "pretrained": True}), "option pretrained may not be set"),
    "a checkpoint": (
        changed("backbone", {"name": "resnet18", "checkpoint_path": "/etc/passwd"}),
        "checkpoint_path may not be set",
    ),
    "a configuration": (
        changed("backbone", {"name": "resnet18", "pretrained_cfg": {"url": "http://localhost:9"}}),
        "cfg may not be set",
    ),
    "an overlay": (
        changed("backbone", {"name": "resnet18", "pretrained_cfg_overlay": {"file": "x.pt"}}),
        "overlay may not be set",
    ),
    "weights of its own": (changed("backbone", {"name": "small", "weights": "x.pt"}), "no option 'weights'"),
    "an option of a dunder": (changed("backbone", {"name": "small", "__class__": "x"}), "no option '__class__'"),
    "a width of text": (changed("backbone", {"name": "small", "width": "x"}), "small:"),
    "a width of a million": (changed("backbone", {"name": "small", "width": 10**6}), "larger than 100,000"),
    "a width just allowed": (changed("backbone", {"name": "small", "width": 10**5}), "do not match the network"),
    "a width beyond floats": (changed("backbone", {"name": "small", "width": 10**400}), "larger than 100,000"),
    "a billion layers": (changed("backbone", {"name": "small", "width": 4, "blocks": 10**9}), "larger than 100,000"),
    "many layers": (changed("backbone", {"name": "small", "width": 4, "blocks": 10**5}), "more layers than"),
    "many blocks of a transformer": (changed("backbone", {"name": "test_vit", "depth": 10**5}), "more layers than"),
    "a size in a list": (changed("backbone", {"name": "test_vit", "img_size": [160, 10**7]}), "larger than 100,000"),
    "a size in a mapping": (changed("backbone", {"name": "test_vit", "a": {"b": [-1e9]}}), "larger than 100,000"),
    "no such head": (changed("head", "multi_hed"), "did you mean 'multi_head'"),
    "another head": (changed("head", "single_head"), "do not match the network"),
}
"""Facts that can be read, of networks that must not be built, and what is message."""


@pytest.mark.parametrize("name", BUILT)
def test_networks_that_do_not_fit_are_refused_before_they_take_memory(forged, monkeypatch, name):
    text, message = BUILT[name]
    real: list[str] = []

    def build(*parts: Any, **options: Any) -> Network:
        network = build_network(*parts, **options)
        real.extend(name for name, value in network.state_dict().items() if not value.is_meta)
        return network

    monkeypatch.setattr(maskfit.models.network, "build_network", build)
    with pytest.raises(ModelFileError, match=message):
        load_model(forged(text))
    assert real == []


def test_a_head_that_answers_for_something_else_is_refused(tmp_path):
    metadata = make_metadata(label_schema=LABEL_SCHEMAS["mask"])
    weights = make_network(metadata).state_dict()
    path = save_model(tmp_path / "a.safetensors", weights, metadata.model_copy(update={"heads": (JOINT_HEAD,)}))
    assert read_model_metadata(path).heads == (JOINT_HEAD,)
    with pytest.raises(ModelFileError, match="the network has the heads"):
        load_model(path)


@pytest.mark.parametrize("name", ["missing", "surplus", "shape"])
def test_weights_that_do_not_fit_are_refused(tmp_path, weights, name):
    odd = "head.layers.0.1.weight"
    changes = {
        "missing": {},
        "surplus": {**weights, "odd": torch.zeros(1)},
        "shape": {**weights, odd: torch.zeros(3, 7)},
    }
    changes["missing"] = {key: value for key, value in weights.items() if key != odd}
    path = save_model(tmp_path / "a.safetensors", changes[name], make_metadata())
    with pytest.raises(ModelFileError, match="1 weight does not match the network"):
        load_model(path)


class Mine:
    """Leaves a marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("ending", ["safetensors", "onnx", "pt", "ckpt", "pkl"])
@pytest.mark.parametrize("kind", ["pickle", "torch", "in metadata"])
def test_nothing_is_unpickled(tmp_path, ending, kind):
    marker, path = tmp_path / "marker", tmp_path / f"a.{ending}"
    if kind == "torch":
        torch.save({"state_dict": Mine(marker)}, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Mine(marker)))
    else:
        save_file({"a": torch.zeros(1)}, path, {METADATA_KEY: pickle.dumps(Mine(marker), protocol=0).decode("latin-1")})
    for read in (read_model_metadata, load_model):
        with pytest.raises(ModelFileError):
            read(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Mine(marker)))
    assert marker.exists(), "the trap works"


def make_onnx(path: Path, metadata: dict[str, str]) -> Path:
    """The smallest ONNX network there is."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("photos", "mask")]
    graph = helper.make_graph([helper.make_node("Identity", ["photos"], ["mask"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def test_onnx_files_hold_the_same_facts(tmp_path):
    metadata = METADATA["all filled"]
    path = make_onnx(tmp_path / "a.onnx", metadata.to_metadata())
    assert read_model_metadata(path) == metadata
    with pytest.raises(ModelFileError, match="not weights to load"):
        load_model(path)
    with pytest.raises(ModelFileError, match="not made by maskfit"):
        read_model_metadata(make_onnx(tmp_path / "b.onnx", {"producer": "else"}))
    with pytest.raises(ModelFileError, match="damaged or from a newer"):
        read_model_metadata(make_onnx(tmp_path / "c.onnx", {METADATA_KEY: "{}"}))


def test_any_damage_is_refused_or_harmless(tmp_path, written):
    """Random bytes of an honest file are changed: whatever comes of it, nothing but a ModelFileError escapes."""
    good = written.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "a.safetensors"
    outcomes = set()
    for _ in range(150):
        bad = bytearray(good)
        for place in rng.integers(0, 6000, rng.integers(1, 4)):
            bad[place] = rng.integers(0, 256)
        path.write_bytes(bad)
        try:
            load_model(path)
            outcomes.add("loaded")
        except ModelFileError:
            outcomes.add("refused")
    assert "refused" in outcomes
