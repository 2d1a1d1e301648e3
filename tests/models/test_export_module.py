"""Export module: the graph's arithmetic equals numpy's, for every kind of head and label schema."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskfit.calibration import Calibration
from maskfit.data.preprocessing import MIN_STD, Normalize
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, logits_to_probabilities
from maskfit.models.export_module import DatasetNormalize, ExportModule, InstanceNormalize
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec

FULL = LABEL_SCHEMAS["mask-gender-age"]
SCHEMES_TRIED = {
    "bands": FULL,
    "decades": AgeLabelRule(by_decade=True).training_schema(FULL),
    "mask": LABEL_SCHEMAS["mask"],
}
TEMPERATURES = {"none": {}, "one": {"mask": 2.5}, "joint": {JOINT_HEAD: 0.4}}


@pytest.mark.parametrize("mode", ["pretrained", "per_image"])
@pytest.mark.parametrize("temperatures", TEMPERATURES.values(), ids=TEMPERATURES)
@pytest.mark.parametrize("scheme", SCHEMES_TRIED.values(), ids=SCHEMES_TRIED)
@pytest.mark.parametrize("head", ["multi_head", "single_head"])
def test_frames_become_the_probabilities_that_are_answered(head, scheme, temperatures, mode):
    if JOINT_HEAD in temperatures and head != "single_head":
        pytest.skip("separate heads have a temperature each")
    torch.manual_seed(0)
    network = build_network(ComponentSpec.create("small", width=4), ComponentSpec.create(head), scheme.sizes).eval()
    with torch.no_grad():
        for values in network.head.parameters():
            values.mul_(8)
    normalization = Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), mode=mode)
    inside = (
        InstanceNormalize(MIN_STD)
        if mode == "per_image"
        else DatasetNormalize(*map(list, normalization.scale_and_shift()))
    )
    folding = {item.name: item.to_scored_index().tolist() for item in scheme.attributes if item.parent_of}
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 12, 3), dtype=np.uint8)
    frames[0] = 7  # one color: by itself it has no deviation
    with torch.inference_mode():
        *logits, found = ExportModule(network, inside, scheme.sizes, folding, temperatures)(torch.from_numpy(frames))
        seen = network(torch.from_numpy(normalization(frames)))
    assert all(torch.allclose(own, seen[name], atol=1e-4) for own, name in zip(logits, network.heads, strict=True))
    expected = Calibration(temperatures=temperatures).apply_temperature(
        scheme.scored_schema(), logits_to_probabilities(scheme, {name: values.numpy() for name, values in seen.items()})
    )
    assert found.shape == (5, scheme.scored_schema().num_classes)
    assert np.abs(found.numpy() - expected).max() < 1e-5
    assert np.ptp(expected, axis=0).max() > 0.003
