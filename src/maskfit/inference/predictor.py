"""The predictor: photos in, probabilities out, through the evaluation transform that each model file records."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskfit.data.decoding import Pixels, decode
from maskfit.data.photo import Photo
from maskfit.data.problems import SHOWN
from maskfit.data.transforms import Frames, Framing
from maskfit.errors import DataError, PhotoError, nearest, several
from maskfit.evaluation.tables import ProbabilityTable
from maskfit.inference.members import Member, join_members, open_members
from maskfit.inference.views import Views, build_views
from maskfit.inference.voting import VOTES
from maskfit.labels import Floats, Scheme, answer
from maskfit.parts import Part

Progress = Callable[[int, int], None]
Source = Photo | Path | str | NDArray[np.uint8]
"""A photo, its path, or its pixels (height, width, 3), upright RGB."""
Seen = Sequence[Sequence[Pixels]]
"""One photo in each framing, and there in each view."""
Framed = tuple[str, Seen | str, bool]
"""A photo's name, the photo as it is seen or why it cannot be read, and whether a crop is only a guess."""


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
    """

    scheme: Scheme
    table: ProbabilityTable
    members: dict[str, Floats]
    unreadable: dict[str, str] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()

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
    ) -> Self:
        """Opens model files and run folders, of each fold the `top` best models.

        Raises:
            ModelFileError: One is no model, or they cannot answer together.
            RunError: A run has no fold that is done, or a fold keeps fewer than `top` models.
            MissingExtraError: One needs torch, which is not installed.
            DataError: As the constructor.
        """
        return cls(open_members(sources, threads, top), views=views, vote=vote, batch_size=batch_size)

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
                good = [(name, frames) for name, frames, _ in batch if not isinstance(frames, str)]
                unreadable |= {name: reason for name, reason, _ in batch if isinstance(reason, str)}
                guessed += [name for name, _, guess in batch if guess]
                # Once a row is lost the answer is an error: go on only to name every photo that cannot be read.
                if good and (set_aside or not unreadable):
                    stacks = [_stacked([frames[place] for _, frames in good]) for place in range(len(self._framings))]
                    for member in self.members:
                        rows[member.name].append(self._answer(member, stacks))
                    names += [name for name, _ in good]
                done += len(batch)
                if progress:
                    progress(done, len(named))
        if unreadable and (not set_aside or not names):
            raise _unreadable_error(unreadable)
        each = {name: np.concatenate(parts) for name, parts in rows.items()}
        together = self.joining.vote(self.vote, list(each.values()))
        return Prediction(self.scheme, ProbabilityTable(tuple(names), together), each, unreadable, tuple(guessed))

    def _answer(self, member: Member, stacks: Sequence[Sequence[Frames]]) -> Floats:
        """One member's probabilities for a batch, given by framing and view: the mean over the views."""
        facts = member.engine.facts
        views = stacks[self._framings.index(facts.preprocessing.framing)]
        normalise = facts.preprocessing.normalising.normalise
        seen = [answer(facts.scheme, member.engine.logits(normalise(frames))) for frames in views]
        return np.asarray(np.mean(seen, axis=0))

    def _framed(self, named: Sequence[tuple[str, Source]]) -> Generator[list[Framed]]:
        """Batches of photos, decoded ahead of the network."""
        starts = range(0, len(named), self.batch_size)
        pool = ThreadPoolExecutor()
        try:
            waiting: deque[list[Future[Framed]]] = deque()
            for start in starts:
                batch = named[start : start + self.batch_size]
                waiting.append([pool.submit(_frame, name, photo, self._framings, self.views) for name, photo in batch])
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


def _frame(name: str, photo: Source, framings: Sequence[Framing], views: Views) -> Framed:
    try:
        if isinstance(photo, np.ndarray):
            pixels = _checked(photo)
        else:
            pixels = decode(photo.path if isinstance(photo, Photo) else Path(photo))
        cuts = [framing.cut(pixels) for framing in framings]
        seen = [views(framing.frame(pixels, cut)) for framing, cut in zip(framings, cuts, strict=True)]
        return name, seen, any(cut.fallback for cut in cuts)
    except PhotoError as error:
        return name, error.what, False


def _stacked(photos: Sequence[Sequence[Pixels]]) -> list[Frames]:
    """Frames of a batch for each view, from the views of each photo."""
    return [np.stack(view) for view in zip(*photos, strict=True)]


def _checked(pixels: NDArray[np.uint8]) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise PhotoError(f"pixels are (height, width, 3) in uint8, not {pixels.shape} in {pixels.dtype}")
    return pixels
