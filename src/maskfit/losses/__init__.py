"""Losses. A target is the set of classes that a photo's label allows.

One allowed class is an ordinary label. All classes allowed is an unknown label: its loss is zero and it is not counted.
In between lie the photos of which some attributes are known and a joint head answers for all. Every loss takes logits
(batch, classes) and allowed (batch, classes) and gives one number for each photo; reduction stands in one place,
`criterion.Criterion`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from maskfit.losses.cross_entropy import CrossEntropy

LOSSES: dict[str, Callable[..., nn.Module]] = {
    "cross_entropy": CrossEntropy,
}
