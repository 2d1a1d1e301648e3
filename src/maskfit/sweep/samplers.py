"""Optuna's samplers and pruners by name.

A sampler is created for each trial and seeded by (the sweep's seed, the trial's number), so that a resumed sweep draws
the values that an uninterrupted one would have drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from maskfit.registry import ComponentSpec, instantiate


def tpe(seed: int, parallel: bool, startup: int = 10, together: bool = False) -> BaseSampler:
    """Returns a tree-structured Parzen estimator, which models the densities of good and of bad trials.

    Source: Bergstra et al., NeurIPS 2011.

    Args:
        seed: Random seed.
        parallel: Whether several trials run at a time; running ones then count as bad, so that others differ from them.
        startup: Number of random trials before the model is used.
        together: Whether values are drawn jointly rather than independently, for parameters that depend on each other.

    Returns:
        The sampler.
    """
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup, multivariate=together, group=together, constant_liar=parallel
    )


def random(seed: int, parallel: bool) -> BaseSampler:
    """Returns uniform random search, the baseline for all other samplers.

    Args:
        seed: Random seed.
        parallel: Unused.

    Returns:
        The sampler.
    """
    return optuna.samplers.RandomSampler(seed=seed)


def gp(seed: int, parallel: bool, startup: int = 10) -> BaseSampler:
    """Returns Bayesian optimization with a Gaussian process: for few, expensive trials over numbers.

    Args:
        seed: Random seed.
        parallel: Unused.
        startup: Number of random trials before the model is used.

    Returns:
        The sampler.
    """
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, deterministic_objective=True)


def grid(seed: int, parallel: bool) -> BaseSampler:
    """Returns grid search: every combination once, in random order; float ranges need a step.

    Args:
        seed: Random seed.
        parallel: Unused.

    Returns:
        The sampler.
    """
    return optuna.samplers.BruteForceSampler(seed=seed)


SAMPLERS: dict[str, Callable[..., BaseSampler]] = {"tpe": tpe, "random": random, "gp": gp, "grid": grid}
"""Values of `--sampler`."""


def make_sampler(spec: ComponentSpec, seed: int, parallel: bool) -> BaseSampler:
    """Creates a sampler.

    Args:
        spec: Name in `SAMPLERS`, and options.
        seed: Random seed.
        parallel: Whether several trials run at a time.

    Returns:
        The sampler.

    Raises:
        RecipeError: Unknown name or option.
    """
    with warnings.catch_warnings():
        # The pinned version of Optuna is tested; that it calls a sampler experimental is of no use to the user.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: BaseSampler = instantiate(SAMPLERS, spec, seed=seed, parallel=parallel)
    return sampler


def none(epochs: int) -> BasePruner:
    """Returns a pruner that stops no trial.

    Args:
        epochs: Unused.

    Returns:
        The pruner.
    """
    return optuna.pruners.NopPruner()


def median(epochs: int, startup: int = 5, warmup: int = 1) -> BasePruner:
    """Returns the median rule: stops a trial whose best score so far is below the others' median at the same epoch.

    Args:
        epochs: Unused.
        startup: Number of trials that are never stopped.
        warmup: Number of first epochs in which no trial is stopped.

    Returns:
        The pruner.
    """
    return optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)


def hyperband(epochs: int, least: int = 1, factor: int = 3) -> BasePruner:
    """Returns Hyperband (arXiv:1603.06560): many trials for few epochs, the best of them for more, and so on.

    Args:
        epochs: Largest number of epochs that a trial can have, over all its folds.
        least: Number of epochs that every trial gets.
        factor: One trial of this many continues at each level.

    Returns:
        The pruner.
    """
    return optuna.pruners.HyperbandPruner(min_resource=least, max_resource=epochs, reduction_factor=factor)


PRUNERS: dict[str, Callable[..., BasePruner]] = {"none": none, "median": median, "hyperband": hyperband}
"""Values of `--pruner`."""
