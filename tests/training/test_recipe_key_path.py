"""How far a recipe key travels: from the command line's word to the optimizer through few files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
from pydantic import BaseModel

import maskfit
from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.training.builders import build_task
from maskfit.training.data_loaders import FoldDataset
from maskfit.training.plan import TrainingPlan, make_plan
from maskfit.training.recipe_registry import RECIPE_REGISTRY

SOURCE = str(Path(maskfit.__file__).parent)
LEARNING_RATE = 0.001234


def holds(value: Any, depth: int = 0) -> bool:
    """Whether an argument is the learning rate, or a word, mapping, recipe or plan that carries it."""
    if isinstance(value, float):
        return value == LEARNING_RATE
    if isinstance(value, str):
        return str(LEARNING_RATE) in value
    if depth > 5:
        return False
    if isinstance(value, BaseModel):
        return any(holds(item, depth + 1) for item in dict(value).values())
    if isinstance(value, TrainingPlan):
        return holds(value.recipe, depth + 1)
    if isinstance(value, Mapping):
        return any(holds(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return any(holds(item, depth + 1) for item in value[:50])
    return False


def files_that_receive_it(call: Callable[[], object]) -> set[str]:
    """Files of maskfit in which a function is entered with an argument that carries the learning rate."""
    entered: set[str] = set()

    def trace(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(SOURCE) or code.co_name == "<module>":
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = [frame.f_locals[name] for name in names if name in frame.f_locals]
        if code.co_flags & 0x08:
            values.append(frame.f_locals.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], {}))
        if any(holds(value) for value in values):
            entered.add(code.co_filename.removeprefix(SOURCE))

    sys.setprofile(trace)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered


def test_the_learning_rate_reaches_the_optimizer_through_at_most_seven_files(tiny: Callable[..., Recipe]) -> None:
    base = tiny()
    words = [f"data.path={base.data.path}", "data.image_size=24", "model.backbone.width=4"]
    found: list[float] = []

    def travel() -> None:
        recipe = read_recipe("fast", [*words, f"optimizer.lr={LEARNING_RATE}"], registries=RECIPE_REGISTRY)
        plan = make_plan(recipe)
        # Building a task reads labels only, so no image has to be decoded here.
        train = FoldDataset(cast("Any", None), plan.allowed_masks, np.arange(len(plan.photos)))
        settings = build_task(plan, plan.network(), train, (0, 0)).configure_optimizers()
        found.append(settings["optimizer"].param_groups[0]["initial_lr"])

    entered = files_that_receive_it(travel)
    assert found == [LEARNING_RATE]
    assert "/training/optim/optimizers.py" in entered
    assert len(entered) <= 7, sorted(entered)
