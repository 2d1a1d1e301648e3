"""How a sweep chooses the next trial, and when it gives one up: Optuna's samplers and pruners, by name.

A sampler is made anew for each trial, its seed a function of (the sweep's seed, the trial's number). So a sweep that
was killed and goes on chooses what it would have chosen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from maskfit.registry import ComponentSpec, instantiate


def tpe(seed: int, parallel: bool, startup: int = 10, together: bool = False) -> BaseSampler:
    """Tree-structured Parzen estimators: tries where good trials lie dense and bad ones do not (NeurIPS 2011, 24).

    Args:
        seed, parallel: Where chance begins; whether trials run side by side, which then keep off each other's places.
        startup: So many trials are drawn at random first.
        together: Values are drawn together rather than each on its own, where they hang together.
    """
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup, multivariate=together, group=together, constant_liar=parallel
    )


def random(seed: int, parallel: bool) -> BaseSampler:
    """Evenly at random: what every other sampler must beat."""
    return optuna.samplers.RandomSampler(seed=seed)


def gp(seed: int, parallel: bool, startup: int = 10) -> BaseSampler:
    """A Gaussian process: for few, costly trials over numbers."""
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, deterministic_objective=True)


def grid(seed: int, parallel: bool) -> BaseSampler:
    """Every combination once, in random order; ranges of fractions need a step."""
    return optuna.samplers.BruteForceSampler(seed=seed)


SAMPLERS: dict[str, Callable[..., BaseSampler]] = {"tpe": tpe, "random": random, "gp": gp, "grid": grid}
"""The names of `--sampler`."""


def make_sampler(part: ComponentSpec, seed: int, parallel: bool) -> BaseSampler:
    """The sampler of a name with its options.

    Raises:
        RecipeError: There is no such sampler, or it has no such option.
    """
    with warnings.catch_warnings():
        # Some are what Optuna calls experimental; that is for whoever pins Optuna to know.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: BaseSampler = instantiate(SAMPLERS, part, seed=seed, parallel=parallel)
    return sampler


def none(epochs: int) -> BasePruner:
    """Every trial goes to its end."""
    return optuna.pruners.NopPruner()


def median(epochs: int, startup: int = 5, warmup: int = 1) -> BasePruner:
    """Gives up what is, at its best so far, worse than the median of the others at the same epoch.

    Args:
        epochs: The most epochs that a trial can have, over all its folds.
        startup: So many trials go to their end first.
        warmup: In so many first epochs none is given up.
    """
    return optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)


def hyperband(epochs: int, least: int = 1, factor: int = 3) -> BasePruner:
    """Many trials for few epochs, the best third of them for more, and so on (arXiv:1603.06560).

    Args:
        epochs: As for `median`.
        least: Epochs that each trial has at least.
        factor: One of so many goes on.
    """
    return optuna.pruners.HyperbandPruner(min_resource=least, max_resource=epochs, reduction_factor=factor)


PRUNERS: dict[str, Callable[..., BasePruner]] = {"none": none, "median": median, "hyperband": hyperband}
"""The names of `--pruner`."""
