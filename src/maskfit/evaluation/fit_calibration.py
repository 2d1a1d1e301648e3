"""One calibration from out-of-fold answers: the temperatures, and from where on answers are "not sure"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from maskfit.calibration import Calibration
from maskfit.errors import DataError, did_you_mean
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.temperature_scaling import AbstentionThreshold, fit_temperatures, fit_thresholds
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, IntArray, LabelSchema

DEFAULT_ABSTAIN_BELOW = 0.6
"""A calibrated answer of which less than this is likely right is "not sure" where nobody says otherwise."""

COLDEST, HOTTEST = 0.5, 5.0
"""What is put to use stays between these: where a small set is answered without a mistake, ever colder fits ever
better, and the first mistake after it would have been called impossible."""


def fit_calibration(
    table: ProbabilityTable,
    scheme: LabelSchema,
    persons: ArrayLike,
    truth: IntArray | None = None,
    *,
    joint: bool = False,
    accuracy: Mapping[str, float] | None = None,
    keep: Mapping[str, float] | None = None,
    below: Mapping[str, float] | None = None,
) -> tuple[Calibration, dict[str, AbstentionThreshold]]:
    """What a model file is to say of its network's sureness.

    Args:
        table: Out-of-fold probabilities of the official classes, as the networks gave them.
        scheme: The official scheme.
        persons: (photos,) who is on each photo.
        truth: (photos, attributes) codes, `UNKNOWN` where nobody wrote them down; left out, the table's own truth.
        joint: Whether one head answers for all attributes; it gets one temperature.
        accuracy: By attribute, the share of sure answers that are to be right.
        keep: By attribute, the share of photos that are to stay answered.
        below: By attribute, the probability itself; `UNSURE_BELOW` for those that nothing names.

    Returns:
        The calibration; and of the attributes named under `accuracy` and `keep`, how well their thresholds hold on
        persons they were not fitted to.

    Raises:
        DataError: A share is out of range, an attribute is unknown or named twice, or of one that is named too few
            persons' labels are known.
    """
    wanted = {"accuracy": dict(accuracy or {}), "keep": dict(keep or {}), "below": dict(below or {})}
    _refuse(wanted, scheme)
    codes = scheme.to_attribute_indices(table.truth) if truth is None and table.truth is not None else truth
    if codes is None:
        raise DataError("nothing says what is true of these photos", hint="take the table of a run")
    heats = fit_temperatures(table, scheme, codes, heads=(JOINT_HEAD,) if joint else None)
    heats = {name: float(np.clip(heat, COLDEST, HOTTEST)) for name, heat in heats.items()}
    thresholds = _fitted(table, scheme, persons, codes, heats, wanted)
    least = {name: wanted["below"].get(name, DEFAULT_ABSTAIN_BELOW) for name in scheme.names}
    least |= {name: threshold.probability for name, threshold in thresholds.items()}
    known = np.asarray(codes != UNKNOWN).any(axis=1)
    return Calibration(
        temperatures=heats,
        abstain_below=least,
        photos=int(known.sum()),
        persons=len(np.unique(np.asarray(persons)[known])),
    ), thresholds


def _fitted(
    table: ProbabilityTable,
    scheme: LabelSchema,
    persons: ArrayLike,
    codes: IntArray,
    heats: Mapping[str, float],
    wanted: Mapping[str, Mapping[str, float]],
) -> dict[str, AbstentionThreshold]:
    """The thresholds that follow from a wanted accuracy, or a wanted share of answers."""
    found = {}
    for kind in ("accuracy", "keep"):
        for name, share in wanted[kind].items():
            # One attribute at a time: the others are not asked, and their truth need not be known.
            own = np.where(np.arange(len(scheme.names)) == scheme.names.index(name), codes, UNKNOWN)
            if kind == "accuracy":
                fitted = fit_thresholds(table, scheme, persons, own, temperatures=heats, accuracy=share)
            else:
                fitted = fit_thresholds(table, scheme, persons, own, temperatures=heats, keep=share)
            if name not in fitted:
                raise DataError(f"'{name}' is known of fewer than two persons", hint="leave it out")
            found[name] = fitted[name]
    return found


def _refuse(wanted: Mapping[str, Mapping[str, float]], scheme: LabelSchema) -> None:
    named = [name for shares in wanted.values() for name in shares]
    for name in named:
        if name not in scheme.names:
            raise DataError(f"there is no attribute '{name}'; {did_you_mean(name, scheme.names)}")
        if named.count(name) > 1:
            raise DataError(f"'{name}' is named twice", hint="say one of accuracy, keep, below for each attribute")
    for kind, shares in wanted.items():
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise DataError(f"{kind} of {name} is {share}, which is not in 0 to 1", hint="0.95 means 95 of 100")
