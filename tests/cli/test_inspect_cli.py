"""`maskfit inspect`: page, table, graphs, errors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata, save_model
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec

pytest.importorskip("pytorch_grad_cam")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    schema = LABEL_SCHEMAS["mask-gender-age"]
    torch.manual_seed(0)
    metadata = ModelMetadata(
        label_schema=schema,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(32, 24))),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create("multi_head"),
        heads=schema.names,
    )
    network = build_network(metadata.backbone, metadata.head, schema.sizes)
    return save_model(tmp_path / "model.safetensors", network.state_dict(), metadata)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.effect_noise((48, 64), 60).convert("RGB").save(folder / f"<i>{number}.png")
    (folder / "bad.jpg").write_bytes(b"no photo")
    return folder


def test_page_table_and_unreadable_photos(command, model, photos, tmp_path) -> None:
    page = tmp_path / "out" / "look.html"
    result = command("inspect", str(model), "--images", str(photos), "--out", str(page), "--faces", "2", "--no-graphs")
    assert result.code == 0, result.err
    text = page.read_text()
    assert text.count("data:image/jpeg") == 2 * 4
    assert "<i>0.png" not in text
    assert "the model&#39;s own predictions" in text
    assert "set aside bad.jpg" in result.err
    rows = (tmp_path / "out" / "look-gradients.csv").read_text().splitlines()
    assert rows[0] == "layer,kind,weights,norm,root_mean_square,verdict"
    assert len(rows) > 5
    again = command("inspect", str(model), "--images", str(photos), "--out", str(page), "--no-graphs")
    assert again.code == 2
    assert "--force" in again.err


def test_graphs_and_json(command, model, photos, tmp_path) -> None:
    pytest.importorskip("torchview")
    page = tmp_path / "look.html"
    result = command("inspect", str(model), "--images", str(photos), "--out", str(page), "--faces", "0", "--json")
    assert result.code == 0, result.err
    data = json.loads(result.out)
    assert set(data["graphs"]) == {"modules", "backward"}
    assert {layer["verdict"] for layer in data["layers"]} == {"fine"}
    assert (tmp_path / "look-modules.gv").is_file()
    assert (tmp_path / "look-backward.gv").is_file()


def test_what_is_missing_is_said_before_photos_are_read(command, model, photos, monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    result = command("inspect", str(model), "--images", "nowhere")
    assert "Graphviz is not installed, so graphs are written as text only" in result.err
    original = importlib.util.find_spec
    missing = {"torchview"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else original(name))
    for args in ((), ("--faces", "0")):
        result = command("inspect", str(model), "--images", str(photos), *args)
        assert result.code == 2
        assert "'maskfit inspect' without '--no-graphs --faces 0' needs the extra 'inspect'" in result.err
        assert "inspecting" not in result.err
    missing = {"pytorch_grad_cam"}
    assert command("inspect", str(model), "--images", str(photos), "--no-graphs").code == 2
    assert command("inspect", str(model), "--images", str(photos), "--no-graphs", "--faces", "0").code == 0


def test_one_photo_is_too_few(command, model, photos, tmp_path) -> None:
    for path in sorted(photos.glob("*.png"))[1:]:
        path.unlink()
    result = command("inspect", str(model), "--images", str(photos), "--out", str(tmp_path / "x.html"), "--no-graphs")
    assert result.code == 2
    assert "at least 2 readable photos are needed" in result.err


def test_missing_weights_of_a_detector_name_the_nearest_remedy_first(
    command, model, photos, painted, monkeypatch
) -> None:
    from maskfit.model_file import read_model_metadata, update_model_metadata
    from maskfit.pretrained_weights import WeightsFile

    sha256 = "ab" * 32
    address = "http://127.0.0.1:9/faces.onnx"
    monkeypatch.setattr(
        "maskfit.data.detectors.DETECTORS",
        {"painted_by_file": type("Distant", (painted,), {"published": WeightsFile("faces.onnx", sha256, address)})},
    )
    metadata = read_model_metadata(model)
    crop = ComponentSpec.create("face", detector="painted_by_file", sha256=sha256)
    resize = metadata.preprocessing.crop_resize.model_copy(update={"crop": crop})
    changed = metadata.preprocessing.model_copy(update={"crop_resize": resize})
    update_model_metadata(model, metadata.model_copy(update={"preprocessing": changed}))
    result = command("inspect", str(model), "--images", str(photos), "--out", "page.html", "--no-graphs")
    assert result.code == 2
    text = " ".join(result.err.split())
    order = ["not on this machine", "set MASKFIT_DETECTORS", "maskfit detectors", address]
    assert sorted(order, key=text.index) == order, result.err
    # inspect has no such option.
    assert "--detector bundled" not in text
