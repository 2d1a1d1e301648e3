"""Label Studio's exports: JSON, JSON-MIN and CSV.

Each control of the labeling interface (`<Choices name="mask">`) is a label. Two annotators of a task are two rows,
which are merged: labels that they disagree about stay empty and are listed. Skipped tasks are `was_cancelled` in
JSON and missing in the other two. JSON-MIN and CSV have plain text for one choice and JSON for several, in one
column. Uploaded photos have a hash before their name (`8f3a1c01-a.jpg`), which `PhotoFinder` ignores. Checked
against label-studio-sdk 2.1.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

from maskfit.data.importers.box_rows import BoxRows
from maskfit.data.importers.interface import (
    ANY,
    Box,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.label_studio_tasks import Answer, Task, read_json_tasks, read_min_tasks
from maskfit.data.importers.named_words import is_other_band
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.file_io import iter_csv, read_json
from maskfit.text import format_count

SKIPPED = "the task was skipped by an annotator (was_cancelled)"
NO_ANNOTATION = "the task has no annotation"
NO_PHOTO = "the task names no photo"
EMPTY = "the annotation has no label"
NO_LABEL = "the box has no label"


class LabelStudioImporter:
    """Label Studio's exports."""

    title: ClassVar[str] = "Label Studio: JSON, JSON-MIN or CSV export"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has an export of Label Studio.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a file has the fields of an export.
        """
        return Confidence.SURE if _export_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all exports in the source.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per annotation, or per labeled box of one.

        Raises:
            DataError: A file is no export.
        """
        result = RawImport(files=_export_files(source) or list(source.with_suffix(".json", ".csv")))
        rows = BoxRows(result, may_be_fractions=False)
        finder = options.photo_finder(source)
        controls = _Controls(options.words)
        annotators: Counter[str] = Counter()
        has_full_json = False
        for file in result.files:
            tasks, is_full = _read_tasks(source, file)
            has_full_json |= is_full
            for task in tasks:
                if not task.photo:
                    result.left_out.append(LeftOut(f"{file} {task.location}", NO_PHOTO))
                    continue
                photo, reason = finder.find(task.photo, file)
                if photo is None:
                    result.left_out.append(LeftOut(f"{file} {task.location}: {task.photo}", reason))
                    continue
                if not task.answers:
                    result.left_out.append(LeftOut(f"{file} {task.location}", NO_ANNOTATION))
                for answer in task.answers:
                    location = f"{task.location} by {answer.annotator}" if answer.annotator else task.location
                    if answer.is_skipped:
                        result.left_out.append(LeftOut(location, SKIPPED))
                        continue
                    regions = controls.read(answer)
                    if not regions:
                        result.left_out.append(LeftOut(location, EMPTY))
                        continue
                    annotators[answer.annotator] += 1
                    for region in regions:
                        if region.box is None:
                            result.rows.append(RawRow(photo, location, region.labels, task.person))
                        elif region.labels:
                            rows.add(photo, location, region.labels, region.box, region.size, task.person)
                        else:
                            edges = ", ".join(f"{edge:g}" for edge in region.box)
                            result.left_out.append(LeftOut(f"{location} box {edges}", NO_LABEL))
        rows.finish()
        result.note_photos_without_row(finder)
        result.notes += controls.notes()
        if len(annotators) > 1:
            listed = ", ".join(f"{name or '?'} ({count:,})" for name, count in annotators.most_common())
            result.notes.append(f"{format_count(len(annotators), 'annotator')}: {listed}")
        if not has_full_json:
            result.notes.append("skipped tasks are missing in JSON-MIN and CSV; the export as JSON lists them")
        return result


class _Region(NamedTuple):
    """A box, or the whole photo: its edges in pixels, the size of the photo that it was drawn on, and its labels."""

    box: Box | None
    size: tuple[float, float] | None
    labels: list[tuple[str, str]]


class _Controls:
    """Finds the label of each control of the labeling interface, and counts those that are ignored."""

    def __init__(self, words: WordReader) -> None:
        self._words = words
        self._ignored: Counter[str] = Counter()
        self._used: dict[str, str] = {}
        self._unassigned = 0

    def read(self, answer: Answer) -> list[_Region]:
        """The labels of an annotation: of the whole photo, or of each box; none where nothing has a label."""
        whole: list[tuple[str, str]] = []
        boxes: dict[str, _Region] = {}
        for value in answer.values:
            if value.box is not None:
                boxes.setdefault(value.region, _Region(value.box, value.size, []))
        for value in answer.values:
            labels = self._read_words(value.control, value.words)
            (boxes[value.region].labels if value.region in boxes else whole).extend(labels)
        if len(boxes) > 1 and whole:
            # Which of the faces a label of the whole photo means is unknown.
            self._unassigned += 1
            whole = []
        regions = [_Region(box, size, [*labels, *whole]) for box, size, labels in boxes.values()]
        if not boxes:
            regions = [_Region(None, None, whole)]
        return regions if any(region.labels for region in regions) else []

    def _read_words(self, control: str, words: tuple[str, ...]) -> list[tuple[str, str]]:
        key = self._words.find_key(control)
        if key is not None:
            self._used[control] = key
            return [(key, word) for word in words]
        # A control of another name is a label if one of its words is; then its other words are asked for.
        labels = [word for word in words if not is_other_band(self._words, control, word)]
        is_label = control in self._used or any(map(self._words.knows_alone, labels))
        self._ignored[control] += len(labels if is_label else []) < len(words)
        if is_label:
            self._used[control] = ANY
            return [(ANY, word) for word in labels]
        return []

    def notes(self) -> list[str]:
        """Which controls were ignored, and which labels could not be assigned to a box."""
        ignored = [f"{name} ({count:,})" for name, count in self._ignored.items() if count]
        notes = [f"controls or columns that hold no label, ignored: {', '.join(ignored)}"] if ignored else []
        if self._unassigned:
            photos = format_count(self._unassigned, "photo")
            notes.append(f"labels of the whole photo, ignored where it has several boxes: {photos}")
        return notes


def _read_tasks(source: ImportSource, file: str) -> tuple[Iterator[Task], bool]:
    """The tasks of an export, and whether it is the full JSON, which has skipped tasks as well."""
    path = source.root / file
    if file.lower().endswith(".csv"):
        return read_min_tasks(iter_csv(path, ()), "row", 2), False
    content = read_json(path)
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list) or not all(isinstance(item, Mapping) for item in content):
        raise DataError("this is no list of tasks", location=path, hint="export as JSON, JSON-MIN or CSV")
    if any("annotations" in item or "completions" in item for item in content):
        return read_json_tasks(content), True
    return read_min_tasks(content, "item", 0), False


def _export_files(source: ImportSource) -> list[str]:
    """Files with the fields of an export."""
    files = []
    for name in source.with_suffix(".json"):
        head = source.head(name)
        full = ('"annotations"' in head or '"completions"' in head) and '"data"' in head and '"result"' in head
        if head.lstrip()[:1] == "[" and (full or ('"annotation_id"' in head and '"lead_time"' in head)):
            files.append(name)
    for name in source.with_suffix(".csv", ".tsv"):
        header = source.head(name).partition("\n")[0]
        if "annotation_id" in header and "lead_time" in header:
            files.append(name)
    return files
