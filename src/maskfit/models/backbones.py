"""Backbones by name: every timm model and maskfit's own small networks, with the normalization of their inputs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maskfit.deferred_packages import import_timm
from maskfit.errors import ModelFileError
from maskfit.models.backbone_names import (
    BACKBONES,
    FACES,
    NONE,
    REFUSED_OPTIONS,
    TIMM,
    check_pretrained,
    find_local_problem,
)
from maskfit.models.face_weights import load_face_weights
from maskfit.models.hub_access import hub_access
from maskfit.models.local_features import LocalFeatures, find_local_features
from maskfit.models.reference_cnns import CustomDark, ThreeConv
from maskfit.models.small_cnn import SmallCNN
from maskfit.registry import ComponentSpec, instantiate

Filter = Literal["bilinear", "bicubic"]


class Backbone(nn.Module):
    """Maps normalized images (batch, 3, height, width) to features (batch, `features`).

    Args:
        body: The network without a classifier.
        features: Number of features per image that the body computes.
        mean: Mean of the input normalization by channel, in 0 to 1.
        std: Standard deviation of the input normalization by channel, in 0 to 1.
        filter: Resampling filter that the published weights were trained with.
        local: Local features that follow the body's own ones; None without any.

    Attributes:
        body: As given.
        features: Number of features per image, local ones included.
        local: As given.
        mean: As given.
        std: As given.
        filter: As given.
    """

    def __init__(
        self,
        body: nn.Module,
        features: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        filter: Filter,
        local: LocalFeatures | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.local = local
        self.features = features + self.local_features
        self.mean, self.std, self.filter = mean, std, filter

    @property
    def local_features(self) -> int:
        """Number of local features, which are the last ones."""
        return 0 if self.local is None else self.local.count

    def forward(self, images: Tensor) -> Tensor:
        """Computes features (batch, `features`) from normalized images (batch, 3, height, width)."""
        if self.local is None:
            features: Tensor = self.body(images)
            return features
        body: Any = self.body
        last, maps = body.forward_intermediates(images, indices=list(self.local.stages))
        return torch.cat([body.forward_head(last), *map(self.local.pool, maps)], dim=1)


def small_cnn(*, weights: str, width: int = 24, blocks: int = 1) -> Backbone:
    """Builds maskfit's own small CNN, see `small_cnn.SmallCNN`, for training from scratch.

    Args:
        weights: Must be "none".
        width: Channels of the first stage, >= 1.
        blocks: Residual blocks of each stage, >= 1.

    Returns:
        The backbone.

    Raises:
        ModelFileError: `weights` is not "none"; there are no published weights.
    """
    return _own_backbone("small", SmallCNN(width, blocks), weights)


def three_conv(*, weights: str, dropout: float = 0.25) -> Backbone:
    """Builds the competition baseline's CNN of three convolutions, see `reference_cnns.ThreeConv`.

    Args:
        weights: Must be "none".
        dropout: Dropout probability after each pooling.

    Returns:
        The backbone.

    Raises:
        ModelFileError: `weights` is not "none"; there are no published weights.
    """
    return _own_backbone("three_conv", ThreeConv(dropout), weights)


def custom_dark(*, weights: str, width: int = 16, blocks: Sequence[int] = (1, 1, 2, 2, 1)) -> Backbone:
    """Builds a DarkNet-like CNN, see `reference_cnns.CustomDark` (project boostup).

    Args:
        weights: Must be "none".
        width: Channels before the first stage, >= 2.
        blocks: Residual blocks of each stage.

    Returns:
        The backbone.

    Raises:
        ModelFileError: `weights` is not "none"; there are no published weights.
    """
    return _own_backbone("custom_dark", CustomDark(width, blocks), weights)


def _own_backbone(name: str, body: SmallCNN | ThreeConv | CustomDark, weights: str) -> Backbone:
    check_pretrained(ComponentSpec.create(name), weights)
    return Backbone(body, body.num_features, body.mean, body.std, "bilinear")


def timm_backbone(
    name: str, *, weights: str, local_stages: Sequence[int] = (), local_grid: Sequence[int] = (4, 1), **options: Any
) -> Backbone:
    """Builds a timm model without its classifier.

    Args:
        name: A name in `timm.list_models()`. timm is imported here, since maskfit's own backbones do without it.
        weights: "none", "timm" for the published weights, "faces" (see `face_weights`), or a weight file: .safetensors,
            or a PyTorch state dict, which is loaded without executing code.
        local_stages: Stages whose maps give local features besides the pooled ones, see `local_features`, from 0 to the
            model's last, ascending: of MobileNets and EfficientNets 3 has a sixteenth of the image's sides. None of
            them by default.
        local_grid: Rows and columns in whose cells these maps are averaged, each >= 1.
        **options: Passed to `timm.create_model`, such as `pad_type="same"` or `drop_path_rate=0.1`. Those in
            `REFUSED_OPTIONS` are refused.

    Returns:
        The backbone.

    Raises:
        ModelFileError: The weights are not available or do not fit.
        ValueError: An option is refused by maskfit or by timm.
    """
    refused = sorted(REFUSED_OPTIONS & set(options))
    if refused:
        raise ValueError(f"the option {refused[0]} may not be set; weights are chosen by model.pretrained")
    if problem := find_local_problem({**options, "local_stages": local_stages}):
        raise ValueError(problem)
    check_pretrained(ComponentSpec(name=name, options=options), weights)
    is_file = weights not in (NONE, TIMM, FACES)
    if is_file and not Path(weights).is_file():
        raise ModelFileError(
            "there is no such weight file", location=weights, hint="set model.pretrained to none, timm, faces or a file"
        )
    timm = import_timm()
    from timm.data.config import resolve_model_data_config

    obstacle = ""
    try:
        with hub_access() if weights == TIMM else nullcontext("") as obstacle:
            body = timm.create_model(name, pretrained=weights == TIMM, num_classes=0, **options)
    except TypeError as error:
        raise ValueError(f"timm refused an option: {error}") from error
    except Exception as error:
        if weights == TIMM:
            raise _download_error(name, obstacle or str(error).strip() or type(error).__name__) from error
        raise ValueError(f"timm could not build it: {error}") from error
    if weights == FACES:
        load_face_weights(body)
    if is_file:
        _load_weights(body, name, weights)
    # Some networks end in a layer that is wider than `num_features`: MobileNetV3, VGG, GhostNet.
    features = getattr(body, "head_hidden_size", None) or body.num_features
    config: dict[str, Any] = resolve_model_data_config(body)
    kernel: Filter = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bilinear"
    local = find_local_features(body, local_stages, local_grid) if local_stages else None
    return Backbone(body, int(str(features)), tuple(config["mean"]), tuple(config["std"]), kernel, local)


def _download_error(name: str, reason: str) -> ModelFileError:
    return ModelFileError(
        f"the published weights of {name} are not available: {reason.splitlines()[0]:.200}",
        location="model.pretrained=timm",
        hint="check the connection to the Hugging Face hub, or set model.pretrained=PATH to use a local weight file, "
        "or model.pretrained=none to start from random weights, or from those of model.init_from alone; the recipes "
        "quick and transfer need no download: their start ships with maskfit",
    )


def _load_weights(body: nn.Module, name: str, weights: str) -> None:
    """Loads a weight file into a backbone; unlike timm's own loading, all weights must fit.

    Raises:
        ModelFileError: The file cannot be read, lacks weights of the backbone, or holds others than a classifier's.
    """
    from timm.models import load_state_dict

    # timm modules convert the published formats of their models, and resize position embeddings.
    convert = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    try:
        state = load_state_dict(weights)
        state = convert(state, body) if convert else state
        result = body.load_state_dict(state, strict=False)
    except Exception as error:  # Damaged or foreign files raise anything in timm and torch.
        reason = (str(error).strip() or type(error).__name__).splitlines()
        # torch's first line only announces that there are errors.
        raise _mismatch_error(name, weights, reason[min(1, len(reason) - 1)].strip()) from error
    classifier: Any = getattr(body, "default_cfg", {}).get("classifier") or ()
    classifiers = {item.split(".")[0] for item in ((classifier,) if isinstance(classifier, str) else classifier)}
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    unexpected = [key for key in result.unexpected_keys if key.split(".")[0] not in classifiers]
    if missing:
        raise _mismatch_error(name, weights, f"{missing[0]} is not in the file" + _more(missing))
    if unexpected:
        raise _mismatch_error(name, weights, f"the file also holds {unexpected[0]}" + _more(unexpected))


def _more(keys: list[str]) -> str:
    return f", and {len(keys) - 1} more" if len(keys) > 1 else ""


def _mismatch_error(name: str, weights: str, reason: str) -> ModelFileError:
    return ModelFileError(
        f"these weights do not fit {name}: {reason:.200}",
        location=weights,
        hint="set model.backbone to the backbone that the file was made for, with its options",
    )


def build_backbone(backbone: ComponentSpec, weights: str = NONE) -> Backbone:
    """Builds a backbone from its name and options.

    Args:
        backbone: A name in `BACKBONES` with its options.
        weights: "none", "timm" or a weight file, see `timm_backbone`.

    Returns:
        The backbone.

    Raises:
        RecipeError: The name or an option is unknown or out of range.
        ModelFileError: The weights are not available or do not fit.
    """
    built: Backbone = instantiate(BACKBONES, backbone, weights=weights)
    return built
