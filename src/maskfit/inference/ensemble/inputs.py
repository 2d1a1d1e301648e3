"""Inputs of an ensemble: stored probability tables, and the persons on their photos. No photo is decoded.

A run folder stands for its out-of-fold table, in which each photo is predicted by the fold that did not see its person;
a CSV for itself. Tables are matched by the photos' names, never by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from maskfit.config.loader import read_recipe
from maskfit.data.face_boxes import split_name
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.errors import DataError, MaskfitError, RunError, format_list
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.file_io import iter_csv, read_csv
from maskfit.inference.submission import CLASS_COLUMN, ID_COLUMN, read_submission
from maskfit.inference.truth_files import describe_alike
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, FloatArray, IntArray, LabelSchema
from maskfit.run_dir import RunDir, is_run_dir
from maskfit.text import format_count

SHOWN = 8
"""How many photos a message about differing tables lists."""


@dataclass(frozen=True, eq=False)
class EnsembleMember:
    """A member's table.

    Attributes:
        path: A run folder or a CSV, as the user named it.
        table: Its probabilities.
        schema: The schema in a run's recipe; None for a CSV, which has none.
        label: Its name in reports where that is not the path.
    """

    path: Path
    table: ProbabilityTable
    schema: LabelSchema | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.label or str(self.path)


@dataclass(frozen=True, eq=False)
class AlignedTables:
    """The tables of several members on the same photos.

    Attributes:
        names: The members' names.
        photos: The photos' names, in the order of the first member.
        members: Probabilities (members, photos, classes).
        schema: The schema of the classes.
        truth: (photos,) class indices, `UNKNOWN` where no member has a label; None where none has any.
        persons: (photos,) the person on each photo; None where they are not known, or there are no labels.
        warnings: One line for each thing that the user should know.
    """

    names: tuple[str, ...]
    photos: tuple[str, ...]
    members: FloatArray
    schema: LabelSchema
    truth: IntArray | None = None
    persons: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


def load_aligned_tables(paths: Sequence[str | Path], schema: LabelSchema | None = None) -> AlignedTables:
    """Reads and aligns the tables of members.

    Args:
        paths: Run folders and CSVs of probabilities, one for each member.
        schema: The schema of the classes; None takes that of the runs, or else the competition's.

    Returns:
        The aligned tables.

    Raises:
        DataError: No member is named or one twice, a table cannot be read, or they are of different photos or classes.
        RunError: A run has no out-of-fold table.
    """
    if isinstance(paths, str | Path):
        raise DataError("a list of members is needed, got one path", location=paths, hint="put it into a list")
    if not paths:
        raise DataError("no member is named", hint="name run folders, or CSVs of probabilities")
    resolved = [Path(path).resolve() for path in paths]
    duplicates = [str(path) for index, path in enumerate(paths) if resolved[index] in resolved[:index]]
    if duplicates:
        raise DataError("this member is named twice", location=duplicates[0], hint="name each once; use --weights")
    # Submissions last: how many classes they have is what the others say.
    submissions = [path for path in paths if is_submission(path)]
    known = {path: read_member(path) for path in paths if path not in submissions}
    common = _common_schema(list(known.values()), schema)
    known |= {path: read_member(path, common) for path in submissions}
    return align_members([known[path] for path in paths], common)


def align_members(members: Sequence[EnsembleMember], schema: LabelSchema) -> AlignedTables:
    """Aligns the tables of members by the photos' names.

    Args:
        members: The members, at least one.
        schema: The schema of the classes.

    Returns:
        The aligned tables.

    Raises:
        DataError: They are of different photos or classes.
    """
    common = _common_schema(members, schema)
    first = members[0].table
    for member in members[1:]:
        _check_same_photos(members[0], member)
    aligned = [member.table.reindex(first.names) for member in members]
    truth, messages = _merge_truth(members, aligned)
    return AlignedTables(
        names=tuple(member.name for member in members),
        photos=first.names,
        members=np.stack([table.probabilities for table in aligned]),
        schema=common,
        truth=truth,
        persons=None if truth is None else _find_persons(members, first.names, common),
        warnings=tuple(messages),
    )


def is_submission(path: str | Path) -> bool:
    """Returns whether a file is a submission, with the columns `ImageID,ans` and no probabilities.

    Args:
        path: Any path.
    """
    if not Path(path).is_file():
        return False
    header = set(next(iter_csv(Path(path), ()), {}))
    return {ID_COLUMN, CLASS_COLUMN} <= header and "p0" not in header


def read_member(path: str | Path, schema: LabelSchema | None = None) -> EnsembleMember:
    """Reads the table of one member; a submission becomes a table in which its class has the probability 1.

    Args:
        path: A run folder, a CSV of probabilities, or a submission.
        schema: The schema of a submission's classes; None takes the competition's.

    Returns:
        The member.

    Raises:
        DataError: It is neither.
        RunError: A run has no out-of-fold table.
    """
    path = Path(path)
    if not is_run_dir(path):
        if path.is_dir():
            raise DataError("this folder is no run: it has no recipe.yaml", location=path, hint="name a run or a CSV")
        if is_submission(path):
            num_classes = (schema or LABEL_SCHEMAS["mask-gender-age"]).num_classes
            classes = read_submission(path, num_classes)
            return EnsembleMember(path, ProbabilityTable(tuple(classes), np.eye(num_classes)[list(classes.values())]))
        return EnsembleMember(path, read_table(path))
    folder = RunDir(path)
    if not folder.oof_probabilities.is_file():
        raise RunError(
            "this run has no out-of-fold table, since it is not finished",
            location=path,
            hint="finish it with 'maskfit train RECIPE output_dir=THIS --resume'",
        )
    schema = read_recipe(folder.recipe).data.label_schema.scored_schema()
    return EnsembleMember(path, read_table(folder.oof_probabilities, schema.num_classes), schema)


def _common_schema(members: Sequence[EnsembleMember], schema: LabelSchema | None) -> LabelSchema:
    """The schema of all members.

    Raises:
        DataError: Two members have different ones, or one another than `schema`.
    """
    known = [(member, member.schema) for member in members if member.schema is not None]
    common = schema or (known[0][1] if known else LABEL_SCHEMAS["mask-gender-age"])
    for member, own in known:
        if _signature(own) != _signature(common):
            raise DataError(
                f"its classes are of {' x '.join(own.names)}, the others' of {' x '.join(common.names)}",
                location=member.path,
                hint="combine members of one schema",
            )
    for member in members:
        num_classes = member.table.probabilities.shape[1]
        if num_classes != common.num_classes:
            raise DataError(
                f"a table of {num_classes} classes, where {' x '.join(common.names)} has {common.num_classes}",
                location=member.path,
                hint="combine members of one schema, and name it with --schema where no run has it",
            )
    return common


def _signature(schema: LabelSchema) -> list[tuple[str, tuple[str, ...]]]:
    return [(attribute.name, attribute.values) for attribute in schema.attributes]


def _check_same_photos(first: EnsembleMember, other: EnsembleMember) -> None:
    """Checks that two members have the same photos, in any order.

    Raises:
        DataError: They differ; photos of either side are listed.
    """
    left, right = set(first.table.names), set(other.table.names)
    lines = [
        f"{len(names)} only in {member.name}:\n{format_list(sorted(names), shown=SHOWN)}"
        for member, names in ((first, left - right), (other, right - left))
        if names
    ]
    if lines:
        alike = describe_alike(sorted(left - right), sorted(right - left))
        raise DataError(
            "members of different photos cannot be combined; " + "\n".join([*lines, *filter(None, [alike])]),
            location=f"{first.name}, {other.name}",
            hint="write the names in both files alike, or predict the same list"
            if alike
            else "train with the same data, cv.num_folds, cv.split_file and corrections, or predict the same list",
        )


def _merge_truth(
    members: Sequence[EnsembleMember], aligned: Sequence[ProbabilityTable]
) -> tuple[IntArray | None, list[str]]:
    """The labels of the first member that has them, and a warning for each later one that differs."""
    truth: IntArray | None = None
    messages = []
    for member, table in zip(members, aligned, strict=True):
        if table.truth is None:
            continue
        if truth is None:
            truth = table.truth.copy()
            continue
        both = (truth != UNKNOWN) & (table.truth != UNKNOWN)
        different = int((truth != table.truth)[both].sum())
        if different:
            messages.append(
                f"{member.name} has other labels for {format_count(different, 'photo')}; those of "
                "the first member count"
            )
        truth = np.where(truth == UNKNOWN, table.truth, truth)
    return truth, messages


def _find_persons(
    members: Sequence[EnsembleMember], photos: Sequence[str], schema: LabelSchema
) -> tuple[str, ...] | None:
    """The person on each photo, from the first member that knows all of them."""
    for member in members:
        is_run = is_run_dir(member.path)
        persons = _persons_of_run(member, photos) if is_run else _persons_of_table(member, photos, schema)
        if persons is not None:
            return persons
    return None


def _persons_of_run(member: EnsembleMember, photos: Sequence[str]) -> tuple[str, ...] | None:
    """From the run's data where they can be read, or else from the photos' folders and the run's list of persons."""
    folder = RunDir(member.path)
    recipe = read_recipe(folder.recipe)
    known: dict[str, str] = {}
    # A manifest may name the person on a photo; in the competition's layout the photo's name does.
    if recipe.data.path is not None and Path(recipe.data.path).suffix.lower() == ".csv":
        try:
            known = {
                photo.name: photo.person
                for photo in read_photos(
                    recipe.data.path, recipe.data.label_schema, recipe.data.codes, must_use_codes=False
                )
            }
        except MaskfitError:
            known = {}
    try:
        listed = set(read_splits(folder.splits).fold_of_person)
    except DataError:
        listed = set()
    for photo in photos:
        file = split_name(photo)[0]
        candidates = (name for name in (PurePosixPath(file).parent.name, file) if name in listed)
        known.setdefault(photo, next(candidates, ""))
    return tuple(known[photo] for photo in photos) if all(known[photo] for photo in photos) else None


def _persons_of_table(member: EnsembleMember, photos: Sequence[str], schema: LabelSchema) -> tuple[str, ...] | None:
    """From a column `person`, or from the photos' folders, unless these say the labels: a class is no person."""
    rows = {row["ImageID"]: row.get("person", "") for row in read_csv(member.path, ["ImageID"])}
    folders = {photo: PurePosixPath(photo).parent.name for photo in photos if not rows[photo]}
    words = WordReader(schema)
    if len(photos) == len(folders) > 1 == len(set(folders.values())):
        return None  # One folder of all photos, such as images.
    if any(words.knows("", folder) for folder in set(folders.values())):
        return None
    persons = tuple(rows[photo] or folders[photo] for photo in photos)
    return persons if all(persons) else None
