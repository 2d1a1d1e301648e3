"""Heads by name: from a trunk's features to logits, by the name of what they answer for.

A head is built with `features`, how many numbers the trunk gives, and `sizes`, how many values each attribute has. Its
`names` are the attributes in order, or `labels.JOINT` alone. It gives logits, never probabilities: a softmax belongs to
the loss and to the answer, and twice is once too often.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from maskfit.models.attention_heads import MultiClassTHANet, MultiLabelTHANet, THANet
from maskfit.models.linear_heads import MultiHead, MultiSampleDropoutHead, SingleHead
from maskfit.models.mlp_heads import HiddenHead, MlpHead, VanillaHead
from maskfit.models.ordinal_head import OrdinalHead

HEADS: dict[str, Callable[..., nn.Module]] = {
    "multi_head": MultiHead,
    "single_head": SingleHead,
    "mlp_1": HiddenHead,
    "bn_dropout_linear": VanillaHead,
    "multi_sample": MultiSampleDropoutHead,
    "mlp": MlpHead,
    "ordinal": OrdinalHead,
    "thanet": THANet,
    "multi_class_thanet": MultiClassTHANet,
    "multi_label_thanet": MultiLabelTHANet,
}
