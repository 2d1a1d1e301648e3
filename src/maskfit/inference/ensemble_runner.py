"""The forward pass of an ensemble: preprocessing, TTA views, the members' networks, calibration and the vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskfit.data.boxes import CropBox
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import Pixels
from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import ModelFileError
from maskfit.inference.members import Member, MemberComposition
from maskfit.inference.tta import TestTimeAugmentation
from maskfit.labels.schema import FloatArray, logits_to_probabilities


class ModelInput(NamedTuple):
    """An image, or one face of it, as the networks take it.

    Attributes:
        tta_views: Pixels (height, width, 3), by crop_resize and TTA view.
        crops: What each crop_resize cut out of the image.
    """

    tta_views: Sequence[Sequence[Pixels]]
    crops: tuple[CropBox, ...]


class EnsembleOutput(NamedTuple):
    """Probabilities of a batch of inputs.

    Attributes:
        combined: (inputs, classes), all members combined.
        members: (inputs, own classes) of each member, by its name.
    """

    combined: FloatArray
    members: dict[str, FloatArray]


class EnsembleRunner:
    """Runs all members on a batch. Its methods may be called from several threads at once.

    Args:
        members: The members.
        composition: How their predictions combine.
        tta: The TTA views of each input.
        vote: A name of `voting.VOTES` that needs no weights.

    Attributes:
        crop_resizes: How the members crop and resize, each once.
        has_low_precision: Whether `forward(..., low_precision=True)` differs from f32.

    Raises:
        DataError: The weights of a detector that a member crops with are missing and cannot be fetched.
        MissingExtraError: A member's crop needs an extra.
    """

    def __init__(
        self, members: Sequence[Member], composition: MemberComposition, tta: TestTimeAugmentation, vote: str
    ) -> None:
        self.members = list(members)
        self.composition = composition
        self.schema = composition.schema
        self.tta = tta
        self.vote = vote
        # Read once, here, and not by several workers at the same time.
        twins = {member.name: member.engine.f32_twin for member in members}
        self._f32_engines = {member.name: twins[member.name] or member.engine for member in members}
        # The margin of a majority vote does not tell how close it is to changing.
        self.has_low_precision = vote in ("arithmetic", "geometric") and any(twins.values())
        self.crop_resizes = tuple(dict.fromkeys(member.engine.metadata.preprocessing.crop_resize for member in members))
        for crop_resize in self.crop_resizes:
            # Now, and not at the first image: fails where a detector's weights are missing.
            crop_resize.pinned()

    @property
    def engines(self) -> tuple[str, ...]:
        """Descriptions of the members' engines, each once."""
        engines = (
            member.engine if self.has_low_precision else self._f32_engines[member.name] for member in self.members
        )
        return tuple(dict.fromkeys(engine.description for engine in engines))

    def preprocess(self, pixels: Pixels, face: Face | None = None) -> ModelInput:
        """Crops, resizes and makes the TTA views of one network input.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.
            face: A face of the image; None takes the whole image as a portrait.

        Returns:
            The input.
        """
        crops = tuple(crop_resize.find_crop(pixels, face) for crop_resize in self.crop_resizes)
        frames = [crop_resize(pixels, crop) for crop_resize, crop in zip(self.crop_resizes, crops, strict=True)]
        return ModelInput([self.tta(frame) for frame in frames], crops)

    def forward(self, inputs: Sequence[ModelInput], *, low_precision: bool = False) -> EnsembleOutput:
        """Runs every member on a batch of inputs, all at once.

        Args:
            inputs: The batch.
            low_precision: Use each engine's own precision, such as bf16, in place of f32.

        Returns:
            Calibrated probabilities, averaged over the TTA views.

        Raises:
            ModelFileError: A network cannot run, or its output is not finite.
        """
        if not inputs:
            return EnsembleOutput(
                np.empty((0, self.schema.num_classes)),
                {member.name: np.empty((0, member.scored_schema.num_classes)) for member in self.members},
            )
        batches = [_stack_views(views) for views in zip(*(item.tta_views for item in inputs), strict=True)]
        members = {member.name: self._forward_member(member, batches, low_precision) for member in self.members}
        return EnsembleOutput(self.composition.vote(self.vote, list(members.values())), members)

    def _forward_member(
        self, member: Member, batches: Sequence[Sequence[ImageBatch]], low_precision: bool
    ) -> FloatArray:
        """One member's probabilities for a batch, given by crop_resize and TTA view."""
        engine = member.engine if low_precision else self._f32_engines[member.name]
        metadata = member.engine.metadata
        views = batches[self.crop_resizes.index(metadata.preprocessing.crop_resize)]
        probabilities = [logits_to_probabilities(metadata.label_schema, engine.logits(frames)) for frames in views]
        mean = np.mean(probabilities, axis=0)
        if not np.isfinite(mean).all():
            raise ModelFileError(
                "non-finite probabilities (NaN or inf)",
                location=member.name,
                hint="use f32 (--engine onnx), or another checkpoint",
            )
        return metadata.calibration.apply_temperature(member.scored_schema, mean)


def _stack_views(inputs: Sequence[Sequence[Pixels]]) -> list[ImageBatch]:
    """The batch of each TTA view, from the TTA views of each input."""
    return [np.stack(view) for view in zip(*inputs, strict=True)]
