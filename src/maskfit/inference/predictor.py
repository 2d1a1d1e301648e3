"""The predictor: images in, probabilities out, through the preprocessing that each model file records."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import numpy as np

from maskfit.calibration import (
    ARGMAX,
    DEFAULT_DECIDE,
    combine_weights,
    describe_decision_weights,
    parse_decide_mode,
)
from maskfit.config.aliases import upgrade_component, warn_once
from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import Pixels
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError, PhotoError, did_you_mean, format_list
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.age_years import MOVED_BORDERS_NOTE
from maskfit.inference.engines import AUTO, Logger, parse_engine
from maskfit.inference.engines.int8_conversion import PhotoCollection
from maskfit.inference.ensemble.voting import VOTES
from maskfit.inference.ensemble_runner import (
    EnsembleOutput,
    EnsembleRunner,
    Member,
    check_compatible,
    open_members_for,
)
from maskfit.inference.image_loading import (
    ImageSource,
    NamedImage,
    check_several,
    check_unique_names,
    given_face,
    image_name,
    keep_or_reload,
    load_image,
)
from maskfit.inference.input_resolution import bundled_model_path
from maskfit.inference.precision_cascade import PrecisionCascade
from maskfit.inference.prediction import BatchPredictions, Predictions
from maskfit.inference.tta import ModelInput, TestTimeAugmentation, build_tta
from maskfit.labels.age_distribution import concat_ages
from maskfit.labels.schema import FloatArray
from maskfit.registry import ComponentSpec
from maskfit.text import format_count

__all__ = ["BatchPredictions", "ImageSource", "ModelInput", "Predictions", "Predictor", "load_image"]

Progress = Callable[[int, int], None]
"""Called with (images done, images)."""

LoadedImage = tuple[str, ModelInput | str]
"""An image's name, and its network input, or why it cannot be read."""


class Predictor:
    """Predicts images with one model or an ensemble; each image is decoded once, however many members there are.

    Members with the same labels vote. Members that each predict a part of one label schema are combined by the product
    of their probabilities.

    Example:
        >>> predictor = maskfit.Predictor.default()
        >>> for name, text, probability in predictor.predict(["photo.jpg"]):
        ...     print(name, text, probability)

    Args:
        members: The members; `load` opens model files and run folders.
        tta: A name of `tta.TTA_METHODS` with options, such as `flip` or `crops:n=4`, or the views themselves.
        vote: A name of `voting.VOTES`; `weighted` weights members by their macro F1 on held-out persons.
        decide: How a class is chosen: `argmax` by probability, `macro-f1` or `accuracy` with the decision weights that
            training fitted for it. Those of several members are combined by their geometric mean; a member without
            them counts as argmax.
        age_borders: Borders of the age bands in whole years, such as (30, 57), where those of the models are not
            wanted; a model must have been trained on narrow age bands. Decision weights of the age do not apply then.
        batch_size: Images in a batch, >= 1.
        num_workers: Batches that are in flight at the same time, >= 1.

    Attributes:
        members: The members.
        runner: Preprocessing and forward pass of the ensemble.
        schema: The schema of the predictions.
        vote: As the argument.
        batch_size: As the argument.
        num_workers: As the argument.
        abstain_below: By attribute, the probability below which the ensemble abstains ("not sure"): the highest
            threshold of its members.
        min_face: By attribute, the shorter side in pixels of a detected face below which the ensemble abstains: the
            largest of its members.
        decide: As the argument.
        decision_weights: By attribute, the decision weights of the ensemble; empty for argmax.

    Raises:
        ModelFileError: There is no member, or they do not combine; see `members.check_compatible`.
        DataError: The TTA, the vote or `decide` is unknown, `batch_size` or `num_workers` is
            below 1, the age borders cannot be moved, or the weights of a detector that a member crops with are missing.
        MissingExtraError: A member's crop needs an extra.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        tta: str | ComponentSpec | TestTimeAugmentation = "original",
        vote: str = "arithmetic",
        decide: str = DEFAULT_DECIDE,
        age_borders: Sequence[float] | None = None,
        batch_size: int = 32,
        num_workers: int = 1,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"batch_size must be >= 1, got {batch_size}")
        if num_workers < 1:
            raise DataError(f"num_workers must be >= 1, got {num_workers}")
        views = build_tta(tta) if isinstance(tta, str | ComponentSpec) else tta
        composition = check_compatible(members)
        self.members = list(members)
        self.runner = EnsembleRunner(self.members, composition, views, _parse_vote(vote), age_borders)
        self.schema = self.runner.schema
        self.vote = self.runner.vote
        self.batch_size = batch_size
        self.num_workers = num_workers
        thresholds = [member.engine.metadata.calibration.abstain_below for member in members]
        self.abstain_below = {name: max(own.get(name, 0.0) for own in thresholds) for name in self.schema.names}
        sides = [member.engine.metadata.calibration.min_face for member in members]
        self.min_face = {
            name: side for name in self.schema.names if (side := max(own.get(name, 0.0) for own in sides)) > 0
        }
        self.decide = parse_decide_mode(decide)
        weights = combine_weights(
            composition.schema,
            [
                (member.scored_schema, member.engine.metadata.calibration.decision_weights(self.decide))
                for member in members
            ],
        )
        # Weights of bands with other borders mean nothing.
        same = {item.name for item in self.schema.attributes if item == composition.schema[item.name]}
        self.decision_weights = {name: values for name, values in weights.items() if name in same}
        self._cascade = PrecisionCascade(self.runner, self.decision_weights, self.runner.low_precision_error)

    @classmethod
    def load(
        cls,
        *sources: str | Path,
        tta: str | ComponentSpec = "original",
        vote: str = "arithmetic",
        decide: str = DEFAULT_DECIDE,
        age_borders: Sequence[float] | None = None,
        batch_size: int | None = 32,
        threads: int | None = None,
        top_k: int = 1,
        engine: str | ComponentSpec = AUTO,
        num_images: int | None = None,
        photos: PhotoCollection | None = None,
        log: Logger = lambda line: None,
    ) -> Self:
        """Opens model files and run folders.

        Args:
            sources: Model files, run folders (all their folds) and folds.
            tta: As the constructor.
            vote: As the constructor.
            decide: As the constructor.
            age_borders: As the constructor.
            batch_size: Images in a batch; None selects it by engine and input size.
            threads: Threads for one batch; None leaves the choice to the engine.
            top_k: How many of each fold's best models.
            engine: A name of `engines.ENGINES` with options, such as `openvino:precision=bf16`; `auto` is the fastest
                for `num_images`.
            num_images: How many images will be predicted, where that is known: for many, engines are chosen for
                throughput. None opens them to start soon and to predict single images.
            photos: The photos that will be predicted, where some of them may calibrate an int8 conversion of a model,
                which is cached. None keeps `auto` from using one.
            log: Receives a line about what takes time.

        Returns:
            The predictor.

        Raises:
            ModelFileError: A source is no model, or the models do not combine.
            RunError: A run has no finished fold, or a fold keeps fewer than `top_k` models.
            MissingExtraError: A model needs torch or OpenVINO, which is not installed.
            RecipeError: There is no such engine, or it has no such option.
            DataError: As the constructor.
        """
        views = build_tta(tta)
        opened = open_members_for(
            sources,
            num_passes=(num_images or 0) * len(views),
            batch_size=batch_size,
            engine=parse_engine(engine),
            threads=threads,
            top_k=top_k,
            log=log,
            photos=photos,
        )
        return cls(
            opened.members,
            tta=views,
            vote=vote,
            decide=decide,
            age_borders=age_borders,
            batch_size=opened.batch_size,
            num_workers=opened.num_workers,
        )

    @classmethod
    def default(cls, **options: Any) -> Self:
        """Opens the bundled model, which is installed with maskfit.

        Args:
            **options: As for `load`.

        Returns:
            The predictor.

        Raises:
            ModelFileError: This install is without it.
        """
        return cls.load(bundled_model_path(), **options)

    def predict(
        self, images: Sequence[ImageSource], *, skip_unreadable: bool = False, progress: Progress | None = None
    ) -> Predictions:
        """Predicts images and keeps all predictions; `stream` yields them batch by batch.

        Args:
            images: Paths, bytes, pixels, Pillow images or photos; their names must differ.
            skip_unreadable: Leave out and report images that cannot be read. Otherwise they are an error, since a
                submission must have every row.
            progress: Called with (images done, images).

        Returns:
            The predictions, in the order of `images`.

        Raises:
            DataError: There are no images, two have one name, or images cannot be read, all of them named.
        """
        parts: list[BatchPredictions] = []
        done = 0
        with closing(self.stream(images, skip_unreadable=skip_unreadable)) as batches:
            for part in batches:
                parts.append(part)
                done += part.num_processed
                if progress:
                    progress(done, len(images))
        names = tuple(name for part in parts for name in part.names)
        unreadable = {name: reason for part in parts for name, reason in part.unreadable.items()}
        table = ProbabilityTable(names, np.concatenate([part.probabilities for part in parts]))
        members = {
            member.name: np.concatenate([part.members[member.name] for part in parts]) for member in self.members
        }
        fallback_crops = tuple(name for part in parts for name in part.fallback_crops)
        ages = concat_ages([part.ages for part in parts])
        return Predictions(
            self.schema, table, members, unreadable, fallback_crops, self.abstain_below, self.decision_weights, ages
        )

    def stream(self, images: Iterable[ImageSource], *, skip_unreadable: bool = False) -> Generator[BatchPredictions]:
        """Predicts any number of images, batch by batch in their order, in constant memory.

        Close the generator where it is not exhausted (`contextlib.closing`): until then threads are running.

        Args:
            images: Taken as they are needed. The names of a sequence are compared before anything is read; of any
                other iterable the caller ensures that no name comes twice.
            skip_unreadable: Each batch reports which of its images cannot be read. Otherwise these are an error, which
                is raised at the end and names the first `MAX_LISTED`; after the first of them nothing is predicted.

        Yields:
            The predictions of a batch, perhaps of none of its images.

        Raises:
            DataError: A sequence is empty or two of its images have one name; or images cannot be read, which is an
                error with `skip_unreadable` too where it is all of them.
        """
        check_several(images)
        if isinstance(images, Sequence):
            check_unique_names(images)
        named = ((image_name(image, index), image) for index, image in enumerate(images))
        messages: list[str] = []
        num_unreadable = num_rows = 0

        def select_inputs(batch: list[LoadedImage]) -> list[ModelInput]:
            # Once an image is lost the result is an error: go on only to name every image that cannot be read.
            if num_unreadable and not skip_unreadable:
                return []
            return [item for _, item in batch if not isinstance(item, str)]

        # A cascade of its own, so that the same images always get the same predictions.
        cascade = PrecisionCascade(self.runner, self.decision_weights, self.runner.low_precision_error)

        def load(item: NamedImage) -> LoadedImage:
            return self._load(item, allow_approximate=cascade.takes_approximate_pixels)

        results = cascade.predict_stream(
            named, load, select_inputs, batch_size=self.batch_size, num_workers=self.num_workers
        )
        with closing(results) as batches:
            for batch, output in batches:
                predictions = self._to_predictions(batch, output)
                num_unreadable += len(predictions.unreadable)
                num_rows += len(predictions)
                lines = [f"{name}: {reason}" for name, reason in predictions.unreadable.items()]
                messages += lines[: MAX_LISTED - len(messages)]
                yield predictions
        if num_unreadable and (not skip_unreadable or not num_rows):
            raise _unreadable_error(messages, num_unreadable)

    def predict_batch(self, images: Sequence[NamedImage]) -> BatchPredictions:
        """Predicts one batch, for programs that read and distribute images themselves.

        May be called from many threads at once.

        Args:
            images: (name, image) pairs.

        Returns:
            The predictions; images that cannot be read are reported in `unreadable`.
        """
        batch = [self._load(item) for item in images]
        inputs = [item for _, item in batch if not isinstance(item, str)]
        return self._to_predictions(batch, self._cascade.predict(inputs))

    def describe_decisions(self) -> str:
        """Describes how classes are chosen.

        Returns:
            Such as "macro-f1, age <30 x1.31, 30-59 x0.62, >=60 x1.23" or "the most probable class".
        """
        own = [bool(member.engine.metadata.calibration.decision_weights(self.decide)) for member in self.members]
        if not self.decision_weights:
            reason = "" if self.decide == ARGMAX else f"; no model holds weights for {self.decide}"
            return f"the most probable class{reason}"
        partly = "" if all(own) else f" ({sum(own)} of {len(own)} models hold weights, the others count as 1)"
        return f"{self.decide}, {describe_decision_weights(self.schema, self.decision_weights)}{partly}"

    def describe(self, *, show_decisions: bool = False, writes_classes: bool = True) -> list[str]:
        """Describes how images are predicted.

        Args:
            show_decisions: Say how classes are chosen also where it is the usual way.
            writes_classes: Whether class numbers or probabilities are written, which depend on the age borders.

        Returns:
            Lines for the log.
        """
        times = f" x {self.num_workers} in parallel" if self.num_workers > 1 else ""
        approximate = "; downscaled approximately for the first pass" if self.runner.allows_approximate_pixels else ""
        lines = [f"engine: {'; '.join(self.engines)}; batches of {self.batch_size}{times}{approximate}"]
        if self.decision_weights or show_decisions:
            lines.append(f"decisions: {self.describe_decisions()}")
        if self.has_moved_age_borders and writes_classes:
            lines.append(MOVED_BORDERS_NOTE)
        return lines

    @property
    def gives_ages(self) -> bool:
        """Whether the predictions have ages in years: a model was trained on age bands of at most ten years."""
        return self.runner.gives_ages

    @property
    def has_moved_age_borders(self) -> bool:
        """Whether `age_borders` made other age bands than those of the models."""
        return self.runner.age_plan.moved != self.runner.age_plan.schema

    @property
    def crop_resizes(self) -> tuple[CropResize, ...]:
        """How the members crop and resize, each once."""
        return self.runner.crop_resizes

    @property
    def engines(self) -> tuple[str, ...]:
        """Descriptions of the members' engines, each once."""
        return self.runner.engines

    def preprocess(self, pixels: Pixels, face: Face | None = None) -> ModelInput:
        """Makes one network input. May be called from many threads at once.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.
            face: A face of the image; None takes the whole image as a portrait.

        Returns:
            The input for `forward`.
        """
        return self.runner.preprocess(pixels, face)

    def forward(self, inputs: Sequence[ModelInput]) -> FloatArray:
        """Runs the ensemble in f32 on inputs, all of them in one batch.

        Args:
            inputs: What `preprocess` returned.

        Returns:
            Probabilities (inputs, classes).
        """
        return self.runner.forward(inputs).combined

    def _load(self, item: NamedImage, *, allow_approximate: bool = False) -> LoadedImage:
        name, image = item
        try:
            pixels = load_image(image)
            reload = keep_or_reload(image, pixels) if allow_approximate else None
            return name, self.runner.preprocess(pixels, given_face(image, pixels), reload)
        except PhotoError as error:
            return name, error.message

    def _to_predictions(self, batch: Sequence[LoadedImage], output: EnsembleOutput) -> BatchPredictions:
        """The predictions of a loaded batch, whose readable images all have a row in the output, or none has."""
        readable = [(name, item) for name, item in batch if not isinstance(item, str)]
        return BatchPredictions(
            self.schema,
            tuple(name for name, _ in readable) if len(output.combined) else (),
            output.combined,
            output.members,
            {name: reason for name, reason in batch if isinstance(reason, str)},
            tuple(name for name, item in readable if any(crop.fallback for crop in item.crops)),
            self.abstain_below,
            self.decision_weights,
            output.ages,
        )


def _parse_vote(vote: str) -> str:
    """A vote's name under its new name, checked before any image is read."""
    if vote in VOTES:
        return vote
    name = upgrade_component("ensemble", ComponentSpec.create(vote), warn_once).name
    if name not in VOTES:
        raise DataError(f"there is no vote '{vote}'; {did_you_mean(vote, VOTES)}")
    return name


def _unreadable_error(messages: Sequence[str], count: int) -> DataError:
    """The error for images that cannot be read; of many only the first are listed."""
    lines = [*messages, *[""] * (count - len(messages))]
    photos = format_count(count, "photo")
    return DataError(
        f"{photos} cannot be read:\n{format_list(lines, shown=MAX_LISTED)}",
        hint="repair these photos, or leave them out",
    )
