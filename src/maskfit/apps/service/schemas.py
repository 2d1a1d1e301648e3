"""Response models of the service, built for the attributes of the served models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from maskfit.errors import ModelFileError
from maskfit.inference.decisions import NOT_SURE
from maskfit.labels.age_distribution import find_age_attribute
from maskfit.labels.attribute import Attribute
from maskfit.labels.schema import LabelSchema

Probability = Annotated[float, Field(ge=0, le=1.000001, description="0 to 1.")]
Pixels = Annotated[int, Field(ge=1)]
Box = Annotated[
    list[float],
    Field(min_length=4, max_length=4, description="Left, upper, right, lower in pixels of the upright photo."),
]

RESERVED_NAMES = ("box", "score")
"""Fields of a face besides its attributes."""


def _keep_summary(schema: dict[str, Any]) -> None:
    """Shortens the description of a JSON schema to the docstring's summary: its fields have descriptions themselves."""
    if "description" in schema:
        schema["description"] = schema["description"].partition("\n\n")[0]


class StrictModel(BaseModel):
    """Base of models that allow no other fields."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, json_schema_extra=_keep_summary)


class Years(StrictModel):
    """An age in years.

    Attributes:
        mean: Mean of the distribution.
        q10: Low end of the interval, which holds 80 of 100 ages.
        q50: Median.
        q90: High end of the interval.
        at_least: Border of the age bands to the probability of this age or more.
    """

    mean: float = Field(description="Mean of the distribution.")
    q10: int = Field(description="Low end of the 80% interval.")
    q50: int = Field(description="Median.")
    q90: int = Field(description="High end of the 80% interval.")
    at_least: dict[str, Probability] = Field(
        description="Border of the age bands to the probability of this age or more."
    )


class ErrorDetail(StrictModel):
    """Why a photo has no prediction.

    Attributes:
        message: What is wrong with it.
        next: What to do.
    """

    message: str = Field(description="What is wrong with it.")
    next: str | None = Field(description="What to do.")


class PhotoFailure(StrictModel):
    """A photo that could not be read; the others of the request are predicted.

    Attributes:
        name: The name that was sent.
        error: Why it could not be read.
    """

    name: str | None = Field(description="As it was sent.")
    error: ErrorDetail


def build_response_model(schema: LabelSchema) -> type[BaseModel]:
    """Builds the response model of `/v1/predict` for a label schema.

    Args:
        schema: The label schema of the models.

    Returns:
        The model.

    Raises:
        ModelFileError: An attribute has one of the `RESERVED_NAMES`.
    """
    reserved = [name for name in schema.names if name in RESERVED_NAMES]
    if reserved:
        raise ModelFileError(
            f"an attribute named '{reserved[0]}' cannot be served", hint="serve a model with other attribute names"
        )
    fields: dict[str, Any] = {
        "box": (Box | None, Field(description="Where the face is; null for a whole photo.")),
        "score": (Probability | None, Field(description="Confidence of the detector that this is a face.")),
    }
    # Generated names with aliases, since an attribute's name need not be a Python identifier.
    for index, attribute in enumerate(schema.attributes):
        fields[f"attribute_{index}"] = (_build_attribute_model(attribute), Field(alias=attribute.name))
    face = create_model("FaceAnswer", __base__=StrictModel, __doc__="A face, or a whole photo.", **fields)
    photo = create_model(
        "PhotoAnswer",
        __base__=StrictModel,
        __doc__="Predictions for a photo.",
        name=(str | None, Field(description="As it was sent.")),
        width=(Pixels, Field(description="Of the upright photo.")),
        height=(Pixels, Field(description="Of the upright photo.")),
        found=(Annotated[int, Field(ge=0)], Field(description="Detected faces that are predicted.")),
        left_out=(Annotated[int, Field(ge=0)], Field(0, description="Detected faces that are too small, or too many.")),
        note=(str | None, Field(description="Why the whole photo was taken as one face; null otherwise.")),
        faces=(list[face], Field(description="The largest first.")),  # type: ignore[valid-type]
    )
    return create_model(
        "Answers",
        __base__=StrictModel,
        __doc__="Predictions for each photo.",
        photos=(list[photo | PhotoFailure], Field(min_length=1, description="In the order of the request.")),  # type: ignore[valid-type]
    )


def _build_attribute_model(attribute: Attribute) -> type[BaseModel]:
    """Builds the model of one attribute's prediction."""
    values: Any = Literal[attribute.values]
    answers: Any = Literal[(*attribute.values, NOT_SURE)]
    years: dict[str, Any] = {}
    if find_age_attribute(LabelSchema(attributes=(attribute,))) is not None:
        years["years"] = (Years | None, Field(None, description="The age in years, where a model gives it."))
    return create_model(
        f"{''.join(part for part in attribute.name.title() if part.isalnum())}Said",
        __base__=StrictModel,
        __doc__=f"Prediction of {attribute.name}.",
        answer=(answers, Field(description=f"The value to act on, or '{NOT_SURE}'.")),
        value=(values, Field(description="The most probable value.")),
        probability=(Probability, Field(description="Of that value.")),
        sure=(bool, Field(description="Whether the probability reaches the model's threshold.")),
        too_small=(bool, Field(False, description=f"Whether it is '{NOT_SURE}' because the face has too few pixels.")),
        probabilities=(dict[values, Probability], Field(description="Of every value.")),
        **years,
    )
