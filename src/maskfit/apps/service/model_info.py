"""Description of the served models, from the metadata of their files, without paths of this machine."""

from __future__ import annotations

import math

from pydantic import Field

from maskfit.apps.service.schemas import Probability, StrictModel
from maskfit.apps.service.settings import Limits
from maskfit.calibration import ARGMAX, Calibration
from maskfit.data.preprocessing import Preprocessing
from maskfit.inference.ensemble_runner import Member
from maskfit.inference.predictor import Predictor
from maskfit.model_card import ModelCard
from maskfit.registry import ComponentSpec
from maskfit.version import __version__


class AttributeInfo(StrictModel):
    """A predicted attribute.

    Attributes:
        name: Its name.
        values: Names of its values.
        words: The values for people.
        unsure_below: Probability below which the answer is "not sure".
    """

    name: str
    values: list[str]
    words: list[str] = Field(description="The values for people.")
    unsure_below: Probability = Field(description="The probability below which the answer is 'not sure'.")


class ModelInfo(StrictModel):
    """A member of the ensemble.

    Attributes:
        about: Its description.
        maskfit: The version that wrote the file.
        backbone: The backbone.
        preprocessing: The preprocessing.
        calibration: Temperatures and abstention thresholds.
        scores: Scores on held-out persons; null for NaN.
        card: The model card.
    """

    about: str
    maskfit: str = Field(description="The version that wrote the file.")
    backbone: ComponentSpec
    preprocessing: Preprocessing
    calibration: Calibration
    scores: dict[str, float | None] = Field(description="Measured on photos of held-out persons.")
    card: ModelCard = Field(description="The model card: training data and evaluation.")


class ServiceInfo(StrictModel):
    """What the service serves.

    Attributes:
        maskfit: The version of the service.
        attributes: The predicted attributes.
        vote: How the members are combined.
        decide: How a class is chosen: argmax, or by the weights that were fitted for an objective.
        weights: Decision weights by attribute; empty for argmax.
        views: The test-time augmentation.
        detector: The face detector; null without one.
        engines: What runs the networks, with the precision; each once.
        members: The models.
        limits: Limits of a request.
    """

    maskfit: str = Field(description="The version of the service.")
    attributes: list[AttributeInfo]
    vote: str
    decide: str = Field(description="How a class is chosen: argmax, or with the weights fitted for an objective.")
    weights: dict[str, list[float]] = Field(description="Decision weights by attribute; empty for argmax.")
    views: str
    detector: str | None = Field(description="The face detector; null where faces are not detected.")
    engines: list[str] = Field(description="What runs the networks, with the precision; each once.")
    members: list[ModelInfo]
    limits: Limits


def describe(predictor: Predictor, detector: str | None, views: str, limits: Limits) -> ServiceInfo:
    """Describes a service.

    Args:
        predictor: The models.
        detector: Name of the face detector; None without one.
        views: The test-time augmentation.
        limits: Limits of a request.

    Returns:
        The description.
    """
    attributes = [
        AttributeInfo(
            name=attribute.name,
            values=list(attribute.values),
            words=[attribute.display_name(index) for index in range(len(attribute.values))],
            unsure_below=predictor.abstain_below[attribute.name],
        )
        for attribute in predictor.schema.attributes
    ]
    return ServiceInfo(
        maskfit=__version__,
        attributes=attributes,
        vote=predictor.vote,
        decide=predictor.decide if predictor.decision_weights else ARGMAX,
        weights={name: values.tolist() for name, values in predictor.decision_weights.items()},
        views=views,
        detector=detector,
        engines=list(predictor.runner.engines),
        members=[_describe_member(member) for member in predictor.members],
        limits=limits,
    )


def _describe_member(member: Member) -> ModelInfo:
    metadata = member.engine.metadata
    return ModelInfo(
        about=metadata.description,
        maskfit=metadata.maskfit,
        backbone=metadata.backbone,
        preprocessing=metadata.preprocessing,
        calibration=metadata.calibration,
        # JSON has no NaN.
        scores={name: value if math.isfinite(value) else None for name, value in metadata.scores.items()},
        card=metadata.card,
    )
