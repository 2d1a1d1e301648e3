"""Names of the backbones, without importing them: maskfit's own, and every model that the installed timm registers."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from maskfit.errors import ModelFileError
from maskfit.registry import ComponentSpec, LazyComponent

NONE, TIMM, FACES = "none", "timm", "faces"
"""Values of `model.pretrained` that are no path: random initialization, timm's published weights, and those of a
MobileNet that was trained to recognize faces."""

FACES_BACKBONE = ComponentSpec.create("mobilenetv1_100", pad_type="same")
"""The backbone that has the weights `faces`."""

LOCAL_OPTIONS = ("local_stages", "local_grid")
"""Options of timm's models that add features of earlier stages; the model's weights are the same with them."""

REFUSED_OPTIONS = {
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
"""Options of `timm.create_model` that a recipe or model file may not set.

maskfit sets them itself, or they could reach the network or the disk."""

OWN_BACKBONES: dict[str, Callable[..., Any]] = {
    "small": LazyComponent("maskfit.models.backbones:small_cnn"),
    "three_conv": LazyComponent("maskfit.models.backbones:three_conv"),
    "custom_dark": LazyComponent("maskfit.models.backbones:custom_dark"),
}
"""maskfit's own backbones by name."""

_SHIPPED = dict(OWN_BACKBONES)

_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)
"""A model in timm's source: a decorated function of that name."""


def has_added_backbones() -> bool:
    """Returns whether a program has backbones of its own in `OWN_BACKBONES`, which another process does not know.

    Returns:
        Whether it has.
    """
    return OWN_BACKBONES != _SHIPPED


class _Backbones(Mapping[str, Callable[..., Any]]):
    """maskfit's own backbones, then timm's, whose names are looked up only where the name is no own one."""

    @cached_property
    def _timm(self) -> dict[str, LazyComponent]:
        return {name: LazyComponent("maskfit.models.backbones:timm_backbone", name) for name in read_timm_names()}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return OWN_BACKBONES[name] if name in OWN_BACKBONES else self._timm[name]

    def __contains__(self, name: object) -> bool:
        return name in OWN_BACKBONES or name in self._timm

    def __iter__(self) -> Iterator[str]:
        return iter({**OWN_BACKBONES, **self._timm})

    def __len__(self) -> int:
        return len({**OWN_BACKBONES, **self._timm})


def find_local_problem(options: Mapping[str, Any]) -> str | None:
    """Finds what is wrong with a backbone's local features, as far as it shows without the network.

    Args:
        options: Options of a timm model.

    Returns:
        The error; None without one.
    """
    for name in options:
        close = get_close_matches(name, LOCAL_OPTIONS, n=1, cutoff=0.8)
        if close and name not in LOCAL_OPTIONS:
            return f"there is no option '{name}'; did you mean '{close[0]}'"
    stages, grid = options.get("local_stages", ()), options.get("local_grid")
    if not _are_integers(stages) or list(stages) != sorted(set(stages)) or (stages and stages[0] < 0):
        return f"local_stages must be a list of stages from 0, ascending, such as [2, 3], got {stages!r}"
    if grid is None:
        return None
    if not _are_integers(grid) or len(grid) != 2 or min(grid) < 1:
        return f"local_grid must be [rows, columns], each >= 1, got {grid!r}"
    return None if stages else "local_grid has no effect without local_stages, such as local_stages: [2, 3]"


def _are_integers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(item) is int for item in value)


def without_local_options(backbone: ComponentSpec) -> ComponentSpec:
    """Returns a backbone without its local features: backbones that are equal then have the same weights.

    Args:
        backbone: The backbone.

    Returns:
        The backbone without `LOCAL_OPTIONS`.
    """
    options = {name: value for name, value in backbone.options.items() if name not in LOCAL_OPTIONS}
    return backbone.model_copy(update={"options": options})


def check_pretrained(backbone: ComponentSpec, weights: str) -> None:
    """Checks that a backbone can have pretrained weights: maskfit's own have none, and those of faces are for one.

    Args:
        backbone: Name of the backbone, with its options.
        weights: Value of `model.pretrained`.

    Raises:
        ModelFileError: It is one of maskfit's own, and weights are named; or the weights are of another backbone.
    """
    if backbone.name in OWN_BACKBONES and weights != NONE:
        raise ModelFileError(
            f"the backbone '{backbone.name}' has no published weights",
            location=f"model.pretrained={weights}",
            hint="model.pretrained=none",
        )
    padding = backbone.options.get("pad_type")
    if weights == FACES and (backbone.name, padding) != (FACES_BACKBONE.name, FACES_BACKBONE.options["pad_type"]):
        raise ModelFileError(
            "these weights are of a MobileNet (version 1), not of the backbone "
            + (backbone.name if backbone.name != FACES_BACKBONE.name else f"{backbone.name} with other padding"),
            location=f"model.pretrained={weights}",
            hint="model.backbone='{name: mobilenetv1_100, pad_type: same}', or model.pretrained=timm",
        )


def has_timm() -> bool:
    """Returns whether timm is installed; does not import it."""
    return importlib.util.find_spec("timm") is not None


@lru_cache(maxsize=1)
def find_timm_modules() -> Mapping[str, Path]:
    """Finds the source files of timm's models, without importing it: that would import torch and torchvision.

    Returns:
        Model -> file that registers it; none where timm is not installed.
    """
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return {
        name: file
        for file in sorted(folder.glob("*.py"))
        for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))
    }


def read_timm_names() -> list[str]:
    """Reads the names of timm's models.

    Returns:
        The names as `timm.list_models()` has them, in another order; none where timm is not installed.
    """
    return list(find_timm_modules())


BACKBONES: Mapping[str, Callable[..., Any]] = _Backbones()
"""Names of the recipe key `model.backbone`."""
