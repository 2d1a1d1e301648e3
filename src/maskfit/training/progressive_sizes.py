"""Which image sizes a recipe trains on, told before the training; imports no torch."""

from __future__ import annotations

from maskfit.errors import RecipeError
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.augment import PROGRESSIVE_RESIZING
from maskfit.training.augment.progressive_resizing import Size, list_sizes

NUM_BATCHES = 1000
"""Batches of an imagined training: enough to see every size and, to a tenth of a percent, how long it is used."""


def progressive_sizes(spec: ComponentSpec, size: Size) -> dict[Size, float]:
    """Lists the sizes of the training images of a recipe.

    Args:
        spec: Its `progressive_resizing`.
        size: (height, width) of the network's input in pixels.

    Returns:
        (height, width) in pixels, with the fraction of the training that has it, in order; empty without progressive
            resizing.

    Raises:
        RecipeError: Options of `progressive_resizing` do not fit together.
    """
    try:
        schedule = instantiate(PROGRESSIVE_RESIZING, spec, size=size, num_batches=NUM_BATCHES)
    except RecipeError as error:
        hint = "maskfit components progressive_resizing has its options"
        raise RecipeError(error.message, location="progressive_resizing", hint=hint) from error
    return {} if schedule is None else list_sizes(schedule, NUM_BATCHES)


def describe_progressive_resizing(spec: ComponentSpec, size: Size) -> str | None:
    """Says which sizes the training images of a recipe have, and how much of the computation that saves.

    Args:
        spec: Its `progressive_resizing`.
        size: (height, width) of the network's input in pixels.

    Returns:
        One line; None without progressive resizing.

    Raises:
        RecipeError: Options of `progressive_resizing` do not fit together.
    """
    sizes = progressive_sizes(spec, size)
    if not sizes:
        return None
    height, width = size
    parts = [
        f"{rows if rows == columns else f'{rows} x {columns}'} ({share:.0%})"
        for (rows, columns), share in sizes.items()
    ]
    pixels = sum(rows * columns * share for (rows, columns), share in sizes.items()) / (height * width)
    return f"progressive resizing: {', '.join(parts)} px of the training; {pixels:.0%} of the pixels of the full size"
