"""Gradient check: does every layer of a network learn, and how strongly, from the input to the heads? Source: boostup.

One batch passes forward and backward in training mode, as in a training step, and nothing is changed. Every layer with
parameters of its own is checked, in the order of the forward pass. Needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from maskfit.labels.schema import UNKNOWN, IntArray
from maskfit.text import format_count

if TYPE_CHECKING:
    from torch import Tensor, nn

    from maskfit.models.network import Network

Verdict = Literal["fine", "frozen", "none", "not a number", "zero", "vanishing", "exploding"]
"""Result of the check of one layer; `MESSAGES` explains each."""

VANISHING_RATIO = 1e-6
"""A layer whose gradient (RMS per parameter) is below this fraction of the largest one hardly learns in comparison."""

EXPLODING_NORM = 1e4
"""Above this gradient norm one step changes the parameters by more than their size, at any usual learning rate."""

MAX_NAMED = 3
"""Maximum number of layers that a summary line names."""

MESSAGES: dict[Verdict, str] = {
    "fine": "learns",
    "frozen": "frozen: its parameters do not require gradients",
    "none": "no gradient: the loss does not depend on it",
    "not a number": "gradient is NaN or infinite: one step with it destroys the weights; look for divisions by zero, "
    "logarithms of zero, half precision without loss scaling",
    "zero": "gradient is zero: everything after it is inactive, for example dead ReLUs or saturated activations",
    "vanishing": "vanishing gradient: it hardly learns in comparison to the others; look for missing normalization, "
    "saturating activations, or a poor initialization",
    "exploding": "exploding gradient: clip gradients (trainer.gradient_clip_val), lower the learning rate, look for "
    "missing normalization",
}
"""What each verdict means, and what to look for."""


@dataclass(frozen=True)
class LayerGradient:
    """Gradient of one layer.

    Attributes:
        name: Path of the layer in the network: `backbone.body.conv_stem`.
        layer_type: Its class: `Conv2d`.
        num_parameters: Number of parameters that belong to the layer itself.
        norm: Norm of its gradient; NaN where there is none or it is not finite.
        rms: Root mean square of its gradient over the parameters; NaN likewise.
        verdict: Result of the check.
    """

    name: str
    layer_type: str
    num_parameters: int
    norm: float
    rms: float
    verdict: Verdict


def check_gradients(
    network: Network, photos: NDArray[np.float32], targets: Mapping[str, NDArray[np.bool_]], *, seed: int = 0
) -> list[LayerGradient]:
    """Runs one batch forward and backward and checks the gradient of every layer.

    The network is not changed: neither its running statistics, nor its mode, nor its gradients.

    Args:
        network: Any network.
        photos: (batch, 3, height, width), normalized; batch >= 2, since batch normalization needs two samples.
        targets: By head (batch, values): which values the label of each photo allows; see `target_mask`.
        seed: Seed of dropout.

    Returns:
        Each layer with parameters, in the order of the forward pass.
    """
    import torch

    work = _copy(network)
    batch = torch.from_numpy(np.ascontiguousarray(photos, dtype=np.float32))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        logits = work(batch)
        losses = [_loss(logits[head], torch.from_numpy(mask)) for head, mask in targets.items()]
        torch.stack(losses).sum().backward()
    layers = [
        (name, layer) for name, layer in work.named_modules() if any(True for _ in layer.parameters(recurse=False))
    ]
    measured = [_measure(name, layer) for name, layer in layers]
    max_rms = max((layer.rms for layer in measured if math.isfinite(layer.rms)), default=0.0)
    return [replace(layer, verdict=_verdict(layer, max_rms)) for layer in measured]


def target_mask(
    codes: IntArray, widths: Mapping[str, int], predictions: Mapping[str, IntArray]
) -> dict[str, NDArray[np.bool_]]:
    """Makes the targets of the gradient check: the labels, and the network's own predictions where a label is unknown.

    Args:
        codes: (photos, heads) value codes, `UNKNOWN` where a label is missing.
        widths: Number of values of each head, in the order of the columns of `codes`.
        predictions: By head (photos,): the most probable value.

    Returns:
        By head (photos, values): one-hot masks.
    """
    targets = {}
    for column, (head, width) in enumerate(widths.items()):
        values = np.where(codes[:, column] == UNKNOWN, predictions[head], codes[:, column])
        targets[head] = values[:, None] == np.arange(width)
    return targets


def _copy(network: Network) -> Network:
    """A copy in training mode, on the CPU, without gradients."""
    import copy

    work = copy.deepcopy(network).cpu().train()
    work.zero_grad(set_to_none=True)
    return work


def _loss(logits: Tensor, allowed: Tensor) -> Tensor:
    """Cross-entropy of the set of allowed values."""
    import torch

    log_probabilities = torch.log_softmax(logits.float(), dim=1)
    return -log_probabilities.masked_fill(~allowed, -torch.inf).logsumexp(1).mean()


def _measure(name: str, layer: nn.Module) -> LayerGradient:
    parameters = list(layer.parameters(recurse=False))
    count = sum(parameter.numel() for parameter in parameters)
    layer_type = type(layer).__name__
    if not any(parameter.requires_grad for parameter in parameters):
        return LayerGradient(name, layer_type, count, math.nan, math.nan, "frozen")
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not grads:
        return LayerGradient(name, layer_type, count, math.nan, math.nan, "none")
    squares = sum(float(grad.double().square().sum()) for grad in grads)
    if not math.isfinite(squares):
        return LayerGradient(name, layer_type, count, math.nan, math.nan, "not a number")
    size = sum(grad.numel() for grad in grads)
    return LayerGradient(name, layer_type, count, math.sqrt(squares), math.sqrt(squares / size), "fine")


def _verdict(layer: LayerGradient, max_rms: float) -> Verdict:
    if layer.verdict != "fine":
        return layer.verdict
    if layer.norm == 0:
        return "zero"
    if layer.norm > EXPLODING_NORM:
        return "exploding"
    return "vanishing" if layer.rms < VANISHING_RATIO * max_rms else "fine"


def summarize_gradients(layers: Sequence[LayerGradient]) -> list[str]:
    """Summarizes the check.

    Args:
        layers: What `check_gradients` returned.

    Returns:
        One line per verdict other than "fine", the most severe first; a single line where all layers are fine.
    """
    order: tuple[Verdict, ...] = ("not a number", "exploding", "none", "zero", "vanishing", "frozen")
    lines = []
    for verdict in order:
        names = [layer.name for layer in layers if layer.verdict == verdict]
        if names:
            rest = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
            shown = ", ".join(names[:MAX_NAMED]) + rest
            lines.append(f"{len(names)} of {format_count(len(layers), 'layer')}: {MESSAGES[verdict]} ({shown})")
    if all(layer.verdict == "fine" for layer in layers):
        lines.append(
            f"all {format_count(len(layers), 'layer learns', 'layers learn')}: each has a finite gradient that is not 0"
        )
    return lines
