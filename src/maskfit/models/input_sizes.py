"""Which image sizes a backbone takes: told from timm's source without torch, and settled by trying before training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Literal

from maskfit.errors import RecipeError
from maskfit.models.backbone_names import OWN_BACKBONES, find_timm_modules
from maskfit.models.timm_configs import TimmConfig, read_timm_config
from maskfit.registry import ComponentSpec

AUTO: Literal["auto"] = "auto"
"""Value of `data.image_size` that takes the size of the backbone's published weights."""

DEFAULT_SIZE = (224, 224)
"""What `auto` means for backbones that take any size and have no published weights."""

SIZE_STEPS = {
    "beit": 1,
    "byobnet": 32,
    "cait": 1,
    "coat": 32,
    "crossvit": 1,
    "deit": 1,
    "efficientformer": 0,
    "efficientformer_v2": 1,
    "efficientvit_msra": 1,
    "eva": 1,
    "gcvit": 32,
    "hiera": 32,
    "vision_transformer": 1,
}
"""Module of timm -> number of which both sides must be multiples, 0 where only the size of the weights is taken.

Only for models that are built for one size; found by trying them with timm 1.0. Of others nothing is said here:
`settle_input_size` tries every network before training.
"""

SHAPELESS_OPTIONS = {"pad_type", "drop_rate", "drop_path_rate"}
"""Options of timm's models with which a network still takes images of the size of its weights."""

_PATCH = re.compile(r"_patch(\d+)(?:_|$)")
"""Side of the patches in the name of a timm model."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def resolve_image_size(backbone: ComponentSpec, size: Size | Literal["auto"]) -> Size:
    """Returns the size of the network's input.

    Args:
        backbone: A name in `BACKBONES` with its options.
        size: (height, width) in pixels, or `AUTO`.

    Returns:
        (height, width) in pixels.

    Raises:
        RecipeError: `AUTO`, and the size of the weights is not known.
    """
    if size != AUTO:
        return size
    config = read_timm_config(backbone.name)
    if config is not None:
        return config.input_size
    if backbone.name in OWN_BACKBONES:
        return DEFAULT_SIZE
    raise RecipeError(
        f"the image size of {backbone.name}'s weights is not known",
        location="data.image_size",
        hint="data.image_size=224, or another that it takes",
    )


def describe_weights(backbone: ComponentSpec) -> str | None:
    """Says what the published weights of a backbone were trained for.

    Args:
        backbone: A name in `BACKBONES` with its options.

    Returns:
        One line; None where nothing is known.
    """
    config = read_timm_config(backbone.name)
    if config is None:
        return None
    return f"the weights of {backbone.name} are for {format_size(config.input_size)} px, crop_pct {config.crop_pct:g}"


def describe_input_size(backbone: ComponentSpec, size: Size) -> str | None:
    """Says what the published weights were trained for, and what is done where the recipe's size is another.

    Args:
        backbone: A name in `BACKBONES` with its options.
        size: (height, width) of the recipe in pixels.

    Returns:
        One line; None where nothing is known.

    Raises:
        RecipeError: The network takes one size only, and it is not this one.
    """
    config = read_timm_config(backbone.name)
    if config is None:
        return None
    weights = (
        f"the weights of {backbone.name} are for {format_size(config.input_size)} px, crop_pct {config.crop_pct:g}"
    )
    if size == config.input_size or not config.is_fixed or "img_size" in backbone.options:
        return weights
    step = SIZE_STEPS.get(find_timm_modules()[backbone.name].stem)
    if step == 0:
        raise size_error(backbone, size, "it takes the size of its weights only", config)
    if step is not None and any(side % step for side in size):
        raise size_error(backbone, size, f"both sides must be multiples of {step}", config)
    lost = describe_lost_pixels(backbone, size)
    return f"{weights}; the network is built for {format_size(size)} px" + (f"; {lost}" if lost else "")


def describe_lost_pixels(backbone: ComponentSpec, size: Size) -> str | None:
    """Says which part of the images a network of patches does not see.

    timm's patch embedding is a convolution without padding: what is left over beyond the last whole patch is dropped.

    Args:
        backbone: A name in `BACKBONES` with its options.
        size: (height, width) in pixels.

    Returns:
        One line; None where nothing is lost, where the weights are for this size, or where the patches are not known.
    """
    match = _PATCH.search(backbone.name)
    module = find_timm_modules().get(backbone.name)
    if match is None or module is None or SIZE_STEPS.get(module.stem) != 1:
        return None
    patch = backbone.options.get("patch_size", int(match[1]))
    config = read_timm_config(backbone.name)
    if not isinstance(patch, int) or patch < 1 or backbone.options.get("dynamic_img_pad"):
        return None
    rest = [side % patch for side in size]
    if not any(rest) or (config is not None and size == config.input_size):
        return None
    parts = [f"{count} {name}" for count, name in zip(rest, ("rows", "columns"), strict=True) if count]
    below = tuple(max(side // patch, 1) * patch for side in size)
    above = tuple(math.ceil(side / patch) * patch for side in size)
    sizes = " or ".join(dict.fromkeys(_format_setting((item[0], item[1])) for item in (below, above)))
    return (
        f"its patches of {patch} px leave out the last {' and '.join(parts)} of each image; "
        f"data.image_size={sizes} leaves out none"
    )


def _format_setting(size: Size) -> str:
    return str(size[0]) if size[0] == size[1] else f"[{size[0]},{size[1]}]"


def size_error(backbone: ComponentSpec, size: Size, reason: str, config: TimmConfig | None) -> RecipeError:
    """Builds the error for a size that a backbone does not take.

    Args:
        backbone: The backbone.
        size: (height, width) in pixels.
        reason: Why, in a few words.
        config: Configuration of its weights, where known.

    Returns:
        The error.
    """
    known = "" if config is None else f" takes that of its weights, {format_size(config.input_size)} px"
    if "local_grid" in reason:
        return RecipeError(
            f"the backbone '{backbone.name}' has no local features for images of {format_size(size)} px: {reason}",
            location="model.backbone.local_grid",
            hint="a grid with fewer rows and columns, such as model.backbone.local_grid=[2,1]; an earlier stage; or "
            "larger images (data.image_size)",
        )
    return RecipeError(
        f"the backbone '{backbone.name}' does not take images of {format_size(size)} px: {reason}",
        location="data.image_size",
        hint=f"data.image_size=auto{known}" if known else "choose another size or backbone",
    )


def format_size(size: Size) -> str:
    """Formats a size.

    Args:
        size: (height, width).

    Returns:
        Text such as "280 x 210".
    """
    return f"{size[0]} x {size[1]}"


def settle_input_size(backbone: ComponentSpec, size: Size) -> ComponentSpec:
    """Finds options with which a backbone takes images of a size: those given, or with timm's `img_size` added.

    The network is tried on torch's meta device, which computes shapes only.

    Args:
        backbone: A name in `BACKBONES` with its options.
        size: (height, width) in pixels.

    Returns:
        The backbone, with `img_size` where it needs it.

    Raises:
        RecipeError: It takes no images of this size; or its name or an option is wrong.
    """
    if backbone.name in OWN_BACKBONES or _is_certain(backbone, size):
        return backbone
    reason = _find_obstacle(backbone, size)
    if reason is None:
        return backbone
    if "img_size" not in backbone.options:
        sized = backbone.model_copy(
            update={"options": {**backbone.options, "img_size": size[0] if size[0] == size[1] else list(size)}}
        )
        if _find_obstacle(sized, size) is None:
            return sized
    raise size_error(backbone, size, reason, read_timm_config(backbone.name))


def _is_certain(backbone: ComponentSpec, size: Size) -> bool:
    """Whether a size is that of the weights and no option changes shapes; convolutions on meta tensors import SymPy."""
    config = read_timm_config(backbone.name)
    return config is not None and size == config.input_size and backbone.options.keys() <= SHAPELESS_OPTIONS


def check_further_sizes(backbone: ComponentSpec, sizes: Iterable[Size], key: str) -> None:
    """Checks that a network that is built for the recipe's size also takes images of other sizes.

    Args:
        backbone: The backbone as `settle_input_size` returned it.
        sizes: (height, width) in pixels.
        key: Recipe key that the sizes come from, for the error.

    Raises:
        RecipeError: It does not take one of them.
    """
    for size in sizes:
        reason = _find_obstacle(backbone, size)
        if reason is not None:
            raise RecipeError(
                f"the backbone '{backbone.name}' does not take images of {format_size(size)} px besides those of "
                f"data.image_size: {reason}",
                location=key,
                hint=f"{key}=none, or a backbone without position embeddings; another size_increment where sides must "
                "be multiples of a number",
            )


def _find_obstacle(backbone: ComponentSpec, size: Size) -> str | None:
    """Returns why a backbone does not take images of a size; None where it does, or where shapes alone do not tell."""
    import torch

    from maskfit.models.backbones import build_backbone
    from maskfit.models.meta_device import meta_device

    try:
        with meta_device(), torch.no_grad():
            network: Any = build_backbone(backbone).eval()
            network(torch.empty(2, 3, *size))
    except NotImplementedError:
        return None
    except RecipeError as error:
        if "img_size" in backbone.options:
            return error.message
        raise
    except Exception as error:  # Networks refuse sizes with anything from AssertionError to IndexError.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[0].rstrip(".")[:120]
    return None
