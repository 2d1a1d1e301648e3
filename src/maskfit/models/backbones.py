"""Trunks: any timm model by its name, and maskfit's own small nets, with the numbers their photos are normalised by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import timm
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from maskfit.errors import ModelFileError
from maskfit.models.small import SmallTrunk
from maskfit.parts import Part, build

NONE, HUB = "none", "hub"
"""The words that `weights` may hold besides a path."""


REFUSED = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "num_classes", "in_chans",
    "global_pool", "features_only", "scriptable", "exportable", "no_jit",
}  # fmt: skip
"""Options of timm that maskfit sets itself; a model file must not be able to."""


Filter = Literal["bilinear", "bicubic"]


class Trunk(nn.Module):
    """Photos (batch, 3, height, width) to features (batch, `features`).

    Attributes:
        features: How many numbers describe a photo.
        mean: By channel, in 0 to 1, what the trunk's photos are normalised with.
        std: The same.
        filter: The resampling filter its published weights were trained with.
    """

    def __init__(
        self,
        body: nn.Module,
        features: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        filter: Filter,
    ) -> None:
        super().__init__()
        self.body = body
        self.features = features
        self.mean, self.std, self.filter = mean, std, filter

    def forward(self, photos: Tensor) -> Tensor:
        features: Tensor = self.body(photos)
        return features


def small_trunk(*, weights: str, width: int = 24, blocks: int = 1) -> Trunk:
    """maskfit's own small net (see `small.SmallTrunk`), for training from nothing.

    Raises:
        ModelFileError: Start weights were asked for; there are none.
    """
    if weights != NONE:
        raise ModelFileError(
            "the small net has no published weights", where=f"model.weights={weights}", fix="model.weights=none"
        )
    body = SmallTrunk(width, blocks)
    return Trunk(body, body.num_features, body.mean, body.std, "bilinear")


def timm_trunk(name: str, *, weights: str, **options: Any) -> Trunk:
    """A timm model without its classifier.

    Args:
        name: As in `timm.list_models()`.
        weights: `none`, `hub`, or a weight file: .safetensors, or a state dict, read without code.
        options: Passed to timm, such as `pad_type="same"` or `drop_path_rate=0.1`; those by which a
            file could reach the network or the disk are refused.

    Raises:
        ModelFileError: The weights cannot be had or do not fit.
        ValueError: timm refuses an option.
    """
    refused = sorted(REFUSED & set(options))
    if refused:
        raise ValueError(f"option {refused[0]} is not a recipe's to set; weights come from model.weights")
    overlay = {}
    if weights not in (NONE, HUB):
        if not Path(weights).is_file():
            raise ModelFileError("there is no such weight file", where=weights, fix="model.weights=none, hub or a path")
        overlay = {"file": weights}
    try:
        body = timm.create_model(
            name, pretrained=weights != NONE, num_classes=0, pretrained_cfg_overlay=overlay, **options
        )
    except TypeError as error:
        raise ValueError(f"timm refuses an option: {error}") from error
    except Exception as error:
        if weights == NONE:
            raise ValueError(f"timm cannot build it: {error}") from error
        raise _weights_error(name, weights, error) from error
    config: dict[str, Any] = resolve_model_data_config(body)  # type: ignore[no-untyped-call]
    kernel: Filter = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bilinear"
    return Trunk(body, int(str(body.num_features)), tuple(config["mean"]), tuple(config["std"]), kernel)


def _weights_error(name: str, weights: str, error: Exception) -> ModelFileError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if weights == HUB:
        return ModelFileError(
            f"the published weights of {name} cannot be had: {reason:.200}",
            where="model.weights=hub",
            fix="connect to the hub, or name a local weight file with model.weights=PATH, or start at random with "
            "model.weights=none",
        )
    return ModelFileError(
        f"these weights do not fit {name}: {reason:.200}",
        where=weights,
        fix="name the backbone that the file was made for, with its options, as model.backbone",
    )


OWN: dict[str, Callable[..., Trunk]] = {"small": small_trunk}
"""maskfit's own trunks."""

BACKBONES: dict[str, Callable[..., Trunk]] = {name: partial(timm_trunk, name) for name in timm.list_models()} | OWN
"""Every trunk by name."""


def build_trunk(backbone: Part, weights: str = NONE) -> Trunk:
    """Builds a trunk from its part.

    Raises:
        RecipeError: The name or an option is unknown.
        ModelFileError: The weights cannot be had or do not fit.
    """
    trunk: Trunk = build(BACKBONES, backbone, weights=weights)
    return trunk
