"""Auxiliary losses on backbone features: metric learning and age regression."""

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
    """Sum of the auxiliary losses; predictions do not depend on them directly.

    Args:
        metric_loss: A metric-learning loss, or None.
        age_loss: An age regression loss, or None; the network then needs an age regressor.
        classes: (photos,) official class index of every photo of the dataset, `UNKNOWN` where it is not known.
        ages: (photos,) age in years of every photo, NaN where it is not known.
    """

    classes: Tensor
    ages: Tensor

    def __init__(
        self,
        metric_loss: MetricLoss | None,
        age_loss: AgeRegressionLoss | None,
        classes: IntArray,
        ages: NDArray[np.float64],
    ) -> None:
        super().__init__()
        self.metric_loss = metric_loss
        self.age_loss = age_loss
        self.register_buffer("classes", torch.from_numpy(classes), persistent=False)
        self.register_buffer("ages", torch.from_numpy(ages).float(), persistent=False)

    def trainable_modules(self, network: Network) -> nn.Module:
        """Returns what the optimizer trains: the network, and the class centers of the metric loss where it has some.

        Args:
            network: The network.

        Returns:
            The network itself where the losses have no parameters, otherwise a module with both.
        """
        parameters = [] if self.metric_loss is None else list(self.metric_loss.parameters())
        return nn.ModuleList([network, self]) if parameters else network

    def forward(self, network: Network, features: Tensor, indices: Tensor, mixed: MixedBatch | None) -> Tensor:
        """Computes the weighted sum of the losses.

        Args:
            network: Predicts the ages.
            features: Backbone features, (batch, features).
            indices: (batch,) indices of the photos in the dataset.
            mixed: The mixed batch, or None where nothing was mixed. The age loss weights both ages by `lam`; for the
                metric loss, which takes one class per sample, a mixed image has the class of its larger part.

        Returns:
            A scalar.
        """
        losses = []
        if self.metric_loss is not None:
            classes = self.classes[indices]
            if mixed is not None:
                classes = torch.where(mixed.lam >= 0.5, classes, classes[mixed.permutation])
            losses.append(self.metric_loss(features, classes))
        if self.age_loss is not None and network.age_regressor is not None:
            losses.append(self.age_loss(network.age_regressor(features), self.ages[indices], mixed))
        return torch.stack(losses).sum()
