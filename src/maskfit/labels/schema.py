"""The label algebra: attributes, their values, and one class number for a combination of them.

A scheme is an ordered list of attributes; the class number is their mixed radix, the first attribute counting most. For
mask x gender x age that is the competition's `class = 6*mask + 3*gender + age`. Another scheme (mask alone, decades of
age, glasses x beard) is other data for the same code: this file is the only place that holds such numbers.

A label may be unknown. As a code that is `UNKNOWN`; as a target it is the set of all values, so that a photo of which
only the mask state is known allows six of the eighteen classes. Losses and scores follow from these sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from maskfit.errors import LabelError, did_you_mean
from maskfit.labels.attribute import JOINT_HEAD, RESERVED, UNKNOWN, Attribute, as_number

__all__ = [
    "AGE",
    "GENDER",
    "JOINT_HEAD",
    "MASK",
    "RESERVED",
    "SCHEMES",
    "UNKNOWN",
    "Attribute",
    "FloatArray",
    "IntArray",
    "LabelSchema",
    "Labels",
    "as_number",
    "logits_to_probabilities",
    "softmax",
]

Labels = Mapping[str, str | float]
"""What is known of one photo: attribute name to a value's name, or to a number (years) where it has bands."""

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class LabelSchema(BaseModel):
    """An ordered list of attributes, and the class number of a combination of their values.

    Arrays of codes have one column for each attribute; arrays of probabilities one column for each class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: tuple[Attribute, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.names)) < len(self.names):
            raise ValueError("two attributes bear the same name")
        if self.classes > 100_000:
            raise ValueError(f"{self.classes} classes are more than 100,000")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes' names in order."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each attribute has."""
        return tuple(len(attribute.values) for attribute in self.attributes)

    @property
    def sizes(self) -> dict[str, int]:
        """How many values each attribute has, by name: the sizes of their heads."""
        return dict(zip(self.names, self.shape, strict=True))

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return math.prod(self.shape)

    def __getitem__(self, name: str) -> Attribute:
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        raise LabelError(f"there is no attribute '{name}'; {did_you_mean(name, self.names)}")

    def encode(self, labels: Labels) -> tuple[int, ...]:
        """One code for each attribute; what the labels do not say is `UNKNOWN`. Other labels are passed over."""
        return tuple(attribute.encode(labels.get(attribute.name)) for attribute in self.attributes)

    def encode_batch(self, labels: Iterable[Labels]) -> IntArray:
        """The codes of many photos, shape (photos, attributes)."""
        rows = [self.encode(item) for item in labels]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.attributes))

    def to_class_index(self, codes: IntArray | Sequence[Sequence[int]]) -> IntArray:
        """The class number of each row of codes, shape (photos,); `UNKNOWN` where any attribute is.

        Raises:
            LabelError: A code is none of its attribute's, or there is not one column for each attribute.
        """
        array = np.asarray(codes, dtype=np.int64)
        if array.size and (array.ndim != 2 or array.shape[1] != len(self.attributes)):
            raise LabelError(f"codes of shape {array.shape} do not have one column for each of {', '.join(self.names)}")
        array = array.reshape(-1, len(self.attributes))
        if (array < UNKNOWN).any() or (array >= np.array(self.shape)).any():
            raise LabelError(f"a code is out of range for {dict(self.sizes)}")
        known = (array != UNKNOWN).all(axis=1)
        classes = np.full(len(array), UNKNOWN, dtype=np.int64)
        classes[known] = np.ravel_multi_index(tuple(array[known].T), self.shape)
        return classes

    def to_attribute_indices(self, classes: IntArray | Sequence[int]) -> IntArray:
        """The codes of each class number, shape (photos, attributes); a class `UNKNOWN` gives unknown codes.

        Raises:
            LabelError: A class number is not in 0 to `classes` - 1.
        """
        array = np.asarray(classes, dtype=np.int64).reshape(-1)
        if (array < UNKNOWN).any() or (array >= self.classes).any():
            raise LabelError(f"a class is not in 0 to {self.classes - 1}")
        known = array != UNKNOWN
        codes = np.full((len(array), len(self.attributes)), UNKNOWN, dtype=np.int64)
        codes[known] = np.stack(np.unravel_index(array[known], self.shape), axis=1)
        return codes

    def describe(self, number: int) -> str:
        """A class for people: "worn wrongly, female, 30-59"."""
        codes = self.to_attribute_indices([number])[0]
        return ", ".join(attribute.display_name(code) for attribute, code in zip(self.attributes, codes, strict=True))

    def allowed_mask_from_indices(self, codes: IntArray, head: str) -> NDArray[np.bool_]:
        """The values that a photo's codes leave possible for one head.

        Args:
            codes: (photos, attributes).
            head: An attribute, or `JOINT` for all of them together.

        Returns:
            (photos, values or classes). One True where all is known, all True where nothing is.
        """
        columns = zip(codes.T, self.shape, strict=True)
        return self._of_head(
            [(own[:, None] == np.arange(size)) | (own == UNKNOWN)[:, None] for own, size in columns], head
        )

    def allowed_mask_from_labels(self, labels: Sequence[Labels], head: str) -> NDArray[np.bool_]:
        """The same from labels, which may say more than codes: a band of age, where narrower ones are trained on.

        Raises:
            LabelError: A label is none of its attribute's.
        """
        sets = []
        for attribute in self.attributes:
            rows = [attribute.allowed_mask(item.get(attribute.name)) for item in labels]
            sets.append(np.array(rows, dtype=np.bool_).reshape(len(rows), len(attribute.values)))
        return self._of_head(sets, head)

    def _of_head(self, sets: Sequence[NDArray[np.bool_]], head: str) -> NDArray[np.bool_]:
        """One head's set from every attribute's (photos, values)."""
        if head != JOINT_HEAD:
            return np.asarray(sets[self.names.index(self[head].name)], dtype=np.bool_)
        joint = np.ones((len(sets[0]), 1), dtype=np.bool_)
        for own in sets:
            joint = (joint[:, :, None] & own[:, None, :]).reshape(len(own), joint.shape[1] * own.shape[1])
        return joint

    def joint_probabilities(self, heads: Mapping[str, NDArray[np.floating]]) -> FloatArray:
        """Probabilities of every class from the probabilities of each head, rows summing to 1.

        Args:
            heads: `JOINT` to (photos, classes), or each attribute to (photos, values). Separate heads are multiplied,
                so that a combination never seen in training still gets its share.

        Raises:
            LabelError: A head is missing, or its width is not the scheme's.
        """
        if JOINT_HEAD in heads:
            joint = np.asarray(heads[JOINT_HEAD], dtype=np.float64)
        else:
            missing = [name for name in self.names if name not in heads]
            if missing:
                raise LabelError(f"no head answers for {', '.join(missing)}")
            joint = np.ones((len(heads[self.names[0]]), 1))
            for name in self.names:
                values = np.asarray(heads[name], dtype=np.float64)
                if len(values) != len(joint):
                    raise LabelError(f"the head of {name} answers for {len(values)} photos, not {len(joint)}")
                # Not -1 for the width: numpy cannot tell it where there are no photos.
                joint = (joint[:, :, None] * values[:, None, :]).reshape(len(values), joint.shape[1] * values.shape[1])
        if joint.ndim != 2 or joint.shape[1] != self.classes:
            raise LabelError(f"probabilities of shape {joint.shape} do not fit {self.classes} classes")
        return joint

    def marginals(self, probabilities: NDArray[np.floating]) -> dict[str, FloatArray]:
        """What probabilities (photos, classes) say of each attribute alone: name to (photos, values)."""
        cube = np.asarray(probabilities, dtype=np.float64).reshape(len(probabilities), *self.shape)
        axes = range(1, cube.ndim)
        others = {name: tuple(axis for axis in axes if axis != own) for own, name in enumerate(self.names, start=1)}
        return {name: cube.sum(axis=own) for name, own in others.items()}

    def scored_schema(self) -> LabelSchema:
        """The scheme that answers are scored on: every attribute with its coarse values."""
        return LabelSchema(attributes=tuple(attribute.scored_attribute() for attribute in self.attributes))

    def to_scored_probabilities(self, probabilities: NDArray[np.floating]) -> FloatArray:
        """Probabilities (photos, classes) of this scheme as those of `official()`, its classes' shares added up."""
        cube = np.asarray(probabilities, dtype=np.float64).reshape(len(probabilities), *self.shape)
        for axis, attribute in enumerate(self.attributes, start=1):
            if attribute.parent_of:
                folding = attribute.to_scored_index()
                starts = [int(np.argmax(folding == code)) for code in range(folding.max() + 1)]
                cube = np.add.reduceat(cube, starts, axis=axis)
        return cube.reshape(len(cube), math.prod(cube.shape[1:]))


def softmax(logits: NDArray[np.floating]) -> FloatArray:
    """Probabilities from logits along the last axis, in double precision and without overflow."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def logits_to_probabilities(scheme: LabelSchema, logits: Mapping[str, NDArray[np.floating]]) -> FloatArray:
    """Official probabilities (photos, official classes) from what a network's heads say, in logits."""
    return scheme.to_scored_probabilities(
        scheme.joint_probabilities({head: softmax(values) for head, values in logits.items()})
    )


MASK = Attribute(
    name="mask",
    values=("wear", "incorrect", "not_wear"),
    words=("worn", "worn wrongly", "not worn"),
    aliases={
        "mask": "wear",
        "correct": "wear",
        "incorrect_mask": "incorrect",
        "wrong": "incorrect",
        "wrongly": "incorrect",
        "normal": "not_wear",
        "none": "not_wear",
        "bare": "not_wear",
        "no_mask": "not_wear",
        "not wear": "not_wear",
    },
)
GENDER = Attribute(
    name="gender", values=("male", "female"), aliases={"m": "male", "f": "female", "man": "male", "woman": "female"}
)
AGE = Attribute(name="age", values=("<30", "30-59", ">=60"), bin_edges=(30, 60), valid_range=(0, 120))

SCHEMES: dict[str, LabelSchema] = {
    "mask-gender-age": LabelSchema(attributes=(MASK, GENDER, AGE)),
    "mask-gender": LabelSchema(attributes=(MASK, GENDER)),
    "gender-age": LabelSchema(attributes=(GENDER, AGE)),
    "mask": LabelSchema(attributes=(MASK,)),
    "gender": LabelSchema(attributes=(GENDER,)),
    "age": LabelSchema(attributes=(AGE,)),
}
"""Schemes by name; a recipe may also write one out in full."""
