"""The predictor: photos in, probabilities out, through the evaluation transform that each model file records."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import Cut
from maskfit.data.decoding import Pixels, decode
from maskfit.data.detectors import Face
from maskfit.data.photo import Photo
from maskfit.data.problems import SHOWN
from maskfit.data.transforms import Frames, Framing
from maskfit.errors import DataError, PhotoError, nearest, several
from maskfit.evaluation.tables import ProbabilityTable
from maskfit.inference.members import Member, join_members, open_members
from maskfit.inference.saying import Said, say
from maskfit.inference.views import build_views
from maskfit.inference.voting import VOTES
from maskfit.labels import Floats, Scheme, answer
from maskfit.parts import Part

Progress = Callable[[int, int], None]
Source = Photo | Path | str | NDArray[np.uint8]
"""A photo, its path, or its pixels (height, width, 3), upright RGB."""
Seen = Sequence[Sequence[Pixels]]
"""One photo in each framing, and there in each view."""


class Sight(NamedTuple):
    """A photo, or a face on it, as the networks see it.

    Attributes:
        seen: By framing and view, pixels (height, width, 3).
        cuts: What each framing cut out.
    """

    seen: Seen
    cuts: tuple[Cut, ...]


Framed = tuple[str, Sight | str]
"""A photo's name, and the photo as it is seen or why it cannot be read."""


@dataclass(frozen=True)
class Prediction:
    """What was answered.

    Attributes:
        scheme: What the answers are about.
        table: The vote of all members and views, in the order of the photos.
        members: Each member's own probabilities, (photos, classes), its views averaged. Where members answer for a part
            each, the classes are those of the part.
        unreadable: Photos that were set aside, by name, and why.
        guessed: Photos on which a crop found no face, so that its fallback was taken, by name.
        unsure_below: By attribute, the probability below which an answer is "not sure".
    """

    scheme: Scheme
    table: ProbabilityTable
    members: dict[str, Floats]
    unreadable: dict[str, str] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    unsure_below: dict[str, float] = field(default_factory=dict)

    def say(self) -> list[tuple[Said, ...]]:
        """The answer for each attribute of each photo, which may be "not sure"."""
        return say(self.scheme, self.table.probabilities, self.unsure_below)

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Name, answer in words, and its probability, photo by photo."""
        for name, number, share in zip(self.table.names, self.table.classes, self.table.confidence, strict=True):
            yield name, self.scheme.describe(int(number)), float(share)


class Predictor:
    """Answers for photos with one model or many; each photo is decoded once, however many look at it.

    Models of one question vote. Models that answer for a part of one scheme each are joined by the product.

    Args:
        members: The models.
        views: A part of `views.VIEWS`, or a word for one: `flip`, `crops:n=4`.
        vote: A name of `voting.VOTES` that needs no weights.
        batch_size: Photos that a network sees at once, 1 or more.

    Raises:
        ModelFileError: There is no member, or they cannot answer together; see `joining.find_joining`.
        DataError: The views or the vote are unknown, the vote needs weights, or `batch_size` is below 1; or the weights
            of a detector that a member crops with are not here.
        MissingExtraError: A member's crop needs an extra.
    """

    def __init__(
        self, members: Sequence[Member], *, views: str | Part = "original", vote: str = "arithmetic",
        batch_size: int = 32,
    ) -> None:  # fmt: skip
        # Asked now, since the vote itself comes after every photo has been looked at.
        known = [name for name in VOTES if name != "weighted"]
        if vote not in known:
            raise DataError(f"there is no vote '{vote}' here; {nearest(vote, known)}")
        if batch_size < 1:
            raise DataError(f"batches of {batch_size} photos cannot be", fix="take 1 or more")
        self.joining = join_members(members)
        self.members = list(members)
        self.views = build_views(views)
        self.vote = vote
        self.batch_size = batch_size
        self.scheme = self.joining.scheme
        self._framings = list(dict.fromkeys(member.engine.facts.preprocessing.framing for member in self.members))
        for framing in self._framings:
            # Asked now: without its detector a member could not look at a single photo.
            framing.settled()

    @classmethod
    def load(
        cls,
        *sources: str | Path,
        views: str | Part = "original",
        vote: str = "arithmetic",
        batch_size: int = 32,
        threads: int | None = None,
        top: int = 1,
        engine: str | Part = "auto",
    ) -> Self:
        """Opens model files and run folders, of each fold the `top` best models; `engine` as for `open_engine`.

        Raises:
            ModelFileError: One is no model, or they cannot answer together.
            RunError: A run has no fold that is done, or a fold keeps fewer than `top` models.
            MissingExtraError: One needs torch or OpenVINO, which is not installed.
            RecipeError: There is no such engine, or it has no such option.
            DataError: As the constructor.
        """
        return cls(open_members(sources, threads, top, engine), views=views, vote=vote, batch_size=batch_size)

    def predict(
        self, photos: Sequence[Source], *, set_aside: bool = False, progress: Progress | None = None
    ) -> Prediction:
        """Answers for photos, in their order.

        Args:
            photos: What to look at; names must differ.
            set_aside: Leave out and report photos that cannot be read. Otherwise they are an error, since a
                submission must have every row.
            progress: Called with (photos done, photos).

        Raises:
            DataError: There are no photos, two have one name, or photos cannot be read, all of them named.
        """
        named = _named_once(photos)
        names: list[str] = []
        unreadable: dict[str, str] = {}
        guessed: list[str] = []
        rows: dict[str, list[Floats]] = {member.name: [] for member in self.members}
        done = 0
        # Closed even when a network or the user stops it, so that nothing goes on decoding behind.
        with closing(self._framed(named)) as batches:
            for batch in batches:
                good = [(name, sight) for name, sight in batch if not isinstance(sight, str)]
                unreadable |= {name: reason for name, reason in batch if isinstance(reason, str)}
                guessed += [name for name, sight in good if any(cut.fallback for cut in sight.cuts)]
                # Once a row is lost the answer is an error: go on only to name every photo that cannot be read.
                if good and (set_aside or not unreadable):
                    for name, shares in self._answers([sight for _, sight in good]).items():
                        rows[name].append(shares)
                    names += [name for name, _ in good]
                done += len(batch)
                if progress:
                    progress(done, len(named))
        if unreadable and (not set_aside or not names):
            raise _unreadable_error(unreadable)
        each = {name: np.concatenate(parts) for name, parts in rows.items()}
        together = self.joining.vote(self.vote, list(each.values()))
        table = ProbabilityTable(tuple(names), together)
        return Prediction(self.scheme, table, each, unreadable, tuple(guessed), self.unsure_below)

    @property
    def framings(self) -> tuple[Framing, ...]:
        """The members' framings, each once."""
        return tuple(self._framings)

    @property
    def unsure_below(self) -> dict[str, float]:
        """By attribute, the probability below which an answer is "not sure": of several members', the highest."""
        given = [member.engine.facts.calibration.unsure_below for member in self.members]
        return {name: max(own.get(name, 0.0) for own in given) for name in self.scheme.names}

    def see(self, pixels: Pixels, face: Face | None = None) -> Sight:
        """A decoded photo, or one face on it, as the networks see it; may be called from many threads at once."""
        cuts = tuple(
            framing.cut(pixels) if face is None else framing.cut_face(pixels, face) for framing in self._framings
        )
        frames = [framing.frame(pixels, cut) for framing, cut in zip(self._framings, cuts, strict=True)]
        return Sight([self.views(frame) for frame in frames], cuts)

    def answer(self, sights: Sequence[Sight]) -> Floats:
        """The vote on what was seen, (sights, classes); as many as there are pass the networks at once."""
        return self.joining.vote(self.vote, list(self._answers(sights).values()))

    def _answers(self, sights: Sequence[Sight]) -> dict[str, Floats]:
        """Each member's probabilities, by its name."""
        stacks = [_stacked(views) for views in zip(*(sight.seen for sight in sights), strict=True)]
        return {member.name: self._answer(member, stacks) for member in self.members}

    def _answer(self, member: Member, stacks: Sequence[Sequence[Frames]]) -> Floats:
        """One member's probabilities for a batch, given by framing and view: the mean over the views."""
        facts = member.engine.facts
        views = stacks[self._framings.index(facts.preprocessing.framing)]
        seen = [answer(facts.scheme, member.engine.logits(frames)) for frames in views]
        return facts.calibration.temper(member.official, np.mean(seen, axis=0))

    def _see_named(self, name: str, photo: Source) -> Framed:
        try:
            return name, self.see(read_pixels(photo))
        except PhotoError as error:
            return name, error.what

    def _framed(self, named: Sequence[tuple[str, Source]]) -> Generator[list[Framed]]:
        """Batches of photos, decoded ahead of the network."""
        starts = range(0, len(named), self.batch_size)
        pool = ThreadPoolExecutor()
        try:
            waiting: deque[list[Future[Framed]]] = deque()
            for start in starts:
                batch = named[start : start + self.batch_size]
                waiting.append([pool.submit(self._see_named, name, photo) for name, photo in batch])
                # Two batches ahead keep the network busy; more would only hold memory.
                if len(waiting) > 2:
                    yield [future.result() for future in waiting.popleft()]
            while waiting:
                yield [future.result() for future in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)


def _named_once(photos: Sequence[Source]) -> list[tuple[str, Source]]:
    """Each photo with its name in the table.

    Raises:
        DataError: There is no photo, or two have one name.
    """
    if not len(photos):
        raise DataError("there are no photos to look at", fix="check the folder or the list")
    named = [(_name(photo, place), photo) for place, photo in enumerate(photos)]
    twice = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        raise DataError(f"a photo is named twice:\n{several(twice)}", fix="name each photo once")
    return named


def _name(photo: Source, place: int) -> str:
    if isinstance(photo, Photo):
        return photo.name
    return f"photo {place}" if isinstance(photo, np.ndarray) else str(photo)


def _unreadable_error(unreadable: Mapping[str, str]) -> DataError:
    lines = [f"{name}: {reason}" for name, reason in unreadable.items()]
    count = "a photo" if len(lines) == 1 else f"{len(lines)} photos"
    return DataError(
        f"{count} cannot be read:\n{several(lines, shown=SHOWN)}", fix="mend these photos, or take them out"
    )


def _stacked(photos: Sequence[Sequence[Pixels]]) -> list[Frames]:
    """Frames of a batch for each view, from the views of each photo."""
    return [np.stack(view) for view in zip(*photos, strict=True)]


def read_pixels(photo: Source) -> Pixels:
    """A photo's pixels (height, width, 3), upright RGB.

    Raises:
        PhotoError: It cannot be read.
    """
    if isinstance(photo, np.ndarray):
        return _checked(photo)
    return decode(photo.path if isinstance(photo, Photo) else Path(photo))


def _checked(pixels: NDArray[np.uint8]) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise PhotoError(f"pixels are (height, width, 3) in uint8, not {pixels.shape} in {pixels.dtype}")
    return pixels
