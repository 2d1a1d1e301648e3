"""Fitting what `maskfit.calibration` applies: temperatures, and the probabilities below which to say "not sure".

Networks that know their training photos by heart are far too sure. One number mends most of it (Guo et al. 2017,
arXiv:1706.04599). It is fitted on out-of-fold tables, to each attribute's marginal of the official probabilities; what
is said of it is judged on other persons than it was fitted on. An answer to an attribute is here the most probable
value of its marginal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.calibration import MIN_PROBABILITY, apply_temperatures
from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, proportion_interval
from maskfit.evaluation.metrics import ReliabilityCurve
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.selective_prediction import equal_mass_bins, lowest_threshold
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, FloatArray, IntArray, LabelSchema, softmax

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Between these a temperature is looked for."""


def fit_temperature(probabilities: NDArray[np.floating], codes: IntArray) -> float:
    """The temperature under which the labels are most probable, between `COLDEST` and `HOTTEST`.

    Labels count as wrong once in n + 2 times (Platt 1999), n being how many there are. Without that, a few hundred
    answers that are all right would make the next wrong one infinitely sure.

    Args:
        probabilities: (photos, values).
        codes: (photos,) the true values; photos with `UNKNOWN` are left out. Where none is known, 1 is given.
    """
    known = np.asarray(codes) != UNKNOWN
    if not known.any():
        return 1.0
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64)[known], MIN_PROBABILITY))
    own = logs[np.arange(len(logs)), np.asarray(codes)[known]]
    doubt = 1 / (len(logs) + 2)
    of_truth = ((1 - doubt) * own + doubt * (logs.sum(axis=1) - own) / (logs.shape[1] - 1)).mean()
    low, high, cold = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, 1.0
    # The loss is convex in 1/T. Newton's step where it stays between what is known, the middle where it does not.
    for _ in range(100):
        shares = softmax(cold * logs)
        mean = (shares * logs).sum(axis=1)
        slope, bend = mean.mean() - of_truth, ((shares * logs**2).sum(axis=1) - mean**2).mean()
        low, high = (low, cold) if slope > 0 else (cold, high)
        step = cold - slope / bend if bend > 0 else high
        after = step if low < step < high else (low + high) / 2
        if abs(after - cold) <= 1e-9 * cold:
            break
        cold = after
    return float(np.clip(1 / cold, MIN_TEMPERATURE, MAX_TEMPERATURE))


def fit_temperatures(
    table: ProbabilityTable, scheme: LabelSchema, truth: IntArray | None = None, *, heads: Sequence[str] | None = None
) -> dict[str, float]:
    """One temperature for each attribute, by the log loss of its marginal over all photos of which it is known.

    Args:
        table: Out-of-fold probabilities of the official classes: of models that never saw the photos' persons.
        scheme: The official scheme.
        truth: (photos, attributes) codes, `UNKNOWN` where nobody wrote them down; left out, the table's own truth.
        heads: What to fit: attributes, or `JOINT` for the classes as a whole; left out, every attribute.

    Returns:
        Name to temperature; 1 for what is known of no photo.

    Raises:
        DataError: No truth is given, or shapes do not fit.
        LabelError: A name is no attribute's.
    """
    codes = _codes(table, scheme, truth)
    names = scheme.names if heads is None else heads
    return {name: fit_temperature(*_of_head(scheme, table.probabilities, codes, name)) for name in names}


@dataclass(frozen=True)
class CalibrationMetrics:
    """How well the probability of an answer says how often it is right.

    Attributes:
        log_loss: The mean of -ln of the probability of the truth, with its interval over persons.
        error: The expected calibration error in bins of equally many photos.
        bins: The bins.
    """

    log_loss: Interval
    error: float
    bins: ReliabilityCurve

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        bins = [
            {"photos": int(photos), "confidence": float(sure), "accuracy": float(right)}
            for photos, sure, right in zip(*self.bins, strict=True)
        ]
        return {"log_loss": self.log_loss.to_dict(), "calibration_error": self.error, "bins": bins}


@dataclass(frozen=True)
class TemperatureFit:
    """One attribute, or the class, before and after its temperature.

    Attributes:
        temperature: Fitted to all photos: what is put to use.
        photos: Of how many the attribute is known.
        before: Of the probabilities as they came.
        after: Of the tempered ones, each photo with a temperature fitted to other persons.
        gain: How much log loss the temperature took away, with its interval over persons; below 0 it did harm.
    """

    temperature: float
    photos: int
    before: CalibrationMetrics
    after: CalibrationMetrics
    gain: Interval

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "temperature": self.temperature,
            "photos": self.photos,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "gain": self.gain.to_dict(),
        }


def calibrate(
    table: ProbabilityTable,
    scheme: LabelSchema,
    persons: ArrayLike,
    truth: IntArray | None = None,
    *,
    parts: int = 5,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, TemperatureFit]:
    """The class (`JOINT`) and each attribute before and after temperature scaling.

    "After" is cross-fitted: persons are dealt into parts, and each part is tempered by what the others say.

    Args:
        table: Out-of-fold probabilities.
        scheme: The official scheme.
        persons: (photos,) who is on each photo.
        truth: As for `fit_temperatures`.
        parts: Into how many parts persons are dealt; with fewer persons, each is a part.
        seed: The same seed deals and draws alike.
        draws: How many sets of persons are drawn for the intervals.

    Returns:
        By name; what is known of fewer than two persons is left out.

    Raises:
        DataError: No truth is given, or shapes do not fit.
    """
    codes, persons = _codes(table, scheme, truth), _persons(table, persons)
    found = {}
    for name in (JOINT_HEAD, *scheme.names):
        rows, own = _of_head(scheme, table.probabilities, codes, name)
        known = own != UNKNOWN
        rows, own, who = rows[known], own[known], persons[known]
        if len(np.unique(who)) < 2:
            continue
        after = np.empty_like(rows)
        for train, test in grouped_splits(who, parts, seed):
            after[test] = _tempered(rows[test], fit_temperature(rows[train], own[train]))
        found[name] = TemperatureFit(
            temperature=fit_temperature(rows, own),
            photos=len(own),
            before=_sureness(rows, own, who, draws, seed),
            after=_sureness(after, own, who, draws, seed),
            gain=proportion_interval(_losses(rows, own) - _losses(after, own), np.ones(len(own)), who, draws, seed),
        )
    return found


@dataclass(frozen=True)
class AbstentionThreshold:
    """From which probability on an answer to an attribute is sure.

    Attributes:
        probability: An answer whose tempered marginal is below it is "not sure"; 1 where nothing was sure enough.
        coverage: The share of photos that stays answered, on persons that the threshold was not fitted to.
        accuracy: The share of those that is right, on the same; None where none stays.
        whole: The share that is right when all are answered.
    """

    probability: float
    coverage: Interval
    accuracy: Interval | None
    whole: Interval

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "probability": self.probability,
            "coverage": self.coverage.to_dict(),
            "accuracy": None if self.accuracy is None else self.accuracy.to_dict(),
            "whole": self.whole.to_dict(),
        }


def fit_thresholds(
    table: ProbabilityTable,
    scheme: LabelSchema,
    persons: ArrayLike,
    truth: IntArray | None = None,
    *,
    temperatures: Mapping[str, float] | None = None,
    accuracy: float = 0.95,
    keep: float | None = None,
    parts: int = 5,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, AbstentionThreshold]:
    """For each attribute the lowest probability from which on answers are as accurate as wanted.

    Coverage and accuracy are cross-fitted as in `calibrate`: temperature and threshold come from other persons.

    Args:
        table: Out-of-fold probabilities.
        scheme: The official scheme.
        persons: (photos,) who is on each photo.
        truth: As for `fit_temperatures`.
        temperatures: What probabilities will be tempered by in use, by attribute or as one for `JOINT`; left out,
            `fit_temperatures` of the same. An empty one leaves probabilities as they are.
        accuracy: The wanted share of right answers among the sure ones, above 0 and at most 1.
        keep: Wanted in its place: the share of photos that stays answered, above 0 and at most 1.
        parts: Into how many parts persons are dealt; with fewer persons, each is a part.
        seed: The same seed deals and draws alike.
        draws: How many sets of persons are drawn for the intervals.

    Returns:
        By attribute; one that is known of fewer than two persons is left out.

    Raises:
        DataError: A wanted share is out of range, no truth is given, or shapes do not fit.
    """
    for name, share in (("accuracy", accuracy), ("keep", keep)):
        if share is not None and not 0 < share <= 1:
            raise DataError(f"a wanted {name} of {share} is not above 0 and at most 1", hint="0.95 means 95 of 100")
    codes, persons = _codes(table, scheme, truth), _persons(table, persons)
    heads = scheme.names if temperatures is None else tuple(temperatures)
    used = fit_temperatures(table, scheme, codes, heads=heads) if temperatures is None else dict(temperatures)
    # Of each part of persons: what the rest of them would have tempered all photos by.
    splits = [
        (train, test, _refitted(scheme, table.probabilities, codes, heads, train))
        for train, test in grouped_splits(persons, parts, seed)
    ]
    whole = scheme.marginals(apply_temperatures(scheme, table.probabilities, used))
    found = {}
    for column, name in enumerate(scheme.names):
        own = codes[:, column]
        known = own != UNKNOWN
        if len(np.unique(persons[known])) < 2:
            continue
        sure, right = np.zeros(len(own), dtype=bool), whole[name].argmax(axis=1) == own
        for train, test, marginals in splits:
            given, fitted = marginals[name].max(axis=1), train & known
            if fitted.any():
                sure[test] = given[test] >= lowest_threshold(given[fitted], right[fitted], accuracy=accuracy, keep=keep)
        least = lowest_threshold(whole[name].max(axis=1)[known], right[known], accuracy=accuracy, keep=keep)
        found[name] = _judged(least, sure[known], right[known], persons[known], draws, seed)
    return found


def grouped_splits(
    persons: NDArray[Any], parts: int, seed: int = 0
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which photos (photos,) to fit on and which to judge, part by part; no person is on both sides.

    Args:
        persons: (photos,) who is on each photo.
        parts: Into how many parts persons are dealt; with fewer persons, each is a part.
        seed: Says which persons go together.
    """
    unique, place = np.unique(persons, return_inverse=True)
    count = min(parts, len(unique))
    dealt = (np.random.default_rng(seed).permutation(len(unique)) % count)[place]
    for part in range(count):
        yield dealt != part, dealt == part


def _judged(
    least: float, sure: NDArray[np.bool_], right: NDArray[np.bool_], persons: NDArray[Any], draws: int, seed: int
) -> AbstentionThreshold:
    ones = np.ones(len(sure))
    return AbstentionThreshold(
        probability=least,
        coverage=proportion_interval(sure, ones, persons, draws, seed),
        accuracy=proportion_interval(right & sure, sure, persons, draws, seed) if sure.any() else None,
        whole=proportion_interval(right, ones, persons, draws, seed),
    )


def _refitted(
    scheme: LabelSchema, probabilities: FloatArray, codes: IntArray, heads: Sequence[str], train: NDArray[np.bool_]
) -> dict[str, FloatArray]:
    """Every photo's marginals, at the temperatures that fit some of them."""
    heats = {name: fit_temperature(*_of_head(scheme, probabilities[train], codes[train], name)) for name in heads}
    return scheme.marginals(apply_temperatures(scheme, probabilities, heats))


def _tempered(rows: FloatArray, temperature: float) -> FloatArray:
    return softmax(np.log(np.maximum(rows, MIN_PROBABILITY)) / temperature)


def _sureness(rows: FloatArray, own: IntArray, persons: NDArray[Any], draws: int, seed: int) -> CalibrationMetrics:
    bins = equal_mass_bins(rows.max(axis=1), rows.argmax(axis=1) == own)
    around = proportion_interval(_losses(rows, own), np.ones(len(own)), persons, draws, seed)
    return CalibrationMetrics(around, bins.error(), bins)


def _losses(rows: FloatArray, own: IntArray) -> FloatArray:
    return np.asarray(-np.log(np.maximum(rows[np.arange(len(own)), own], MIN_PROBABILITY)))


def _of_head(scheme: LabelSchema, probabilities: FloatArray, codes: IntArray, name: str) -> tuple[FloatArray, IntArray]:
    """Probabilities (photos, values) and truth (photos,) of one attribute, or of the class."""
    if name == JOINT_HEAD:
        return probabilities, scheme.to_class_index(codes)
    column = scheme.names.index(scheme[name].name)
    return scheme.marginals(probabilities)[name], codes[:, column]


def _codes(table: ProbabilityTable, scheme: LabelSchema, truth: IntArray | None) -> IntArray:
    """(photos, attributes) codes by the given truth or the table's own."""
    if table.probabilities.shape[1] != scheme.classes:
        raise DataError(f"a table of {table.probabilities.shape[1]} classes does not fit a scheme of {scheme.classes}")
    if truth is None:
        if table.truth is None:
            raise DataError("no photo has a known truth, so nothing can be fitted", hint="give the true labels")
        return scheme.to_attribute_indices(table.truth)
    codes = np.asarray(truth, dtype=np.int64)
    if codes.shape != (len(table), len(scheme.names)):
        raise DataError(f"truth of shape {codes.shape} does not fit {len(table)} photos of {len(scheme.names)} labels")
    return codes


def _persons(table: ProbabilityTable, persons: ArrayLike) -> NDArray[Any]:
    found = np.asarray(persons)
    if found.shape != (len(table),):
        raise DataError(f"{len(table)} photos, but {len(found)} persons", hint="name the person of each photo")
    return found
