"""Sources of an ensemble: stored tables of probabilities, and who is on their photos. No photo is decoded.

A run stands for its out-of-fold table, in which each photo is judged by the fold that never saw its person; a CSV for
itself. Tables are matched by the photos' names, never by place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from maskfit.config.loader import read_recipe
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.errors import DataError, MaskfitError, RunError, format_list
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.file_io import read_csv
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, FloatArray, IntArray, LabelSchema
from maskfit.run_dir import RunDir, is_run_dir

SHOWN = 8
"""How many photos a message about differing tables names."""


@dataclass(frozen=True, eq=False)
class EnsembleMember:
    """One member.

    Attributes:
        path: As the user named it: a run folder or a CSV.
        table: Its probabilities.
        scheme: What a run's recipe says its answers are about; None for a CSV, which does not say.
    """

    path: Path
    table: ProbabilityTable
    schema: LabelSchema | None = None

    @property
    def name(self) -> str:
        """What reports call it."""
        return str(self.path)


@dataclass(frozen=True, eq=False)
class AlignedTables:
    """The tables of several members on the same photos.

    Attributes:
        names: What the members are called.
        photos: The photos' names, in the order of the first member.
        members: Probabilities (members, photos, classes).
        scheme: What they are about.
        truth: (photos,) class numbers, `UNKNOWN` where no member says; None where none says any.
        persons: (photos,) who is on each photo; None where nobody says, empty without truth.
        remarks: What the user should know, a line each.
    """

    names: tuple[str, ...]
    photos: tuple[str, ...]
    members: FloatArray
    schema: LabelSchema
    truth: IntArray | None = None
    persons: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


def load_aligned_tables(paths: Sequence[str | Path], scheme: LabelSchema | None = None) -> AlignedTables:
    """Reads and aligns the tables of members.

    Args:
        paths: Run folders and CSVs of probabilities, one for each member.
        scheme: What they are about; left out, it is what the runs say, or the competition's.

    Raises:
        DataError: No member is named or one twice, a table cannot be read, they are of other photos, or of classes
            other than the scheme's.
        RunError: A run has no out-of-fold table.
    """
    if not paths:
        raise DataError("no member is named", hint="name run folders, or CSVs of probabilities")
    sources = [read_member(path) for path in paths]
    places = [source.path.resolve() for source in sources]
    twice = [source.name for place, source in enumerate(sources) if places[place] in places[:place]]
    if twice:
        raise DataError("this member is named twice", location=twice[0], hint="name each once; --weights weighs them")
    labels = _scheme(sources, scheme)
    first = sources[0].table
    for source in sources[1:]:
        _refuse_other_photos(sources[0], source)
    aligned = [source.table.reindex(first.names) for source in sources]
    truth, remarks = _truth(sources, aligned)
    return AlignedTables(
        names=tuple(source.name for source in sources),
        photos=first.names,
        members=np.stack([table.probabilities for table in aligned]),
        schema=labels,
        truth=truth,
        persons=None if truth is None else _persons(sources, first.names),
        warnings=tuple(remarks),
    )


def read_member(path: str | Path) -> EnsembleMember:
    """The table that a word stands for.

    Raises:
        DataError: It stands for none.
        RunError: A run has no out-of-fold table, since it did not come to its end.
    """
    path = Path(path)
    if not is_run_dir(path):
        if path.is_dir():
            raise DataError("this folder is no run: it holds no recipe.yaml", location=path, hint="name a run or a CSV")
        return EnsembleMember(path, read_table(path))
    folder = RunDir(path)
    if not folder.oof_probabilities.is_file():
        raise RunError(
            "this run has no out-of-fold table, since it did not come to its end",
            location=path,
            hint="maskfit train RECIPE output_dir=THIS --resume ends it",
        )
    scheme = read_recipe(folder.recipe).data.label_schema.scored_schema()
    return EnsembleMember(path, read_table(folder.oof_probabilities, scheme.num_classes), scheme)


def _scheme(sources: Sequence[EnsembleMember], given: LabelSchema | None) -> LabelSchema:
    """What all members are about.

    Raises:
        DataError: Two members are about different things, or one about others than given.
    """
    said = [(source, source.schema) for source in sources if source.schema is not None]
    scheme = given or (said[0][1] if said else LABEL_SCHEMAS["mask-gender-age"])
    for source, own in said:
        if _question(own) != _question(scheme):
            raise DataError(
                f"its answers are about {' x '.join(own.names)}, the others' about {' x '.join(scheme.names)}",
                location=source.path,
                hint="combine members of one scheme",
            )
    for source in sources:
        found = source.table.probabilities.shape[1]
        if found != scheme.num_classes:
            raise DataError(
                f"a table of {found} classes, where {' x '.join(scheme.names)} has {scheme.num_classes}",
                location=source.path,
                hint="combine members of one scheme, and name it with --schema where no run says it",
            )
    return scheme


def _question(scheme: LabelSchema) -> list[tuple[str, tuple[str, ...]]]:
    return [(attribute.name, attribute.values) for attribute in scheme.attributes]


def _refuse_other_photos(first: EnsembleMember, other: EnsembleMember) -> None:
    """Stops where two members are not of the same photos; the order is free.

    Raises:
        DataError: They differ; photos of either side are named.
    """
    here, there = set(first.table.names), set(other.table.names)
    lines = [
        f"{len(names)} only in {source.name}:\n{format_list(sorted(names), shown=SHOWN)}"
        for source, names in ((first, here - there), (other, there - here))
        if names
    ]
    if lines:
        raise DataError(
            "members of different photos cannot be combined; " + "\n".join(lines),
            location=f"{first.name}, {other.name}",
            hint="train with the same data, folds and corrections, or predict the same list",
        )


def _truth(sources: Sequence[EnsembleMember], aligned: Sequence[ProbabilityTable]) -> tuple[IntArray | None, list[str]]:
    """The truth by the first member that knows it, and a remark on every later one that says otherwise."""
    truth: IntArray | None = None
    remarks = []
    for source, table in zip(sources, aligned, strict=True):
        if table.truth is None:
            continue
        if truth is None:
            truth = table.truth.copy()
            continue
        both = (truth != UNKNOWN) & (table.truth != UNKNOWN)
        other = int((truth != table.truth)[both].sum())
        if other:
            remarks.append(f"{source.name} has another truth for {other} photos; that of the first member counts")
        truth = np.where(truth == UNKNOWN, table.truth, truth)
    return truth, remarks


def _persons(sources: Sequence[EnsembleMember], photos: Sequence[str]) -> tuple[str, ...] | None:
    """Who is on each photo, by the first member that can tell for all of them."""
    for source in sources:
        found = _persons_of_run(source, photos) if is_run_dir(source.path) else _persons_of_table(source, photos)
        if found is not None:
            return found
    return None


def _persons_of_run(source: EnsembleMember, photos: Sequence[str]) -> tuple[str, ...] | None:
    """By the run's data where they can be read, or else by the photos' folders and the run's own list of persons."""
    folder = RunDir(source.path)
    recipe = read_recipe(folder.recipe)
    known: dict[str, str] = {}
    # A manifest may say who is on a photo; in the competition's layout the name does.
    if recipe.data.path is not None and Path(recipe.data.path).suffix.lower() == ".csv":
        try:
            known = {photo.name: photo.person for photo in read_photos(recipe.data.path, recipe.data.label_schema)}
        except MaskfitError:
            known = {}
    try:
        listed = set(read_splits(folder.splits).fold_of_person)
    except DataError:
        listed = set()
    for photo in photos:
        claims = (name for name in (PurePosixPath(photo).parent.name, photo) if name in listed)
        known.setdefault(photo, next(claims, ""))
    return tuple(known[photo] for photo in photos) if all(known[photo] for photo in photos) else None


def _persons_of_table(source: EnsembleMember, photos: Sequence[str]) -> tuple[str, ...] | None:
    """By a column `person`, or by the photos' folders."""
    rows = {row["ImageID"]: row.get("person", "") for row in read_csv(source.path, ["ImageID"])}
    found = tuple(rows[photo] or PurePosixPath(photo).parent.name for photo in photos)
    return found if all(found) else None
