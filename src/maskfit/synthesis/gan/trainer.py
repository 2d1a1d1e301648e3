"""GAN training step by step; all randomness follows from seed and step, so that resuming is exact."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from maskfit.data.image_cache.cache import CachedImages
from maskfit.errors import RunError
from maskfit.labels.schema import IntArray
from maskfit.models.moving_average import update_moving_average
from maskfit.synthesis.gan.checkpoint import GanMetadata, read_tensors, write_tensors
from maskfit.synthesis.gan.diff_augment import diff_augment
from maskfit.synthesis.gan.networks import Discriminator

LEARNING_RATES = (2e-4, 4e-4)
"""Of generator and discriminator (two time-scale update rule, Heusel et al. 2017, arXiv:1706.08500)."""

EMBEDDING_LR_FACTOR = 10
"""Factor on the learning rate of the generator's attribute embeddings: they start at zero, and at the layers' own rate
faces of all classes stay alike for thousands of steps.
"""

BETAS = (0.5, 0.99)
"""Of Adam; the first is DCGAN's."""

EMA_DECAY = 0.999
"""Of the exponential moving average of the generator's weights, with warm-up."""

SAMPLING_POWER = 0.5
"""Photos are sampled with weight count ** -power of their class: a class a hundredth as large is seen a tenth as often.
"""


class Losses(NamedTuple):
    """Losses and scores of a step; the field names are columns of `losses.csv`.

    Attributes:
        discriminator: Hinge loss of the discriminator.
        generator: Loss of the generator: minus the discriminator's mean score of generated faces.
        real: Mean score of real faces.
        made: Mean score of generated faces.
    """

    discriminator: float
    generator: float
    real: float
    made: float


class GanTrainer:
    """State of a GAN training.

    Args:
        metadata: Architecture and seed.
        frames: Training photos, cropped and resized.
        codes: Their attribute indices, shape (photos, attributes).

    Attributes:
        ema_generator: The generator with exponentially averaged weights.
        steps_done: Number of steps done.
        is_finite: Whether the last losses were finite.
    """

    def __init__(self, metadata: GanMetadata, frames: CachedImages, codes: IntArray) -> None:
        """Builds networks, optimizers and the moving average; arguments as for the class."""
        self.metadata = metadata
        self.frames = frames
        self.codes = torch.from_numpy(codes)
        self.sampling_probabilities = torch.from_numpy(
            _sampling_probabilities(metadata.label_schema.to_class_index(codes))
        )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng():
            torch.manual_seed(metadata.seed)
            generator = metadata.network()
            discriminator = Discriminator(metadata.size, metadata.width, metadata.label_schema.shape)
        self.generator = generator.to(self.device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(self.device).to(memory_format=torch.channels_last)
        self.ema_generator = deepcopy(self.generator).eval()
        self.optimizers = [
            _build_adam(network, rate)
            for network, rate in zip((self.generator, self.discriminator), LEARNING_RATES, strict=True)
        ]
        self.steps_done = 0
        self.is_finite = True

    def step(self) -> Losses:
        """Trains the discriminator, then the generator, for one step with hinge losses.

        Returns:
            The losses.

        Raises:
            RunError: A loss is NaN or inf.
        """
        # SeedSequence instead of seed + step: neighboring steps of neighboring seeds must not share random numbers.
        seed = int(
            np.random.SeedSequence([self.metadata.seed, self.steps_done]).generate_state(1, np.uint64)[0]
            >> np.uint64(1)
        )
        rng = torch.Generator().manual_seed(seed)
        faces, codes = self._sample_batch(rng)
        count = len(faces)
        with torch.no_grad():
            made = self.generator(self._noise(count, rng), codes)
        scores = self.discriminator(diff_augment(torch.cat([faces, made]), rng), codes.repeat(2, 1))
        real, fake = scores[:count], scores[count:]
        first = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        _optimizer_step(self.optimizers[1], first)
        made = self.generator(self._noise(count, rng), codes)
        second = -self.discriminator(diff_augment(made, rng), codes).mean()
        _optimizer_step(self.optimizers[0], second)
        self.steps_done += 1
        update_moving_average(self.ema_generator, self.generator, self.steps_done, EMA_DECAY)
        losses = Losses(*torch.stack([first, second, real.mean(), fake.mean()]).tolist())
        self.is_finite = bool(np.isfinite(losses).all())
        if not self.is_finite:
            raise RunError(
                f"non-finite losses (NaN or inf) in step {self.steps_done}",
                hint="try another seed or a larger batch size; --resume continues from the last checkpoint",
            )
        return losses

    def _sample_batch(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Samples photos in -1 to 1, shape (batch, 3, size, size), half of them mirrored, and their codes."""
        indices = torch.multinomial(
            self.sampling_probabilities, self.metadata.batch_size, replacement=True, generator=rng
        )
        faces = torch.from_numpy(self.frames.gather(indices.numpy())).permute(0, 3, 1, 2)
        mirrored = torch.rand(len(faces), 1, 1, 1, generator=rng) < 0.5
        faces = torch.where(mirrored, faces.flip(3), faces).to(self.device)
        return faces.float().div_(127.5).sub_(1), self.codes[indices].to(self.device)

    def _noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randn(count, self.metadata.latent_dim, generator=rng).to(self.device)

    def save(self, checkpoint: Path, generator: Path) -> None:
        """Writes a checkpoint and the averaged generator.

        Args:
            checkpoint: File with the full training state.
            generator: File of the generator.
        """
        metadata = self.metadata.model_copy(update={"steps": self.steps_done})
        write_tensors(generator, self.ema_generator.state_dict(), metadata)
        write_tensors(checkpoint, dict(self._state()), metadata)

    def load(self, checkpoint: Path, steps: int) -> None:
        """Restores a checkpoint.

        Args:
            checkpoint: File written by `save`.
            steps: Number of steps done at that point.

        Raises:
            ModelFileError: The file does not match this training.
        """
        # An optimizer has no state before its first step; a step with zero gradients creates it.
        if steps:
            for optimizer in self.optimizers:
                _init_state(optimizer)
        state = dict(self._state())
        tensors = read_tensors(checkpoint, state)
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(tensors[name])
        self.steps_done = steps

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        """Yields every tensor that a step changes, by name."""
        networks = {"generator": self.generator, "discriminator": self.discriminator, "average": self.ema_generator}
        for name, network in networks.items():
            yield from ((f"{name}.{key}", tensor) for key, tensor in network.state_dict().items())
        for name, optimizer in zip(("generator", "discriminator"), self.optimizers, strict=True):
            for index, values in optimizer.state_dict()["state"].items():
                yield from ((f"{name}.adam.{index}.{key}", tensor) for key, tensor in values.items())


def _sampling_probabilities(classes: IntArray) -> NDArray[np.float64]:
    """Computes the sampling probability of each photo; photos of unknown class form a class of their own."""
    _, indices, counts = np.unique(classes, return_inverse=True, return_counts=True)
    weights = counts[indices] ** -SAMPLING_POWER
    return np.asarray(weights / weights.sum())


def _build_adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    named = list(network.named_parameters())
    quick = [weights for name, weights in named if name.startswith("norms.")]
    groups: list[dict[str, Any]] = [
        {"params": [weights for name, weights in named if not name.startswith("norms.")]},
        {"params": quick, "lr": rate * EMBEDDING_LR_FACTOR},
    ]
    return torch.optim.Adam([group for group in groups if group["params"]], rate, BETAS)


def _optimizer_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _init_state(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        for weights in group["params"]:
            weights.grad = torch.zeros_like(weights)
    optimizer.step()
    optimizer.zero_grad()
