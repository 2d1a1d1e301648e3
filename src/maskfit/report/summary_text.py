"""Sentences that summarize the statistics for readers who do not know the project; plain text, not escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from maskfit.calibration import MIN_RELIABLE_PERSONS, describe_limits
from maskfit.config.monitor import OFF
from maskfit.evaluation.ages import AgeScore
from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.calibration import AbstentionThreshold, TemperatureFit
from maskfit.evaluation.fit_decisions import DecisionFit
from maskfit.evaluation.scores import describe_absent_classes
from maskfit.labels.age_distribution import INTERVAL_LEVEL
from maskfit.labels.schema import JOINT_HEAD
from maskfit.report.run_statistics import NEAR_YEARS, TARGET_ACCURACY, AgeErrors, RunStatistics, SliceStatistics
from maskfit.text import format_count

OBJECTIVE_NAMES = {"macro-f1": "macro F1", "accuracy": "accuracy"}
"""Objectives of decision weights in sentences."""

NO_INTERVAL = "no interval: the persons do not differ, or there is only one"
"""In place of an interval without width, of a value that is no fraction."""

WIDE_INTERVAL = 0.1
"""Width of the interval of macro F1 above which more persons should be held out."""

FALLING_FROM = 0.9
"""Fraction of the epochs after which the lowest validation loss means that it still falls."""

MAX_CALIBRATED_ERROR = 0.02
"""Expected calibration error up to which the probabilities are called well calibrated."""

NEAR_MISS_RATIO = 1.15
"""How much more frequent photos near a bin edge must be among the errors than among all photos to call errors near
misses."""


def as_percent_text(fraction: float, items: str) -> str:
    """Formats a fraction for readers: "84% of photos"; below 1% and above 99% with a digit after the point.

    It is no count: a set of 180 photos has no "84 of 100 photos".

    Args:
        fraction: 0 to 1.
        items: What it is a fraction of, in the plural.

    Returns:
        The text; "all photos" and "no photos" only where exactly that is meant.
    """
    if fraction in (0.0, 1.0):
        return f"{'all' if fraction else 'no'} {items}"
    if 0.01 <= fraction <= 0.99:
        return f"{fraction:.0%} of {items}"
    thousandths = round(1000 * fraction)
    text = "nearly all" if thousandths == 1000 else "hardly any" if thousandths == 0 else f"{thousandths / 10:.1f}% of"
    return f"{text} {items}"


def join_with_and(items: Sequence[str]) -> str:
    """Joins items as "a, b and c".

    Args:
        items: One or more.

    Returns:
        The text.
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def format_interval(interval: Interval, digits: int = 3) -> str:
    """Formats an interval as "0.712 to 0.768".

    Args:
        interval: The interval.
        digits: Digits after the point.

    Returns:
        The text; without variation between persons it says that there is no interval.
    """
    if not interval.has_width:
        return NO_INTERVAL
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def few_persons(statistics: RunStatistics) -> str:
    """Warns of a run that was evaluated on too few persons for its figures to hold for others.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence; "" for enough persons.
    """
    persons = statistics.run.num_persons
    if persons >= MIN_RELIABLE_PERSONS:
        return ""
    return (
        f"Only {format_count(persons, 'person was', 'persons were')} evaluated: do not rely on scores, temperatures "
        "and “not sure” thresholds for other persons."
    )


def bundled_start(statistics: RunStatistics) -> str:
    """Warns that the start network may have learned from the photos that are scored.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence; "" for another start.
    """
    if statistics.run.settings.get("model.init_from") != "bundled":
        return ""
    return (
        "Training started from the bundled model: where these photos are among those that it learned from, all scores "
        "here are optimistic."
    )


def headline(statistics: RunStatistics) -> str:
    """Describes the fraction of photos on which all attributes are correct.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence.
    """
    names = statistics.run.schema.names
    if JOINT_HEAD not in statistics.accuracy:
        return "No photo has labels for all attributes, so each attribute is scored separately."
    correct = as_percent_text(statistics.accuracy[JOINT_HEAD].photos.value, "photos")
    if len(names) == 1:
        return f"{names[0].capitalize()} is predicted correctly on {correct}."
    return f"{join_with_and(names).capitalize()} are all predicted correctly on {correct}."


def score_interval_text(statistics: RunStatistics) -> str:
    """Describes macro F1 and its confidence interval.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence; "" where there is no interval.
    """
    interval = statistics.scores.intervals.get("macro_f1")
    if interval is None or statistics.scores.macro_f1 is None:
        return ""
    line = describe_absent_classes(statistics.scores)
    absent = f" {line[0].upper()}{line[1:]}." if line else ""
    return (
        f"Macro F1, the mean F1 over the classes with equal weights, is {interval.value:.3f}; its "
        f"{interval.level:.0%} confidence interval is {format_interval(interval)}.{absent}"
    )


def hold_out_more(statistics: RunStatistics) -> str:
    """Suggests cross-validation where the one held-out part of the persons leaves the score open.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence; "" where several folds were held out or the interval is narrow.
    """
    interval = statistics.scores.intervals.get("macro_f1")
    if statistics.per_fold or interval is None or interval.high - interval.low <= WIDE_INTERVAL:
        return ""
    persons = format_count(statistics.run.num_persons, "person is", "persons are")
    return (
        f"Only {persons} held out, so that macro F1 is anything from {interval.low:.2f} to {interval.high:.2f}: "
        "cv.num_folds=5 holds out every person once and narrows this."
    )


def attributes(statistics: RunStatistics) -> str:
    """Describes the accuracy of each attribute: over persons where it belongs to the person, else over photos.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence.
    """
    parts = []
    for name in statistics.run.schema.names:
        if name in statistics.accuracy:
            accuracy = statistics.accuracy[name]
            unit = "photos" if accuracy.persons is None else "persons"
            parts.append(f"{name} for {as_percent_text((accuracy.persons or accuracy.photos).value, unit)}")
    averaged = " For persons, the probabilities of all their photos are averaged."
    return f"Correct predictions: {join_with_and(parts)}.{averaged if 'persons' in ' '.join(parts) else ''}"


def ages(found: AgeErrors) -> str:
    """Describes whether errors of age are near the bin edges.

    Args:
        found: Errors by age.

    Returns:
        A sentence.
    """
    if not found.errors:
        return f"No prediction of {found.attribute} is wrong."
    near, base = found.errors_near_edge / found.errors, found.photos_near_edge / found.photos
    edges = join_with_and([f"{edge:g}" for edge in found.bin_edges])
    errors = as_percent_text(near, f"{found.attribute} errors")
    text = (
        f"{errors.capitalize()} are on photos within {NEAR_YEARS} years of a class boundary ({edges}); "
        f"{as_percent_text(base, 'photos')} are that close"
    )
    if near > NEAR_MISS_RATIO * base:
        return f"{text}, so many errors are near misses."
    return f"{text}, so closeness to a boundary explains few of the errors."


def years(found: AgeScore | None) -> str:
    """Describes how good the ages in years are.

    Args:
        found: Their scores; None without ages in years.

    Returns:
        Two sentences; "" without ages.
    """
    if found is None:
        return ""
    error, inside = found.mean_absolute_error, as_percent_text(found.coverage.value, "true ages").capitalize()
    return (
        f"The age in years (the median) is off by {error.value:.1f} years on average "
        f"({format_interval(error, 1)}). {inside} are within the interval, which is {found.width:.0f} years wide on "
        f"average and made for {INTERVAL_LEVEL:.0%}."
    )


def weakest(statistics: RunStatistics) -> str:
    """Describes the classes with the lowest and the highest F1.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence; "" where fewer than two classes have photos.
    """
    classes = [item for item in statistics.scores.per_class if item.support]
    if len(classes) < 2:
        return ""
    low, high = min(classes, key=lambda item: item.f1), max(classes, key=lambda item: item.f1)
    if f"{low.f1:.2f}" == f"{high.f1:.2f}":
        return f"All {len(classes)} classes with photos have the same F1 ({low.f1:.2f})."
    return (
        f"The class with the lowest F1 is {low.name} (F1 {low.f1:.2f}, "
        f"{format_count(low.support, 'photo')}), the one with the "
        f"highest is {high.name} (F1 {high.f1:.2f}, {format_count(high.support, 'photo')})."
    )


def confusion(statistics: RunStatistics, name: str) -> str:
    """Describes the most frequent error of an attribute.

    Args:
        statistics: The run's statistics.
        name: Name of the attribute.

    Returns:
        A sentence.
    """
    attribute, matrix = statistics.run.schema[name], statistics.confusions[name]
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    total = int(wrong.sum())
    if not total:
        return f"No {name} errors."
    truth, predicted = divmod(int(wrong.argmax()), len(matrix))
    fraction = wrong[truth, predicted] / matrix[truth].sum()
    true_name, predicted_name = attribute.display_name(truth), attribute.display_name(predicted)
    return (
        f"Most frequent error: {true_name} predicted as {predicted_name}, {wrong[truth, predicted]:,} of {total:,} "
        f"errors and {fraction:.0%} of the photos labeled {true_name}."
    )


def calibration(fit: TemperatureFit, name: str) -> str:
    """Describes how well confidence matches accuracy, before and after temperature scaling.

    Args:
        fit: Calibration of one head.
        name: What the head predicts, for example "the class".

    Returns:
        A sentence.
    """
    before, after = fit.before, fit.after
    confidence, accuracy = (float(np.average(values, weights=before.bins.photos)) for values in before.bins[1:])
    title = name.capitalize()
    if before.error <= MAX_CALIBRATED_ERROR:
        return f"{title}: well calibrated (calibration error {before.error:.3f})."
    kind = "overconfident" if confidence > accuracy else "underconfident"
    text = f"{title}: {kind}, with a mean confidence of {confidence:.0%} and an accuracy of {accuracy:.0%}"
    if fit.gain.low > 0:
        scaled = f"temperature scaling with T = {fit.temperature:.2f} gives a calibration error of {after.error:.3f}"
        return f"{text}; {scaled}."
    return f"{text}; temperature scaling does not help."


def temperature_limits(temperatures: Mapping[str, float], persons: int) -> list[str]:
    """Says which temperatures are at a limit of the fit, and what to do about it, as the console does.

    Args:
        temperatures: By what is predicted, for example "the class".
        persons: Number of persons that they were fitted on.

    Returns:
        A sentence for each of the two limits; one where the persons are too few to conclude more.
    """
    steps = describe_limits(temperatures)
    if steps and persons < MIN_RELIABLE_PERSONS:
        few = format_count(persons, "person is", "persons are")
        return [f"A temperature is at the limit of the fit: {few} too few to fit one."]
    return [f"A temperature is at the limit of the fit; {step}." for step in steps]


def decisions(fit: DecisionFit) -> str:
    """Describes what decision weights gain on other persons.

    Args:
        fit: The fit for one objective, with fitted weights.

    Returns:
        A sentence.
    """
    name, fitted = OBJECTIVE_NAMES[fit.objective], fit.fitted
    if fitted is None or fit.kept is None:
        return f"For {name} the most probable class is predicted: {fit.reason}."
    change = f"{fitted.before:.3f} to {fitted.after:.3f}"
    sure = "" if fitted.gain_low > 0 else "; with so few persons this may be chance"
    return f"Weights fitted for {name} raise it from {change} on persons that they were not fitted on{sure}."


def abstention(statistics: RunStatistics) -> list[str]:
    """Describes what abstaining on predictions of low confidence gains.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence for each attribute that has a threshold.
    """
    sentences = []
    for name, found in statistics.thresholds.items():
        title, overall = name.capitalize(), as_percent_text(found.overall_accuracy.value, "predictions")
        if found.probability == 0:
            persons = statistics.run.num_persons
            few = f"; {format_count(persons, 'person is', 'persons are')} too few to say so of others"
            sentences.append(
                f"{title}: no abstention is needed on these photos, {overall} are correct"
                f"{few if persons < MIN_RELIABLE_PERSONS else ''}."
            )
        elif found.accuracy is None or found.probability >= 1:
            target = as_percent_text(TARGET_ACCURACY, "remaining predictions")
            sentences.append(f"{title}: no threshold makes {target} correct.")
        else:
            kept = as_percent_text(found.coverage.value, "photos")
            correct = as_percent_text(found.accuracy.value, "kept predictions")
            sentences.append(
                f"{title}: with “not sure” below a probability of {found.probability:.0%}, {kept} keep a "
                f"prediction, and {correct} are correct; without it {overall} are correct"
                f"{_no_visible_use(found, statistics.run.num_persons)}."
            )
    return sentences


def _no_visible_use(found: AbstentionThreshold, persons: int) -> str:
    """The end of a sentence where the kept predictions are not more often correct than all; "" where they are."""
    if found.accuracy is None or found.accuracy.value > found.overall_accuracy.value:
        return ""
    few = f": {format_count(persons, 'person is', 'persons are')} too few to judge it"
    return f", so the threshold has no visible use here{few if persons < MIN_RELIABLE_PERSONS else ''}"


def curves(statistics: RunStatistics) -> str:
    """Describes when the folds reached their best epoch, and whether more epochs may help.

    The validation loss is the judge where macro F1 was best early: while it falls, probabilities become better.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence; "" where no epoch was validated.
    """
    best_epochs, last_epochs, falling = [], [], []
    for history in statistics.run.histories.values():
        scores = [row.get("valid_macro_f1", math.nan) for row in history]
        if any(map(math.isfinite, scores)):
            best_epochs.append(int(np.nanargmax(scores)))
            last_epochs.append(len(scores) - 1)
            falling.append(_is_loss_falling([row.get("valid_loss", math.nan) for row in history]))
    if not best_epochs:
        return ""
    if max(last_epochs) == 0:
        return "One epoch was trained, so the curves are single points."
    at_end = sum(best == last for best, last in zip(best_epochs, last_epochs, strict=True))
    if len(best_epochs) == 1:
        text = f"The best epoch is epoch {best_epochs[0] + 1}, the last one epoch {last_epochs[0] + 1}"
    else:
        text = f"The last epoch is the best one in {at_end} of {format_count(len(best_epochs), 'fold')}"
    if 2 * at_end > len(best_epochs):
        return f"{text}: training longer may help."
    if 2 * sum(falling) > len(falling):
        return f"{text}, but the validation loss still falls: training longer may improve the probabilities."
    early = np.mean([best < 0.6 * last for best, last in zip(best_epochs, last_epochs, strict=True)])
    return f"{text}: training longer is unlikely to help." if early > 0.5 else f"{text}."


def _is_loss_falling(losses: Sequence[float]) -> bool:
    """Whether the lowest loss is in the last tenth of the epochs: that of the last one alone goes up and down."""
    if not any(map(math.isfinite, losses)):
        return False
    return int(np.nanargmin(losses)) >= FALLING_FROM * (len(losses) - 1)


def best_epoch(statistics: RunStatistics) -> str:
    """Warns that the kept epoch was chosen on the persons that the scores are of.

    Args:
        statistics: The run's statistics.

    Returns:
        A sentence; "" where no epoch was chosen: one was trained, or `trainer.monitor` is off.
    """
    monitor = statistics.run.settings.get("trainer.monitor", "macro_f1")
    validated = [
        sum(any(name.startswith("valid") and math.isfinite(value) for name, value in row.items()) for row in history)
        for history in statistics.run.histories.values()
    ]
    if monitor == OFF or max(validated, default=0) < 2:
        return ""
    return (
        f"The epoch with the best {monitor} on the held-out persons themselves was kept, so the scores of these "
        "persons are a little optimistic; two runs that choose alike can be compared."
    )


def held_out(persons_named: bool) -> str:
    """Says what the scores are held out from.

    Args:
        persons_named: Whether anybody says who is on the photos.

    Returns:
        A sentence or two.
    """
    if persons_named:
        return "Every photo was predicted by a model whose training photos do not show its person (cross-validation)."
    return (
        "Nobody says who is on the photos, so each photo counts as a person of its own: every photo was predicted by a "
        "model that was not trained on it, but other photos or copies of its person may have been among the training "
        "photos, and the scores may be too good. A column person in a CSV of the photos prevents that."
    )


def slices(column: str, parts: dict[str, SliceStatistics], name: str) -> str:
    """Describes the slices with the lowest and the highest accuracy, and whether they differ reliably.

    Args:
        column: Column that defines the slices.
        parts: Statistics by value of the column.
        name: Attribute whose accuracy counts, or `JOINT_HEAD`.

    Returns:
        A sentence; "" for fewer than two slices.
    """
    known = {value: part for value, part in parts.items() if name in part.accuracy}
    if len(known) < 2:
        return ""
    low = min(known, key=lambda value: known[value].accuracy[name].value)
    high = max(known, key=lambda value: known[value].accuracy[name].value)
    worst, best = known[low].accuracy[name], known[high].accuracy[name]
    if f"{worst.value:.0%}" == f"{best.value:.0%}":
        return f"By {column}: the accuracy is {worst.value:.0%} for each of {len(known)} values."
    text = f"By {column}: lowest accuracy for {low} ({worst.value:.0%}), highest for {high} ({best.value:.0%})"
    return f"{text}." if worst.high < best.low else f"{text}; with so few persons the difference may be chance."
