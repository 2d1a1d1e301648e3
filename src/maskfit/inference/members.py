"""Members: the models that answer together, found from what a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskfit.errors import ModelFileError
from maskfit.inference.engines.engine import Engine, open_engine
from maskfit.inference.engines.selection import (
    Logger,
    configure_engine,
    select_batch_size,
    select_engine,
    select_num_streams,
    select_num_workers,
)
from maskfit.inference.ensemble.member_composition import MemberComposition, compose_members, schema_signature
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema
from maskfit.model_file import read_model_metadata
from maskfit.registry import ComponentSpec
from maskfit.run_dir import FoldDir, RunDir, is_run_dir


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
    def scored_schema(self) -> LabelSchema:
        """What its answers are about."""
        return self.engine.metadata.label_schema.scored_schema()


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
        if is_run_dir(source):
            models += RunDir(source).models(top)
        elif FoldDir(source).model.is_file():
            models += FoldDir(source).top_k_models(top)
        elif source.is_dir():
            raise ModelFileError(
                "this folder is no run: it holds no recipe.yaml",
                location=source,
                hint="name a run folder or a model file",
            )
        else:
            models.append(source)
    if not models:
        raise ModelFileError("no model was named", hint="name a model file or a run folder")
    # One model that is named in two ways would count twice.
    once: dict[Path, Path] = {}
    for path in models:
        once.setdefault(path.resolve(), path)
    return list(once.values())


def open_members(
    sources: Sequence[str | Path], threads: int | None = None, top: int = 1, engine: str | ComponentSpec = "auto"
) -> list[Member]:
    """Opens every model that `sources` stand for; `top` as for `find_models`, `engine` as for `open_engine`.

    Raises:
        ModelFileError: One cannot be opened, or they cannot answer together.
        RunError: A run has no fold that is done, or a fold keeps fewer than `top` models.
        RecipeError: There is no such engine, or it has no such option.
    """
    members = [Member(str(path), open_engine(path, threads, engine)) for path in find_models(sources, top)]
    check_compatible(members)
    return members


@dataclass(frozen=True)
class OpenedMembers:
    """Models that were opened for a number of photos.

    Attributes:
        members: The models.
        lanes: How many batches should be in hand at a time.
        batch: Photos in a batch.
    """

    members: list[Member]
    num_workers: int
    batch_size: int


def open_members_for(
    sources: Sequence[str | Path],
    threads: int | None,
    top: int,
    engine: str | ComponentSpec,
    looks: int,
    batch: int | None,
    say: Logger,
) -> OpenedMembers:
    """Opens every model for so many looks at photos, in batches of `batch` or, where that is None, of a fitting size.

    `say` is as for `choosing.choose`, all else as for `open_members`.
    """
    paths = find_models(sources, top)
    choices = [select_engine(path, engine, looks, say) for path in paths]
    streams = select_num_streams(choices, looks)
    if batch is None:
        framings = [read_model_metadata(choice.path).preprocessing.crop_resize for choice in choices]
        batch = select_batch_size(framings, any(choice.gpu for choice in choices))
    members = [
        Member(str(path), open_engine(choice.path, threads, configure_engine(choice, batch, looks), streams))
        for path, choice in zip(paths, choices, strict=True)
    ]
    check_compatible(members)
    return OpenedMembers(members, select_num_workers(choices, looks), batch)


def check_compatible(members: Sequence[Member]) -> MemberComposition:
    """How members answer together: all for the same, or each for a part of one of `labels.SCHEMES`.

    Raises:
        ModelFileError: There is no member, two bear one name, or they cannot answer together.
    """
    if not members:
        raise ModelFileError("no model was named", hint="name a model file or a run folder")
    first = members[0]
    for place, member in enumerate(members[1:], start=1):
        if any(member.name == other.name for other in members[:place]):
            raise ModelFileError("this model is a member twice", location=member.name, hint="name each model once")
    joining = compose_members([member.scored_schema for member in members])
    if joining is None:
        other = next(
            member for member in members if schema_signature(member.scored_schema) != schema_signature(first.scored_schema)
        )
        raise ModelFileError(
            f"this model answers for {_said(other.scored_schema)}, {first.name} for {_said(first.scored_schema)}",
            location=other.name,
            hint=f"name models of one scheme, or of parts that together make one of {', '.join(LABEL_SCHEMAS)}",
        )
    return joining


def _said(scheme: LabelSchema) -> str:
    return " x ".join(f"{name} ({size})" for name, size in scheme.sizes.items())
