"""Finds recipe files and bundled recipes, and names what is given in place of one."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from maskfit.errors import RecipeError, did_you_mean, is_model_name

RECIPE_SUFFIXES = (".yaml", ".yml", ".json")
"""Suffixes of recipe files; a source with any other suffix is the name of a bundled recipe."""


def recipe_names() -> list[str]:
    """Returns the names of the bundled recipes in alphabetical order."""
    folder = resources.files("maskfit") / "recipes"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def read_recipe_text(source: str | Path) -> str:
    """Reads the text of a recipe file or of a bundled recipe.

    Args:
        source: A path with one of `RECIPE_SUFFIXES`, or the name of a bundled recipe.

    Returns:
        The text.

    Raises:
        RecipeError: There is neither such a file nor such a bundled recipe, or it is no recipe.
    """
    path = Path(source)
    try:
        if path.suffix in RECIPE_SUFFIXES:
            return path.read_text(encoding="utf-8")
        if path.name != str(source):
            raise FileNotFoundError("bundled recipes have names, not paths")
        return (resources.files("maskfit") / "recipes" / f"{path.name}.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _describe_unreadable(path, error) from None


def _describe_unreadable(source: Path, error: OSError | UnicodeDecodeError) -> RecipeError:
    """The error for what is no recipe: a run, a table of photos, or nothing."""
    names = "list the bundled recipes with 'maskfit recipes'"
    if source.is_dir():
        own = source / "recipe.yaml"
        hint = f"name the run's recipe: {own}" if own.is_file() else f"name a recipe file in it, or {names}"
        return RecipeError("this is a folder, not a recipe", location=source, hint=hint)
    if source.is_file() and is_model_name(source):
        hint = f"training starts from it with a key, beside a recipe: transfer model.init_from={source}; or {names}"
        return RecipeError("this is a model, not a recipe", location=source, hint=hint)
    if source.is_file() and source.suffix not in RECIPE_SUFFIXES:
        return RecipeError(
            "this file is no recipe, which ends in .yaml or .json",
            location=source,
            hint=f"photos and labels are named beside a recipe: baseline data.path={source}; or {names}",
        )
    if source.exists():
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        return RecipeError(f"the recipe cannot be read: {reason}", location=source)
    if source.suffix in RECIPE_SUFFIXES:
        return RecipeError("there is no such recipe file", location=source, hint=f"check the path, or {names}")
    return RecipeError(
        f"there is no recipe '{source}'; {did_you_mean(str(source), recipe_names())}",
        hint=f"{names}; a recipe file ends in .yaml or .json",
    )
