"""Every schedule stays in its range and has the shape its paper or seed gives it."""

from __future__ import annotations

import pytest

from maskfit.errors import RecipeError
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.optim import LR_SCHEDULERS
from maskfit.training.optim.lr_schedules import ReduceOnPlateau

EPOCHS, STEPS = 12, 10


def factors(name: str, **options: float) -> list[float]:
    factor = instantiate(LR_SCHEDULERS, ComponentSpec.create(name, **options), epochs=EPOCHS, epoch_steps=STEPS)
    return [factor(step) for step in range(EPOCHS * STEPS)]


@pytest.mark.parametrize("name", [name for name in LR_SCHEDULERS if name != "reduce_on_plateau"])
def test_factors_stay_between_nothing_and_one(name: str) -> None:
    assert all(0 < factor <= 1 + 1e-12 for factor in factors(name))
    # A step past the end, as after a resume of a run that was done, must not fail.
    assert (
        instantiate(LR_SCHEDULERS, ComponentSpec.create(name), epochs=EPOCHS, epoch_steps=STEPS)(EPOCHS * STEPS + 5) > 0
    )


def test_cosine_rises_for_its_warm_up_and_falls_to_its_floor() -> None:
    draws = factors("cosine", warmup=2, floor=0.1)
    assert draws[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert draws[20] == pytest.approx(1)
    assert draws[20 + 50] == pytest.approx(0.55, abs=0.01)
    assert sorted(draws[20:], reverse=True) == draws[20:]
    assert draws[-1] == pytest.approx(0.1, abs=0.01)


def test_restarts_begin_at_the_top_and_stretch() -> None:
    draws = factors("cosine_restarts", period=2, stretch=2)
    tops = [step for step, factor in enumerate(draws) if factor == pytest.approx(1)]
    assert tops == [0, 20, 60]


def test_step_falls_after_every_fifth_epoch() -> None:
    draws = factors("step", every=5, factor=0.1)
    assert [draws[0], draws[49], draws[50], draws[100]] == pytest.approx([1, 1, 0.1, 0.01])


def test_exponential_falls_once_an_epoch() -> None:
    draws = factors("exponential")
    assert [draws[0], draws[9], draws[10], draws[110]] == pytest.approx([1, 1, 0.995, 0.995**11])


def test_triangles_halve() -> None:
    draws = factors("triangular2", period=4, floor=0.0 + 1e-9)
    assert [draws[0], draws[20], draws[60], draws[100]] == pytest.approx([0, 1, 0.5, 0.25], abs=1e-6)


def test_one_cycle_rises_then_falls_to_nearly_nothing() -> None:
    draws = factors("one_cycle", rise=0.25)
    assert draws.index(max(draws)) == 30
    assert draws[0] == pytest.approx(0.04)
    assert draws[-1] < 0.01


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosine", {"warmup": -1}),
        ("cosine", {"floor": 2}),
        ("cosine_restarts", {"period": 0}),
        ("step", {"every": 0}),
        ("triangular2", {"period": 0}),
        ("one_cycle", {"rise": 1}),
        ("reduce_on_plateau", {"factor": 1}),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=next(iter(options))):
        instantiate(LR_SCHEDULERS, ComponentSpec.create(name, **options), epochs=EPOCHS, epoch_steps=STEPS)


def test_plateau_keeps_its_options() -> None:
    assert instantiate(
        LR_SCHEDULERS, ComponentSpec.create("reduce_on_plateau", patience=5), epochs=1, epoch_steps=1
    ) == ReduceOnPlateau(1, 1, patience=5)
