"""Heads with self-attention among the attributes (the THANets of iloveslowfood, with two errors corrected).

iloveslowfood merged its attention heads without transposing them back, which mixed tokens and heads, and scaled by the
total width instead of one head's width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskfit.labels.schema import JOINT_HEAD
from maskfit.models.linear_heads import Logits, MultiHead, SingleHead


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) without an output projection.

    Args:
        width: Width of a token, >= 1.
        heads: Number of attention heads; must divide `width`.

    Raises:
        ValueError: `heads` does not divide `width`, or one of them is below 1.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(f"heads must divide width, got heads={heads} and width={width}")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes the attention output of each token.

        Args:
            tokens: (batch, tokens, width).

        Returns:
            A tensor of the same shape.
        """
        query, key, value = (self._split_heads(layer(tokens)) for layer in (self.query, self.key, self.value))
        attended: Tensor = F.scaled_dot_product_attention(query, key, value)
        # Back to (batch, tokens, heads, head width) before the heads are concatenated.
        return attended.transpose(1, 2).flatten(2)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width) as (batch, heads, tokens, head width)."""
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class AttributeTokens(nn.Module):
    """One token per attribute, self-attention among the tokens, and logits from each; the body of two THANets.

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        width: Width of a token.
        heads: Number of attention heads; must divide `width`.
        dropout: Dropout probability of the features, after BatchNorm.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.stem = nn.Sequential(nn.BatchNorm1d(features), nn.Dropout(dropout))
        self.tokens = nn.ModuleList(nn.Linear(features, width) for _ in sizes)
        self.outputs = nn.ModuleList(nn.Linear(width, size) for size in sizes.values())

    def forward(self, features: Tensor) -> list[Tensor]:
        """Computes the logits of each attribute.

        Args:
            features: (batch, features).

        Returns:
            Logits of each attribute in order, each (batch, values).
        """
        features = self.stem(features)
        tokens = torch.stack([layer(features) for layer in self.tokens], dim=1)
        tokens = tokens + self.attention(tokens)
        return [layer(tokens[:, index]) for index, layer in enumerate(self.outputs)]


class MultiLabelTHANet(nn.Module):
    """Self-attention among the attributes with one output per attribute (iloveslowfood).

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        width: Width of an attribute's token.
        heads: Number of attention heads; must divide `width`.
        dropout: Dropout probability of the features, after BatchNorm.
    """

    def __init__(
        self, features: int, sizes: Mapping[str, int], width: int = 64, heads: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.names = tuple(sizes)
        self.body = AttributeTokens(features, sizes, width, heads, dropout)

    def forward(self, features: Tensor) -> Logits:
        """Computes logits (batch, values) by attribute from features (batch, features)."""
        return dict(zip(self.names, self.body(features), strict=True))


class MultiClassTHANet(nn.Module):
    """Self-attention among the attributes, and a last layer that maps their logits to joint classes (iloveslowfood).

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        width: Width of an attribute's token.
        heads: Number of attention heads; must divide `width`.
        dropout: Dropout probability of the features, after BatchNorm.
    """

    def __init__(
        self, features: int, sizes: Mapping[str, int], width: int = 64, heads: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.names = (JOINT_HEAD,)
        self.body = AttributeTokens(features, sizes, width, heads, dropout)
        self.joint = nn.Sequential(nn.ReLU(), nn.Linear(sum(sizes.values()), math.prod(sizes.values())))

    def forward(self, features: Tensor) -> Logits:
        """Computes joint logits (batch, classes) from features (batch, features)."""
        return {JOINT_HEAD: self.joint(torch.cat(self.body(features), dim=1))}


class THANet(nn.Module):
    """Parallel heads, one per attribute and one over the joint classes, whose logits are added (iloveslowfood).

    iloveslowfood returned the four outputs separately. Here a class's logit is the joint head's plus those of its
    attribute values, so that all heads learn from every label and contribute to the prediction: the attribute heads
    model the independent part, the joint head the interactions.

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        dropout: Dropout probability of the features, drawn for each head separately.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], dropout: float = 0.0) -> None:
        super().__init__()
        self.names = (JOINT_HEAD,)
        self.attributes = MultiHead(features, sizes, dropout)
        self.joint = SingleHead(features, sizes, dropout)

    def forward(self, features: Tensor) -> Logits:
        """Computes joint logits (batch, classes) from features (batch, features)."""
        # The first attribute varies slowest in the class index, as in `labels.schema.LabelSchema`.
        sums: Tensor | None = None
        for values in self.attributes(features).values():
            sums = values if sums is None else (sums[:, :, None] + values[:, None, :]).flatten(1)
        return {JOINT_HEAD: self.joint(features)[JOINT_HEAD] + sums}
