"""Schemas: what the service answers, exactly. The attributes in it are those of the models that are served."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from maskfit.errors import ModelFileError
from maskfit.inference.decisions import NOT_SURE
from maskfit.labels.attribute import Attribute
from maskfit.labels.schema import LabelSchema

Probability = Annotated[float, Field(ge=0, le=1.000001, description="0 to 1.")]
Pixels = Annotated[int, Field(ge=1)]
Box = Annotated[
    list[float],
    Field(min_length=4, max_length=4, description="Left, upper, right, lower in pixels of the upright photo."),
]

RESERVED_NAMES = ("box", "score")
"""What a face has besides attributes."""


class StrictModel(BaseModel):
    """Nothing besides what is listed."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class ErrorDetail(StrictModel):
    """Why a photo was not answered for."""

    message: str = Field(description="What is wrong with it.")
    next: str | None = Field(description="What to do.")


class PhotoFailure(StrictModel):
    """A photo that could not be read; the others were."""

    name: str | None = Field(description="As it was sent.")
    error: ErrorDetail


def build_response_model(scheme: LabelSchema) -> type[BaseModel]:
    """The model of a whole answer about photos, for one scheme.

    Raises:
        ModelFileError: An attribute has a name that a face's other fields bear.
    """
    taken = [name for name in scheme.names if name in RESERVED_NAMES]
    if taken:
        raise ModelFileError(f"an attribute called '{taken[0]}' cannot be served", hint="serve a model of other names")
    fields: dict[str, Any] = {
        "box": (Box | None, Field(description="Where the face is; null where the whole photo was taken.")),
        "score": (Probability | None, Field(description="How sure the detector is that this is a face.")),
    }
    # Under names of their own, since an attribute may be called as no Python name may.
    for place, attribute in enumerate(scheme.attributes):
        fields[f"attribute_{place}"] = (_build_said(attribute), Field(alias=attribute.name))
    face = create_model("FaceAnswer", __base__=StrictModel, __doc__="A face, or a whole photo.", **fields)
    photo = create_model(
        "PhotoAnswer",
        __base__=StrictModel,
        __doc__="A photo that was answered for.",
        name=(str | None, Field(description="As it was sent.")),
        width=(Pixels, Field(description="Of the upright photo.")),
        height=(Pixels, Field(description="Of the upright photo.")),
        found=(Annotated[int, Field(ge=0)], Field(description="Faces found.")),
        faces=(list[face], Field(description="The largest first.")),  # type: ignore[valid-type]
    )
    return create_model(
        "Answers",
        __base__=StrictModel,
        __doc__="An answer for each photo.",
        photos=(list[photo | PhotoFailure], Field(min_length=1, description="In the order in which they came.")),  # type: ignore[valid-type]
    )


def _build_said(attribute: Attribute) -> type[BaseModel]:
    values: Any = Literal[attribute.values]
    answers: Any = Literal[(*attribute.values, NOT_SURE)]
    return create_model(
        f"{''.join(part for part in attribute.name.title() if part.isalnum())}Said",
        __base__=StrictModel,
        __doc__=f"What is said of {attribute.name}.",
        answer=(answers, Field(description=f"What to act on: the value, or '{NOT_SURE}'.")),
        value=(values, Field(description="The most probable value.")),
        probability=(Probability, Field(description="Of that value.")),
        sure=(bool, Field(description="Whether that reaches the model's threshold.")),
        probabilities=(dict[values, Probability], Field(description="Of every value.")),
    )
