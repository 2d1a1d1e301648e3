"""Model card of a model file as data: training data, evaluation, license and intended use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(max_length=10_000)]


class Score(BaseModel):
    """One score on held-out photos.

    Attributes:
        value: The score, 0 to 1.
        low: Lower bound of its 95% interval over persons; None where none was computed.
        high: Upper bound of the interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    low: float | None = None
    high: float | None = None


class ModelCard(BaseModel):
    """Model card (Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993).

    Attributes:
        photos: Number of training photos.
        persons: Number of persons on them.
        counts: Attribute -> value -> number of training photos.
        n_eval_photos: Number of evaluation photos, of persons that were not trained on.
        n_eval_persons: Number of persons on them.
        scores: Name, such as "macro F1" or "accuracy of gender" -> score.
        worst_groups: Classes with the lowest F1 among those that occur -> score.
        training_data: Where the photos come from; from the recipe.
        license: License of the model; from the recipe.
        intended_use: What the model is for, and what it must not be used for; from the recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: Count = 0
    persons: Count = 0
    counts: dict[str, dict[str, Count]] = Field(default_factory=dict, max_length=16)
    n_eval_photos: Count = 0
    n_eval_persons: Count = 0
    scores: dict[str, Score] = Field(default_factory=dict, max_length=64)
    worst_groups: dict[str, Score] = Field(default_factory=dict, max_length=16)
    training_data: Text = ""
    license: Text = ""
    intended_use: Text = ""
