"""Tests of which detector a file belongs to."""

from __future__ import annotations

import pytest

from maskfit.data.detectors import DETECTORS
from maskfit.data.detectors.recognition import SIGNATURES, recognize_detector
from maskfit.errors import DataError


def test_every_detector_with_a_file_has_a_signature():
    assert set(SIGNATURES) == {name for name, detector in DETECTORS.items() if detector.published}


@pytest.mark.parametrize("kind", list(SIGNATURES))
def test_kinds_are_recognized_whatever_the_name(detector_file, kind):
    assert recognize_detector(detector_file(kind, "face.onnx")) == kind


def test_another_network_is_named_with_its_outputs(bright):
    with pytest.raises(DataError, match="none of a face detector known here: its outputs are deeper, map") as caught:
        recognize_detector(bright)
    assert "yunet" in str(caught.value.hint)
