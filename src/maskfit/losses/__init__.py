"""Losses whose target is the set of classes that a sample's label allows.

One allowed class is an ordinary label. All classes allowed is an unknown label: its loss is zero and it is not counted
in the mean. A sample of which only some attributes are known allows several classes of a joint head. Every loss takes
logits (batch, classes) and a mask of allowed classes (batch, classes) and returns one value per sample;
`multi_head_loss.MultiHeadLoss` is the only place that reduces them.

Two kinds of auxiliary loss act on backbone features instead: `metric_learning` and `age_regression`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskfit.registry import LazyComponent

LOSSES: dict[str, Callable[..., Any]] = {
    "cross_entropy": LazyComponent("maskfit.losses.cross_entropy:CrossEntropy"),
    "focal": LazyComponent("maskfit.losses.focal:Focal"),
    "soft_macro_f1": LazyComponent("maskfit.losses.soft_macro_f1:SoftMacroF1Loss"),
    "ce_f1": LazyComponent("maskfit.losses.soft_macro_f1:CrossEntropyF1"),
    "ldam": LazyComponent("maskfit.losses.ldam:LDAM"),
    "symmetric_cross_entropy": LazyComponent("maskfit.losses.symmetric_cross_entropy:SymmetricCrossEntropy"),
    "ordinal_smoothing": LazyComponent("maskfit.losses.ordinal_smoothing:OrdinalLabelSmoothing"),
    "bce": LazyComponent("maskfit.losses.binary_cross_entropy:BinaryCrossEntropy"),
    "brier": LazyComponent("maskfit.losses.brier:Brier"),
    "smooth_l1": LazyComponent("maskfit.losses.brier:SmoothL1"),
}
"""Names of the recipe keys `loss` and `heads.*.loss`."""

METRIC_LOSSES: dict[str, Callable[..., Any]] = {
    "none": LazyComponent("maskfit.losses.metric_learning:none"),
    "triplet": LazyComponent("maskfit.losses.metric_learning:triplet"),
    "supcon": LazyComponent("maskfit.losses.metric_learning:supcon"),
    "arcface": LazyComponent("maskfit.losses.metric_learning:arcface"),
    "multi_similarity": LazyComponent("maskfit.losses.metric_learning:multi_similarity"),
}
"""Names of the recipe key `metric_loss`."""

AGE_REGRESSION_LOSSES: dict[str, Callable[..., Any]] = {
    "none": LazyComponent("maskfit.losses.age_regression:none"),
    "mse": LazyComponent("maskfit.losses.age_regression:mse"),
    "smooth_l1": LazyComponent("maskfit.losses.age_regression:smooth_l1"),
}
"""Names of the recipe key `age_regression`."""
