"""An ensemble: its members' model files, how their predictions combine, and the forward pass of all of them.

Members with the same labels vote. Members that each predict a part of one label schema, such as three models of one
attribute each (as in boostup and level1-06), or one of the mask and one of gender and age, are combined by the product
of their probabilities, as separate heads are.

The forward pass: preprocessing, TTA views, the members' networks, calibration and the vote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskfit.data.detectors import Face
from maskfit.data.fast_downscale import import_resizer
from maskfit.data.image_decoding import Pixels
from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import ModelFileError
from maskfit.inference.age_years import AgePlan, gives_ages, member_ages
from maskfit.inference.engines import AUTO, Logger, open_engine, select_batch_size
from maskfit.inference.engines.engine import Engine, Logits, measured_description
from maskfit.inference.engines.int8_conversion import PhotoCollection
from maskfit.inference.engines.selection import (
    MIN_IMAGES_FOR_THROUGHPUT_MODE,
    configure_engine,
    convert_where_asked,
    select_engine,
    select_num_streams,
    select_num_workers,
)
from maskfit.inference.ensemble.voting import MemberProbabilities, combine
from maskfit.inference.input_resolution import find_models
from maskfit.inference.tta import ModelInput, TestTimeAugmentation, make_exact, make_input, stack_views
from maskfit.labels.age_distribution import AgeTable
from maskfit.labels.schema import LABEL_SCHEMAS, FloatArray, LabelSchema, logits_to_probabilities
from maskfit.model_file import read_model_metadata
from maskfit.registry import ComponentSpec

VALIDATION_SCORE = "valid_macro_f1"
"""Score in the metadata of a model that training wrote: its macro F1 on held-out persons."""

SchemaSignature = tuple[tuple[str, tuple[str, ...]], ...]
"""Attributes with their values: what two schemas share that differ in display names and bins only."""


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        name: Its name in tables: the path as it was found.
        engine: Runs it.
    """

    name: str
    engine: Engine

    @property
    def scored_schema(self) -> LabelSchema:
        """The schema of its predictions."""
        return self.engine.metadata.label_schema.scored_schema()


@dataclass(frozen=True)
class EnsemblePlan:
    """How the predictions of members become one.

    Attributes:
        schema: The schema of the combined prediction.
        parts: The schema of each group of members; together they have the attributes of `schema`, each once.
        groups: The indices of each part's members.
    """

    schema: LabelSchema
    parts: tuple[LabelSchema, ...]
    groups: tuple[tuple[int, ...], ...]

    def vote(self, name: str, members: MemberProbabilities, weights: Sequence[float] | None = None) -> FloatArray:
        """Combines the members' probabilities.

        Args:
            name: A vote of `voting.VOTES`; the members of each part vote by it.
            members: Probabilities (images, own classes) of each member, the images in the same order.
            weights: One for each member; required by `weighted`, where only their ratio within a part counts.

        Returns:
            Probabilities (images, classes) of the combined schema.

        Raises:
            DataError: As `voting.combine`.
        """
        if len(members) == 1 and name == "arithmetic":
            return np.array(members[0], dtype=np.float64)
        votes = [
            combine(
                name,
                [members[index] for index in indices],
                weights=None if weights is None else [weights[index] for index in indices],
                schema=part,
            )
            for part, indices in zip(self.parts, self.groups, strict=True)
        ]
        joint = np.ones((len(votes[0]), *[1] * len(self.schema.names)))
        for part, probabilities in zip(self.parts, votes, strict=True):
            cube = probabilities.reshape(len(joint), *part.shape)
            # Its axes in the schema's order, and one of length 1 for each attribute that it lacks.
            own = [name for name in self.schema.names if name in part.names]
            ordered = cube.transpose(0, *(1 + part.names.index(name) for name in own))
            sides = [part.sizes.get(name, 1) for name in self.schema.names]
            joint = joint * ordered.reshape(len(joint), *sides)
        return joint.reshape(len(joint), self.schema.num_classes)


def schema_signature(schema: LabelSchema) -> SchemaSignature:
    """Returns what must be equal for two schemas to have the same classes.

    Args:
        schema: A label schema.

    Returns:
        Its attributes with their values.
    """
    return tuple((attribute.name, attribute.values) for attribute in schema.attributes)


def compose_members(schemas: Sequence[LabelSchema]) -> EnsemblePlan | None:
    """Finds how members of these schemas combine.

    They combine where all have the same classes; or where no attribute is in two different schemas, and all attributes
    together are those of one of `LABEL_SCHEMAS`, whose order the result then has.

    Args:
        schemas: The scored schema of each member, at least one.

    Returns:
        The composition; None where they do not combine.
    """
    by_signature: dict[SchemaSignature, list[int]] = {}
    for index, schema in enumerate(schemas):
        by_signature.setdefault(schema_signature(schema), []).append(index)
    groups = tuple(tuple(indices) for indices in by_signature.values())
    parts = tuple(schemas[indices[0]] for indices in groups)
    if len(parts) == 1:
        return EnsemblePlan(parts[0], parts, groups)
    attributes = [attribute for part in parts for attribute in part.attributes]
    combined = sorted(item for part in parts for item in schema_signature(part))
    for schema in LABEL_SCHEMAS.values():
        if sorted(schema_signature(schema)) == combined:
            ordered = sorted(attributes, key=lambda attribute: schema.names.index(attribute.name))
            return EnsemblePlan(LabelSchema(attributes=tuple(ordered)), parts, groups)
    return None


def check_compatible(members: Sequence[Member]) -> EnsemblePlan:
    """Finds how members combine.

    Args:
        members: The members.

    Returns:
        The composition.

    Raises:
        ModelFileError: There is no member, two have one name, or they do not combine.
    """
    if not members:
        raise ModelFileError("no model was named", hint="name a model file or a run folder")
    first = members[0]
    for index, member in enumerate(members[1:], start=1):
        if any(member.name == other.name for other in members[:index]):
            raise ModelFileError("this model is a member twice", location=member.name, hint="name each model once")
    composition = compose_members([member.scored_schema for member in members])
    if composition is None:
        other = next(
            member
            for member in members
            if schema_signature(member.scored_schema) != schema_signature(first.scored_schema)
        )
        raise ModelFileError(
            f"this model predicts {_describe(other.scored_schema)}, {first.name} {_describe(first.scored_schema)}",
            location=other.name,
            hint=f"name models of one schema, or of parts that together make one of {', '.join(LABEL_SCHEMAS)}",
        )
    return composition


def _describe(schema: LabelSchema) -> str:
    return " x ".join(f"{name} ({size})" for name, size in schema.sizes.items())


def open_members(
    sources: Sequence[str | Path], threads: int | None = None, top_k: int = 1, engine: str | ComponentSpec = AUTO
) -> list[Member]:
    """Opens models for few images, each with the engine that starts soonest.

    Args:
        sources: Model files, run folders and folds; see `find_models`.
        threads: Threads for one batch; None leaves the choice to the engine.
        top_k: How many of each fold's best models.
        engine: As for `open_engine`.

    Returns:
        The members.

    Raises:
        ModelFileError: A model cannot be opened, or they do not combine.
        RunError: A run has no finished fold, or a fold keeps fewer than `top_k` models.
        RecipeError: There is no such engine, or it has no such option.
    """
    members = [Member(str(path), open_engine(path, threads, engine)) for path in find_models(sources, top_k)]
    check_compatible(members)
    return members


@dataclass(frozen=True)
class OpenedMembers:
    """Members that were opened for a number of images.

    Attributes:
        members: The members.
        num_workers: How many batches should be in flight.
        batch_size: Images in a batch.
    """

    members: list[Member]
    num_workers: int
    batch_size: int


def open_members_for(
    sources: Sequence[str | Path],
    *,
    num_passes: int,
    batch_size: int | None = None,
    engine: str | ComponentSpec = AUTO,
    threads: int | None = None,
    top_k: int = 1,
    log: Logger = lambda line: None,
    photos: PhotoCollection | None = None,
) -> OpenedMembers:
    """Opens models for a number of forward passes.

    Args:
        sources: Model files, run folders and folds; see `find_models`.
        num_passes: How often each network will run: images times TTA views; 0 where that is not known. From
            `MIN_IMAGES_FOR_THROUGHPUT_MODE` on, engines start more slowly and run faster.
        batch_size: Images in a batch; None selects it by engine and input size.
        engine: As for `open_engine`; `auto` is the fastest for `num_passes`.
        threads: Threads for one batch; None leaves the choice to the engine.
        top_k: How many of each fold's best models.
        log: Receives a line about what takes time.
        photos: The photos that will be predicted, where some of them may calibrate an int8 conversion.

    Returns:
        The members, and how to batch for them.

    Raises:
        ModelFileError: A model cannot be opened, or they do not combine.
        RunError: A run has no finished fold, or a fold keeps fewer than `top_k` models.
        RecipeError: There is no such engine, or it has no such option.
    """
    paths = find_models(sources, top_k)
    if photos or any(path.suffix == ".safetensors" for path in paths):
        convert_where_asked(paths, engine, photos, log)
    if num_passes < MIN_IMAGES_FOR_THROUGHPUT_MODE:
        members = open_members(sources, threads, top_k, engine)
        engines = [member.engine for member in members]
        if batch_size is None:
            crop_resizes = [own.metadata.preprocessing.crop_resize for own in engines]
            batch_size = select_batch_size(crop_resizes, any(own.on_gpu for own in engines))
        return OpenedMembers(members, 1, batch_size)
    choices = [select_engine(path, engine, num_passes, log, photos) for path in paths]
    num_streams = select_num_streams(choices, num_passes)
    if batch_size is None:
        crop_resizes = [read_model_metadata(choice.path).preprocessing.crop_resize for choice in choices]
        batch_size = select_batch_size(crop_resizes, any(choice.gpu for choice in choices))
    members = [
        Member(
            str(path), open_engine(choice.path, threads, configure_engine(choice, batch_size, num_passes), num_streams)
        )
        for path, choice in zip(paths, choices, strict=True)
    ]
    check_compatible(members)
    return OpenedMembers(members, select_num_workers(choices, num_passes), batch_size)


def validation_weights(members: Sequence[Member]) -> list[float]:
    """Returns the weight of each member in a vote by validation score: its macro F1 on held-out persons.

    Args:
        members: The members.

    Returns:
        A weight > 0 for each.

    Raises:
        ModelFileError: A model file has no such score, or one that is not > 0.
    """
    scores = []
    for member in members:
        score = member.engine.metadata.scores.get(VALIDATION_SCORE)
        if score is None:
            raise ModelFileError(
                f"this model has no macro F1 on held-out persons ({VALIDATION_SCORE}), which 'weighted' needs",
                location=member.name,
                hint="use a model that 'maskfit train' wrote, or --combine arithmetic",
            )
        if not score > 0:
            raise ModelFileError(
                f"the macro F1 of this model on held-out persons is {score:g}, which gives it no weight in 'weighted'",
                location=member.name,
                hint="leave this model out, or --combine arithmetic",
            )
        scores.append(score)
    return scores


class EnsembleOutput(NamedTuple):
    """Probabilities of a batch of inputs.

    Attributes:
        combined: (inputs, classes), all members combined.
        members: (inputs, own classes) of each member, by its name.
        ages: The inputs' ages in years; None where no member was trained on narrow age bands.
    """

    combined: FloatArray
    members: dict[str, FloatArray]
    ages: AgeTable | None = None


class EnsembleRunner:
    """Runs all members on a batch. Its methods may be called from several threads at once.

    Args:
        members: The members.
        composition: How their predictions combine.
        tta: The TTA views of each input.
        vote: A name of `voting.VOTES`; `weighted` weights members by their macro F1 on held-out persons.
        age_borders: Borders of the age bands in whole years; None keeps those of the models.

    Attributes:
        schema: The schema of the predictions.
        gives_ages: Whether a member gives ages in years.
        weights: Weight of each member; None where they count equally.
        crop_resizes: How the members crop and resize, each once.
        has_low_precision: Whether `forward(..., low_precision=True)` differs from f32.
        allows_approximate_pixels: Whether its inputs may be approximate, where `preprocess` is told how to reload them.
        rounds_to_int8: Whether the low precision of a member is int8, for which margins are wider.
        low_precision_error: How low precision changes the combined probabilities, where that was measured before.

    Raises:
        DataError: The weights of a detector that a member crops with are missing and cannot be fetched, or the age
            borders cannot be moved; see `AgePlan.build`.
        MissingExtraError: A member's crop needs an extra.
    """

    def __init__(
        self,
        members: Sequence[Member],
        composition: EnsemblePlan,
        tta: TestTimeAugmentation,
        vote: str,
        age_borders: Sequence[float] | None = None,
    ) -> None:
        self.members = list(members)
        self.composition = composition
        metadata = [member.engine.metadata for member in members]
        self.age_plan = AgePlan.build(composition.schema, metadata, age_borders)
        self.schema = self.age_plan.moved
        self.gives_ages = any(map(gives_ages, metadata))
        self.tta = tta
        self.vote = vote
        self.weights = validation_weights(members) if vote == "weighted" else None
        # Read once, here, and not by several workers at the same time.
        twins = {member.name: member.engine.f32_twin for member in members}
        self._f32_engines = {member.name: twins[member.name] or member.engine for member in members}
        # The margin of a majority vote does not tell how close it is to changing.
        self.has_low_precision = vote in ("arithmetic", "geometric", "weighted") and any(twins.values())
        self.rounds_to_int8 = any(member.engine.pixel_tolerance == "any" for member in members)
        tolerated = ("any", "single_pass") if len(members) * len(tta) == 1 else ("any",)
        # Random views follow from the pixels: nearly the same ones have others.
        self.allows_approximate_pixels = (
            self.has_low_precision
            and import_resizer() is not None
            and not tta.depends_on_pixels
            and all(member.engine.pixel_tolerance in tolerated for member in members)
        )
        # An ensemble's votes and moved age bands have other errors than the one model's that was measured.
        is_measured = len(members) == 1 and self.has_low_precision and self.schema == composition.schema
        self.low_precision_error = members[0].engine.low_precision_error if is_measured else None
        self.crop_resizes = tuple(dict.fromkeys(member.engine.metadata.preprocessing.crop_resize for member in members))
        for crop_resize in self.crop_resizes:
            # Now, and not at the first image: fails where a detector's weights are missing.
            crop_resize.pinned()

    @property
    def engines(self) -> tuple[str, ...]:
        """Descriptions of the members' engines, each once."""
        engines = (own.engine if self.has_low_precision else self._f32_engines[own.name] for own in self.members)
        texts = (engine.description for engine in engines)
        return tuple(dict.fromkeys(texts if self.low_precision_error is None else map(measured_description, texts)))

    def preprocess(
        self, pixels: Pixels, face: Face | None = None, reload: Callable[[], Pixels] | None = None
    ) -> ModelInput:
        """Crops, resizes and makes the TTA views of one network input.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.
            face: A face of the image; None takes the whole image as a portrait.
            reload: Returns `pixels` again, where low precision may see approximate ones.

        Returns:
            The input.
        """
        crops = tuple(crop_resize.find_crop(pixels, face) for crop_resize in self.crop_resizes)
        return make_input(self.crop_resizes, self.tta, pixels, crops, reload)

    def forward(self, inputs: Sequence[ModelInput], *, low_precision: bool = False) -> EnsembleOutput:
        """Runs every member on a batch of inputs, all at once.

        Args:
            inputs: The batch.
            low_precision: Use each engine's own precision, such as bf16, in place of f32, and the inputs as they are;
                otherwise those that are approximate are made again where their photos can still be read.

        Returns:
            Calibrated probabilities, averaged over the TTA views.

        Raises:
            ModelFileError: A network cannot run, or its output is not finite.
        """
        if not inputs:
            return EnsembleOutput(
                np.empty((0, self.schema.num_classes)),
                {member.name: np.empty((0, member.scored_schema.num_classes)) for member in self.members},
                self.age_plan.no_ages() if self.gives_ages else None,
            )
        if not low_precision:
            inputs = make_exact(inputs, self.crop_resizes, self.tta)
        batches = stack_views(inputs)
        outputs = {member.name: self._forward_member(member, batches, low_precision) for member in self.members}
        members = {name: probabilities for name, (probabilities, _) in outputs.items()}
        combined = self.composition.vote(self.vote, list(members.values()), self.weights)
        ages = self.age_plan.combine([own for _, own in outputs.values()], combined)
        return EnsembleOutput(self.age_plan.rebin(combined, ages), members, ages)

    def forward_views(self, inputs: Sequence[ModelInput]) -> dict[str, list[FloatArray]]:
        """Runs every member in f32 on a batch of inputs, without averaging over the TTA views.

        Args:
            inputs: The batch, at least one, all of them exact.

        Returns:
            By the member's name, calibrated probabilities (inputs, own classes) of each view.

        Raises:
            ModelFileError: A network cannot run, or its output is not finite.
        """
        batches = stack_views(inputs)
        return {
            member.name: [
                member.engine.metadata.calibration.apply_temperature(member.scored_schema, view)
                for view in self._forward_views(member, batches, low_precision=False)[0]
            ]
            for member in self.members
        }

    def _forward_member(
        self, member: Member, batches: Sequence[Sequence[ImageBatch]], low_precision: bool
    ) -> tuple[FloatArray, AgeTable | None]:
        """One member's probabilities and ages for a batch, averaged over the TTA views."""
        probabilities, logits = self._forward_views(member, batches, low_precision)
        metadata = member.engine.metadata
        mean = np.mean(probabilities, axis=0)
        return metadata.calibration.apply_temperature(member.scored_schema, mean), member_ages(metadata, logits)

    def _forward_views(
        self, member: Member, batches: Sequence[Sequence[ImageBatch]], low_precision: bool
    ) -> tuple[list[FloatArray], list[Logits]]:
        """One member's uncalibrated probabilities and logits by view, for a batch given by crop_resize and TTA view."""
        engine = member.engine if low_precision else self._f32_engines[member.name]
        metadata = member.engine.metadata
        views = batches[self.crop_resizes.index(metadata.preprocessing.crop_resize)]
        logits = [engine.logits(frames) for frames in views]
        probabilities = [logits_to_probabilities(metadata.label_schema, own) for own in logits]
        if not all(np.isfinite(item).all() for item in probabilities):
            raise ModelFileError(
                "non-finite probabilities (NaN or inf)",
                location=member.name,
                hint="use f32 (--engine onnx), or another checkpoint",
            )
        return probabilities, logits
