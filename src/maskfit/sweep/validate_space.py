"""Checks a search space against its recipe before the first trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError, format_list
from maskfit.registry import RegistryEntry
from maskfit.sweep.search_space import Space, to_overrides

_SAME_PHOTOS = "trials are compared, so all of them must be evaluated on the same photos of the same persons"
_NO_EFFECT = "it has no effect on the score"

FIXED_KEYS: dict[str, str] = {
    **dict.fromkeys(
        ("data.path", "data.label_schema", "data.codes", "data.label_corrections", "data.known_label_errors", "cv"),
        _SAME_PHOTOS,
    ),
    "trainer.seed": "the split depends on it, and the best of many seeds is luck",
    **dict.fromkeys(
        (
            "name",
            "description",
            "card",
            "output_dir",
            "data.cache_dir",
            "trainer.loggers",
            "trainer.save_top_k",
            "trainer.parallel_folds",
            "trainer.devices",
            "trainer.num_nodes",
        ),
        _NO_EFFECT,
    ),
}
"""Recipe key or section that a space must not contain -> reason."""


def validate_space(
    space: Space, source: str, overrides: Sequence[str], registries: Mapping[str, RegistryEntry], *, where: str = ""
) -> None:
    """Validates the recipe with both ends of every range and with every choice.

    Args:
        space: The search space.
        source: The recipe, as `read_recipe` takes it.
        overrides: `key=value` overrides of the recipe.
        registries: Registry of the components at each recipe key.
        where: The space's file, for the message.

    Raises:
        RecipeError: All errors together, one per line.
    """
    problems = []
    for key in space.dimensions:
        fixed = next((name for name in FIXED_KEYS if key == name or key.startswith(f"{name}.")), None)
        if fixed is not None:
            problems.append(f"{key}: a space must not contain '{fixed}': {FIXED_KEYS[fixed]}")
            continue
        problems += _recipe_errors(space, key, source, overrides, registries)
    if problems:
        raise RecipeError(
            format_list(list(dict.fromkeys(problems))),
            location=where,
            hint="correct the lines above; no trial was started",
        )


def max_epochs(space: Space, recipe: Recipe) -> int:
    """Returns the largest number of epochs per fold that a trial can have.

    Args:
        space: The search space.
        recipe: The base recipe, used where the space does not vary `trainer.epochs`.

    Returns:
        The number of epochs.
    """
    dimension = space.dimensions.get("trainer.epochs")
    return int(max([recipe.trainer.epochs] if dimension is None else dimension.bounds()))


def _recipe_errors(
    space: Space, key: str, source: str, overrides: Sequence[str], registries: Mapping[str, RegistryEntry]
) -> Iterator[str]:
    """Validation errors at the ends of a dimension, with each choice of the component that it is an option of."""
    parents = [name for name in space.dimensions if key.startswith(f"{name}.")]
    parent_values: list[dict[str, Any]] = [
        {parent: value} for parent in parents for value in space.dimensions[parent].bounds()
    ]
    for values in parent_values or [{}]:
        for bound in space.dimensions[key].bounds():
            try:
                read_recipe(source, [*overrides, *to_overrides({**values, key: bound})], registries=registries)
            except RecipeError as error:
                yield from (_with_key(key, line.removeprefix("- ")) for line in error.message.splitlines())


def _with_key(key: str, line: str) -> str:
    return line if line.startswith(key.split(".")[0]) else f"{key}: {line}"
