"""Members: the models that answer together, found from what a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskfit.errors import ModelFileError
from maskfit.inference.choosing import Say, choose, choose_batch, choose_lanes, choose_streams, fit_engine
from maskfit.inference.engines import Engine, open_engine
from maskfit.inference.joining import Joining, find_joining, question
from maskfit.labels import SCHEMES, Scheme
from maskfit.modelfile import read_facts
from maskfit.parts import Part
from maskfit.runfolder import FoldFolder, RunFolder, is_run


@dataclass(frozen=True)
class Member:
    """One model that answers.

    Attributes:
        name: What tables call it: its path as it was found.
        engine: Runs it.
    """

    name: str
    engine: Engine

    @property
    def official(self) -> Scheme:
        """What its answers are about."""
        return self.engine.facts.scheme.official()


def find_models(sources: Sequence[str | Path], top: int = 1) -> list[Path]:
    """The model files that a user's words stand for: a file itself, a run all its folds, a fold its best.

    Args:
        sources: Model files, runs and folds.
        top: How many of each fold's best models; a file that is named stands for itself alone.

    Raises:
        ModelFileError: A word stands for no model, or no word was given.
        RunError: A run has no fold that is done, or a fold keeps fewer than `top` models.
    """
    models: list[Path] = []
    for source in map(Path, sources):
        if is_run(source):
            models += RunFolder(source).models(top)
        elif FoldFolder(source).model.is_file():
            models += FoldFolder(source).top(top)
        elif source.is_dir():
            raise ModelFileError(
                "this folder is no run: it holds no recipe.yaml", where=source, fix="name a run folder or a model file"
            )
        else:
            models.append(source)
    if not models:
        raise ModelFileError("no model was named", fix="name a model file or a run folder")
    # One model that is named in two ways would count twice.
    once: dict[Path, Path] = {}
    for path in models:
        once.setdefault(path.resolve(), path)
    return list(once.values())


def open_members(
    sources: Sequence[str | Path], threads: int | None = None, top: int = 1, engine: str | Part = "auto"
) -> list[Member]:
    """Opens every model that `sources` stand for; `top` as for `find_models`, `engine` as for `open_engine`.

    Raises:
        ModelFileError: One cannot be opened, or they cannot answer together.
        RunError: A run has no fold that is done, or a fold keeps fewer than `top` models.
        RecipeError: There is no such engine, or it has no such option.
    """
    members = [Member(str(path), open_engine(path, threads, engine)) for path in find_models(sources, top)]
    join_members(members)
    return members


@dataclass(frozen=True)
class Opened:
    """Models that were opened for a number of photos.

    Attributes:
        members: The models.
        lanes: How many batches should be in hand at a time.
        batch: Photos in a batch.
    """

    members: list[Member]
    lanes: int
    batch: int


def open_for(
    sources: Sequence[str | Path], threads: int | None, top: int, engine: str | Part, looks: int, batch: int | None,
    say: Say,
) -> Opened:  # fmt: skip
    """Opens every model for so many looks at photos, in batches of `batch` or, where that is None, of a fitting size.

    `say` is as for `choosing.choose`, all else as for `open_members`.
    """
    paths = find_models(sources, top)
    choices = [choose(path, engine, looks, say) for path in paths]
    streams = choose_streams(choices, looks)
    if batch is None:
        framings = [read_facts(choice.path).preprocessing.framing for choice in choices]
        batch = choose_batch(framings, any(choice.gpu for choice in choices))
    members = [
        Member(str(path), open_engine(choice.path, threads, fit_engine(choice, batch, looks), streams))
        for path, choice in zip(paths, choices, strict=True)
    ]
    join_members(members)
    return Opened(members, choose_lanes(choices, looks), batch)


def join_members(members: Sequence[Member]) -> Joining:
    """How members answer together: all for the same, or each for a part of one of `labels.SCHEMES`.

    Raises:
        ModelFileError: There is no member, two bear one name, or they cannot answer together.
    """
    if not members:
        raise ModelFileError("no model was named", fix="name a model file or a run folder")
    first = members[0]
    for place, member in enumerate(members[1:], start=1):
        if any(member.name == other.name for other in members[:place]):
            raise ModelFileError("this model is a member twice", where=member.name, fix="name each model once")
    joining = find_joining([member.official for member in members])
    if joining is None:
        other = next(member for member in members if question(member.official) != question(first.official))
        raise ModelFileError(
            f"this model answers for {_said(other.official)}, {first.name} for {_said(first.official)}",
            where=other.name,
            fix=f"name models of one scheme, or of parts that together make one of {', '.join(SCHEMES)}",
        )
    return joining


def _said(scheme: Scheme) -> str:
    return " x ".join(f"{name} ({size})" for name, size in scheme.sizes.items())
