"""Trunks: any timm model by its name, and maskfit's own small nets, with the numbers their photos are normalised by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import timm
from timm.data.config import resolve_model_data_config
from timm.models import load_state_dict
from torch import Tensor, nn

from maskfit.errors import ModelFileError
from maskfit.models.reference_cnns import CustomDark, ThreeConv
from maskfit.models.small_cnn import SmallCNN
from maskfit.registry import ComponentSpec, instantiate

NONE, TIMM = "none", "timm"
"""The words that `weights` may hold besides a path."""

REFUSED = {
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "num_classes",
    "in_chans",
    "global_pool",
    "features_only",
    "scriptable",
    "exportable",
    "no_jit",
    "pretrained_strict",
    "pretrained_filter_fn",
    "pretrained_custom_load",
    "pretrained_model_args",
    "device",
    "dtype",
}
"""Options of timm that maskfit sets itself; a model file must not be able to."""

Filter = Literal["bilinear", "bicubic"]


class Backbone(nn.Module):
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


def small_cnn(*, weights: str, width: int = 24, blocks: int = 1) -> Backbone:
    """maskfit's own small net (see `small.SmallTrunk`), for training from nothing.

    Raises:
        ModelFileError: Start weights were asked for; there are none.
    """
    return _own_trunk("small", SmallCNN(width, blocks), weights)


def three_conv_trunk(*, weights: str, dropout: float = 0.25) -> Backbone:
    """The competition baseline's net of three convolutions (see `seed_nets.ThreeConv`).

    Raises:
        ModelFileError: Start weights were asked for; there are none.
    """
    return _own_trunk("three_conv", ThreeConv(dropout), weights)


def custom_dark_trunk(*, weights: str, width: int = 16, blocks: Sequence[int] = (1, 1, 2, 2, 1)) -> Backbone:
    """A DarkNet-like net (see `seed_nets.CustomDark`; seed s0).

    Raises:
        ModelFileError: Start weights were asked for; there are none.
    """
    return _own_trunk("custom_dark", CustomDark(width, blocks), weights)


def _own_trunk(name: str, body: SmallCNN | ThreeConv | CustomDark, weights: str) -> Backbone:
    if weights != NONE:
        raise ModelFileError(
            f"the net '{name}' has no published weights",
            location=f"model.pretrained={weights}",
            hint="model.pretrained=none",
        )
    return Backbone(body, body.num_features, body.mean, body.std, "bilinear")


def timm_trunk(name: str, *, weights: str, **options: Any) -> Backbone:
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
        raise ValueError(f"option {refused[0]} is not a recipe's to set; weights come from model.pretrained")
    if weights not in (NONE, TIMM) and not Path(weights).is_file():
        raise ModelFileError(
            "there is no such weight file", location=weights, hint="model.pretrained=none, hub or a path"
        )
    try:
        body = timm.create_model(name, pretrained=weights == TIMM, num_classes=0, **options)
    except TypeError as error:
        raise ValueError(f"timm refuses an option: {error}") from error
    except Exception as error:
        if weights == TIMM:
            raise _hub_error(name, error) from error
        raise ValueError(f"timm cannot build it: {error}") from error
    if weights not in (NONE, TIMM):
        _load_weights(body, name, weights)
    # Some bodies end in a layer that is wider than `num_features`: MobileNetV3, VGG, GhostNet.
    features = getattr(body, "head_hidden_size", None) or body.num_features
    config: dict[str, Any] = resolve_model_data_config(body)  # type: ignore[no-untyped-call]
    kernel: Filter = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bilinear"
    return Backbone(body, int(str(features)), tuple(config["mean"]), tuple(config["std"]), kernel)


def _hub_error(name: str, error: Exception) -> ModelFileError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelFileError(
        f"the published weights of {name} cannot be had: {reason:.200}",
        location="model.pretrained=timm",
        hint="connect to the hub, or name a local weight file with model.pretrained=PATH, or start at random with "
        "model.pretrained=none",
    )


def _load_weights(body: nn.Module, name: str, weights: str) -> None:
    """Loads a weight file into a trunk. All must fit: timm's own loading passes over what does not.

    Raises:
        ModelFileError: The file cannot be read, or lacks weights of the trunk, or holds others besides a classifier's.
    """
    # A module of timm knows how to read its model's published formats, and how to resize position embeddings.
    convert = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    try:
        found = load_state_dict(weights)
        found = convert(found, body) if convert else found
        result = body.load_state_dict(found, strict=False)
    except Exception as error:  # Whatever a damaged or foreign file makes timm and torch raise.
        reason = (str(error).strip() or type(error).__name__).splitlines()
        # torch's first line only says that there are errors.
        raise _misfit(name, weights, reason[min(1, len(reason) - 1)].strip()) from error
    classifier: Any = getattr(body, "default_cfg", {}).get("classifier") or ()
    tops = {item.split(".")[0] for item in ((classifier,) if isinstance(classifier, str) else classifier)}
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    strange = [key for key in result.unexpected_keys if key.split(".")[0] not in tops]
    if missing:
        raise _misfit(name, weights, f"{missing[0]} is not in the file" + _more(missing))
    if strange:
        raise _misfit(name, weights, f"the file also holds {strange[0]}" + _more(strange))


def _more(keys: list[str]) -> str:
    return f", and {len(keys) - 1} more" if len(keys) > 1 else ""


def _misfit(name: str, weights: str, reason: str) -> ModelFileError:
    return ModelFileError(
        f"these weights do not fit {name}: {reason:.200}",
        location=weights,
        hint="name the backbone that the file was made for, with its options, as model.backbone",
    )


OWN: dict[str, Callable[..., Backbone]] = {
    "small": small_cnn,
    "three_conv": three_conv_trunk,
    "custom_dark": custom_dark_trunk,
}
"""maskfit's own trunks."""

BACKBONES: dict[str, Callable[..., Backbone]] = {name: partial(timm_trunk, name) for name in timm.list_models()} | OWN
"""Every trunk by name."""


def build_backbone(backbone: ComponentSpec, weights: str = NONE) -> Backbone:
    """Builds a trunk from its part.

    Raises:
        RecipeError: The name or an option is unknown.
        ModelFileError: The weights cannot be had or do not fit.
    """
    trunk: Backbone = instantiate(BACKBONES, backbone, weights=weights)
    return trunk
