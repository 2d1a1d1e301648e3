"""Heads by name: modules that map backbone features to logits.

A head is built with `features`, the number of backbone features, and `sizes`, the number of values of each attribute.
Its `names` are the attributes in order, or `labels.schema.JOINT_HEAD` alone. It returns logits, never probabilities:
the loss and the prediction apply the softmax, and applying it twice would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskfit.registry import LazyComponent

HEADS: dict[str, Callable[..., Any]] = {
    "multi_head": LazyComponent("maskfit.models.linear_heads:MultiHead"),
    "single_head": LazyComponent("maskfit.models.linear_heads:SingleHead"),
    "mlp_1": LazyComponent("maskfit.models.mlp_heads:OneHiddenLayerHead"),
    "bn_dropout_linear": LazyComponent("maskfit.models.mlp_heads:BatchNormDropoutHead"),
    "multi_sample": LazyComponent("maskfit.models.linear_heads:MultiSampleDropoutHead"),
    "mlp": LazyComponent("maskfit.models.mlp_heads:MlpHead"),
    "ordinal": LazyComponent("maskfit.models.ordinal_head:OrdinalHead"),
    "thanet": LazyComponent("maskfit.models.attention_heads:THANet"),
    "multi_class_thanet": LazyComponent("maskfit.models.attention_heads:MultiClassTHANet"),
    "multi_label_thanet": LazyComponent("maskfit.models.attention_heads:MultiLabelTHANet"),
}
"""Names of the recipe key `model.head`."""
