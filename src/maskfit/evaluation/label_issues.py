"""Labels that look wrong, ranked by what models say that never saw their photos.

A label is set against what out-of-fold probabilities tell of it. By Bayes' rule, with `noise` as the share of wrong
labels and a wrong one saying nothing about its photo,

    P(wrong) = noise / (noise + (1 - noise) * sum_v P(v | photos) / P(v) * P(v | label)),

where P(v) is how common value v is, so that a rare value needs no high probability to be believed: what the thresholds
of confident learning (Northcutt et al. 2021, arXiv:1911.00068) are for. Three things make that worth trusting.
Probabilities are tempered first: those of a network that knows its training photos by heart are far too sure. What
never changes within a person is judged by all photos of the person at once. And P(v | label) of an age label is soft
around the bands' edges, as wide as fits the models' own blur: nobody tells 29 from 30 on a photo.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError
from maskfit.labels.schema import UNKNOWN, Attribute, FloatArray, IntArray, LabelSchema

DEFAULT_NOISE_RATE = 0.03
"""How many labels are taken to be wrong before anything is seen."""

MIN_PROBABILITY = 1e-12
"""The least probability that anything has: no model is surer than that."""

BLUR_CANDIDATES = (0.0, *np.geomspace(1, 40, 24))
"""Years of blur that are tried; 0 knows edges exactly."""


@dataclass(frozen=True)
class LabelIssue:
    """A label that looks wrong, or two that look swapped.

    Attributes:
        person: Whose it is.
        photos: The photos it is about, their names; empty where it is about all of the person.
        attribute: What it says something of.
        label: What it says, a value for each photo; one where it is about all.
        proposed: What the models would have it say, in the same order.
        score: The probability that it is wrong, in 0 to 1.
        reason: Why, in words.
    """

    person: str
    photos: tuple[str, ...]
    attribute: str
    label: tuple[str, ...]
    proposed: tuple[str, ...]
    score: float
    reason: str

    @property
    def swapped(self) -> bool:
        """Whether two photos seem to bear each other's label."""
        return len(self.photos) == 2


def find_label_issues(
    names: Sequence[str],
    persons: Sequence[str],
    probabilities: FloatArray,
    truth: IntArray,
    scheme: LabelSchema,
    years: FloatArray | None = None,
    noise: float = DEFAULT_NOISE_RATE,
) -> list[LabelIssue]:
    """Every label that is more than `noise` likely to be wrong, the likeliest first.

    Args:
        names: The photos' names.
        persons: (photos,) who is on each.
        probabilities: (photos, classes), out of fold.
        truth: (photos,) class numbers by the labels, `UNKNOWN` where they do not say.
        scheme: What the classes are.
        years: (photos,) the labels of a banded attribute as numbers, NaN where only the band is known.
        noise: The share of labels taken to be wrong, above 0 and below 0.5.

    Raises:
        DataError: Lengths differ, no label is known, or `noise` is out of range.
    """
    if not 0 < noise < 0.5:
        raise DataError(f"a noise of {noise} is not above 0 and below 0.5", hint="0.03 means 3 labels of 100")
    if not len(names) == len(persons) == len(probabilities) == len(truth):
        raise DataError(f"{len(names)} photos, {len(persons)} persons, {len(probabilities)} rows, {len(truth)} labels")
    if not (truth != UNKNOWN).any():
        raise DataError("no photo has a label, so none can be wrong", hint="name a run, or a table with a column truth")
    codes = scheme.to_attribute_indices(truth)
    suspects: list[LabelIssue] = []
    for place, (attribute, marginal) in enumerate(
        zip(scheme.attributes, _marginals(scheme, probabilities), strict=True)
    ):
        known = codes[:, place] != UNKNOWN
        if not known.any():
            continue
        room = _Room(
            attribute,
            np.asarray(names)[known],
            np.asarray(persons)[known],
            marginal[known],
            codes[known, place],
            None if years is None or not attribute.bin_edges else years[known],
            noise,
        )
        suspects.extend(room.by_person() if room.of_persons() else room.by_photo())
    return sorted(suspects, key=lambda item: (-item.score, item.person, item.attribute))


def fit_and_apply_temperature(probabilities: FloatArray, codes: IntArray) -> FloatArray:
    """Probabilities as sure as they are right: p^(1/T), rows summing to 1, with the T that fits the labels best.

    Temperature scaling (Guo et al. 2017, arXiv:1706.04599) in its one number, which a few hundred labels suffice for
    and a few wrong ones do not bend.

    Args:
        probabilities: (items, values).
        codes: (items,) the labels.
    """
    logs = np.log(np.clip(probabilities, MIN_PROBABILITY, None))
    rows = np.arange(len(codes))

    def cost(heat: float) -> float:
        scaled = logs / heat
        return float(-(scaled[rows, codes] - _log_sum(scaled)).mean())

    best = _lowest(cost, np.geomspace(0.25, 16, 97))
    scaled = logs / best
    return np.asarray(np.exp(scaled - _log_sum(scaled)[:, None]))


def label_likelihood(attribute: Attribute, codes: IntArray, years: FloatArray | None, blur: float) -> FloatArray:
    """P(value | label), (items, values): certain for a name, soft around the edges for a number.

    Args:
        attribute: What the labels are about.
        codes: (items,) the labels' values.
        years: (items,) the labels as numbers, NaN where only the value is known.
        blur: Standard deviation of what models make of a number, in the number's own unit.
    """
    share = np.eye(len(attribute.values))[codes]
    if years is None or blur == 0:
        return share
    numbered = ~np.isnan(years)
    edges = np.array(attribute.bin_edges)
    above = _normal((years[numbered, None] - edges) / blur)
    steps = np.concatenate([np.ones((len(above), 1)), above, np.zeros((len(above), 1))], axis=1)
    share[numbered] = steps[:, :-1] - steps[:, 1:]
    return share


class _Room:
    """One attribute of the photos whose label says something of it."""

    def __init__(
        self,
        attribute: Attribute,
        names: NDArray[np.str_],
        persons: NDArray[np.str_],
        marginal: FloatArray,
        codes: IntArray,
        years: FloatArray | None,
        noise: float,
    ) -> None:
        self.attribute = attribute
        self.names = names
        self.marginal = marginal
        self.codes = codes
        self.years = years
        self.noise = noise
        self.of: dict[str, list[int]] = defaultdict(list)
        for place, person in enumerate(persons.tolist()):
            self.of[person].append(place)

    def of_persons(self) -> bool:
        """Whether the labels hardly ever differ within a person, as gender does and mask does not."""
        several = [places for places in self.of.values() if len(places) > 1]
        same = sum(len(set(self.codes[places].tolist())) == 1 for places in several)
        return bool(several) and same >= 0.95 * len(several)

    def by_person(self) -> Iterator[LabelIssue]:
        """Whole persons, by the mean of their photos. A person of two labels goes by the more frequent one."""
        groups = list(self.of.items())
        mean = np.array([self.marginal[places].mean(axis=0) for _, places in groups])
        codes = np.array([np.bincount(self.codes[places]).argmax() for _, places in groups])
        years = None
        if self.years is not None:
            years = np.array([self.years[places][0] for _, places in groups])
        found = fit_and_apply_temperature(mean, codes)
        wrong = self._wrong(found, codes, years)
        for place in np.flatnonzero(wrong > self.noise):
            person, photos = groups[place]
            proposed = _other(found[place], codes[place])
            votes = int((self.marginal[photos].argmax(axis=1) == proposed).sum())
            said = self._word(codes[place]) if years is None or np.isnan(years[place]) else f"{years[place]:g}"
            reason = f"labelled {said}; {votes} of {len(photos)} photos read {self._word(proposed)}"
            reason += f", all together {self._read(found[place])}"
            yield LabelIssue(
                person,
                (),
                self.attribute.name,
                (self._value(codes[place]),),
                (self._value(proposed),),
                float(wrong[place]),
                reason,
            )

    def by_photo(self) -> Iterator[LabelIssue]:
        """Single photos, and pairs of a person's photos that seem to bear each other's label."""
        found = fit_and_apply_temperature(self.marginal, self.codes)
        wrong = self._wrong(found, self.codes, self.years)
        for person, places in self.of.items():
            swap = self._swap(found, places)
            if swap is not None and swap[0] > self.noise:
                score, pair = swap
                label = tuple(self._value(self.codes[place]) for place in pair)
                reads = " and ".join(f"{_file(self.names[place])} reads {self._read(found[place])}" for place in pair)
                yield LabelIssue(
                    person,
                    tuple(str(self.names[place]) for place in pair),
                    self.attribute.name,
                    label,
                    label[::-1],
                    score,
                    f"{reads}: each bears the other's label",
                )
                places = [place for place in places if place not in pair]
            for place in places:
                if wrong[place] > self.noise:
                    proposed = _other(found[place], self.codes[place])
                    label = (self._value(self.codes[place]),)
                    said = f"{_file(self.names[place])} is labelled {self._word(self.codes[place])}"
                    yield LabelIssue(
                        person,
                        (str(self.names[place]),),
                        self.attribute.name,
                        label,
                        (self._value(proposed),),
                        float(wrong[place]),
                        f"{said} and reads {self._read(found[place])}",
                    )

    def _wrong(self, found: FloatArray, codes: IntArray, years: FloatArray | None) -> FloatArray:
        """P(wrong) of every item."""
        prior = np.bincount(codes, minlength=len(self.attribute.values)) / len(codes)
        believed = found / np.clip(prior, 1 / len(codes), None)
        blur = 0.0
        if years is not None:
            blur = _lowest(lambda width: self._surprise(believed, codes, years, width), np.array(BLUR_CANDIDATES))
        right = (believed * label_likelihood(self.attribute, codes, years, blur)).sum(axis=1)
        return np.asarray(self.noise / (self.noise + (1 - self.noise) * right))

    def _surprise(self, believed: FloatArray, codes: IntArray, years: FloatArray, blur: float) -> float:
        """Minus the mean logarithm of what the labels make likely, wrong ones counted as such."""
        right = (believed * label_likelihood(self.attribute, codes, years, blur)).sum(axis=1)
        return float(-np.log(self.noise + (1 - self.noise) * right).mean())

    def _swap(self, found: FloatArray, places: list[int]) -> tuple[float, tuple[int, int]] | None:
        """The likeliest swap among a person's photos and its probability."""
        best: tuple[float, tuple[int, int]] | None = None
        for first, second in combinations(places, 2):
            one, two = self.codes[first], self.codes[second]
            if one == two:
                continue
            odds = (
                found[first, two] * found[second, one] / max(found[first, one] * found[second, two], MIN_PROBABILITY**2)
            )
            score = float(self.noise * odds / (self.noise * odds + 1 - self.noise))
            if best is None or score > best[0]:
                best = (score, (first, second))
        return best

    def _value(self, code: int) -> str:
        return self.attribute.values[int(code)]

    def _read(self, row: FloatArray) -> str:
        return f"{self._word(int(row.argmax()))} ({row.max():.2f})"

    def _word(self, code: int) -> str:
        return self.attribute.display_name(int(code))


def _marginals(scheme: LabelSchema, probabilities: FloatArray) -> list[FloatArray]:
    found = scheme.marginals(probabilities)
    return [np.asarray(found[attribute.name]) for attribute in scheme.attributes]


def _other(row: FloatArray, code: int) -> int:
    """The likeliest value other than the label's."""
    return int(np.where(np.arange(len(row)) == code, -1.0, row).argmax())


def _file(name: str) -> str:
    return str(name).rsplit("/", 1)[-1]


def _log_sum(rows: FloatArray) -> FloatArray:
    top = rows.max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log(np.exp(rows - top).sum(axis=1)))


def _normal(values: FloatArray) -> FloatArray:
    """The normal distribution's share below each value."""
    return np.asarray(0.5 * (1 + np.vectorize(math.erf, otypes=[float])(values / math.sqrt(2))))


def _lowest(cost: Callable[[float], float], tried: NDArray[np.float64]) -> float:
    return float(min(tried.tolist(), key=cost))
