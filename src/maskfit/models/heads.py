"""Heads by name: modules that map backbone features to logits.

A head is built with `features`, the number of backbone features, and `sizes`, the number of values of each attribute;
where it takes `local_features`, this says how many of them are local ones (see `local_features.py`), which are the
last. Its `names` are the attributes in order, or `labels.schema.JOINT_HEAD` alone. It returns logits, never
probabilities: the loss and the prediction apply the softmax, and applying it twice would be wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from maskfit.registry import ComponentSpec, LazyComponent, normalize_spec

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

HEAD_INPUTS = ("features", "sizes", "local_features")
"""Arguments of heads that are no options: they follow from backbone and label schema."""


def takes_local_features(head: ComponentSpec) -> bool:
    """Returns whether a head treats local features otherwise than pooled ones.

    Args:
        head: A name in `HEADS`.

    Returns:
        Whether it does.
    """
    name = normalize_spec(HEADS, head).name
    return name in HEADS and "local_features" in inspect.signature(HEADS[name]).parameters
