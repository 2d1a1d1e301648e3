"""Where a network looks: Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) for any attribute, as heat over a frame.

The library `grad-cam` does the arithmetic. What stands here is what it cannot know: which layer of a network of
maskfit's gives the last maps, and which logits speak for a value. It needs torch and the extra `inspect`; everything
is imported when it is needed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError, MissingExtraError
from maskfit.labels.schema import JOINT_HEAD, FloatArray, LabelSchema

if TYPE_CHECKING:
    from torch import Tensor, nn

    from maskfit.models.network import Network

Maps = tuple["nn.Module", "Callable[[Tensor], Tensor] | None"]
"""A layer, and what makes (batch, channels, height, width) of what it gives; None where it gives that."""

COLOR_MAP = np.array([(13, 8, 60), (110, 20, 130), (205, 60, 100), (250, 140, 60), (252, 245, 170)], dtype=np.float64)
"""From no heat to all of it: rising evenly in lightness, so that it reads without colours too."""

MOST_COVERED = 0.75
"""How much of the frame the hottest place covers."""


def logits_for(scheme: LabelSchema, heads: Sequence[str], attribute: str, code: int) -> tuple[str, tuple[int, ...]]:
    """The head, and which of its logits, that speak for an official value: several where finer ones are folded.

    Args:
        scheme: What the network was trained to tell apart.
        heads: What its outputs are called.
        attribute: Its name.
        code: Of the official value.

    Raises:
        LabelError: There is no such attribute.
        DataError: The attribute has no such value.
    """
    own = scheme[attribute]
    folding = own.to_scored_index() if own.parent_of else np.arange(len(own.values))
    if not 0 <= code <= int(folding.max()):
        raise DataError(f"{attribute} has no value {code}", hint=f"take one of 0 to {int(folding.max())}")
    if tuple(heads) != (JOINT_HEAD,):
        return attribute, tuple(np.flatnonzero(folding == code).tolist())
    codes = scheme.to_attribute_indices(np.arange(scheme.classes))[:, scheme.names.index(attribute)]
    return JOINT_HEAD, tuple(np.flatnonzero(folding[codes] == code).tolist())


def grad_cam(network: Network, photos: NDArray[np.float32], head: str, logits: Sequence[int]) -> FloatArray:
    """Where a network found what speaks for a value.

    Not to be called while another thread runs the same network, whose layers are listened to meanwhile.

    Args:
        network: In evaluation mode.
        photos: Normalised, (batch, 3, height, width).
        head: An output of the network.
        logits: Of that head; of several the logarithm of the sum of exponentials counts, as in a folded softmax.

    Returns:
        (batch, height, width), each map from 0 to 1; all 0 where nothing speaks for the value.

    Raises:
        MissingExtraError: The library is not installed.
        DataError: The network has no maps to look into, no such head, or the head no such logit.
    """
    refuse_without_library()
    import torch
    from pytorch_grad_cam import GradCAM

    device = next(network.parameters()).device
    with torch.inference_mode(False), torch.enable_grad():
        batch = torch.from_numpy(np.ascontiguousarray(photos, dtype=np.float32)).to(device)
        model = _one_head(network, batch[:1], head, logits)
        layer, reshape = find_maps(network, batch[:1])
        with GradCAM(model=model, target_layers=[layer], reshape_transform=reshape) as cam:
            maps = cam(input_tensor=batch, targets=[_first] * len(batch))
        network.zero_grad(set_to_none=True)
    return np.asarray(np.nan_to_num(maps), dtype=np.float64)


def refuse_without_library() -> None:
    """Asks for torch and the library without importing them.

    Raises:
        MissingExtraError: One is missing.
    """
    if any(importlib.util.find_spec(module) is None for module in ("torch", "pytorch_grad_cam")):
        raise MissingExtraError("Grad-CAM", "inspect")


def find_maps(network: Network, photo: Tensor) -> Maps:
    """The last layer of a network that still says where on the photo it found something.

    In a convolutional trunk that is the last one with more than one place; in a vision transformer the norm before the
    last attention, for after that only one token is read.

    Args:
        network: In evaluation mode.
        photo: (1, 3, height, width).

    Raises:
        DataError: There is none.
    """
    body: Any = network.backbone.body
    fits, channels_last = _features_of(body, photo)
    if fits == "tokens":
        return _token_maps(body)
    layer = _last_layer(body, photo, slice(1, 3) if channels_last else slice(2, 4)) if fits == "maps" else None
    if layer is None:
        raise DataError(
            "this network keeps no maps of the photo that could be looked into",
            hint="take a convolutional network or a vision transformer",
        )
    return layer, (lambda maps: maps.permute(0, 3, 1, 2)) if channels_last else None


def _features_of(body: Any, photo: Tensor) -> tuple[str, bool]:
    """Whether a trunk's features are `maps`, `tokens` or neither, and whether its maps have their channels last."""
    import torch

    if not hasattr(body, "forward_features"):
        return "maps", False
    with torch.no_grad():
        features = body.forward_features(photo)
    if not isinstance(features, torch.Tensor):
        return "neither", False
    if features.ndim == 3:
        last = next(reversed(getattr(body, "blocks", [])), None)
        known = hasattr(last, "norm1") and hasattr(body, "num_prefix_tokens") and hasattr(body, "patch_embed")
        return ("tokens" if known else "neither"), False
    return ("maps" if features.ndim == 4 else "neither"), getattr(body, "output_fmt", "NCHW") == "NHWC"


def _token_maps(body: Any) -> Maps:
    prefix, (height, width) = int(body.num_prefix_tokens), body.patch_embed.grid_size

    def reshape(tokens: Tensor) -> Tensor:
        return tokens[:, prefix:].reshape(len(tokens), height, width, -1).permute(0, 3, 1, 2)

    return body.blocks[-1].norm1, reshape


def _last_layer(body: nn.Module, photo: Tensor, sides: slice) -> nn.Module | None:
    """The layer that ends last of those that give maps of more than one place, whose sides are these dimensions."""
    import torch

    found: list[nn.Module] = []

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[sides].numel() > 1:
            found[:] = [layer]

    hooks = [layer.register_forward_hook(note) for layer in body.modules() if layer is not body]
    try:
        with torch.no_grad():
            body(photo)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def _one_head(network: Network, photo: Tensor, head: str, logits: Sequence[int]) -> nn.Module:
    """The network as one number for each photo: how much speaks for the value.

    Raises:
        DataError: There is no such head or logit.
    """
    import torch
    from torch import nn

    with torch.no_grad():
        known = {name: values.shape[1] for name, values in network(photo).items()}
    if head not in known or not logits or not all(0 <= place < known[head] for place in logits):
        said = ", ".join(f"{name} of {width}" for name, width in known.items())
        raise DataError(f"there is no head {head} with logits {list(logits)}", hint=f"there are {said}")

    class OneHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, photos: Tensor) -> Tensor:
            values: Tensor = self.network(photos)[head]
            return values[:, list(logits)].logsumexp(1, keepdim=True)

    return OneHead().eval()


def _first(output: Any) -> Any:
    return output[0]


def overlay(frame: NDArray[np.uint8], heat: FloatArray) -> NDArray[np.uint8]:
    """A frame (height, width, 3) in grey under its heat (height, width), as pixels (height, width, 3)."""
    grey = (frame.astype(np.float64) @ (0.299, 0.587, 0.114))[..., None]
    share = np.clip(heat, 0.0, 1.0)
    stops = np.linspace(0.0, 1.0, len(COLOR_MAP))
    colour = np.stack([np.interp(share, stops, COLOR_MAP[:, channel]) for channel in range(3)], axis=-1)
    covered = (MOST_COVERED * share)[..., None]
    return np.asarray(np.rint(grey * (1 - covered) + colour * covered).clip(0, 255), dtype=np.uint8)
