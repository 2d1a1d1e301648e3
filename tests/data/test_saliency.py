"""Salient objects by a real, tiny ONNX network: what it is shown, what is refused, where its weights come from."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from maskfit.data import saliency
from maskfit.data.backgrounds import SaliencyBackground
from maskfit.data.crops.saliency import SaliencyCrop
from maskfit.data.pretrained_weights import SALIENCY_CACHE
from maskfit.data.saliency import IMAGENET_MEAN_STD, NETWORKS, SaliencyBased, SaliencyInputSpec, SaliencyNetwork
from maskfit.data.weight_pinning import check_pinned, pin_component
from maskfit.errors import DataError, RecipeError
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


# What is found


def test_the_object_is_found_at_the_networks_resolution(bright):
    shares = SaliencyBased().saliency_map(dark((48, 32, 96, 96)))
    assert shares is not None
    assert shares.shape == (64, 64)
    assert (shares[18:46, 18:30] > 250).all()
    assert (shares[:, 40:] < 5).all()


def test_the_crop_is_the_box_of_the_largest_region(bright):
    photo = dark((48, 32, 96, 96), (120, 8, 144, 20))
    cut = SaliencyCrop().box(photo, 0.75)
    assert cut.box == pytest.approx((48, 32, 96, 96), abs=3)
    assert not cut.fallback
    wide = SaliencyCrop(margin=0.25).box(photo, 0.75).box
    # 16 more on each side make 80 x 96, which 0.75 widens to 80 x 106.7.
    assert wide == pytest.approx((32, 10.7, 112, 117.3), abs=4)
    left, upper, right, lower = SaliencyCrop().box(photo, 2.0).box
    assert (right - left) / (lower - upper) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("level", [0, 40, 255])
def test_where_nothing_is_salient_the_photo_stays_whole(bright, level):
    photo = np.full((60, 80, 3), level, dtype=np.uint8)
    assert SaliencyBased().saliency_map(photo) is None
    cut = SaliencyCrop().box(photo, 80 / 60)
    assert (cut.box, cut.fallback) == ((0, 0, 80, 60), True)
    assert SaliencyBackground().remove_background(photo, cut) is photo


def test_a_crop_and_a_background_share_a_look(bright, monkeypatch):
    looks = []
    original = SaliencyNetwork._map
    monkeypatch.setattr(SaliencyNetwork, "_map", lambda self, photo: looks.append(1) or original(self, photo))
    photo = dark((48, 32, 96, 96))
    SaliencyBased().saliency_map(photo)
    before = len(looks)
    SaliencyBackground().remove_background(photo, SaliencyCrop().box(photo, 1.0))
    assert len(looks) == before
    SaliencyBased().saliency_map(photo[1:])
    assert len(looks) == before + 1


@pytest.mark.parametrize(("white", "brightest"), [("photo", 1.0), ("full", 100 / 255)])
def test_the_network_sees_pixels_as_its_authors_showed_them(tmp_path, monkeypatch, white, brightest):
    """Against a slow reference: level over white, less the mean, over the deviation."""
    seen = []

    def spy(session, blob, path, what, fix):
        seen.append(blob)
        return {"map": np.zeros((1, 1, 8, 8), dtype=np.float32)}

    monkeypatch.setattr(saliency, "run_session", spy)
    reading = SaliencyInputSpec(8, *IMAGENET_MEAN_STD, white, None)
    photo = np.zeros((8, 8, 3), dtype=np.uint8)
    photo[2, 3] = (100, 50, 25)
    SaliencyNetwork(reading, network(tmp_path / "n.onnx", "Sigmoid")).predict(photo)
    blob = seen[-1]
    assert blob.shape == (1, 3, 8, 8)
    assert blob.dtype == np.float32
    for channel, share in enumerate((1.0, 0.5, 0.25)):
        mean, std = IMAGENET_MEAN_STD[0][channel], IMAGENET_MEAN_STD[1][channel]
        assert blob[0, channel, 2, 3] == pytest.approx((share * brightest - mean) / std, abs=1e-5)
        assert blob[0, channel, 0, 0] == pytest.approx(-mean / std, abs=1e-5)


def test_a_file_of_a_fixed_size_says_its_size_itself(tmp_path, bright):
    assert SaliencyNetwork(NETWORKS["isnet"], bright)._size == (64, 64)


# What is refused


@pytest.mark.parametrize(
    ("kind", "shape", "said"),
    [
        ("Sigmoid", (1, 3, 16, 16), r"its first output is float32 \(1, 3, 16, 16\)"),
        ("GlobalAveragePool", (1, 3, 16, 16), r"its first output is float32 \(1, 3, 1, 1\)"),
        ("Sigmoid", (1, 1, 16, 16), "its input is"),
        ("Sigmoid", (1, 3), "its input is"),
    ],
)
def test_other_networks_are_refused(tmp_path, kind, shape, said):
    path = network(tmp_path / "other.onnx", kind, shape)
    with pytest.raises(DataError, match=said) as caught:
        SaliencyBackground(weights=str(path)).pinned()
    assert "the file is not a saliency network" in caught.value.message


def test_answers_without_a_sigmoid_are_refused(tmp_path):
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


def test_what_is_no_network_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(DataError, match="not an ONNX network"):
        SaliencyBackground(weights=str(tmp_path / "text.onnx")).pinned()
    with pytest.raises(DataError, match="weights file does not exist"):
        SaliencyBackground(weights=str(tmp_path / "none.onnx")).pinned()


# Where weights come from


def test_local_weights_are_recorded_by_content_and_kept(saliency_file, tmp_path):
    copy = tmp_path / "mine.onnx"
    copy.write_bytes(saliency_file.read_bytes())
    part = ComponentSpec.create("saliency", weights=str(copy))
    with pytest.raises(ValueError, match="not only by a path"):
        check_pinned(SaliencyBackground(weights=str(copy)))
    settled = pin_component(part, SaliencyBackground(weights=str(copy)))
    assert settled.options == {"weights": "mine.onnx", "sha256": sha256(saliency_file.read_bytes()).hexdigest()}
    copy.unlink()
    saliency._load.cache_clear()
    photo = dark((48, 32, 96, 96))
    assert SaliencyBackground(**settled.options).saliency_map(photo) is not None


def test_published_weights_are_fetched_once_from_their_address(saliency_file, monkeypatch, cache):
    """A file's address stands for the network's; the code that reads it is the same."""
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


def test_weights_that_cannot_be_had_say_where_to_get_them(monkeypatch):
    known = NETWORKS["u2netp"].published
    assert known is not None
    monkeypatch.setitem(
        NETWORKS, "u2netp", NETWORKS["u2netp"]._replace(published=known._replace(url="http://127.0.0.1:9/n"))
    )
    with pytest.raises(DataError, match=r"u2netp\.onnx cannot be downloaded") as caught:
        SaliencyBackground().pinned()
    assert "set MASKFIT_SALIENCY to that folder" in str(caught.value.hint)


def test_weights_with_another_content_are_refused(saliency_file, monkeypatch, tmp_path):
    (tmp_path / "u2netp.onnx").write_bytes(saliency_file.read_bytes())
    monkeypatch.setenv(SALIENCY_CACHE.env_var, str(tmp_path))
    with pytest.raises(DataError, match="damaged or a different one"):
        SaliencyBackground().pinned()


def test_tracer_needs_a_file():
    with pytest.raises(RecipeError, match="published for PyTorch only"):
        SaliencyBackground(net="tracer").pinned()


@pytest.mark.parametrize("net", [net for net, reading in NETWORKS.items() if reading.published])
def test_every_published_network_has_an_address_and_a_checksum(net):
    published = NETWORKS[net].published
    assert published is not None
    assert published.url.endswith(f"/{published.name}")
    assert len(bytes.fromhex(published.sha256)) == 32
