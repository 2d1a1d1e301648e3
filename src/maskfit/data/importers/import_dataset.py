"""Imports a source: finds its format, reads its words, merges rows of one photo, and writes the manifest."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskfit.data.image_lists import check_entry_name
from maskfit.data.importers.box_rows import note_faces_boxed_twice
from maskfit.data.importers.format_detection import WRONG_TYPES, detect_format
from maskfit.data.importers.interface import Importer, ImportOptions, LeftOut, RawImport, RawRow
from maskfit.data.importers.path_writer import PathWriter
from maskfit.data.importers.photo_finder import NOT_DOWNLOADED, NOT_FOUND, SEVERAL_NAMES
from maskfit.data.importers.photo_notes import note_names, note_parts
from maskfit.data.importers.row_merger import SHOWN_FILES, Disagreement, ImportedRow, RowMerger
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.word_reader import NO_LABEL, CodeReading, WordReader
from maskfit.data.manifest_columns import PERSONS_COLUMN, REPEAT_COLUMN
from maskfit.errors import DataError, did_you_mean
from maskfit.file_io import write_csv
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count

BOX_COLUMNS = ("left", "upper", "right", "lower")
"""Columns of a face's box in a manifest."""

OTHER_IMAGES = frozenset({".gif", ".tif", ".tiff", ".avif", ".jfif", ".jpe", ".jp2", ".svg", ".ppm", ".pgm", ".heif"})
"""Suffixes of images that are no photos for maskfit; they are counted."""

VERSION_NAME = re.compile(r"([^/\\]+)\.rf\.[0-9A-Za-z]+\.\w+$")
"""Name of a photo that Roboflow exported, `NAME_jpg.rf.HASH.jpg`; augmented versions of a photo differ in the hash."""

MISSING_PHOTO = (NOT_FOUND, NOT_DOWNLOADED, SEVERAL_NAMES)
"""Reasons that another folder of photos may mend, as do those of names that several photos have."""

SKIPPED_WORD = "left out by --map"
NOT_UTF8_PERSON = "the person is not UTF-8 text"
UNREADABLE_VALUE = "a value out of range"


@dataclass(frozen=True, slots=True)
class ImportedDataset:
    """An imported source.

    Attributes:
        source: The source.
        format: Name of its format.
        rows: Rows of the manifest, in the order of the source.
        names: Attributes with at least one label, in the order of the label schema.
        codes: How each word was read.
        left_out: What was left out, with reasons.
        disagreements: Labels that rows of one photo disagree about.
        notes: How the source was read, one line each.
        unused_maps: Items of `maps` whose word no row has.
        files: Files of the source that an import must not replace.
    """

    source: Path
    format: str
    rows: tuple[ImportedRow, ...]
    names: tuple[str, ...]
    codes: tuple[CodeReading, ...]
    left_out: tuple[LeftOut, ...]
    disagreements: tuple[Disagreement, ...]
    notes: tuple[str, ...]
    unused_maps: tuple[str, ...]
    files: tuple[Path, ...]

    def count_labels(self) -> dict[str, int]:
        """Returns the number of rows with a label, by attribute."""
        return {name: sum(name in row.labels for row in self.rows) for name in self.names}

    def count_left_out(self) -> dict[str, list[LeftOut]]:
        """Returns what was left out by reason, the most frequent reason first."""
        groups: dict[str, list[LeftOut]] = {}
        for item in self.left_out:
            groups.setdefault(item.reason, []).append(item)
        return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _read(importer: Importer, format: str, source: ImportSource, options: ImportOptions) -> RawImport:
    """Reads a source; a value of a type that the format does not have is an error of the file.

    Raises:
        DataError: As the importer, or for such a value.
    """
    try:
        return importer.read(source, options)
    except WRONG_TYPES as error:
        raise DataError(
            f"a label file is not in the form of {format}: {type(error).__name__}: {error!s:.200}",
            location=source.path,
            hint="export it again, or name another format with --format",
        ) from error


def import_dataset(
    path: Path,
    importers: Mapping[str, Importer],
    schema: LabelSchema,
    *,
    format: str | None = None,
    maps: Sequence[str] = (),
    images: Path | None = None,
    person: str | None = None,
    majority: bool = False,
) -> ImportedDataset:
    """Imports a source.

    Args:
        path: A folder or file.
        importers: Formats by name.
        schema: The label schema; mask, gender and age are read besides.
        format: Name of the format; found from the source by default.
        maps: Meanings of words, each as `[KEY:]WORD=VALUE` (`word_reader`).
        images: Folder of the photos, where they are not in the source.
        person: Regular expression that is searched for in the path of each photo, relative to the source; its first
            group, or all of it, is the person. By default the format says who is on a photo.
        majority: Whether the label of most rows counts where rows of one photo differ; else it stays empty.

    Returns:
        The rows, and how they were read.

    Raises:
        DataError: The format is unknown, a word has no meaning, or there is no label at all.
    """
    source = ImportSource(path)
    if images is not None and not images.is_dir():
        reason = "is a file, not a folder" if images.exists() else "does not exist"
        raise DataError(f"the folder of the photos {reason}", location=images, hint="check the path of --images")
    if format is not None and format not in importers:
        raise DataError(f"the format '{format}' is unknown; {did_you_mean(format, importers)}", location="--format")
    format = format or detect_format(source, importers, WordReader(schema, maps=maps))
    importer = importers[format]
    words = WordReader(schema, importer.codes, maps)
    options = ImportOptions(words, images)
    raw = _read(importer, format, source, options)
    # Which of several names is a photo's is known once all were read.
    finds_less = [finder.settle() for finder in options.finders]
    if any(finds_less):
        raw = _read(importer, format, source, options)
    notes = [*raw.notes, *note_names(raw, options.finders)]
    notes += [
        f"{name} is ignored: labels of a sample submission are placeholders" for name in source.sample_submissions
    ]
    if person is not None:
        notes.append(_find_persons(raw, person, images or source.root))
    notes += [*note_parts(raw, images or source.root), *_group_versions(raw)]
    merger = RowMerger(words.schema, majority)
    left_out = list(raw.left_out)
    reader = _LabelReader(words)
    for row in raw.rows:
        labels, reason = reader.read(row)
        reason = reason or _check_writable(row, images or source.root)
        if reason:
            left_out.append(LeftOut(row.location, reason))
        else:
            merger.add(row, labels)
    unused = words.finish()
    notes += [*(f"--map {item}: no row has this word" for item in unused), *_note_unread(source, raw)]
    rows, disagreements = merger.finish(notes)
    disagreements = [*reader.contradictions, *disagreements]
    if not any(row.person or PERSONS_COLUMN in row.extra for row in rows):
        notes.append(
            "nobody says who is on the photos; where a person has several, folds may leak (--person, see --help)"
        )
    notes += [*note_faces_boxed_twice((row.photo, row.box) for row in rows), *_note_single_values(rows)]
    notes += _note_none(words)
    known = {name for row in rows for name in row.labels}
    if not known:
        notes = [f"labels that differ and stay empty: {len(disagreements):,}"] if disagreements else []
        raise _no_labels(path, format, replace(raw, notes=[*raw.notes, *notes]), left_out, images)
    return ImportedDataset(
        source=path,
        format=format,
        rows=tuple(rows),
        names=tuple(name for name in words.schema.names if name in known),
        codes=tuple(words.table()),
        left_out=tuple(left_out),
        disagreements=tuple(disagreements),
        notes=tuple(notes),
        unused_maps=unused,
        files=tuple(source.root / name for name in raw.files),
    )


def _check_writable(row: RawRow, root: Path) -> str:
    """The reason to leave out a row that a manifest cannot hold; "" for one that it can."""
    parts, outer = row.photo.parts, root.parts
    below = parts[len(outer) :] if parts[: len(outer)] == outer else parts[-1:]
    if problem := next(filter(None, map(check_entry_name, below)), ""):
        return problem
    try:
        row.person.encode()
    except UnicodeEncodeError:
        return NOT_UTF8_PERSON
    return ""


def write_manifest(dataset: ImportedDataset, target: Path) -> Path:
    """Writes an imported dataset as a manifest.

    Args:
        dataset: The dataset.
        target: The CSV; paths of photos are relative to its folder where they are below it or beside it.

    Returns:
        The path.

    Raises:
        DataError: The target is a file of the source.
    """
    resolved = target.resolve()
    if any(resolved == file.resolve() for file in (*dataset.files, dataset.source)):
        raise DataError("this is a file of the source", location=target, hint="choose another file for --out")
    has_person = any(row.person for row in dataset.rows)
    has_box = any(row.box for row in dataset.rows)
    extra = [name for name in (PERSONS_COLUMN, REPEAT_COLUMN) if any(name in row.extra for row in dataset.rows)]
    header = ["path", *(["person"] if has_person else []), *dataset.names, *(BOX_COLUMNS if has_box else ()), *extra]
    paths = PathWriter(target.parent)

    def cells(row: ImportedRow) -> list[str]:
        written = [paths.write(row.photo), *([row.person] if has_person else [])]
        written += [row.labels.get(name, "") for name in dataset.names]
        if has_box:
            written += [f"{edge:g}" for edge in row.box] if row.box else [""] * len(BOX_COLUMNS)
        for name in extra:
            cell = row.extra.get(name, "")
            written.append(paths.write(Path(cell)) if cell and name == PERSONS_COLUMN else cell)
        return written

    return write_csv(target, header, (cells(row) for row in dataset.rows))


def _find_persons(raw: RawImport, pattern: str, root: Path) -> str:
    """Sets the persons of rows by a pattern of their photos' paths; returns a note with what was found."""
    try:
        regex = re.compile(pattern)
    except re.error as error:
        hint = "such as --person '^([^/]+)/' for the outermost folder, or --person '([^/_]+)_[^/]*$' for names"
        raise DataError(f"'{pattern}' is no regular expression: {error}", location="--person", hint=hint) from None
    prefix = len(os.fspath(root)) + 1
    counts: Counter[str] = Counter()
    for number, row in enumerate(raw.rows):
        path = os.fspath(row.photo)
        match = regex.search(path[prefix:] if path.startswith(os.fspath(root)) else path)
        found: str | None = (match[1] if regex.groups else match[0]) if match else None
        if found:
            counts[found] += 1
            extra = {name: cell for name, cell in row.extra.items() if name != PERSONS_COLUMN}
            raw.rows[number] = replace(row, person=found, extra=extra)
    if not counts:
        first = os.fspath(raw.rows[0].photo)[prefix:] if raw.rows else "missing"
        hint = f"the path of the first photo is {first}"
        raise DataError(f"'{pattern}' matches no photo's path", location="--person", hint=hint)
    shown = ", ".join(list(counts)[:3])
    of_rows = f"{counts.total():,} of {format_count(len(raw.rows), 'row')}"
    return f"persons are read from the paths of {of_rows}: {format_count(len(counts), 'person')}, such as {shown}"


def _group_versions(raw: RawImport) -> list[str]:
    """Makes one person of the versions of a photo, which show the same faces, where nobody says who is on them."""
    versions: dict[str, set[str]] = {}
    names: dict[int, str] = {}
    for number, row in enumerate(raw.rows):
        match = VERSION_NAME.search(os.fspath(row.photo))
        if match:
            names[number] = match[1]
            versions.setdefault(match[1], set()).add(os.fspath(row.photo))
    photos = sum(map(len, versions.values()))
    if photos == len(versions) or any(row.person or PERSONS_COLUMN in row.extra for row in raw.rows):
        return []
    for number, name in names.items():
        raw.rows[number] = replace(raw.rows[number], person=name)
    return [
        f"{photos:,} photos are augmented versions of {len(versions):,}, by their names (.rf.); versions of one photo "
        "count as one person, so that they stay on one side of a split; --person says it otherwise"
    ]


class _LabelReader:
    """Reads the words of rows, and collects rows whose words contradict each other."""

    def __init__(self, words: WordReader) -> None:
        self.words = words
        self.contradictions: list[Disagreement] = []

    def read(self, row: RawRow) -> tuple[dict[str, str], str]:
        """The cells of a row, and why it is left out; of two cells that agree, years and the band, the first counts."""
        labels: dict[str, str] = {}
        against: dict[str, list[str]] = {}
        reason = ""
        for key, word in row.labels:
            if not word:
                continue
            reading = self.words.read(key, word)
            if reading.skip:
                reason = reason or SKIPPED_WORD
            elif reading.is_invalid:
                reason = reason or f"{UNREADABLE_VALUE}: {reading.problem.partition(', got')[0]}"
            for name, cell in reading.labels.items():
                first = labels.setdefault(name, cell)
                if first != cell and not self._may_agree(name, first, cell):
                    against.setdefault(name, [first]).append(cell)
        if not reason:
            for name, cells in against.items():
                del labels[name]
                readings = tuple((row.location, cell) for cell in cells)
                self.contradictions.append(Disagreement(row.photo, name, readings, row.box))
        return labels, reason

    def _may_agree(self, name: str, one: str, other: str) -> bool:
        attribute = self.words.schema[name]
        return bool((attribute.allowed_mask(one) & attribute.allowed_mask(other)).any())


def _note_single_values(rows: Sequence[ImportedRow]) -> list[str]:
    """Notes on attributes that have the same value in all rows: half of the source may be missing."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, cell in row.labels.items():
            values.setdefault(name, set()).add(cell)
    single = {name: next(iter(cells)) for name, cells in values.items() if len(cells) == 1}
    return [f"{name} is {cell} wherever it is known" for name, cell in single.items() if len(rows) > 1]


def _note_none(words: WordReader) -> list[str]:
    """Notes on `None` that is read as a value, as `data check` has a warning on it in a table."""
    notes = []
    for code in words.table():
        if code.word.casefold() == "none" and code.how == "spelling" and code.meaning not in ("no label", "left out"):
            key = "" if code.key == "any" else f"{code.key}:"
            rows = format_count(code.count, "row")
            notes.append(
                f"'{code.word}' is read as {code.meaning} ({rows}), but Python writes it for an empty cell too; where "
                f"it has no label, --map {key}{code.word}={NO_LABEL}"
            )
    return notes


def _note_unread(source: ImportSource, raw: RawImport) -> list[str]:
    """Notes on label files of the source, and on photos in other formats, that were not read."""
    suffixes = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".manifest", ".xml", ".xlsx", ".mat", ".parquet")
    unread = [name for name in source.with_suffix(*suffixes) if name not in raw.files] if source.is_folder else []
    notes = []
    if unread:
        shown = ", ".join(unread[:SHOWN_FILES]) + (", ..." if len(unread) > SHOWN_FILES else "")
        files = format_count(len(unread), "file that may hold labels was", "files that may hold labels were")
        notes.append(f"{files} not read: {shown}")
    others = Counter(Path(name).suffix.lower() for name in source.other_files) if source.is_folder else Counter()
    images = {suffix: count for suffix, count in others.items() if suffix in OTHER_IMAGES}
    if images:
        listed = ", ".join(f"{suffix} ({count:,})" for suffix, count in images.items())
        notes.append(f"images in formats that maskfit does not read: {listed}")
    return notes


def _no_labels(path: Path, format: str, raw: RawImport, left_out: Sequence[LeftOut], images: Path | None) -> DataError:
    reasons = Counter(item.reason for item in left_out)
    listed = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(4))
    message = f"the import as {format} gives no label at all, of {format_count(len(raw.rows), 'row')}"
    listed = "; ".join((f"left out: {listed}" if listed else "", *raw.notes)).strip("; ")
    hint = "check that the format is right, and name another with --format"
    if any("--map" in reason for reason in reasons) and len(reasons) == 1:
        hint = "map at least one word to a value"
    if any(reason in MISSING_PHOTO or reason.startswith("several photos") for reason in reasons):
        hint = "give the folder of the photos with --images DIR"
        if images is not None:
            hint = f"compare the names in the labels with those of the files in {images}, or name another --images"
    return DataError(message + (f"; {listed}" if listed else ""), location=path, hint=hint)
