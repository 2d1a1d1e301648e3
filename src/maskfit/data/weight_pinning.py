"""Components with external weights; model files and the image cache store the weights' SHA-256 instead of a path."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from maskfit.registry import ComponentSpec


@runtime_checkable
class NeedsWeights(Protocol):
    """Interface of crops and background removals that need weights or an extra."""

    def pinned(self) -> dict[str, Any]:
        """Returns the options that name the weights by their SHA-256 instead of a local path.

        Returns:
            Options that replace those of the recipe.

        Raises:
            DataError: Weights are missing and cannot be downloaded, or cannot be read.
            MissingExtraError: An extra is missing.
        """
        ...


def pin_component(spec: ComponentSpec, component: object) -> ComponentSpec:
    """Returns a component's spec as model files and the image cache store it.

    Args:
        spec: The spec in the recipe.
        component: What it was instantiated to.

    Returns:
        The spec with pinned weights; `spec` itself for a component without any.

    Raises:
        DataError: Weights are missing and cannot be downloaded, or cannot be read.
        MissingExtraError: An extra is missing.
    """
    if not isinstance(component, NeedsWeights):
        return spec
    return ComponentSpec(name=spec.name, options={**spec.options, **component.pinned()})


def check_pinned(component: object) -> None:
    """Checks that a component does not name weights by a local path alone.

    Args:
        component: A crop or background removal.

    Raises:
        ValueError: It has `weights` without `sha256`.
    """
    if getattr(component, "weights", None) is not None and getattr(component, "sha256", None) is None:
        raise ValueError("weights must be named by their SHA-256, not only by a path")
