"""Heads in which the attributes look at each other (seed s1's THANets, with its two mistakes set right).

s1 merged its attention heads without turning them back first, which mixed tokens and heads, and scaled by the width of
all heads together in place of one's.
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
    """Several heads of attention among tokens, scaled by the root of one head's width (Vaswani et al. 2017).

    As in s1 no layer follows the merged heads.

    Args:
        width: Numbers of a token.
        heads: How many heads share them.

    Raises:
        ValueError: The heads cannot share the width equally.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(f"heads={heads} cannot share width={width} equally")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, tokens, width) as what each of them found at the others, of the same shape."""
        query, key, value = (self._split(layer(tokens)) for layer in (self.query, self.key, self.value))
        found: Tensor = F.scaled_dot_product_attention(query, key, value)
        # Back to (batch, tokens, heads, width of one) before the heads are laid side by side.
        return found.transpose(1, 2).flatten(2)

    def _split(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width) as (batch, heads, tokens, width of one)."""
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class AttributeTokens(nn.Module):
    """A token for each attribute, which has looked at the others', and its logits: what both attention heads share.

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        width: Numbers of a token.
        heads: Heads of attention.
        dropout: Share of features left out in training, after BatchNorm.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.stem = nn.Sequential(nn.BatchNorm1d(features), nn.Dropout(dropout))
        self.tokens = nn.ModuleList(nn.Linear(features, width) for _ in sizes)
        self.outputs = nn.ModuleList(nn.Linear(width, size) for size in sizes.values())

    def forward(self, features: Tensor) -> list[Tensor]:
        """Features (batch, features) as logits of each attribute, in order."""
        features = self.stem(features)
        tokens = torch.stack([layer(features) for layer in self.tokens], dim=1)
        tokens = tokens + self.attention(tokens)
        return [layer(tokens[:, place]) for place, layer in enumerate(self.outputs)]


class MultiLabelTHANet(nn.Module):
    """Attention among the attributes, an output for each (seed s1).

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        width: Numbers of an attribute's token.
        heads: Heads of attention, which share the width.
        dropout: Share of features left out in training, after BatchNorm.
    """

    def __init__(
        self, features: int, sizes: Mapping[str, int], width: int = 64, heads: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.names = tuple(sizes)
        self.body = AttributeTokens(features, sizes, width, heads, dropout)

    def forward(self, features: Tensor) -> Logits:
        return dict(zip(self.names, self.body(features), strict=True))


class MultiClassTHANet(nn.Module):
    """Attention among the attributes, whose outputs a last layer joins into one for all classes (seed s1).

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        width: Numbers of an attribute's token.
        heads: Heads of attention, which share the width.
        dropout: Share of features left out in training, after BatchNorm.
    """

    def __init__(
        self, features: int, sizes: Mapping[str, int], width: int = 64, heads: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.names = (JOINT_HEAD,)
        self.body = AttributeTokens(features, sizes, width, heads, dropout)
        self.joint = nn.Sequential(nn.ReLU(), nn.Linear(sum(sizes.values()), math.prod(sizes.values())))

    def forward(self, features: Tensor) -> Logits:
        return {JOINT_HEAD: self.joint(torch.cat(self.body(features), dim=1))}


class THANet(nn.Module):
    """Parallel heads, one for each attribute and one for all classes, that answer together (seed s1's four).

    s1 gave the four out side by side. Here a class's logit is its own plus those of its values, so that all of them
    learn from every label and are in the answer: the attributes say what is independent, the joint head what is not.

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        dropout: Share of features left out in training, for each head on its own.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], dropout: float = 0.0) -> None:
        super().__init__()
        self.names = (JOINT_HEAD,)
        self.attributes = MultiHead(features, sizes, dropout)
        self.joint = SingleHead(features, sizes, dropout)

    def forward(self, features: Tensor) -> Logits:
        # The class number counts the first attribute most, as `labels.Scheme` has it.
        sums: Tensor | None = None
        for values in self.attributes(features).values():
            sums = values if sums is None else (sums[:, :, None] + values[:, None, :]).flatten(1)
        return {JOINT_HEAD: self.joint(features)[JOINT_HEAD] + sums}
