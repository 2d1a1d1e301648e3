"""The predictor: photos in, probabilities out, through the evaluation transform that each model file records."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import numpy as np

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import Pixels
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError, PhotoError, did_you_mean, format_list
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.bundled_model import bundled_model_path
from maskfit.inference.engines.selection import Logger
from maskfit.inference.ensemble.voting import VOTES
from maskfit.inference.ensemble_runner import EnsembleRunner, MemberAndVoteProbabilities, PendingBatch, PrecisionCascade
from maskfit.inference.members import Member, check_compatible, open_members_for
from maskfit.inference.model_inputs import ModelInput, NamedImage, ImageSource, check_unique_names, load_image, image_name
from maskfit.inference.parallel_batches import run_batches_in_parallel
from maskfit.inference.prediction import BatchPredictions, Predictions
from maskfit.inference.tta import build_tta
from maskfit.labels.schema import FloatArray
from maskfit.registry import ComponentSpec

__all__ = ["BatchPredictions", "ModelInput", "Predictions", "Predictor", "ImageSource", "load_image"]

Progress = Callable[[int, int], None]
Seen = tuple[str, ModelInput]
Read = Seen | tuple[str, str]
"""A photo's name, and the photo as it is seen or why it cannot be read."""


class Predictor:
    """Answers for photos with one model or many; each photo is decoded once, however many look at it.

    Models of one question vote. Models that answer for a part of one scheme each are joined by the product.

    Args:
        members: The models.
        views: A part of `views.VIEWS`, or a word for one: `flip`, `crops:n=4`.
        vote: A name of `voting.VOTES` that needs no weights.
        batch_size: Photos in a batch, 1 or more.
        lanes: Batches that are in hand at the same time, 1 or more.

    Raises:
        ModelFileError: There is no member, or they cannot answer together; see `joining.find_joining`.
        DataError: The views or the vote are unknown, the vote needs weights, or `batch_size` or `lanes` is below 1; or
            the weights of a detector that a member crops with are not here.
        MissingExtraError: A member's crop needs an extra.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        views: str | ComponentSpec = "original",
        vote: str = "arithmetic",
        batch_size: int = 32,
        lanes: int = 1,
    ) -> None:
        # Asked now, since the vote itself comes after every photo has been looked at.
        known = [name for name in VOTES if name != "weighted"]
        if vote not in known:
            raise DataError(f"there is no vote '{vote}' here; {did_you_mean(vote, known)}")
        if batch_size < 1:
            raise DataError(f"batches of {batch_size} photos cannot be", hint="take 1 or more")
        if lanes < 1:
            raise DataError(f"{lanes} batches at a time cannot be", hint="take 1 or more")
        self.composition = check_compatible(members)
        self.members = list(members)
        self.tta = build_tta(views)
        self.vote = vote
        self.batch_size = batch_size
        self.num_workers = lanes
        self.schema = self.composition.schema
        self._framings = list(dict.fromkeys(member.engine.metadata.preprocessing.crop_resize for member in self.members))
        for framing in self._framings:
            # Asked now: without its detector a member could not look at a single photo.
            framing.pinned()
        self._asked = EnsembleRunner(self.members, self.composition, self._framings, vote)
        self._course = PrecisionCascade(self._asked)

    @classmethod
    def load(
        cls,
        *sources: str | Path,
        views: str | ComponentSpec = "original",
        vote: str = "arithmetic",
        batch_size: int | None = 32,
        threads: int | None = None,
        top: int = 1,
        engine: str | ComponentSpec = "auto",
        photos: int | None = None,
        say: Logger = lambda line: None,
    ) -> Self:
        """Opens model files and run folders.

        Args:
            sources: What `members.find_models` knows.
            views, vote: As the constructor.
            batch_size: Photos in a batch; None chooses by engine and framing.
            threads: How many threads one batch uses; the engine's choice where left out.
            top: How many of each fold's best models.
            engine: A word for `open_engine`; `auto` is the fastest for `photos`.
            photos: How many are to come, where that is known: engines are then opened for many (`choosing`). Left out,
                they are opened to begin soon and to answer single photos.
            say: Told in one line what takes its time.

        Raises:
            ModelFileError: One is no model, or they cannot answer together.
            RunError: A run has no fold that is done, or a fold keeps fewer than `top` models.
            MissingExtraError: One needs torch or OpenVINO, which is not installed.
            RecipeError: There is no such engine, or it has no such option.
            DataError: As the constructor.
        """
        looks = (photos or 0) * len(build_tta(views))
        opened = open_members_for(sources, threads, top, engine, looks, batch_size, say)
        return cls(opened.members, views=views, vote=vote, batch_size=opened.batch_size, lanes=opened.num_workers)

    @classmethod
    def default(cls, **options: Any) -> Self:
        """Opens the model that comes with maskfit; options are those of `load`.

        Raises:
            ModelFileError: This install is without it.
        """
        return cls.load(bundled_model_path(), **options)

    def predict(
        self, photos: Sequence[ImageSource], *, set_aside: bool = False, progress: Progress | None = None
    ) -> Predictions:
        """Answers for photos, in their order, and keeps all answers; `stream` gives them as they come.

        Args:
            photos: What to look at; names must differ.
            set_aside: Leave out and report photos that cannot be read. Otherwise they are an error, since a
                submission must have every row.
            progress: Called with (photos done, photos).

        Raises:
            DataError: There are no photos, two have one name, or photos cannot be read, all of them named.
        """
        parts: list[BatchPredictions] = []
        done = 0
        with closing(self.stream(photos, set_aside=set_aside)) as batches:
            for part in batches:
                parts.append(part)
                done += part.num_processed
                if progress:
                    progress(done, len(photos))
        names = tuple(name for part in parts for name in part.names)
        unreadable = {name: reason for part in parts for name, reason in part.unreadable.items()}
        table = ProbabilityTable(names, np.concatenate([part.probabilities for part in parts]))
        each = {member.name: np.concatenate([part.members[member.name] for part in parts]) for member in self.members}
        guessed = tuple(name for part in parts for name in part.fallback_crops)
        return Predictions(self.schema, table, each, unreadable, guessed, self.abstain_below)

    def stream(self, photos: Iterable[ImageSource], *, set_aside: bool = False) -> Generator[BatchPredictions]:
        """Answers for any number of photos, batch by batch in their order, in memory that does not grow with them.

        Close the generator where it is not run to its end (`contextlib.closing`): until then threads are at work.

        Args:
            photos: Taken as they are needed. Of a sequence the names are compared before anything is looked at; of
                any other iterable, that no name comes twice is up to whoever gives it.
            set_aside: Each batch says which of its photos cannot be read. Otherwise these are an error, which comes at
                the end and names the first `problems.SHOWN`; from the first of them on nothing is answered.

        Yields:
            A batch's answers, perhaps for none of its photos.

        Raises:
            DataError: Of a sequence, there are no photos or two have one name; or photos cannot be read, which is an
                error of a set that is set aside too where it is all of them.
        """
        if isinstance(photos, Sequence):
            check_unique_names(photos)
        named = ((image_name(photo, place), photo) for place, photo in enumerate(photos))
        unreadable: list[str] = []
        lost = rows = 0
        # Once a row is lost the answer is an error: go on only to name every photo that cannot be read.
        with closing(self._answer_all(named, blind=lambda: lost > 0 and not set_aside)) as batches:
            for answers in batches:
                lost += len(answers.unreadable)
                rows += len(answers)
                lines = [f"{name}: {reason}" for name, reason in answers.unreadable.items()]
                unreadable += lines[: MAX_LISTED - len(unreadable)]
                yield answers
        if lost and (not set_aside or not rows):
            raise _unreadable_error(unreadable, lost)

    def predict_batch(self, photos: Sequence[NamedImage]) -> BatchPredictions:
        """Answers for one batch of (name, photo); for programs that read and hand out photos by themselves.

        May be called from many threads at once. Photos that cannot be read are told in the answers, and no error.
        """
        batch = [self._read(item) for item in photos]
        seen = _seen(batch)
        return self._answers(batch, seen, self._course.predict_now([sight for _, sight in seen]))

    @property
    def crop_resizes(self) -> tuple[CropResize, ...]:
        """The members' framings, each once."""
        return tuple(self._framings)

    @property
    def engines(self) -> tuple[str, ...]:
        """What runs the members, in words, each once."""
        return self._asked.engines

    @property
    def abstain_below(self) -> dict[str, float]:
        """By attribute, the probability below which an answer is "not sure": of several members', the highest."""
        given = [member.engine.metadata.calibration.abstain_below for member in self.members]
        return {name: max(own.get(name, 0.0) for own in given) for name in self.schema.names}

    def preprocess(self, pixels: Pixels, face: Face | None = None) -> ModelInput:
        """A decoded photo, or one face on it, as the networks see it; may be called from many threads at once."""
        cuts = tuple(
            framing.find_crop(pixels) if face is None else framing.find_face_crop(pixels, face)
            for framing in self._framings
        )
        frames = [framing(pixels, cut) for framing, cut in zip(self._framings, cuts, strict=True)]
        return ModelInput([self.tta(frame) for frame in frames], cuts)

    def forward(self, sights: Sequence[ModelInput]) -> FloatArray:
        """The vote on what was seen, (sights, classes), exact; as many as there are pass the networks at once."""
        return self._asked.predict_f32(sights)[1]

    def _answer_all(self, named: Iterator[NamedImage], blind: Callable[[], bool]) -> Generator[BatchPredictions]:
        """Answers batch by batch; once `blind` says so, without asking the networks."""
        # One of its own, so that the same photos are always answered in the same way.
        course = PrecisionCascade(self._asked)

        def read(item: tuple[bool, NamedImage]) -> tuple[bool, Read]:
            return item[0], self._read(item[1])

        def ask(items: Sequence[tuple[bool, Read]]) -> tuple[list[Read], list[Seen], PendingBatch]:
            batch = [one for _, one in items]
            seen = [] if blind() else _seen(batch)
            return batch, seen, course.submit([sight for _, sight in seen], first=items[0][0])

        batches = course.batches(named, self.batch_size, self.num_workers)
        for batch, seen, said in run_batches_in_parallel(batches, read, ask, lanes=self.num_workers):
            yield self._answers(batch, seen, course.resolve(said))

    def _answers(
        self, batch: Sequence[Read], seen: Sequence[Seen], shares: MemberAndVoteProbabilities
    ) -> BatchPredictions:
        """The answers for what was read: what was said of those of a batch that were asked for."""
        each, together = shares
        return BatchPredictions(
            self.schema,
            tuple(name for name, _ in seen),
            together,
            each,
            {name: reason for name, reason in batch if isinstance(reason, str)},
            tuple(name for name, sight in _seen(batch) if any(cut.fallback for cut in sight.crops)),
            self.abstain_below,
        )

    def _read(self, item: NamedImage) -> Read:
        name, photo = item
        try:
            return name, self.preprocess(load_image(photo))
        except PhotoError as error:
            return name, error.message


def _seen(batch: Sequence[Read]) -> list[Seen]:
    """Those of a batch that could be read."""
    return [(name, sight) for name, sight in batch if not isinstance(sight, str)]


def _unreadable_error(lines: Sequence[str], count: int) -> DataError:
    """The error for photos that cannot be read; of many only the first are given."""
    every = [*lines, *[""] * (count - len(lines))]
    photos = "a photo" if count == 1 else f"{count} photos"
    return DataError(
        f"{photos} cannot be read:\n{format_list(every, shown=MAX_LISTED)}", hint="mend these photos, or take them out"
    )
