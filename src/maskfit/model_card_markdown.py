"""A model's card as a page of Markdown: what it reads, what it learnt from, how it was judged, what it is not for."""

from __future__ import annotations

from collections.abc import Iterator

from maskfit.labels.schema import Attribute
from maskfit.model_card import Score
from maskfit.model_file import ModelMetadata

LIMITS = (
    "Gender and age are guesses about appearance. They say nothing of who a person is, and must decide nothing about "
    "anyone.",
    "The scores hold for photos like those it was judged on. Other cameras, light, poses and people need a test of "
    "their own.",
    "Not for identifying people, for surveillance of persons, or where a wrong answer can harm someone.",
)
"""True of every model of this kind, whatever its scores."""


def render_model_card(facts: ModelMetadata) -> str:
    """The card of a model file.

    Args:
        facts: What the file says of itself.
    """
    parts = [_title(facts), _reads(facts), _learnt(facts), _judged(facts), _sure(facts), _limits(facts), _made(facts)]
    return "\n\n".join("\n".join(lines) for lines in map(list, parts) if lines) + "\n"


def _title(facts: ModelMetadata) -> Iterator[str]:
    yield f"# Model card: {facts.description or 'a maskfit model'}"


def _reads(facts: ModelMetadata) -> Iterator[str]:
    yield "## What it reads"
    yield ""
    for attribute in facts.label_schema.scored_schema().attributes:
        yield f"- **{attribute.name}**: {', '.join(map(attribute.display_name, range(len(attribute.values))))}"
    framing = facts.preprocessing.crop_resize
    yield ""
    yield (
        f"From what the crop `{framing.crop.name}` shows of a photo, at {framing.size[1]} x {framing.size[0]} pixels, "
        f"with {facts.backbone.name}."
    )


def _learnt(facts: ModelMetadata) -> Iterator[str]:
    card = facts.card
    if not card.photos and not card.training_data:
        return
    yield "## What it learnt from"
    yield ""
    if card.photos:
        yield f"{card.photos:,} photos of {card.persons:,} persons."
    if card.training_data:
        yield card.training_data
    for attribute in facts.label_schema.scored_schema().attributes:
        counts = card.counts.get(attribute.name)
        if counts:
            yield f"- {attribute.name}: " + ", ".join(
                _count(attribute, value, number) for value, number in counts.items()
            )


def _count(attribute: Attribute, value: str, number: int) -> str:
    word = attribute.display_name(attribute.values.index(value)) if value in attribute.values else value
    return f"{number:,} {word}"


def _judged(facts: ModelMetadata) -> Iterator[str]:
    card = facts.card
    yield "## How it was judged"
    yield ""
    if not card.scores:
        yield "The file does not say. Judge it on photos of your own: `maskfit evaluate`."
        return
    yield (
        f"On {card.n_eval_photos:,} photos of {card.n_eval_persons:,} persons, each answered by a network of the same "
        "run that had not seen the person. In brackets, where 95 of 100 other samples of persons would fall."
    )
    yield ""
    yield "| score | value |"
    yield "| --- | --- |"
    yield from (f"| {name} | {_shown(score)} |" for name, score in card.scores.items())
    if card.worst_groups:
        yield ""
        weak = "; ".join(f"{name} {_shown(score)}" for name, score in card.worst_groups.items())
        yield f"Weakest classes, by F1: {weak}."


def _shown(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _sure(facts: ModelMetadata) -> Iterator[str]:
    own = facts.calibration
    if not own.temperatures and not own.abstain_below:
        return
    yield "## How sure it is"
    yield ""
    if own.temperatures:
        heats = ", ".join(f"{name} {heat:.2f}" for name, heat in own.temperatures.items())
        yield f"Probabilities are tempered, fitted on {own.photos:,} photos of {own.persons:,} persons: {heats}."
    least = ", ".join(f"{name} {share:.0%}" for name, share in own.abstain_below.items() if share)
    always = ", ".join(name for name, share in own.abstain_below.items() if not share)
    if least:
        yield f'Below these probabilities the answer is "not sure": {least}.'
    if always:
        yield f'However improbable, never answered with "not sure": {always}.'


def _limits(facts: ModelMetadata) -> Iterator[str]:
    yield "## Limits"
    yield ""
    if facts.card.intended_use:
        yield facts.card.intended_use
        yield ""
    yield from (f"- {limit}" for limit in LIMITS)


def _made(facts: ModelMetadata) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    recipe = facts.recipe.get("name")
    yield f"By maskfit {facts.maskfit}" + (f" from the recipe `{recipe}`." if recipe else ".")
    yield f"Licence: {facts.card.license or 'not said; ask whoever gave you the file.'}"
