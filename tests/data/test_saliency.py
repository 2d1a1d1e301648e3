"""Tests of saliency networks with a tiny ONNX network: input, invalid networks, and where weights come from."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from maskfit.data import saliency
from maskfit.data.backgrounds import SaliencyBackground
from maskfit.data.crops.saliency import SaliencyCrop
from maskfit.data.saliency import IMAGENET_MEAN_STD, NETWORKS, SaliencyBased, SaliencyInputSpec, SaliencyNetwork
from maskfit.errors import DataError, RecipeError
from maskfit.pretrained_weights import SALIENCY_CACHE, check_pinned, pin_component
from maskfit.registry import ComponentSpec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(SALIENCY_CACHE.env_var, raising=False)
    saliency._load.cache_clear()
    return tmp_path / "cache" / "maskfit" / "saliency"


def dark(*bright: tuple[int, int, int, int], height: int = 128, width: int = 192) -> np.ndarray:
    photo = np.full((height, width, 3), 30, dtype=np.uint8)
    for left, upper, right, lower in bright:
        photo[upper:lower, left:right] = 250
    return photo


def network(path: Path, kind: str, shape: tuple[object, ...] = (1, 3, "h", "w"), out: str = "FLOAT") -> Path:
    """A network of one node."""
    sides = [
        helper.make_tensor_value_info("photos", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("map", getattr(TensorProto, out), None),
    ]
    node = helper.make_node(kind, ["photos"], ["map"])
    model = helper.make_model(
        helper.make_graph([node], "net", sides[:1], sides[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    save(model, path)
    return path


# Results


def test_saliency_map_has_the_networks_resolution(bright):
    saliency_map = SaliencyBased().saliency_map(dark((48, 32, 96, 96)))
    assert saliency_map is not None
    assert saliency_map.shape == (64, 64)
    assert (saliency_map[18:46, 18:30] > 250).all()
    assert (saliency_map[:, 40:] < 5).all()


def test_the_crop_is_the_box_of_the_largest_region(bright):
    photo = dark((48, 32, 96, 96), (120, 8, 144, 20))
    crop_box = SaliencyCrop().box(photo, 0.75)
    assert crop_box.box == pytest.approx((48, 32, 96, 96), abs=3)
    assert not crop_box.fallback
    wide = SaliencyCrop(margin=0.25).box(photo, 0.75).box
    # 16 more on each side make 80 x 96, which 0.75 widens to 80 x 106.7.
    assert wide == pytest.approx((32, 10.7, 112, 117.3), abs=4)
    left, upper, right, lower = SaliencyCrop().box(photo, 2.0).box
    assert (right - left) / (lower - upper) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("level", [0, 40, 255])
def test_without_a_salient_object_the_photo_is_kept(bright, level):
    photo = np.full((60, 80, 3), level, dtype=np.uint8)
    assert SaliencyBased().saliency_map(photo) is None
    crop_box = SaliencyCrop().box(photo, 80 / 60)
    assert (crop_box.box, crop_box.fallback) == ((0, 0, 80, 60), True)
    assert SaliencyBackground().remove_background(photo, crop_box) is photo


def test_crop_and_background_share_one_run(bright, monkeypatch):
    runs = []
    original = SaliencyNetwork._run
    monkeypatch.setattr(SaliencyNetwork, "_run", lambda self, photo: runs.append(1) or original(self, photo))
    photo = dark((48, 32, 96, 96))
    SaliencyBased().saliency_map(photo)
    before = len(runs)
    SaliencyBackground().remove_background(photo, SaliencyCrop().box(photo, 1.0))
    assert len(runs) == before
    SaliencyBased().saliency_map(photo[1:])
    assert len(runs) == before + 1


@pytest.mark.parametrize(("white", "brightest"), [("photo", 1.0), ("full", 100 / 255)])
def test_input_is_normalized_as_by_the_authors(tmp_path, monkeypatch, white, brightest):
    """Compares with a slow reference: (level / white - mean) / std."""
    seen = []

    def spy(session, blob, path, network, hint):
        seen.append(blob)
        return {"map": np.zeros((1, 1, 8, 8), dtype=np.float32)}

    monkeypatch.setattr(saliency, "run_session", spy)
    spec = SaliencyInputSpec(8, *IMAGENET_MEAN_STD, white, None)
    photo = np.zeros((8, 8, 3), dtype=np.uint8)
    photo[2, 3] = (100, 50, 25)
    SaliencyNetwork(spec, network(tmp_path / "n.onnx", "Sigmoid")).predict(photo)
    blob = seen[-1]
    assert blob.shape == (1, 3, 8, 8)
    assert blob.dtype == np.float32
    for channel, level in enumerate((1.0, 0.5, 0.25)):
        mean, std = IMAGENET_MEAN_STD[0][channel], IMAGENET_MEAN_STD[1][channel]
        assert blob[0, channel, 2, 3] == pytest.approx((level * brightest - mean) / std, abs=1e-5)
        assert blob[0, channel, 0, 0] == pytest.approx(-mean / std, abs=1e-5)


def test_a_fixed_input_size_overrides_the_spec(tmp_path, bright):
    assert SaliencyNetwork(NETWORKS["isnet"], bright)._size == (64, 64)


# Invalid networks


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("Sigmoid", (1, 3, 16, 16), r"its first output is float32 \(1, 3, 16, 16\)"),
        ("GlobalAveragePool", (1, 3, 16, 16), r"its first output is float32 \(1, 3, 1, 1\)"),
        ("Sigmoid", (1, 1, 16, 16), "its input is"),
        ("Sigmoid", (1, 3), "its input is"),
    ],
)
def test_other_networks_are_rejected(tmp_path, kind, shape, message):
    path = network(tmp_path / "other.onnx", kind, shape)
    with pytest.raises(DataError, match=message) as caught:
        SaliencyBackground(weights=str(path)).pinned()
    assert "the file is not a saliency network" in caught.value.message


def test_outputs_without_sigmoid_are_rejected(tmp_path):
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, planes, 16, 16])
        for name, planes in (("photos", 3), ("map", 1))
    ]
    node = helper.make_node("ReduceSum", ["photos", "axes"], ["map"], keepdims=1)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph([node], "net", sides[:1], sides[1:], initializer=[axes])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "sum.onnx")
    with pytest.raises(DataError, match="export it with its sigmoid"):
        SaliencyBackground(weights=str(tmp_path / "sum.onnx")).pinned()


def test_other_files_are_rejected(tmp_path):
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(DataError, match="not an ONNX network"):
        SaliencyBackground(weights=str(tmp_path / "text.onnx")).pinned()
    with pytest.raises(DataError, match="weights file does not exist"):
        SaliencyBackground(weights=str(tmp_path / "none.onnx")).pinned()


# Weights


def test_local_weights_are_pinned_and_cached(saliency_file, tmp_path):
    copy = tmp_path / "mine.onnx"
    copy.write_bytes(saliency_file.read_bytes())
    part = ComponentSpec.create("saliency", weights=str(copy))
    with pytest.raises(ValueError, match="not only by a path"):
        check_pinned(SaliencyBackground(weights=str(copy)))
    pinned = pin_component(part, SaliencyBackground(weights=str(copy)))
    assert pinned.options == {"weights": "mine.onnx", "sha256": sha256(saliency_file.read_bytes()).hexdigest()}
    copy.unlink()
    saliency._load.cache_clear()
    photo = dark((48, 32, 96, 96))
    assert SaliencyBackground(**pinned.options).saliency_map(photo) is not None


def test_published_weights_are_downloaded_once(saliency_file, monkeypatch, cache):
    """A file:// URL replaces the published one; the code that reads it is the same."""
    content = saliency_file.read_bytes()
    known = saliency._published("u2netp", sha256(content).hexdigest())._replace(url=saliency_file.as_uri())
    monkeypatch.setitem(NETWORKS, "u2netp", NETWORKS["u2netp"]._replace(published=known))
    assert SaliencyBackground().pinned()["weights"] == "u2netp.onnx"
    assert [path.read_bytes() for path in cache.iterdir()] == [content]
    monkeypatch.setitem(
        NETWORKS, "u2netp", NETWORKS["u2netp"]._replace(published=known._replace(url="http://127.0.0.1:9/n"))
    )
    saliency._load.cache_clear()
    assert SaliencyBackground().saliency_map(dark((48, 32, 96, 96))) is not None


def test_a_failed_download_gives_a_hint(monkeypatch):
    known = NETWORKS["u2netp"].published
    assert known is not None
    monkeypatch.setitem(
        NETWORKS, "u2netp", NETWORKS["u2netp"]._replace(published=known._replace(url="http://127.0.0.1:9/n"))
    )
    with pytest.raises(DataError, match=r"u2netp\.onnx are not on this machine, and cannot be downloaded") as caught:
        SaliencyBackground().pinned()
    assert "set MASKFIT_SALIENCY to the folder" in str(caught.value.hint)


def test_weights_with_a_wrong_checksum_are_rejected(saliency_file, monkeypatch, tmp_path):
    (tmp_path / "u2netp.onnx").write_bytes(saliency_file.read_bytes())
    monkeypatch.setenv(SALIENCY_CACHE.env_var, str(tmp_path))
    with pytest.raises(DataError, match="damaged or a different one"):
        SaliencyBackground().pinned()


def test_tracer_needs_a_file():
    with pytest.raises(RecipeError, match="published for PyTorch only"):
        SaliencyBackground(net="tracer").pinned()


@pytest.mark.parametrize("net", [net for net, spec in NETWORKS.items() if spec.published])
def test_every_published_network_has_a_url_and_a_checksum(net):
    published = NETWORKS[net].published
    assert published is not None
    assert published.url.endswith(f"/{published.name}")
    assert len(bytes.fromhex(published.sha256)) == 32
