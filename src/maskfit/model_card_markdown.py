"""Renders a model card as Markdown: predictions, training data, evaluation, calibration and limitations."""

from __future__ import annotations

from collections.abc import Iterator

from maskfit.calibration import AgeCalibration, describe_decision_weights
from maskfit.labels.age_distribution import INTERVAL_LEVEL
from maskfit.labels.schema import Attribute
from maskfit.model_card import Score
from maskfit.model_file import ModelMetadata
from maskfit.text import format_count

LIMITS = (
    "Gender and age are estimates from appearance. They do not establish who a person is, and must not be the basis of "
    "decisions about anyone.",
    "The scores hold for photos like those of the evaluation. Test the model on your own photos before using it with "
    "other cameras, lighting, poses or people.",
    "Not for identifying people, for surveillance of persons, or where a wrong prediction can harm someone.",
)
"""Limitations of every model of this kind, whatever its scores."""


def render_model_card(metadata: ModelMetadata) -> str:
    """Renders the card of a model file.

    Args:
        metadata: Metadata of the model file.

    Returns:
        Markdown.
    """
    sections = (_title, _predictions, _training_data, _evaluation, _calibration, _limitations, _provenance)
    parts = [list(section(metadata)) for section in sections]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _title(metadata: ModelMetadata) -> Iterator[str]:
    yield f"# Model card: {metadata.description or 'a maskfit model'}"


def _predictions(metadata: ModelMetadata) -> Iterator[str]:
    yield "## What it predicts"
    yield ""
    for attribute in metadata.label_schema.scored_schema().attributes:
        yield f"- **{attribute.name}**: {', '.join(map(attribute.display_name, range(len(attribute.values))))}"
    crop_resize = metadata.preprocessing.crop_resize
    yield ""
    yield (
        f"Input: the crop `{crop_resize.crop.name}` of a photo, {crop_resize.size[1]} x {crop_resize.size[0]} pixels. "
        f"Backbone: {metadata.backbone.name}."
    )


def _training_data(metadata: ModelMetadata) -> Iterator[str]:
    card = metadata.card
    if not card.photos and not card.training_data:
        return
    yield "## Training data"
    yield ""
    if card.photos:
        yield f"{format_count(card.photos, 'photo')} of {format_count(card.persons, 'person')}."
    if card.training_data:
        yield card.training_data
    for attribute in metadata.label_schema.scored_schema().attributes:
        counts = card.counts.get(attribute.name)
        if counts:
            yield f"- {attribute.name}: " + ", ".join(
                _format_count(attribute, value, number) for value, number in counts.items()
            )


def _format_count(attribute: Attribute, value: str, number: int) -> str:
    name = attribute.display_name(attribute.values.index(value)) if value in attribute.values else value
    return f"{number:,} {name}"


def _evaluation(metadata: ModelMetadata) -> Iterator[str]:
    card = metadata.card
    yield "## Evaluation"
    yield ""
    if not card.scores:
        yield "The file contains no scores. Evaluate it on your own photos with `maskfit evaluate`."
        return
    yield (
        f"On {format_count(card.n_eval_photos, 'photo')} of "
        f"{format_count(card.n_eval_persons, 'person')}, each predicted by a network of the same "
        "run that was not trained on the person. In parentheses, the 95% interval over persons."
    )
    yield ""
    yield "| score | value |"
    yield "| --- | --- |"
    yield from (f"| {name} | {_format_score(score)} |" for name, score in card.scores.items())
    if bare := [name for name, score in card.scores.items() if score.low is None or score.high is None]:
        yield ""
        yield f"The file has no interval for {', '.join(bare)}."
    if card.worst_groups:
        yield ""
        worst = "; ".join(f"{name} {_format_score(score)}" for name, score in card.worst_groups.items())
        yield f"Classes with the lowest F1: {worst}."
    if metadata.calibration.ages is not None:
        yield ""
        yield from _age_lines(metadata.calibration.ages)


def _age_lines(ages: AgeCalibration) -> Iterator[str]:
    low, high = ages.age_range
    text = f"Age in years: the open bands are spread from {low:g} to {high:g} years"
    if ages.mean_absolute_error is None or ages.coverage is None or ages.width is None:
        yield f"{text}; its error was not measured."
        return
    yield (
        f"{text}. On {format_count(ages.photos, 'photo')} of {format_count(ages.persons, 'person')}, each with a "
        f"temperature fitted on other persons, the median is off by {ages.mean_absolute_error:.1f} years on average, "
        f"and {ages.coverage:.0%} of true ages are within the {INTERVAL_LEVEL:.0%} interval, which is {ages.width:.0f} "
        "years wide on average."
    )


def _format_score(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _calibration(metadata: ModelMetadata) -> Iterator[str]:
    calibration = metadata.calibration
    if not calibration.temperatures and not calibration.abstain_below and not calibration.decisions:
        return
    yield "## Calibration"
    yield ""
    if calibration.temperatures:
        temperatures = ", ".join(f"{name} {value:.2f}" for name, value in calibration.temperatures.items())
        yield (
            f"Temperatures, fitted on {format_count(calibration.photos, 'photo')} of "
            f"{format_count(calibration.persons, 'person')}: {temperatures}."
        )
    if calibration.warning:
        warning = calibration.warning.removeprefix("calibration: ")
        yield f"**Warning:** {warning}."
    thresholds = ", ".join(f"{name} {value:.0%}" for name, value in calibration.abstain_below.items() if value)
    never = ", ".join(name for name, value in calibration.abstain_below.items() if not value)
    if thresholds:
        yield f'Predictions with a probability below these thresholds become "not sure": {thresholds}.'
    small = ", ".join(f"{name} below {side:g} px" for name, side in calibration.min_face.items() if side)
    if small:
        yield f'On detected faces whose shorter side is too short, predictions become "not sure": {small}.'
    if never:
        yield f'Predictions that never become "not sure": {never}.'
    if calibration.decisions:
        yield ""
        yield from _decision_lines(metadata)


def _decision_lines(metadata: ModelMetadata) -> Iterator[str]:
    schema = metadata.label_schema.scored_schema()
    for objective, decision in metadata.calibration.decisions.items():
        gain = f"{decision.gain:+.3f} ({decision.gain_low:+.3f} to {decision.gain_high:+.3f})"
        yield (
            f"Decision weights for {objective}: {describe_decision_weights(schema, decision.weights)}. On persons that "
            f"they were not fitted on: {decision.before:.3f} without, {decision.after:.3f} with them, gain {gain}."
        )
    yield (
        'They select the class and leave the probabilities as they are; the threshold of "not sure" applies to the '
        "probability of the selected value. `--decide argmax` ignores them."
    )


def _limitations(metadata: ModelMetadata) -> Iterator[str]:
    yield "## Limitations"
    yield ""
    if metadata.card.intended_use:
        yield metadata.card.intended_use
        yield ""
    yield from (f"- {limit}" for limit in LIMITS)


def _provenance(metadata: ModelMetadata) -> Iterator[str]:
    yield "## Provenance"
    yield ""
    recipe = metadata.recipe.get("name")
    yield f"Trained with maskfit {metadata.maskfit}" + (f" from the recipe `{recipe}`." if recipe else ".")
    yield f"License: {metadata.card.license or 'not stated; ask the person you got the file from.'}"
