"""Says which photos a model was trained on, where its run folder tells: scores on them hold for no other people."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from maskfit.config.loader import read_recipe
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.errors import MaskfitError
from maskfit.run_dir import FoldDir, RunDir, is_run_dir
from maskfit.text import format_count


def describe_training_photos(models: Sequence[str | Path], photos: Iterable[Path]) -> str:
    """Says how many of the photos that are predicted the models were trained on.

    A photo is known by its path; copies elsewhere are not. A run whose photos are gone and a model outside of its run
    folder tell nothing.

    Args:
        models: Model files.
        photos: Paths of the photos that are predicted.

    Returns:
        One line; empty where nothing is known, or none of them was trained on.
    """
    folders = dict.fromkeys(Path(os.path.abspath(model)).parent.parent for model in models)
    runs = [folder for folder in folders if is_run_dir(folder)]
    if not runs:
        return ""
    predicted = {_real(path) for path in photos}
    for run in runs:
        own = [Path(os.path.abspath(model)) for model in models]
        trained = _find_trained(RunDir(run), [model for model in own if model.parent.parent == run], predicted)
        if common := len(predicted & trained):
            shown = Path(os.path.relpath(run)) if run.is_relative_to(Path.cwd()) else run
            some = f"{common:,} of {format_count(len(predicted), 'photo')} {'was' if common == 1 else 'were'}"
            return (
                f"{some} trained on in {shown}: scores on them "
                f"say nothing about other people; scores on people that it did not see are in {RunDir(shown).report}"
            )
    return ""


def _find_trained(run: RunDir, models: Sequence[Path], predicted: set[str]) -> set[str]:
    """Paths of the photos that some of the models of a run were trained on."""
    try:
        recipe = read_recipe(run.recipe)
        data = recipe.data
        source = data.path and _find_dataset(data.path, recipe.output_dir, run)
        if not source or not _may_overlap(source, predicted):
            return set()
        photos = read_photos(source, data.label_schema, data.codes, must_exist=False, must_use_codes=False)
        fold_of_person = read_splits(run.splits).fold_of_person
    except (MaskfitError, OSError):
        return set()
    trained: set[str] = set()
    for model in models:
        fold = FoldDir(model.parent)
        number = fold.path.name.removeprefix("fold")
        # After further epochs on all photos nobody is held out.
        held_out = None if model == fold.full_data_model or not number.isdecimal() else int(number)
        trained |= {
            _real(photo.path)
            for photo in photos
            if held_out is None or fold_of_person.get(photo.person, held_out) != held_out
        }
    return trained


def _find_dataset(source: str, output_dir: str | None, run: RunDir) -> str | None:
    """Where a run's path of its dataset leads from the current folder; None where that is not known.

    A relative one starts from the folder in which the training was started; in another one, other photos may lie under
    the same path. A run that does not record that folder lies below it, or where its own output folder says.
    """
    if os.path.isabs(source):
        return source
    if (folder := run.read_working_dir()) is not None:
        return str(folder / source)
    place = os.path.realpath(run.path)
    own = output_dir is not None and os.path.realpath(output_dir) == place
    return source if own or Path(place).is_relative_to(os.path.realpath(os.curdir)) else None


def _may_overlap(source: str, predicted: set[str]) -> bool:
    """Whether photos of a dataset may be among others: a large folder is not listed for photos of another one."""
    if not os.path.isdir(source):
        return True
    root = os.path.realpath(source) + os.sep
    return any(path.startswith(root) for path in predicted)


def _real(path: Path) -> str:
    """A path without links in its folders, which are resolved once each."""
    return os.path.join(_real_folder(os.path.dirname(os.path.abspath(path))), os.path.basename(path))


@lru_cache(maxsize=4096)
def _real_folder(path: str) -> str:
    return os.path.realpath(path)
