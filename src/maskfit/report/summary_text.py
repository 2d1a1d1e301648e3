"""Figures in words: what is seen, and what it means, for people who never saw the project. All of it is plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.calibration import TemperatureFit
from maskfit.labels.schema import JOINT_HEAD
from maskfit.report.run_statistics import NEAR, WANTED, AgeErrors, RunStatistics, SliceStatistics

HONEST = 0.02
"""Up to this calibration error probabilities are said to mean what they say."""


def as_percent_text(share: float) -> str:
    """A share for people: "84 of 100"; what is nearer to all or none than one in a hundred is counted in thousands."""
    if share in (0.0, 1.0):
        return "all" if share else "none"
    if 0.01 <= share <= 0.99:
        return f"{100 * share:.0f} of 100"
    thousand = round(1000 * share)
    return "nearly all" if thousand == 1000 else "hardly any" if thousand == 0 else f"{thousand} of 1,000"


def as_tenths_text(share: float) -> str:
    """A share of few things: "7 of 10"."""
    tenth = round(10 * share)
    return "nearly all" if tenth == 10 else "hardly any" if tenth == 0 else f"{tenth} of 10"


def join_with_and(words: Sequence[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def format_interval(around: Interval, digits: int = 3) -> str:
    """An interval: "0.712 to 0.768"."""
    return f"{around.low:.{digits}f} to {around.high:.{digits}f}"


def headline(figures: RunStatistics) -> str:
    """How much is read right, all attributes together."""
    names = figures.material.scheme.names
    if JOINT_HEAD not in figures.shares:
        return "No photo has all its labels, so each attribute is judged alone."
    right = as_percent_text(figures.shares[JOINT_HEAD].photos.value)
    if len(names) == 1:
        return f"{names[0].capitalize()} is read right for {right} photos."
    return f"{join_with_and(names).capitalize()} are all read right for {right} photos."


def score_interval_text(figures: RunStatistics) -> str:
    """The score and how far other persons would move it."""
    around = figures.scores.intervals.get("macro_f1")
    if around is None or figures.scores.macro_f1 is None:
        return ""
    return (
        f"Macro F1, in which every class counts alike, is {around.value:.3f}; with other persons of the same kind it "
        f"would lie between {format_interval(around)}, 19 times of 20."
    )


def attributes(figures: RunStatistics) -> str:
    """How often each attribute is right: of persons where it is the person's, else of photos."""
    parts = []
    for name in figures.material.scheme.names:
        if name in figures.shares:
            shares = figures.shares[name]
            whose = "photos" if shares.persons is None else "persons"
            parts.append(f"{name} for {as_percent_text((shares.persons or shares.photos).value)} {whose}")
    whose = " A person counts by all photos of the person together." if "persons" in " ".join(parts) else ""
    return f"Read right: {join_with_and(parts)}.{whose}"


def ages(found: AgeErrors) -> str:
    """Whether mistakes of age are near the borders of its bands."""
    if not found.wrong:
        return f"No answer about {found.attribute} is wrong."
    near, base = found.near / found.wrong, found.near_photos / found.photos
    borders = join_with_and([f"{edge:g}" for edge in found.edges])
    said = (
        f"{as_tenths_text(near).capitalize()} mistakes of {found.attribute} are next to a border (within {NEAR} years of "
        f"{borders}), where {as_tenths_text(base)} photos are"
    )
    if near > 1.15 * base:
        return f"{said}: much of what is wrong is a near miss."
    return f"{said}: the borders explain little of what is wrong."


def weakest(figures: RunStatistics) -> str:
    """The class that is found worst, and the best."""
    classes = [item for item in figures.scores.per_class if item.support]
    if len(classes) < 2:
        return ""
    low, high = min(classes, key=lambda item: item.f1), max(classes, key=lambda item: item.f1)
    return (
        f"Hardest is {low.name} (F1 {low.f1:.2f}, {low.support:,} photos), easiest {high.name} "
        f"(F1 {high.f1:.2f}, {high.support:,} photos)."
    )


def confusion(figures: RunStatistics, name: str) -> str:
    """The most frequent mistake of an attribute."""
    attribute, matrix = figures.material.scheme[name], figures.confusions[name]
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    total = int(wrong.sum())
    if not total:
        return f"No {name} is mistaken."
    truth, answer = divmod(int(wrong.argmax()), len(matrix))
    share = wrong[truth, answer] / matrix[truth].sum()
    return (
        f"Most often {attribute.display_name(truth)} is read as {attribute.display_name(answer)}: {wrong[truth, answer]:,} of "
        f"{total:,} mistakes, {share:.0%} of its photos."
    )


def calibration(found: TemperatureFit, name: str) -> str:
    """How sure a run says it is and how often it is right, before and after its temperature."""
    before, after = found.before, found.after
    sure, right = (float(np.average(values, weights=before.bins.photos)) for values in before.bins[1:])
    if before.error <= HONEST:
        said = f"{name.capitalize()}: probabilities mean what they say (off by {100 * before.error:.1f} points)"
    else:
        kind = "too sure" if sure > right else "not sure enough"
        said = f"{name.capitalize()}: {kind}, it says {sure:.0%} and is right for {right:.0%}"
    if found.gain.low > 0:
        mended = f"a temperature of {found.temperature:.2f} brings that to {100 * after.error:.1f} points"
        return f"{said}; {mended}." if before.error > HONEST else f"{said}."
    return f"{said}; a temperature does not help." if before.error > HONEST else f"{said}."


def doubt(figures: RunStatistics) -> list[str]:
    """For each attribute what is gained by holding back the answers that are not sure."""
    said = []
    for name, found in figures.thresholds.items():
        wanted = as_percent_text(WANTED)
        if found.probability == 0:
            said.append(f"{name.capitalize()}: all answers may stand, {as_percent_text(found.overall_accuracy.value)} are right.")
        elif found.accuracy is None or found.probability >= 1:
            said.append(f"{name.capitalize()}: no answer is sure enough for {wanted} to be right.")
        else:
            kept, right = as_percent_text(found.coverage.value), as_percent_text(found.accuracy.value)
            said.append(
                f"{name.capitalize()}: with answers below {found.probability:.0%} held back, {kept} photos stay "
                f"answered, {right} of these rightly; before, {as_percent_text(found.overall_accuracy.value)} were right."
            )
    return said


def curves(figures: RunStatistics) -> str:
    """When the folds were best, and whether more epochs may help."""
    bests, lasts = [], []
    for history in figures.material.histories.values():
        scored = [row.get("valid_macro_f1", math.nan) for row in history]
        if any(map(math.isfinite, scored)):
            bests.append(int(np.nanargmax(scored)))
            lasts.append(len(scored) - 1)
    if not bests:
        return ""
    at_end = sum(best == last for best, last in zip(bests, lasts, strict=True))
    if len(bests) == 1:
        said = f"The best epoch is {bests[0]}, of 0 to {lasts[0]}"
    else:
        said = f"The best epoch is the last one in {at_end} of {len(bests)} folds"
    if 2 * at_end > len(bests):
        return f"{said}: training longer may help."
    early = np.mean([best < 0.6 * last for best, last in zip(bests, lasts, strict=True)])
    return f"{said}: training longer would hardly help." if early > 0.5 else f"{said}."


def slices(column: str, parts: dict[str, SliceStatistics], name: str) -> str:
    """Which part of a set is read worst, and whether the set is large enough to say so."""
    known = {value: part for value, part in parts.items() if name in part.right}
    if len(known) < 2:
        return ""
    low = min(known, key=lambda value: known[value].right[name].value)
    high = max(known, key=lambda value: known[value].right[name].value)
    worst, best = known[low].right[name], known[high].right[name]
    said = f"By {column}: {low} is read right least often ({worst.value:.0%}), {high} most often ({best.value:.0%})"
    apart = worst.high < best.low
    return f"{said}." if apart else f"{said}; with this few persons that may be chance."
