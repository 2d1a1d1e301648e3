"""Label schemas: which attributes are predicted, and the class index of a combination of their values.

A label schema is an ordered list of attributes. The class index is the mixed-radix number of their codes, the first
attribute being the most significant: for mask x gender x age this is the competition's `6 * mask + 3 * gender + age`.
Other schemas (mask alone, age in decades, glasses x beard) use the same code; no other file contains such numbers.

Labels may be unknown. A code is then `UNKNOWN`; as a training target, an unknown label is the set of all values: where
only the mask state is known, six of the eighteen classes are allowed. Losses and scores use these sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from maskfit.errors import LabelError, did_you_mean
from maskfit.labels.attribute import JOINT_HEAD, RESERVED_NAMES, UNKNOWN, Attribute, ReadableErrors, as_number
from maskfit.text import format_count

__all__ = [
    "AGE",
    "GENDER",
    "JOINT_HEAD",
    "LABEL_SCHEMAS",
    "MASK",
    "RESERVED_NAMES",
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
"""Labels of one photo: attribute name -> name of a value, or a number (age in years) where it has bands."""

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class LabelSchema(BaseModel, metaclass=ReadableErrors):
    """An ordered list of attributes, and the class index of a combination of their values.

    Arrays of codes have shape (photos, attributes), arrays of probabilities (photos, classes).

    Example:
        >>> helmet = {"name": "helmet", "values": ["yes", "no"]}
        >>> schema = maskfit.LabelSchema(attributes=[helmet, {"name": "vest", "values": ["yes", "no"]}])
        >>> schema.num_classes
        4

    Attributes:
        attributes: The attributes, the most significant first; 1 to 16, with at most 100,000 classes together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: tuple[Attribute, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.names)) < len(self.names):
            raise ValueError("two attributes have the same name")
        if self.num_classes > 100_000:
            raise ValueError(f"{self.num_classes} classes are more than 100,000")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in order."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each attribute."""
        return tuple(len(attribute.values) for attribute in self.attributes)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of values of each attribute by name: the output sizes of the heads."""
        return dict(zip(self.names, self.shape, strict=True))

    @property
    def num_classes(self) -> int:
        """Number of classes: the product of `shape`."""
        return math.prod(self.shape)

    def __getitem__(self, name: str) -> Attribute:
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        raise LabelError(f"there is no attribute '{name}'; {did_you_mean(name, self.names)}")

    def encode(self, labels: Labels) -> tuple[int, ...]:
        """Converts the labels of one photo to codes.

        Args:
            labels: Labels by attribute name; other keys are ignored.

        Returns:
            One code per attribute, `UNKNOWN` where there is no label.

        Raises:
            LabelError: A label is not a value of its attribute.
        """
        return tuple(attribute.encode(labels.get(attribute.name)) for attribute in self.attributes)

    def encode_batch(self, labels: Iterable[Labels]) -> IntArray:
        """Converts the labels of many photos to codes.

        Args:
            labels: As for `encode`, for each photo.

        Returns:
            Codes of shape (photos, attributes).

        Raises:
            LabelError: A label is not a value of its attribute.
        """
        names = self.names
        # A table has few kinds of rows, and each is encoded once.
        known: dict[tuple[str | float | None, ...], tuple[int, ...]] = {}
        rows = []
        for item in labels:
            cells = tuple([item.get(name) for name in names])
            if cells not in known:
                known[cells] = self.encode(item)
            rows.append(known[cells])
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.attributes))

    def to_class_index(self, codes: IntArray | Sequence[Sequence[int]]) -> IntArray:
        """Computes class indices from codes.

        Args:
            codes: Shape (photos, attributes).

        Returns:
            Shape (photos,); `UNKNOWN` where any attribute is.

        Raises:
            LabelError: A code is out of range, or there is not one column per attribute.
        """
        array = np.asarray(codes, dtype=np.int64)
        if array.size and (array.ndim != 2 or array.shape[1] != len(self.attributes)):
            raise LabelError(f"codes must have one column for each of {', '.join(self.names)}, got shape {array.shape}")
        array = array.reshape(-1, len(self.attributes))
        if (array < UNKNOWN).any() or (array >= np.array(self.shape)).any():
            raise LabelError(f"a code is out of range for {dict(self.sizes)}")
        known = (array != UNKNOWN).all(axis=1)
        classes = np.full(len(array), UNKNOWN, dtype=np.int64)
        classes[known] = np.ravel_multi_index(tuple(array[known].T), self.shape)
        return classes

    def to_attribute_indices(self, classes: IntArray | Sequence[int]) -> IntArray:
        """Computes codes from class indices.

        Args:
            classes: Shape (photos,), each in [0, num_classes) or `UNKNOWN`.

        Returns:
            Codes of shape (photos, attributes); all `UNKNOWN` for an unknown class.

        Raises:
            LabelError: A class index is out of range.
        """
        array = np.asarray(classes, dtype=np.int64).reshape(-1)
        if (array < UNKNOWN).any() or (array >= self.num_classes).any():
            raise LabelError(f"class indices must be in 0 to {self.num_classes - 1}")
        known = array != UNKNOWN
        codes = np.full((len(array), len(self.attributes)), UNKNOWN, dtype=np.int64)
        codes[known] = np.stack(np.unravel_index(array[known], self.shape), axis=1)
        return codes

    def describe(self, number: int) -> str:
        """Returns a class for people.

        Args:
            number: Class index, or `UNKNOWN`.

        Returns:
            Such as "worn wrongly, female, 30-59".
        """
        codes = self.to_attribute_indices([number])[0]
        return ", ".join(attribute.display_name(code) for attribute, code in zip(self.attributes, codes, strict=True))

    def allowed_mask_from_indices(self, codes: IntArray, head: str) -> NDArray[np.bool_]:
        """Computes which outputs of a head the codes of photos allow.

        Args:
            codes: Shape (photos, attributes).
            head: An attribute, or `JOINT_HEAD` for the classes.

        Returns:
            Mask of shape (photos, outputs): one True for a full label, all True where nothing is known.
        """
        columns = zip(codes.T, self.shape, strict=True)
        masks = [(column[:, None] == np.arange(size)) | (column == UNKNOWN)[:, None] for column, size in columns]
        return self._combine_masks(masks, head)

    def allowed_mask_from_labels(self, labels: Sequence[Labels], head: str) -> NDArray[np.bool_]:
        """Computes which outputs of a head the labels of photos allow.

        Labels may hold more than codes: an age band where narrower bands are trained on.

        Args:
            labels: Labels of each photo.
            head: An attribute, or `JOINT_HEAD` for the classes.

        Returns:
            Mask of shape (photos, outputs).

        Raises:
            LabelError: A label is not a value of its attribute.
        """
        masks = []
        for attribute in self.attributes:
            rows = [attribute.allowed_mask(item.get(attribute.name)) for item in labels]
            masks.append(np.array(rows, dtype=np.bool_).reshape(len(rows), len(attribute.values)))
        return self._combine_masks(masks, head)

    def _combine_masks(self, masks: Sequence[NDArray[np.bool_]], head: str) -> NDArray[np.bool_]:
        """Returns one head's mask from the masks (photos, values) of all attributes."""
        if head != JOINT_HEAD:
            return np.asarray(masks[self.names.index(self[head].name)], dtype=np.bool_)
        joint = np.ones((len(masks[0]), 1), dtype=np.bool_)
        for mask in masks:
            joint = (joint[:, :, None] & mask[:, None, :]).reshape(len(mask), joint.shape[1] * mask.shape[1])
        return joint

    def joint_probabilities(self, heads: Mapping[str, NDArray[np.floating]]) -> FloatArray:
        """Computes class probabilities from the probabilities of each head.

        Probabilities of separate heads are multiplied, so that a combination that never occurs in training still gets
        a probability.

        Args:
            heads: `JOINT_HEAD` -> (photos, classes), or each attribute -> (photos, values).

        Returns:
            Shape (photos, classes), rows summing to 1.

        Raises:
            LabelError: A head is missing, or a shape does not match.
        """
        if JOINT_HEAD in heads:
            joint = np.asarray(heads[JOINT_HEAD], dtype=np.float64)
        else:
            missing = [name for name in self.names if name not in heads]
            if missing:
                raise LabelError(f"there is no head for {', '.join(missing)}")
            joint = np.ones((len(heads[self.names[0]]), 1))
            for name in self.names:
                values = np.asarray(heads[name], dtype=np.float64)
                if len(values) != len(joint):
                    raise LabelError(
                        f"the head of {name} has {format_count(len(values), 'photo')}, expected {len(joint)}"
                    )
                # Not -1 as the width: numpy cannot infer it for 0 photos.
                joint = (joint[:, :, None] * values[:, None, :]).reshape(len(values), joint.shape[1] * values.shape[1])
        if joint.ndim != 2 or joint.shape[1] != self.num_classes:
            raise LabelError(f"probabilities of shape {joint.shape} do not match {self.num_classes} classes")
        return joint

    def marginals(self, probabilities: NDArray[np.floating]) -> dict[str, FloatArray]:
        """Computes the marginal probabilities of each attribute.

        Args:
            probabilities: Shape (photos, classes).

        Returns:
            Attribute name -> (photos, values).
        """
        cube = np.asarray(probabilities, dtype=np.float64).reshape(len(probabilities), *self.shape)
        axes = range(1, cube.ndim)
        others = {name: tuple(axis for axis in axes if axis != own) for own, name in enumerate(self.names, start=1)}
        return {name: cube.sum(axis=axis) for name, axis in others.items()}

    def scored_schema(self) -> LabelSchema:
        """Returns the label schema that predictions are scored on: each attribute with its parent values."""
        return self._scored_schema

    @cached_property
    def _scored_schema(self) -> LabelSchema:
        # Asked for with every batch, and its validation takes longer than the arithmetic on a few photos.
        return LabelSchema(attributes=tuple(attribute.scored_attribute() for attribute in self.attributes))

    def to_scored_probabilities(self, probabilities: NDArray[np.floating]) -> FloatArray:
        """Sums probabilities over the values that are scored as one.

        Args:
            probabilities: Shape (photos, classes of this schema).

        Returns:
            Shape (photos, classes of `scored_schema()`).
        """
        cube = np.asarray(probabilities, dtype=np.float64).reshape(len(probabilities), *self.shape)
        for axis, attribute in enumerate(self.attributes, start=1):
            if attribute.parent_of:
                parents = attribute.to_scored_index()
                starts = [int(np.argmax(parents == code)) for code in range(parents.max() + 1)]
                cube = np.add.reduceat(cube, starts, axis=axis)
        return cube.reshape(len(cube), math.prod(cube.shape[1:]))


def softmax(logits: NDArray[np.floating]) -> FloatArray:
    """Computes the softmax along the last axis, in double precision and without overflow.

    Args:
        logits: Shape (..., values).

    Returns:
        Probabilities of the same shape.
    """
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def logits_to_probabilities(schema: LabelSchema, logits: Mapping[str, NDArray[np.floating]]) -> FloatArray:
    """Computes scored class probabilities from the logits of a network's heads.

    Args:
        schema: The label schema that the network was trained on.
        logits: Head name -> (photos, outputs).

    Returns:
        Shape (photos, classes of `schema.scored_schema()`).
    """
    probabilities = {head: softmax(values) for head, values in logits.items()}
    return schema.to_scored_probabilities(schema.joint_probabilities(probabilities))


MASK = Attribute(
    name="mask",
    values=("wear", "incorrect", "not_wear"),
    display_names=("worn", "worn wrongly", "not worn"),
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

LABEL_SCHEMAS: dict[str, LabelSchema] = {
    "mask-gender-age": LabelSchema(attributes=(MASK, GENDER, AGE)),
    "mask-gender": LabelSchema(attributes=(MASK, GENDER)),
    "gender-age": LabelSchema(attributes=(GENDER, AGE)),
    "mask": LabelSchema(attributes=(MASK,)),
    "gender": LabelSchema(attributes=(GENDER,)),
    "age": LabelSchema(attributes=(AGE,)),
}
"""Label schemas by name; a recipe may also define its own."""
