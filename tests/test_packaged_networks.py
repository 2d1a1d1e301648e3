"""Networks of the package: a damaged one is refused, as it may still run and answer wrongly."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from maskfit import pretrained_weights
from maskfit.data.detectors.bundled import Bundled
from maskfit.errors import DataError, ModelFileError
from maskfit.inference.engines import open_engine
from maskfit.inference.engines.int8_files import find_measured_int8
from maskfit.inference.engines.selection import select_continuous_engine
from maskfit.model_file import bundled_int8_path, bundled_model_path
from maskfit.pretrained_weights import (
    CHECKSUMS_NAME,
    REINSTALL_HINT,
    find_packaged_damage,
    find_weights,
    packaged_path,
)


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A copy of the package's networks, in place of them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "maskfit" / "weights"
    shutil.copytree(packaged_path(""), folder)
    monkeypatch.setattr(pretrained_weights, "resources", SimpleNamespace(files=lambda package: tmp_path / package))
    return folder


def damage(path: Path) -> None:
    """Changes weights of a network, which runs as before."""
    program = onnx.load(path)
    item = next(item for item in program.graph.initializer if np.prod(item.dims) > 2000)
    item.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(item), item.name))
    path.write_bytes(program.SerializeToString())


def test_every_network_of_the_package_has_its_checksum():
    """Where this fails after a new edition: `sha256sum *.onnx > SHA256SUMS` in src/maskfit/weights."""
    listed = {line.split()[1] for line in packaged_path(CHECKSUMS_NAME).read_text().splitlines()}
    found = sorted(packaged_path("").glob("*.onnx"))
    assert {path.name for path in found} == listed
    assert [find_packaged_damage(path) for path in found] == [None] * len(found)


def test_a_damaged_bundled_model_is_refused(weights):
    assert bundled_model_path() == weights / "bundled.onnx"
    damage(weights / "bundled.onnx")
    open_engine(weights / "bundled.onnx", engine="onnx")
    with pytest.raises(ModelFileError, match="the bundled model is damaged: its SHA-256 is") as caught:
        bundled_model_path()
    assert caught.value.location == str(weights / "bundled.onnx")
    assert REINSTALL_HINT in caught.value.hint


def test_a_damaged_bundled_conversion_is_not_run(weights, monkeypatch):
    monkeypatch.setattr("maskfit.inference.engines.selection.gains_from_int8", lambda: True)
    model = bundled_model_path()
    assert select_continuous_engine([model], "auto").options == {"precision": "int8"}
    damage(bundled_int8_path())
    assert find_measured_int8(model) is None
    assert select_continuous_engine([model], "auto").options == {}
    with pytest.raises(ModelFileError, match="this int8 conversion is damaged: its SHA-256 is") as caught:
        open_engine(model, engine="onnx:precision=int8")
    assert (caught.value.location, caught.value.hint) == (str(bundled_int8_path()), REINSTALL_HINT)


def test_a_damaged_bundled_detector_is_refused_with_the_same_next_step(weights):
    damage(weights / "face_detector_3.onnx")
    with pytest.raises(DataError, match="damaged or a different one") as caught:
        find_weights(Bundled.published)
    assert caught.value.hint == REINSTALL_HINT


@pytest.mark.parametrize("content", [None, "", "# nothing\n", b"\xff\xfe"])
def test_a_damaged_list_of_checksums_is_no_reason_to_trust(weights, content):
    (weights / CHECKSUMS_NAME).unlink()
    if content is not None:
        (weights / CHECKSUMS_NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelFileError, match=r"the bundled model is damaged: it.*SHA256SUMS"):
        bundled_model_path()
