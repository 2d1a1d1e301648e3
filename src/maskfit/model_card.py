"""What a model file says for the people who decide whether to use it: its material, how it was judged, its licence."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(max_length=10_000)]


class Score(BaseModel):
    """One score of held-out photos.

    Attributes:
        value: The score, 0 to 1.
        low, high: Its interval over persons, 95 of 100; None where there was none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    low: float | None = None
    high: float | None = None


class ModelCard(BaseModel):
    """A model's card (Mitchell et al. 2019, "Model Cards for Model Reporting"), as data.

    Attributes:
        photos: How many photos the network learnt from.
        persons: Of how many persons.
        counts: By attribute, how many of them bear each value.
        judged_photos: How many photos of other persons it was judged on.
        judged_persons: Of how many persons.
        scores: By name, such as "macro F1" or "accuracy of gender".
        weakest: Of the classes that occur, those with the lowest F1, by their words.
        material: Where the photos are from; the recipe's words.
        licence: Under which the model may be used; the recipe's words.
        use: What it is for, and what it must not be used for; the recipe's words.
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
