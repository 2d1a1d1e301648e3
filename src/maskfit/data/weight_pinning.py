"""Parts that look things up in files: as model files and stores keep them, such files are named by their content."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from maskfit.registry import ComponentSpec


@runtime_checkable
class NeedsWeights(Protocol):
    """A crop or background that needs more than its options: weights, or an extra."""

    def pinned(self) -> dict[str, Any]:
        """The options that say by content which files are meant, and no place on this machine.

        Raises:
            DataError: Weights are not here and cannot be fetched, or cannot be read.
            MissingExtraError: An extra is missing.
        """
        ...


def pin_component(part: ComponentSpec, built: object) -> ComponentSpec:
    """A part as model files and stores keep it.

    Args:
        part: What the recipe names.
        built: What it was built into.

    Raises:
        DataError: Weights are not here and cannot be fetched, or cannot be read.
        MissingExtraError: An extra is missing.
    """
    if not isinstance(built, NeedsWeights):
        return part
    return ComponentSpec(name=part.name, options={**part.options, **built.pinned()})


def check_pinned(built: object) -> None:
    """Stops where a part names weights by a place on some machine.

    Raises:
        ValueError: It does.
    """
    if getattr(built, "weights", None) is not None and getattr(built, "sha256", None) is None:
        raise ValueError("weights are named by their place, and not by their content")
