"""What is learned beside the heads, on the trunk's features: distances between classes, and ages in years."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maskfit.labels.schema import IntArray
from maskfit.losses.age_regression import AgeRegressionLoss
from maskfit.losses.metric_learning import MetricLoss
from maskfit.models.network import Network
from maskfit.training.augment.batch_mixing import MixedBatch


class AuxiliaryLosses(nn.Module):
    """The losses beside the heads', which have no part in the answer.

    Args:
        embedding: A metric-learning loss, or None.
        years: A loss of years, or None; the network then has a layer for years.
        classes: (photos,) official class numbers of all photos in the store, `UNKNOWN` where not known.
        ages: (photos,) their years, NaN where not known.
    """

    classes: Tensor
    ages: Tensor

    def __init__(
        self,
        embedding: MetricLoss | None,
        years: AgeRegressionLoss | None,
        classes: IntArray,
        ages: NDArray[np.float64],
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.years = years
        self.register_buffer("classes", torch.from_numpy(classes), persistent=False)
        self.register_buffer("ages", torch.from_numpy(ages).float(), persistent=False)

    def trainable_modules(self, network: Network) -> nn.Module:
        """What an optimiser moves: the network, and the centres of classes where an embedding loss has some."""
        own = [] if self.embedding is None else list(self.embedding.parameters())
        return nn.ModuleList([network, self]) if own else network

    def forward(self, network: Network, features: Tensor, indices: Tensor, mixed: MixedBatch | None) -> Tensor:
        """The sum of the losses, each by its share.

        Args:
            network: Gives the years.
            features: (batch, features) what its trunk gave.
            indices: (batch,) which photos they are.
            mixed: Where photos were mixed. Years then count by share; to the embedding loss, which knows pairs and no
                shares, a mixed photo is of the class of which it has more.
        """
        losses = []
        if self.embedding is not None:
            classes = self.classes[indices]
            if mixed is not None:
                classes = torch.where(mixed.lam >= 0.5, classes, classes[mixed.permutation])
            losses.append(self.embedding(features, classes))
        if self.years is not None and network.years is not None:
            losses.append(self.years(network.years(features), self.ages[indices], mixed))
        return torch.stack(losses).sum()
