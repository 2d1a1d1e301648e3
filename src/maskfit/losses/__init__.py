"""Losses. A target is the set of classes that a photo's label allows.

One allowed class is an ordinary label. All classes allowed is an unknown label: its loss is zero and it is not counted.
In between lie the photos of which some attributes are known and a joint head answers for all. Every loss takes logits
(batch, classes) and allowed (batch, classes) and gives one number for each photo; reduction stands in one place,
`criterion.Criterion`.

Two kinds of loss stand beside the heads, on the trunk's features: `embedding` and `years`.
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
