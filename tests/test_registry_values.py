"""Values of options against types and documented ranges; the ranges are those that the components enforce."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
import torch

from maskfit.errors import MaskfitError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.registry import ComponentSpec, check_value, instantiate, option_docs, validate_spec
from maskfit.training.recipe_registry import RECIPE_REGISTRY

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


@pytest.mark.parametrize(
    ("annotation", "documentation", "value", "problem"),
    [
        ("float", "Factor, > 0.", 1, None),
        ("float", "Factor, > 0.", 0, "must be > 0"),
        ("float", "Factor, > 0.", True, "must be a number"),
        ("float", "Factor, > 0.", "a", "must be a number"),
        ("float", "Fraction, in [0, 1).", 0, None),
        ("float", "Fraction, in [0, 1).", 1.0, "must be in [0, 1)"),
        ("float", "Fraction, in (0, 1].", 0, "must be in (0, 1]"),
        ("float", "Margin, in -0.4 to 5.", -0.4, None),
        ("float", "Margin, in -0.4 to 5.", -0.5, "must be in -0.4 to 5"),
        ("float", "Shift, 0 to 0.5 of the circle; 2 to 3 is another.", 0.5, None),
        ("float", "Probability of a hole of 0.1 to 0.3 of each side.", 1, None),
        ("int", "Count, >= 1.", 2.0, "must be an integer"),
        ("bool", "Whether.", 1, "must be true or false"),
        ("str | None", "A file.", None, None),
        ("str | None", "A file.", 3, "must be a word or empty"),
        ("Sequence[int]", "Red, green, blue, in 0 to 255.", [0, 256, 3], "must be in 0 to 255"),
        ("tuple[float, float]", "Rates, in [0, 1).", [0.9, 0.99], None),
        ("tuple[float, float]", "Rates, in [0, 1).", ["a"], "must be a list of numbers"),
        ("str | list[float]", "Weights.", [1, 2.5], None),
        ("Range", "Limits, in (0, 1].", [0, 1], "must be in (0, 1]"),
        ("Init", "Anything.", {"a": 1}, None),
        ("Literal['a', 'b'] | None", "Anything.", "b", None),
        ("Literal['a', 'b'] | None", "Anything.", None, None),
        ("Literal['a', 'b'] | None", "Anything.", "c", "must be a or b or empty"),
        ("Literal['a']", "Anything.", ["a"], "must be a"),
    ],
)
def test_value(annotation: str, documentation: str, value: Any, problem: str | None) -> None:
    assert check_value(annotation, documentation, value) == problem


@pytest.mark.parametrize(
    ("key", "name", "option", "known"),
    [
        ("augmentation", "rand_augment", "operation_set", ("paper", "tpu")),
        ("model.head", "mlp", "init", ("default", "xavier")),
        ("data.crop", "face", "face_selection", ("largest",)),
    ],
)
def test_a_named_literal_is_checked_without_an_import(key: str, name: str, option: str, known: tuple[str, ...]) -> None:
    table = RECIPE_REGISTRY[key].table

    def problems(value: str) -> list[str]:
        spec = ComponentSpec.create(name, **{option: value})
        return [line for line in validate_spec(table, spec, check_values=True) if option in line]

    assert [problems(value) for value in known] == [[]] * len(known)
    assert re.search(rf"{option} must be .*{known[0]}.*, got 'wrong'", problems("wrong")[0])


INJECTED: dict[str, Any] = {
    "weights": "none",
    "features": 8,
    "local_features": 0,
    "sizes": SCHEMA.sizes,
    "counts": torch.ones(3),
    "classes": 18,
    "size": (32, 32),
    "schema": SCHEMA,
    "network": torch.nn.Linear(2, 2),
    "epochs": 10,
    "epoch_steps": 5,
    "num_batches": 40,
}


def ranges() -> list[tuple[str, str, str, float]]:
    """Recipe key, component, option, and a number just outside of the range that its documentation gives."""
    found = []
    for key, entry in RECIPE_REGISTRY.items():
        names = ("small", "three_conv", "custom_dark") if key == "model.backbone" else entry.table
        for name in names:
            for option, text in option_docs(entry.table[name]).items():
                if option in entry.injected_arguments:
                    continue
                for extreme, side in ((-1e9, 0), (1e9, -1)):
                    words = check_value(None, text, extreme)
                    if words is None:
                        continue
                    limit = float(re.findall(r"-?[\d.]+", words)[side])
                    # An excluded limit is outside itself.
                    is_excluded = (
                        words.endswith((f"> {limit:g}", f"< {limit:g}")) or words[8 if side == 0 else -1] in "()"
                    )
                    found.append((key, name, option, limit if is_excluded else limit + (0.01 if side else -0.01)))
    return found


@pytest.mark.parametrize(("key", "name", "option", "value"), ranges())
def test_a_documented_range_is_the_one_that_the_component_enforces(
    key: str, name: str, option: str, value: float
) -> None:
    entry = RECIPE_REGISTRY[key]
    taken = inspect.signature(entry.table[name]).parameters
    injected = {word: INJECTED[word] for word in entry.injected_arguments if word in taken}
    if key == "sampler":
        injected = {"classes": np.zeros(4, np.int64)}
    spec = ComponentSpec.create(name, **{option: value})
    assert validate_spec(entry.table, spec, injected=injected, check_values=True)
    with pytest.raises(MaskfitError):
        instantiate(entry.table, spec, **injected)
