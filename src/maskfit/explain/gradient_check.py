"""The gradient check (seed s0): does every layer of a network learn, and how strongly, from the photo to the heads?

One batch goes forward and backward in training mode, as a training step would send it, and nothing is changed. What is
looked at is each layer that has weights of its own, in the order in which the photo meets them. Needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from maskfit.labels.schema import UNKNOWN, IntArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from maskfit.models.network import Network

Verdict = Literal["fine", "frozen", "none", "not a number", "zero", "vanishing", "exploding"]

VANISHING = 1e-6
"""A layer whose gradient, weight by weight, is below this share of the strongest layer's hardly moves beside it."""

EXPLODING = 1e4
"""A layer's norm beyond this moves weights farther in one step than they are large, at any usual learning rate."""

WORDS: dict[Verdict, str] = {
    "fine": "learns",
    "frozen": "frozen: it is not asked to learn",
    "none": "no gradient: nothing that is learnt from passes through it",
    "not a number": "not a number: one step with it spoils the network; look for divisions by zero, logarithms of "
    "zero, half precision without scaling",
    "zero": "zero: everything behind it is switched off, as by dead ReLUs or saturated values",
    "vanishing": "vanishing: it learns next to nothing beside the others; look for missing normalisation, saturating "
    "activations, or a start far from useful",
    "exploding": "exploding: clip gradients (trainer.gradient_clip_val), lower the learning rate, look for missing normalisation",
}
"""What each verdict means, and where to look."""


@dataclass(frozen=True)
class LayerGradient:
    """A layer and what arrived at it.

    Attributes:
        name: Its path in the network: `trunk.body.conv_stem`.
        kind: Its class: `Conv2d`.
        weights: How many numbers it can learn.
        norm: The length of its gradient; NaN where it is none or not a number.
        mean: The root mean square of its gradient, number by number; NaN likewise.
        verdict: What follows.
    """

    name: str
    kind: str
    weights: int
    norm: float
    mean: float
    verdict: Verdict


def check_gradients(
    network: Network, photos: NDArray[np.float32], allowed: Mapping[str, NDArray[np.bool_]], *, seed: int = 0
) -> list[LayerGradient]:
    """Sends one batch forward and backward and looks at every layer.

    The network is given back as it was: its running statistics, its mode, its gradients.

    Args:
        network: Any network.
        photos: Normalised, (batch, 3, height, width); two or more, since batch normalisation cannot learn from one.
        allowed: By head (batch, values), what each photo's label leaves possible.
        seed: Of dropout.
    """
    import torch

    work = _copy(network)
    batch = torch.from_numpy(np.ascontiguousarray(photos, dtype=np.float32))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        logits = work(batch)
        losses = [_loss(logits[head], torch.from_numpy(own)) for head, own in allowed.items()]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    layers = [
        (name, layer) for name, layer in work.named_modules() if any(True for _ in layer.parameters(recurse=False))
    ]
    measured = [_measure(name, layer) for name, layer in layers]
    strongest = max((layer.mean for layer in measured if math.isfinite(layer.mean)), default=0.0)
    return [_judged(layer, strongest) for layer in measured]


def target_mask(
    codes: IntArray, widths: Mapping[str, int], best: Mapping[str, IntArray]
) -> dict[str, NDArray[np.bool_]]:
    """By head, the one value that a photo bears, or where its label is unknown the one the network holds most probable.

    Args:
        codes: (photos, heads).
        widths: How many values each head has, in the order of the columns.
        best: By head (photos,) the most probable value.
    """
    found = {}
    for column, (head, width) in enumerate(widths.items()):
        own = np.where(codes[:, column] == UNKNOWN, best[head], codes[:, column])
        found[head] = own[:, None] == np.arange(width)
    return found


def _copy(network: Network) -> Network:
    """A copy in training mode, whose gradients and statistics are nobody's."""
    import copy

    work = copy.deepcopy(network).cpu().train()
    work.zero_grad(set_to_none=True)
    return work


def _loss(logits: Tensor, allowed: Tensor) -> Tensor:
    """Cross-entropy of the allowed values together, as every recipe's loss is at heart."""
    import torch

    logs = torch.log_softmax(logits.float(), dim=1)
    return -logs.masked_fill(~allowed, -torch.inf).logsumexp(1).mean()


def _measure(name: str, layer: nn.Module) -> LayerGradient:
    own = list(layer.parameters(recurse=False))
    weights = sum(parameter.numel() for parameter in own)
    kind = type(layer).__name__
    if not any(parameter.requires_grad for parameter in own):
        return LayerGradient(name, kind, weights, math.nan, math.nan, "frozen")
    grads = [parameter.grad for parameter in own if parameter.grad is not None]
    if not grads:
        return LayerGradient(name, kind, weights, math.nan, math.nan, "none")
    squares = sum(float(grad.double().square().sum()) for grad in grads)
    if not math.isfinite(squares):
        return LayerGradient(name, kind, weights, math.nan, math.nan, "not a number")
    count = sum(grad.numel() for grad in grads)
    return LayerGradient(name, kind, weights, math.sqrt(squares), math.sqrt(squares / count), "fine")


def _judged(layer: LayerGradient, strongest: float) -> LayerGradient:
    if layer.verdict != "fine":
        return layer
    verdict: Verdict = "fine"
    if layer.norm == 0:
        verdict = "zero"
    elif layer.norm > EXPLODING:
        verdict = "exploding"
    elif layer.mean < VANISHING * strongest:
        verdict = "vanishing"
    return LayerGradient(layer.name, layer.kind, layer.weights, layer.norm, layer.mean, verdict)


def summarize_gradients(layers: Sequence[LayerGradient]) -> list[str]:
    """The check in words: what is wrong with which layers, the worst first; one line where all is well."""
    order: tuple[Verdict, ...] = ("not a number", "exploding", "none", "zero", "vanishing", "frozen")
    lines = []
    for verdict in order:
        names = [layer.name for layer in layers if layer.verdict == verdict]
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            lines.append(f"{len(names)} of {len(layers)} layers: {WORDS[verdict]} ({shown})")
    learning = [layer for layer in layers if layer.verdict == "fine"]
    if len(learning) == len(layers):
        lines.append(f"all {len(layers)} layers learn: there is a gradient in each, and each is a number")
    return lines
