"""Heads by name: modules that map backbone features to logits.

A head is built with `features`, the number of backbone features, and `sizes`, the number of values of each attribute.
Its `names` are the attributes in order, or `labels.schema.JOINT_HEAD` alone. It returns logits, never probabilities:
the loss and the prediction apply the softmax, and applying it twice would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from maskfit.models.attention_heads import MultiClassTHANet, MultiLabelTHANet, THANet
from maskfit.models.linear_heads import MultiHead, MultiSampleDropoutHead, SingleHead
from maskfit.models.mlp_heads import BatchNormDropoutHead, MlpHead, OneHiddenLayerHead
from maskfit.models.ordinal_head import OrdinalHead

HEADS: dict[str, Callable[..., nn.Module]] = {
    "multi_head": MultiHead,
    "single_head": SingleHead,
    "mlp_1": OneHiddenLayerHead,
    "bn_dropout_linear": BatchNormDropoutHead,
    "multi_sample": MultiSampleDropoutHead,
    "mlp": MlpHead,
    "ordinal": OrdinalHead,
    "thanet": THANet,
    "multi_class_thanet": MultiClassTHANet,
    "multi_label_thanet": MultiLabelTHANet,
}
"""Names of the recipe key `model.head`."""
