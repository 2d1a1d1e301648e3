"""The model card of a service: what is served, as the model files say it, without a path of this machine."""

from __future__ import annotations

import math

from pydantic import Field

from maskfit import __version__
from maskfit.apps.service.schemas import Probability, StrictModel
from maskfit.apps.service.settings import Limits
from maskfit.calibration import Calibration
from maskfit.data.preprocessing import Preprocessing
from maskfit.inference.members import Member
from maskfit.inference.predictor import Predictor
from maskfit.model_card import ModelCard
from maskfit.registry import ComponentSpec


class AttributeInfo(StrictModel):
    """One thing that is read from a face."""

    name: str
    values: list[str]
    words: list[str] = Field(description="The values for people.")
    unsure_below: Probability = Field(description="The probability below which the answer is 'not sure'.")


class ModelInfo(StrictModel):
    """One of the networks that answer together."""

    about: str
    maskfit: str = Field(description="The version that wrote the file.")
    backbone: ComponentSpec
    preprocessing: Preprocessing
    calibration: Calibration
    scores: dict[str, float | None] = Field(description="Measured on photos of persons held out.")
    card: ModelCard = Field(description="What it was trained and judged on.")


class ServiceInfo(StrictModel):
    """What is served."""

    maskfit: str = Field(description="The version that answers.")
    attributes: list[AttributeInfo]
    vote: str
    views: str
    detector: str | None = Field(description="What looks for faces; null where nothing does.")
    members: list[ModelInfo]
    limits: Limits


def describe(predictor: Predictor, detector: str | None, views: str, limits: Limits) -> ServiceInfo:
    """The card of what a predictor answers."""
    attributes = [
        AttributeInfo(
            name=attribute.name,
            values=list(attribute.values),
            words=[attribute.display_name(code) for code in range(len(attribute.values))],
            unsure_below=predictor.abstain_below[attribute.name],
        )
        for attribute in predictor.schema.attributes
    ]
    return ServiceInfo(
        maskfit=__version__,
        attributes=attributes,
        vote=predictor.vote,
        views=views,
        detector=detector,
        members=[_describe(member) for member in predictor.members],
        limits=limits,
    )


def _describe(member: Member) -> ModelInfo:
    facts = member.engine.metadata
    return ModelInfo(
        about=facts.description,
        maskfit=facts.maskfit,
        backbone=facts.backbone,
        preprocessing=facts.preprocessing,
        calibration=facts.calibration,
        # JSON knows no NaN.
        scores={name: value if math.isfinite(value) else None for name, value in facts.scores.items()},
        card=facts.card,
    )
