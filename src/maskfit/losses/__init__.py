"""Losses whose target is the set of classes that a sample's label allows.

One allowed class is an ordinary label. All classes allowed is an unknown label: its loss is zero and it is not counted
in the mean. A sample of which only some attributes are known allows several classes of a joint head. Every loss takes
logits (batch, classes) and a mask of allowed classes (batch, classes) and returns one value per sample;
`multi_head_loss.MultiHeadLoss` is the only place that reduces them.

Two kinds of auxiliary loss act on backbone features instead: `metric_learning` and `age_regression`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from maskfit.losses.binary_cross_entropy import BinaryCrossEntropy
from maskfit.losses.brier import Brier, SmoothL1
from maskfit.losses.cross_entropy import CrossEntropy
from maskfit.losses.focal import Focal
from maskfit.losses.ldam import LDAM
from maskfit.losses.ordinal_smoothing import OrdinalLabelSmoothing
from maskfit.losses.soft_macro_f1 import CrossEntropyF1, SoftMacroF1Loss
from maskfit.losses.symmetric_cross_entropy import SymmetricCrossEntropy

LOSSES: dict[str, Callable[..., nn.Module]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "soft_macro_f1": SoftMacroF1Loss,
    "ce_f1": CrossEntropyF1,
    "ldam": LDAM,
    "symmetric_cross_entropy": SymmetricCrossEntropy,
    "ordinal_smoothing": OrdinalLabelSmoothing,
    "bce": BinaryCrossEntropy,
    "brier": Brier,
    "smooth_l1": SmoothL1,
}
"""Names of the recipe keys `loss` and `heads.*.loss`."""
