"""Members: the models that answer together, found from what a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskfit.errors import ModelFileError
from maskfit.inference.engines import Engine, open_engine
from maskfit.labels import Scheme
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


def find_models(sources: Sequence[str | Path]) -> list[Path]:
    """The model files that a user's words stand for: a file itself, a run all its folds, a fold its best.

    Raises:
        ModelFileError: A word stands for no model, or no word was given.
        RunError: A run has no fold that is done.
    """
    models: list[Path] = []
    for source in map(Path, sources):
        if is_run(source):
            models += RunFolder(source).models()
        elif FoldFolder(source).model.is_file():
            models.append(FoldFolder(source).model)
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


def open_members(sources: Sequence[str | Path], threads: int | None = None) -> list[Member]:
    """Opens every model that `sources` stand for.

    Raises:
        ModelFileError: One cannot be opened, or two do not answer the same question.
    """
    members = [Member(str(path), open_engine(path, threads)) for path in find_models(sources)]
    refuse_mixed(members)
    return members


def refuse_mixed(members: Sequence[Member]) -> None:
    """Stops where members cannot vote together.

    Raises:
        ModelFileError: There is no member, two bear one name, or two do not answer the same question.
    """
    if not members:
        raise ModelFileError("no model was named", fix="name a model file or a run folder")
    first = members[0]
    for place, member in enumerate(members[1:], start=1):
        if any(member.name == other.name for other in members[:place]):
            raise ModelFileError("this model is a member twice", where=member.name, fix="name each model once")
        if _question(member.official) != _question(first.official):
            raise ModelFileError(
                f"this model answers for {_said(member.official)}, {first.name} for {_said(first.official)}",
                where=member.name,
                fix="name models of one scheme",
            )


def _question(scheme: Scheme) -> list[tuple[str, tuple[str, ...]]]:
    return [(attribute.name, attribute.values) for attribute in scheme.attributes]


def _said(scheme: Scheme) -> str:
    return " x ".join(f"{name} ({size})" for name, size in scheme.sizes.items())
