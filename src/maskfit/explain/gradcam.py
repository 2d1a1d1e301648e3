"""Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) for any value of any attribute.

The library `grad-cam` computes the maps. This module selects what is specific to maskfit's networks: the layer with the
last feature maps, and the logits that stand for a value. Needs torch and the extra `inspect`; both are imported when
they are needed.
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

FeatureMaps = tuple["nn.Module", "Callable[[Tensor], Tensor] | None"]
"""A layer, and a function that makes (batch, channels, height, width) of its output; None where the output is that."""

COLOR_MAP = np.array([(13, 8, 60), (110, 20, 130), (205, 60, 100), (250, 140, 60), (252, 245, 170)], dtype=np.float64)
"""RGB colors from 0 to 1; lightness rises evenly, so that the map is readable in gray too."""

MAX_OPACITY = 0.75
"""Opacity of the color map at heat 1."""


def logits_for(schema: LabelSchema, heads: Sequence[str], attribute: str, code: int) -> tuple[str, tuple[int, ...]]:
    """Finds the head and the logits that stand for a value of the scored schema.

    There are several logits where finer training classes are merged into the value, or with a joint head.

    Args:
        schema: Label schema that the network was trained on.
        heads: Names of the network's outputs.
        attribute: Name of the attribute.
        code: Code of the value in the scored schema.

    Returns:
        Name of the head, and indices of its logits.

    Raises:
        LabelError: There is no such attribute.
        DataError: The attribute has no such value.
    """
    trained = schema[attribute]
    scored = trained.to_scored_index() if trained.parent_of else np.arange(len(trained.values))
    if not 0 <= code <= int(scored.max()):
        raise DataError(f"{attribute} has no value {code}", hint=f"choose 0 to {int(scored.max())}")
    if tuple(heads) != (JOINT_HEAD,):
        return attribute, tuple(np.flatnonzero(scored == code).tolist())
    codes = schema.to_attribute_indices(np.arange(schema.num_classes))[:, schema.names.index(attribute)]
    return JOINT_HEAD, tuple(np.flatnonzero(scored[codes] == code).tolist())


def grad_cam(network: Network, photos: NDArray[np.float32], head: str, logits: Sequence[int]) -> FloatArray:
    """Computes Grad-CAM maps: where the network found evidence for a value.

    Not thread-safe: hooks are registered on the network during the call.

    Args:
        network: A network in evaluation mode.
        photos: (batch, 3, height, width), normalized.
        head: An output of the network.
        logits: Indices of logits of that head; of several the logsumexp is explained.

    Returns:
        (batch, height, width), each map from 0 to 1; all 0 where there is no evidence for the value.

    Raises:
        MissingExtraError: The library is not installed.
        DataError: The network has no feature maps or no such head, or the head has no such logit.
    """
    require_grad_cam()
    import torch
    from pytorch_grad_cam import GradCAM

    device = next(network.parameters()).device
    with torch.inference_mode(False), torch.enable_grad():
        batch = torch.from_numpy(np.ascontiguousarray(photos, dtype=np.float32)).to(device)
        model = _one_head(network, batch[:1], head, logits)
        layer, reshape = find_feature_maps(network, batch[:1], head)
        with GradCAM(model=model, target_layers=[layer], reshape_transform=reshape) as cam:
            maps = cam(input_tensor=batch, targets=[_first] * len(batch))
        network.zero_grad(set_to_none=True)
    return np.asarray(np.nan_to_num(maps), dtype=np.float64)


def require_grad_cam() -> None:
    """Checks that torch and the library are installed, without importing them.

    Raises:
        MissingExtraError: One is missing.
    """
    if any(importlib.util.find_spec(module) is None for module in ("torch", "pytorch_grad_cam")):
        raise MissingExtraError("Grad-CAM", "inspect")


def find_feature_maps(network: Network, photo: Tensor, head: str = "") -> FeatureMaps:
    """Finds the last layer of a network whose output has spatial dimensions and through which all evidence passes.

    In a convolutional backbone that is the last one with more than one position; in a vision transformer it is the norm
    before the last attention, because after it only one token is used. An attribute that reads local features has
    evidence that passes the last layer by: for it, it is the first stage that they come from.

    Args:
        network: A network in evaluation mode.
        photo: (1, 3, height, width).
        head: The output to explain.

    Returns:
        The layer, and a function that reshapes its output.

    Raises:
        DataError: There is none.
    """
    from maskfit.models.local_features import stage_module

    body: Any = network.backbone.body
    kind, channels_last = _feature_kind(body, photo)
    local, layer = network.backbone.local, None
    # Heads that know nothing of local features read all of them.
    if local is not None and head in getattr(network.head, "local_attributes", network.heads):
        layer = stage_module(body, local.stages[0])
    if kind == "tokens":
        last, reshape = _token_maps(body)
        return layer or last, reshape
    if layer is None and kind == "maps":
        layer = _last_spatial_layer(body, photo, slice(1, 3) if channels_last else slice(2, 4))
    if layer is None:
        raise DataError(
            "this network has no feature maps for Grad-CAM",
            hint="use a convolutional network or a vision transformer",
        )
    return layer, (lambda maps: maps.permute(0, 3, 1, 2)) if channels_last else None


def _feature_kind(body: Any, photo: Tensor) -> tuple[str, bool]:
    """Whether a backbone's features are "maps", "tokens" or "neither", and whether its maps are channels-last."""
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


def _token_maps(body: Any) -> FeatureMaps:
    prefix, (height, width) = int(body.num_prefix_tokens), body.patch_embed.grid_size

    def reshape(tokens: Tensor) -> Tensor:
        return tokens[:, prefix:].reshape(len(tokens), height, width, -1).permute(0, 3, 1, 2)

    return body.blocks[-1].norm1, reshape


def _last_spatial_layer(body: nn.Module, photo: Tensor, spatial: slice) -> nn.Module | None:
    """The layer that finishes last of those whose output has more than one position in the dimensions `spatial`."""
    import torch

    found: list[nn.Module] = []

    def record(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[spatial].numel() > 1:
            found[:] = [layer]

    hooks = [layer.register_forward_hook(record) for layer in body.modules() if layer is not body]
    try:
        with torch.no_grad():
            body(photo)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def _one_head(network: Network, photo: Tensor, head: str, logits: Sequence[int]) -> nn.Module:
    """The network with one output per photo: the evidence for the value.

    Raises:
        DataError: There is no such head or logit.
    """
    import torch
    from torch import nn

    with torch.no_grad():
        known = {name: values.shape[1] for name, values in network(photo).items()}
    if head not in known or not logits or not all(0 <= index < known[head] for index in logits):
        available = ", ".join(f"{name} ({width} logits)" for name, width in known.items())
        raise DataError(f"there is no head {head} with logits {list(logits)}", hint=f"available: {available}")

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


def overlay(image: NDArray[np.uint8], heat: FloatArray) -> NDArray[np.uint8]:
    """Lays a heat map over a gray version of an image.

    Args:
        image: (height, width, 3).
        heat: (height, width), 0 to 1; other values are clipped.

    Returns:
        (height, width, 3).
    """
    gray = (image.astype(np.float64) @ (0.299, 0.587, 0.114))[..., None]
    clipped = np.clip(heat, 0.0, 1.0)
    stops = np.linspace(0.0, 1.0, len(COLOR_MAP))
    color = np.stack([np.interp(clipped, stops, COLOR_MAP[:, channel]) for channel in range(3)], axis=-1)
    opacity = (MAX_OPACITY * clipped)[..., None]
    return np.asarray(np.rint(gray * (1 - opacity) + color * opacity).clip(0, 255), dtype=np.uint8)
