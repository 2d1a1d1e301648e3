"""Which models answer where a user names none."""

from __future__ import annotations

import os
from collections.abc import Sequence

from maskfit.cli.console import err
from maskfit.cli.defaults import MODEL

LEFT_OUT = "left out, the one that comes with maskfit"
"""For the help of a verb that takes models."""


def resolve_models(named: Sequence[str] | None) -> list[str]:
    """The models that were named, or that of SM_CHANNEL_MODEL, or the one in the box, which is said.

    Raises:
        ModelFileError: None was named, and this install is without the one in the box.
    """
    if named:
        return list(named)
    if os.environ.get(MODEL):
        return [os.environ[MODEL]]
    from maskfit.inference.bundled_model import bundled_model_path

    box = bundled_model_path()
    err.print("no model was named: the one that comes with maskfit answers; 'maskfit card' says how well")
    return [str(box)]
