"""The moving average of weights is timm's, and training a GAN does not import timm for it."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn

from maskfit.models.moving_average import update_moving_average


def test_it_is_timms_to_the_last_bit() -> None:
    timm_utils = pytest.importorskip("timm.utils")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    average = deepcopy(network).eval()
    reference = timm_utils.ModelEmaV3(network, decay=0.9, use_warmup=True)
    for step in range(1, 60):
        network(torch.randn(2, 3, 8, 8))
        with torch.no_grad():
            for weights in network.parameters():
                weights.add_(torch.randn_like(weights))
        update_moving_average(average, network, step, 0.9)
        reference.update(network, step=step)
    for name, expected in reference.module.state_dict().items():
        assert torch.equal(average.state_dict()[name], expected), name


@pytest.mark.parametrize("module", ["maskfit.synthesis.gan.pipeline", "maskfit.training.optim.weight_averaging"])
def test_averaging_does_not_import_timm(module: str) -> None:
    """It took twice as long as torch."""
    script = f"import sys, {module}; print({{'torch', 'timm', 'torchvision', 'wandb'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "{'torch'}"
