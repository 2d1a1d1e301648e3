"""The script that makes the table of the bundled model's teacher."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def teacher_script() -> Iterator[ModuleType]:
    yield from _load("face_teacher")


def _load(name: str) -> Iterator[ModuleType]:
    pytest.importorskip("timm")
    sys.path.insert(0, str(SCRIPTS))
    yield __import__(name)
    sys.path.remove(str(SCRIPTS))


def _teacher_inputs(count: int) -> tuple[Tensor, list[dict[str, str]]]:
    rng = np.random.default_rng(0)
    ages = rng.integers(18, 81, count)
    features = rng.normal(size=(count, 3, 8)).astype(np.float32)
    features[..., 0] = ages[:, None] / 20
    features[..., 1] = (np.arange(count) % 2)[:, None] * 4
    rows = [
        {"person": f"p{number}", "age": str(age), "gender": ("female", "male")[number % 2], "source": "faces"}
        for number, age in enumerate(ages)
    ]
    return torch.tensor(features), rows


def test_a_teacher_learns_ages_and_genders(teacher_script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_script, "RATE", 1e-2)
    features, rows = _teacher_inputs(800)

    years, males = teacher_script.cross_fit(features, rows, np.ones(800, dtype=bool))

    assert years.sum(1) == pytest.approx(np.ones(800), abs=1e-5)
    assert ((males > 0.5) == (np.arange(800) % 2 == 1)).mean() > 0.95
    off = np.abs(years @ teacher_script.YEARS - [float(row["age"]) for row in rows]).mean()
    assert off < 10  # 16 for the mean age


@pytest.mark.parametrize("is_held_out", [False, True])
def test_a_teacher_never_sees_the_labels_of_the_person_it_speaks_of(
    teacher_script: ModuleType, is_held_out: bool
) -> None:
    features, rows = _teacher_inputs(300)
    may_fit = np.arange(300) % 10 > 0
    person = 20 if is_held_out else 21
    changed = [dict(row) for row in rows]
    changed[person].update(age="80" if rows[person]["age"] != "80" else "20", gender="female" if person % 2 else "male")

    before = teacher_script.cross_fit(features, rows, may_fit)
    after = teacher_script.cross_fit(features, changed, may_fit)

    assert np.array_equal(before[0][person], after[0][person])
    assert before[1][person] == after[1][person]
    # The others are told by networks that saw it, unless it is held out.
    assert np.array_equal(before[0], after[0]) == is_held_out
