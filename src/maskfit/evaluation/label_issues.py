"""Finds probable label errors, ranked by out-of-fold predictions.

Each label is compared with out-of-fold probabilities, by models that were not trained on the photo's person. By Bayes'
rule, with `noise` as the prior probability of a wrong label, and a wrong label independent of its photo,

    P(wrong) = noise / (noise + (1 - noise) * sum_v P(v | photos) / P(v) * P(v | label)),

where P(v) is the frequency of value v, so that a rare value does not need a high probability to be credible: the
purpose of the thresholds of confident learning (Northcutt et al. 2021, arXiv:1911.00068). Three steps make the result
reliable. Probabilities are temperature-scaled first, because a network that has memorized its training photos is
overconfident. Attributes that do not change within a person are decided from all photos of the person. And P(v | label)
of an age label is blurred around the edges of the bands, as wide as fits the models' own blur, because nobody can tell
29 from 30 in a photo. Where models give ages in years, labels in years are compared year by year (`age_issues`), which
also finds a wrong age within its band.
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
from maskfit.evaluation.age_issues import score_age_labels
from maskfit.labels.age_distribution import AgeTable, find_age_attribute
from maskfit.labels.schema import UNKNOWN, Attribute, FloatArray, IntArray, LabelSchema
from maskfit.text import format_count

DEFAULT_NOISE_RATE = 0.03
"""Prior probability that a label is wrong."""

MIN_PROBABILITY = 1e-12
"""Lower bound of every probability: no model is more certain than that."""

BLUR_CANDIDATES = (0.0, *np.geomspace(1, 40, 24))
"""Standard deviations of the age blur that are tried, in years; 0 means exact edges."""

SAME_WITHIN_PERSON = 0.95
"""An attribute belongs to persons where at least this fraction of persons has the same label on all photos."""


@dataclass(frozen=True)
class LabelIssue:
    """A probably wrong label, or two probably swapped labels.

    Attributes:
        person: Person on the photos.
        photos: Names of the photos; empty where the label concerns the whole person.
        attribute: Attribute of the label.
        label: Labeled value of each photo; one value where the label concerns the whole person.
        proposed: Values that the models predict, in the same order.
        score: Probability that the label is wrong, in [0, 1].
        reason: Explanation for people.
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
        """Whether two photos probably have each other's label."""
        return len(self.photos) == 2


def find_label_issues(
    names: Sequence[str],
    persons: Sequence[str],
    probabilities: FloatArray,
    truth: IntArray,
    schema: LabelSchema,
    years: FloatArray | None = None,
    noise: float = DEFAULT_NOISE_RATE,
    ages: AgeTable | None = None,
) -> list[LabelIssue]:
    """Finds every label whose probability of being wrong is above the prior.

    Args:
        names: Names of the photos.
        persons: Person on each photo, shape (photos,).
        probabilities: Out-of-fold probabilities, shape (photos, classes).
        truth: Labeled classes, shape (photos,), `UNKNOWN` where not labeled.
        schema: The label schema of the classes.
        years: Labels of a banded attribute as numbers, shape (photos,), NaN where only the band is known.
        noise: Prior probability that a label is wrong, in (0, 0.5).
        ages: Out-of-fold ages in years of the photos; None without.

    Returns:
        The issues in descending order of their score.

    Raises:
        DataError: Lengths differ, no photo is labeled, or `noise` is out of range.
    """
    if not 0 < noise < 0.5:
        raise DataError(f"noise must be in (0, 0.5), got {noise}", hint="write 0.03 for 3 labels of 100")
    if not len(names) == len(persons) == len(probabilities) == len(truth):
        raise DataError(
            f"{format_count(len(names), 'photo')}, {format_count(len(persons), 'person')}, "
            f"{format_count(len(probabilities), 'row')}, {format_count(len(truth), 'label')}"
        )
    if not (truth != UNKNOWN).any():
        raise DataError("no photo has a label", hint="name a run, or a table with the column truth")
    codes = schema.to_attribute_indices(truth)
    marginals = schema.marginals(probabilities)
    issues: list[LabelIssue] = []
    for column, attribute in enumerate(schema.attributes):
        known = codes[:, column] != UNKNOWN
        if not known.any():
            continue
        search = _AttributeSearch(
            attribute,
            np.asarray(names)[known],
            np.asarray(persons)[known],
            marginals[attribute.name][known],
            codes[known, column],
            None if years is None or not attribute.bin_edges else years[known],
            noise,
            None if ages is None or attribute != find_age_attribute(schema) else ages.select(known),
        )
        issues.extend(search.by_person() if search.belongs_to_persons() else search.by_photo())
    return sorted(issues, key=lambda issue: (-issue.score, issue.person, issue.attribute))


def fit_and_apply_temperature(probabilities: FloatArray, codes: IntArray) -> FloatArray:
    """Calibrates probabilities by the temperature that fits the labels best (Guo et al. 2017, arXiv:1706.04599).

    One number, for which a few hundred labels suffice and which a few wrong ones hardly change.

    Args:
        probabilities: Shape (items, values).
        codes: Labels, shape (items,).

    Returns:
        p^(1/T), rows normalized to sum to 1.
    """
    logs = np.log(np.clip(probabilities, MIN_PROBABILITY, None))
    rows = np.arange(len(codes))

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        return float(-(scaled[rows, codes] - _log_sum_exp(scaled)).mean())

    scaled = logs / _argmin(loss, np.geomspace(0.25, 16, 97))
    return np.asarray(np.exp(scaled - _log_sum_exp(scaled)[:, None]))


def label_likelihood(attribute: Attribute, codes: IntArray, years: FloatArray | None, blur: float) -> FloatArray:
    """Computes P(value | label): certain for a named value, blurred around the band edges for a number.

    Args:
        attribute: Attribute of the labels.
        codes: Labeled values, shape (items,).
        years: Labels as numbers, shape (items,), NaN where only the value is known; None where all are.
        blur: Standard deviation of the models' estimate of a number, in the number's unit, >= 0.

    Returns:
        Shape (items, values), rows summing to 1.
    """
    likelihood = np.eye(len(attribute.values))[codes]
    if years is None or blur == 0:
        return likelihood
    numbered = ~np.isnan(years)
    edges = np.array(attribute.bin_edges)
    above = _normal_cdf((years[numbered, None] - edges) / blur)
    steps = np.concatenate([np.ones((len(above), 1)), above, np.zeros((len(above), 1))], axis=1)
    likelihood[numbered] = steps[:, :-1] - steps[:, 1:]
    return likelihood


class _AttributeSearch:
    """Search for issues of one attribute, on the photos where it is labeled.

    Args:
        attribute: The attribute.
        names: Names of the photos.
        persons: Person on each photo.
        marginal: Probabilities of the values, shape (photos, values).
        codes: Labeled values, shape (photos,).
        years: Labels as numbers, NaN where only the value is known; None without bands.
        noise: Prior probability that a label is wrong.
        ages: Ages in years; None without.
    """

    def __init__(
        self,
        attribute: Attribute,
        names: NDArray[np.str_],
        persons: NDArray[np.str_],
        marginal: FloatArray,
        codes: IntArray,
        years: FloatArray | None,
        noise: float,
        ages: AgeTable | None = None,
    ) -> None:
        self.attribute = attribute
        self.names = names
        self.marginal = marginal
        self.codes = codes
        self.years = years
        self.noise = noise
        self.ages = ages
        self.photos_of_person: dict[str, list[int]] = defaultdict(list)
        for photo, person in enumerate(persons.tolist()):
            self.photos_of_person[person].append(photo)

    def belongs_to_persons(self) -> bool:
        """Returns whether labels hardly ever differ within a person: true for gender and years, false for mask."""
        several = [photos for photos in self.photos_of_person.values() if len(photos) > 1]
        if self.ages is not None and not several:
            return True
        same = sum(len(set(self.codes[photos].tolist())) == 1 for photos in several)
        return bool(several) and same >= SAME_WITHIN_PERSON * len(several)

    def by_person(self) -> Iterator[LabelIssue]:
        """Yields issues of whole persons, by the mean over their photos and their most frequent label."""
        groups = list(self.photos_of_person.items())
        mean = np.array([self.marginal[photos].mean(axis=0) for _, photos in groups])
        codes = np.array([np.bincount(self.codes[photos]).argmax() for _, photos in groups])
        years = None
        if self.years is not None:
            years = np.array([self.years[photos][0] for _, photos in groups])
        calibrated = fit_and_apply_temperature(mean, codes)
        wrong = self._probability_wrong(calibrated, codes, years)
        by_year = self._wrong_years([photos for _, photos in groups], years)
        wrong = np.where(np.isnan(by_year), wrong, by_year)
        for group in np.flatnonzero(wrong > self.noise):
            person, photos = groups[group]
            if years is not None and not np.isnan(by_year[group]):
                yield self._year_issue(person, photos, years[group], float(wrong[group]))
                continue
            proposed = _best_other(calibrated[group], codes[group])
            votes = int((self.marginal[photos].argmax(axis=1) == proposed).sum())
            exact = years is not None and not np.isnan(years[group])
            label = f"{years[group]:g}" if exact and years is not None else self._display(codes[group])
            voting = f"{votes:,} of {format_count(len(photos), 'photo')}"
            reason = f"labeled {label}; {voting} predicted {self._display(proposed)}"
            reason += f", all together {self._describe(calibrated[group])}"
            yield LabelIssue(
                person,
                (),
                self.attribute.name,
                (self._value(codes[group]),),
                (self._value(proposed),),
                float(wrong[group]),
                reason,
            )

    def _wrong_years(self, groups: list[list[int]], years: FloatArray | None) -> FloatArray:
        """Returns P(wrong) of each group whose age is labeled and predicted in years, NaN for the others."""
        wrong = np.full(len(groups), np.nan)
        if self.ages is None or years is None or np.isnan(years).all():
            return wrong
        exact = ~np.isnan(years)
        shares = np.array([self.ages.shares[photos].mean(axis=0) for photos in groups])
        wrong[exact], _ = score_age_labels(AgeTable(self.ages.first, shares[exact]), years[exact], self.noise)
        return wrong

    def _year_issue(self, person: str, photos: list[int], label: float, score: float) -> LabelIssue:
        assert self.ages is not None
        own = AgeTable(self.ages.first, self.ages.shares[photos])
        low, median, high = own.pool().quantiles()[0].tolist()
        older = "above" if median > label else "below"
        count = int((own.quantiles()[:, 1] > label if median > label else own.quantiles()[:, 1] < label).sum())
        reason = (
            f"labeled {label:g}; predicted {median} ({low} to {high}); "
            f"{count:,} of {format_count(len(photos), 'photo')} predicted {older} the label"
        )
        return LabelIssue(person, (), self.attribute.name, (f"{label:g}",), (str(median),), score, reason)

    def by_photo(self) -> Iterator[LabelIssue]:
        """Yields issues of single photos, and of pairs of a person's photos with probably swapped labels."""
        calibrated = fit_and_apply_temperature(self.marginal, self.codes)
        wrong = self._probability_wrong(calibrated, self.codes, self.years)
        for person, photos in self.photos_of_person.items():
            swap = self._best_swap(calibrated, photos)
            if swap is not None and swap[0] > self.noise:
                score, pair = swap
                label = tuple(self._value(self.codes[photo]) for photo in pair)
                predicted = " and ".join(
                    f"{_file_name(self.names[photo])} is predicted {self._describe(calibrated[photo])}"
                    for photo in pair
                )
                yield LabelIssue(
                    person,
                    tuple(str(self.names[photo]) for photo in pair),
                    self.attribute.name,
                    label,
                    label[::-1],
                    score,
                    f"{predicted}: each has the other's label",
                )
                photos = [photo for photo in photos if photo not in pair]
            for photo in photos:
                if wrong[photo] > self.noise:
                    yield self._photo_issue(person, photo, calibrated[photo], float(wrong[photo]))

    def _photo_issue(self, person: str, photo: int, row: FloatArray, score: float) -> LabelIssue:
        code = self.codes[photo]
        return LabelIssue(
            person,
            (str(self.names[photo]),),
            self.attribute.name,
            (self._value(code),),
            (self._value(_best_other(row, code)),),
            score,
            f"{_file_name(self.names[photo])} is labeled {self._display(code)} and predicted {self._describe(row)}",
        )

    def _probability_wrong(self, calibrated: FloatArray, codes: IntArray, years: FloatArray | None) -> FloatArray:
        """Returns P(wrong) of every item, shape (items,)."""
        prior = np.bincount(codes, minlength=len(self.attribute.values)) / len(codes)
        ratio = calibrated / np.clip(prior, 1 / len(codes), None)
        blur = 0.0
        if years is not None:
            blur = _argmin(lambda width: self._blur_loss(ratio, codes, years, width), np.array(BLUR_CANDIDATES))
        correct = (ratio * label_likelihood(self.attribute, codes, years, blur)).sum(axis=1)
        return np.asarray(self.noise / (self.noise + (1 - self.noise) * correct))

    def _blur_loss(self, ratio: FloatArray, codes: IntArray, years: FloatArray, blur: float) -> float:
        """Returns the negative mean log likelihood of the labels, where wrong ones have the weight `noise`."""
        correct = (ratio * label_likelihood(self.attribute, codes, years, blur)).sum(axis=1)
        return float(-np.log(self.noise + (1 - self.noise) * correct).mean())

    def _best_swap(self, calibrated: FloatArray, photos: list[int]) -> tuple[float, tuple[int, int]] | None:
        """Returns the most probable swap among a person's photos and its probability."""
        best: tuple[float, tuple[int, int]] | None = None
        predicted = calibrated[photos].argmax(axis=1)
        for (first, first_predicted), (second, second_predicted) in combinations(
            zip(photos, predicted, strict=True), 2
        ):
            one, two = self.codes[first], self.codes[second]
            # One photo that is surely wrong makes these odds large by itself, beside a photo that is surely right.
            if one == two or first_predicted != two or second_predicted != one:
                continue
            as_labeled = max(calibrated[first, one] * calibrated[second, two], MIN_PROBABILITY**2)
            odds = calibrated[first, two] * calibrated[second, one] / as_labeled
            score = float(self.noise * odds / (self.noise * odds + 1 - self.noise))
            if best is None or score > best[0]:
                best = (score, (first, second))
        return best

    def _value(self, code: int) -> str:
        return self.attribute.values[int(code)]

    def _display(self, code: int) -> str:
        return self.attribute.display_name(int(code))

    def _describe(self, row: FloatArray) -> str:
        return f"{self._display(int(row.argmax()))} ({row.max():.2f})"


def _best_other(row: FloatArray, code: int) -> int:
    """Returns the most probable value other than the label's."""
    return int(np.where(np.arange(len(row)) == code, -1.0, row).argmax())


def _file_name(name: str) -> str:
    return str(name).rsplit("/", 1)[-1]


def _log_sum_exp(rows: FloatArray) -> FloatArray:
    top = rows.max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log(np.exp(rows - top).sum(axis=1)))


def _normal_cdf(values: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.vectorize(math.erf, otypes=[float])(values / math.sqrt(2))))


def _argmin(function: Callable[[float], float], candidates: NDArray[np.float64]) -> float:
    return float(min(candidates.tolist(), key=function))
