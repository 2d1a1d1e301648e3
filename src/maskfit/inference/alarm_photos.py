"""Photos with the probability of an alarm and whether they deserve it, from a run or from a table and its truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, LabelError, did_you_mean
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.inference.ensemble.inputs import load_aligned_tables
from maskfit.inference.submission import is_submission, read_truth
from maskfit.inference.truth_files import align_predictions, find_truth, match_names
from maskfit.labels.attribute import UNKNOWN, Attribute
from maskfit.labels.schema import LABEL_SCHEMAS, FloatArray, LabelSchema
from maskfit.run_dir import explain_no_run, is_run_dir


@dataclass(frozen=True)
class Alarm:
    """Which values of an attribute deserve an alarm.

    Attributes:
        attribute: The attribute.
        codes: Codes of the values.
    """

    attribute: Attribute
    codes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.attribute.name} {' or '.join(self.attribute.display_name(code) for code in self.codes)}"

    @property
    def values(self) -> list[str]:
        """Names of the values."""
        return [self.attribute.values[code] for code in self.codes]


@dataclass(frozen=True)
class AlarmPhotos:
    """Photos on which alarms are judged.

    Attributes:
        alarm: The alarm.
        probabilities: Marginal probabilities of the attribute's values, (photos, values).
        truth: Code of each photo, (photos,).
        persons: Person on each photo; None where no one knows.
        notes: Lines about photos that were left out or matched.
    """

    alarm: Alarm
    probabilities: FloatArray
    truth: NDArray[np.int64]
    persons: tuple[str, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def probability(self) -> FloatArray:
        """Probability of the alarm's values together, (photos,)."""
        total: FloatArray = self.probabilities[:, list(self.alarm.codes)].sum(axis=1)
        return total

    @property
    def deserved(self) -> NDArray[np.bool_]:
        """Whether each photo deserves an alarm, (photos,)."""
        return np.isin(self.truth, self.alarm.codes)

    @property
    def most_probable(self) -> NDArray[np.bool_]:
        """Whether the most probable value of each photo is one of the alarm's, (photos,)."""
        return np.isin(self.probabilities.argmax(axis=1), self.alarm.codes)


def parse_alarm(text: str, schema: LabelSchema) -> Alarm:
    """Parses an alarm such as `mask=incorrect,not_wear`.

    Args:
        text: Attribute and values.
        schema: The label schema.

    Returns:
        The alarm.

    Raises:
        DataError: It is not of this form, names an unknown attribute or value, or every value.
    """
    name, equals, words = text.partition("=")
    if not equals or not words.strip():
        raise DataError(f"expected NAME=VALUE,..., got '{text}'", hint="write it like --alarm mask=incorrect,not_wear")
    try:
        attribute = schema[name.strip()]
    except LabelError as error:
        raise DataError(error.message, location="--alarm", hint=error.hint) from None
    codes = set()
    for word in words.split(","):
        try:
            code = attribute.encode(word.strip())
        except LabelError:
            code = UNKNOWN
        if code == UNKNOWN:
            raise DataError(
                f"{attribute.name} has no value '{word.strip()}'; {did_you_mean(word.strip(), attribute.values)}",
                location="--alarm",
            )
        codes.add(code)
    if len(codes) == len(attribute.values):
        raise DataError("every value deserves an alarm, so that none says anything", location="--alarm")
    return Alarm(attribute, tuple(sorted(codes)))


def load_alarm_photos(
    sources: Sequence[Path],
    alarm: str,
    schema: LabelSchema | None = None,
    codes: Mapping[str, Mapping[str, str] | str] | None = None,
) -> AlarmPhotos:
    """Reads the photos of a run, of a table with a column `truth`, or of a table and a truth.

    Args:
        sources: A run, or a table; or the truth and a table.
        alarm: As for `parse_alarm`.
        schema: Label schema of the table; by default the run's, or the one that fits the table's number of classes.
        codes: Meanings of codes in the truth, as in `data.label_codes`.

    Returns:
        The photos whose attribute is known.

    Raises:
        DataError: A file is missing or unreadable, or photos of the truth have no prediction.
    """
    path = sources[-1]
    if len(sources) == 1:
        if path.is_dir() and not is_run_dir(path):
            raise explain_no_run(path)
        return _of_labeled(path, alarm, schema)
    table = read_table(path)
    schema = schema or _find_schema(table.probabilities.shape[1], alarm, path)
    if schema.num_classes != table.probabilities.shape[1]:
        raise DataError(
            f"the table has {table.probabilities.shape[1]} classes, and the label schema {schema.num_classes}",
            location=path,
            hint="name the label schema of the model that made it with --schema",
        )
    return _of_truth(sources[0], table, path, schema, parse_alarm(alarm, schema), codes)


def _of_labeled(path: Path, alarm: str, schema: LabelSchema | None) -> AlarmPhotos:
    """The photos of a run's out-of-fold table, or of another table with a column `truth`."""
    aligned = load_aligned_tables([path], schema)
    parsed = parse_alarm(alarm, aligned.schema)
    if aligned.truth is None:
        raise DataError(
            "this table has no column truth",
            location=path,
            hint=f"name the truth before it: maskfit evaluate thresholds TRUTH {path} --alarm {alarm}",
        )
    name = parsed.attribute.name
    codes = aligned.schema.to_attribute_indices(aligned.truth)[:, aligned.schema.names.index(name)]
    return _select(parsed, aligned.schema.marginals(aligned.members[0])[name], codes, aligned.persons, aligned.warnings)


def _of_truth(
    truth: Path,
    table: ProbabilityTable,
    path: Path,
    schema: LabelSchema,
    alarm: Alarm,
    codes: Mapping[str, Mapping[str, str] | str] | None,
) -> AlarmPhotos:
    meanings = {name: value if isinstance(value, str) else dict(value) for name, value in (codes or {}).items()}
    attribute_alone = LabelSchema(attributes=(alarm.attribute,))
    file = find_truth(truth, [path], attribute_alone, meanings)
    persons: tuple[str, ...] | None = None
    if not file.is_dir() and is_submission(file):
        known = read_truth(file, schema, meanings)
        column = schema.names.index(alarm.attribute.name)
        truth_codes = schema.to_attribute_indices(list(known.classes.values()))[:, column]
    else:
        # Other attributes may be unknown: only this one is judged.
        known = read_truth(file, attribute_alone, meanings)
        truth_codes = np.array(list(known.classes.values()), dtype=np.int64)
        person_of = {item.name: item.person for item in read_photos(file, attribute_alone, meanings, must_exist=False)}
        persons = tuple(person_of[name] for name in known.classes)
    rows, remarks = match_names(known.names, {name: index for index, name in enumerate(table.names)})
    notes = [*known.notes, *remarks]
    if known.unlabeled:
        rows = {name: row for name, row in rows.items() if name not in known.unlabeled}
        notes.append(f"photos of the truth without this label, which take no part: {len(known.unlabeled):,}")
    try:
        order = align_predictions(list(known.classes), rows)
    except DataError as error:
        raise DataError(error.message, location=f"{path}, against {file}", hint=error.hint) from None
    return _select(
        alarm, schema.marginals(table.probabilities[order])[alarm.attribute.name], truth_codes, persons, notes
    )


def _select(
    alarm: Alarm,
    probabilities: FloatArray,
    truth: NDArray[np.int64],
    persons: Sequence[str] | None,
    notes: Sequence[str],
) -> AlarmPhotos:
    """The photos whose label is known."""
    known = truth != UNKNOWN
    if not known.any():
        raise DataError(f"{alarm.attribute.name} of no photo is known", hint="give photos with this label")
    lines = [*notes]
    if not known.all():
        lines.append(f"photos without this label, which take no part: {int((~known).sum()):,}")
    chosen = None if persons is None else tuple(person for person, keep in zip(persons, known, strict=True) if keep)
    return AlarmPhotos(alarm, probabilities[known], truth[known], chosen, tuple(lines))


def _find_schema(num_classes: int, alarm: str, path: Path) -> LabelSchema:
    """The label schema of a table: the one of this number of classes that has the alarm's attribute."""
    name = alarm.partition("=")[0].strip()
    fitting = [known for known in LABEL_SCHEMAS.values() if known.num_classes == num_classes and name in known.names]
    if len(fitting) != 1:
        raise DataError(
            f"which label schema this table of {num_classes} classes has is not clear",
            location=path,
            hint=f"add --schema: {', '.join(LABEL_SCHEMAS)}, or the recipe file, run or model that has it",
        )
    return fitting[0]
