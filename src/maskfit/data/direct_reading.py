"""Reads folders of photos as they are, where names say the labels, and says how to import everything else."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskfit.data.competition_layout import (
    FOLDER_PATTERN,
    FOLDER_REGEX,
    STEMS,
    find_person,
    find_person_dirs,
    scan_layout,
)
from maskfit.data.data_problems import DataProblem, find_file_hint
from maskfit.data.importers import IMPORTERS, ImportedDataset, import_dataset
from maskfit.data.importers.format_detection import find_formats
from maskfit.data.importers.interface import Confidence
from maskfit.data.importers.other_exports import explain_export
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.label_codes import CLASS_COLUMNS, CODES_HINT, CodesOption, check_codes_names
from maskfit.data.manifest_columns import find_columns
from maskfit.data.photo_dataset import Photo, PhotoDataset, read_label
from maskfit.data.unused_codes import find_unused_words
from maskfit.errors import DataError
from maskfit.file_io import iter_csv
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count

DIRECT_FORMATS = ("folders", "flat", "utkface")
"""Formats whose names say all that there is, so that nothing has to be imported."""

MAX_SHOWN = 20
"""Files left out that are listed one by one; the others are counted."""

LABEL_SUFFIXES = (".json", ".jsonl", ".xml", ".tsv", ".xlsx", ".xls", ".parquet", ".mat")
"""Suffixes of files that may hold labels, besides .csv."""

MAX_MAPS = 6
"""Unknown folder names that a command lists one by one; the others are `*`."""

MAP_OPTION = ("--map", "data.codes (--map of data import) ")
"""The option of an import, which an error names, and what it is where a folder is read as it is."""

IMPORT_COMMAND = "maskfit data import {source} {options}--out manifest.csv"


def scan_folder(
    root: Path, schema: LabelSchema, codes: CodesOption | None = None, *, must_use_codes: bool = True
) -> tuple[PhotoDataset, list[DataProblem]]:
    """Reads a folder in the competition's layout, or in one of `DIRECT_FORMATS`.

    Args:
        root: The folder.
        schema: The label schema.
        codes: Meanings of words and codes by attribute, as in `LabelCodes`.
        must_use_codes: As for `find_unused_codes`.

    Returns:
        The photos, and the problems; a fatal one with the next step where the folder is of no such form.
    """
    try:
        persons = any(
            FOLDER_REGEX.fullmatch(entry.name) and entry.is_dir() for entry in find_person_dirs(root).iterdir()
        )
    except OSError:
        persons = True
    if persons:
        return _scan_layout(root, schema, codes, must_use_codes)
    source = ImportSource(root)
    try:
        maps = _to_maps(codes, schema)
        words = WordReader(schema, maps=maps)
    except DataError as error:
        return _fail(root, "codes", error.message, CODES_HINT)
    found = find_formats(source, IMPORTERS, words)
    sure = [name for name, confidence in found.items() if confidence is Confidence.SURE]
    if len(sure) == 1 and sure[0] in DIRECT_FORMATS:
        return _read_direct(source, sure[0], schema, codes, must_use_codes)
    stems = {*STEMS} - {"normal"}
    if not sure and any("/" in name and Path(name).stem.lower() in stems for name in source.photos):
        nested = _find_nested_persons(source)
        return _fail(root, *nested) if nested else _scan_layout(root, schema, codes, must_use_codes)
    return _fail(root, *_find_next_step(source, found, schema))


def suggest_import(path: Path, schema: LabelSchema, *, is_manifest: bool = False) -> DataProblem | None:
    """Returns a problem that names the format and the command to import a file, where the format is certain.

    Args:
        path: A label file.
        schema: The label schema.
        is_manifest: Whether it has rows with mistakes of their own; a table of boxes is then no other format.

    Returns:
        A fatal problem; None where the file has none of the formats for sure, and is of no tool that is known.
    """
    importers = {name: importer for name, importer in IMPORTERS.items() if not (is_manifest and name == "boxes")}
    found = find_formats(ImportSource(path), importers, WordReader(schema))
    sure = [name for name, confidence in found.items() if confidence is Confidence.SURE]
    if not sure:
        refusal = explain_export(ImportSource(path))
        return DataProblem("fatal", "source", str(path), refusal.message, refusal.hint or "") if refusal else None
    message, hint = f"this is {IMPORTERS[sure[0]].title}, not a manifest", _import_hint(path, sure)
    return DataProblem("fatal", "source", str(path), message, hint)


def _scan_layout(
    root: Path, schema: LabelSchema, codes: CodesOption | None, must_use: bool
) -> tuple[PhotoDataset, list[DataProblem]]:
    """Reads the competition's layout, in which no word or code needs a meaning."""
    dataset, problems = scan_layout(root, schema)
    given = [(name, str(word)) for name, of in (codes or {}).items() if isinstance(of, Mapping) for word in of]
    return dataset, [*problems, *find_unused_words(codes, given, (), "the competition's layout", must_use=must_use)]


def _read_direct(
    source: ImportSource, format: str, schema: LabelSchema, codes: CodesOption | None, must_use: bool
) -> tuple[PhotoDataset, list[DataProblem]]:
    """Imports a folder without writing a manifest."""
    root = source.root
    maps = _to_maps(codes, schema)
    try:
        dataset = import_dataset(root, schema, format=format, maps=list(maps))
    except DataError as error:
        return _fail(root, "labels", error.message, (error.hint or "").replace(*MAP_OPTION, 1))
    attributes = {name: WordReader(schema).schema[name] for name in dataset.names}
    photos = []
    for row in dataset.rows:
        name = row.photo.relative_to(root).as_posix()
        labels = {key: read_label(attributes[key], cell) for key, cell in row.labels.items()}
        photos.append(Photo(row.photo, name, row.person or find_person(row.photo.stem) or name, labels))
    notes = _describe(dataset)
    unused, words = [maps[item] for item in dataset.unused_maps], [code.word for code in dataset.codes]
    notes += find_unused_words(codes, unused, words, IMPORTERS[format].title, must_use=must_use)
    return PhotoDataset(root, tuple(photos), tuple(notes)), [*notes, *_list_left_out(dataset)]


def _describe(dataset: ImportedDataset) -> list[DataProblem]:
    """How a folder was read, as notes."""
    where = str(dataset.source)
    words = [code for code in dataset.codes if code.how != "number"]
    codes = ", ".join(f"{code.word} = {code.meaning} ({code.count:,})" for code in words[:MAX_SHOWN])
    more = ", ..." if len(words) > MAX_SHOWN else ""
    message = f"read as {IMPORTERS[dataset.format].title}; {codes}{more}"
    example = "mask: {with_mask: wear}"
    if words and words[0].meaning.count(" "):
        name, _, cell = words[0].meaning.split(", ")[0].partition(" ")
        value = cell.rpartition("(")[2].rstrip(")").partition(" or ")[0]
        example = f"{name}: {{{words[0].word}: {value}}}"
    hint = f"if that is wrong, say what is meant: data.codes={{{example}}} (as an option: --codes)"
    notes = [DataProblem("note", "format", where, message, hint)]
    hint = f"if that is not meant: {IMPORT_COMMAND.format(source=shlex.quote(where), options='')}"
    # The warning about persons comes from whoever reads the dataset, as for manifests; unused words are told apart.
    own = [note for note in dataset.notes if "nobody says" not in note and not note.startswith("--map ")]
    notes += [DataProblem("note", "format", where, note, hint) for note in own]
    for item in dataset.disagreements:
        cells = " and ".join(cell for _, cell in item.readings)
        message = f"the name says several values of {item.attribute}, {cells}; none is taken"
        notes.append(DataProblem("warning", "labels", item.photo.name, message, "rename the photo or its folder"))
    return notes


def _list_left_out(dataset: ImportedDataset) -> list[DataProblem]:
    """Warnings on photos that were not read, with a count where there are many of a kind."""
    problems = []
    for reason, items in dataset.count_left_out().items():
        for item in items[:MAX_SHOWN]:
            hint = "move it into a class folder, or correct its name; training leaves it out"
            problems.append(DataProblem("warning", "left out", item.location, reason, hint))
        if len(items) > MAX_SHOWN:
            message = f"{len(items) - MAX_SHOWN:,} more: {reason}"
            hint = f"list them: {IMPORT_COMMAND.format(source=shlex.quote(str(dataset.source)), options='--json ')}"
            problems.append(DataProblem("warning", "left out", str(dataset.source), message, hint))
    return problems


def _find_next_step(source: ImportSource, found: Mapping[str, Confidence], schema: LabelSchema) -> tuple[str, str, str]:
    """Kind, message and hint for a folder that is not read as it is."""
    sure = [name for name, confidence in found.items() if confidence is Confidence.SURE]
    quoted = shlex.quote(str(source.path))
    if len(sure) == 1:
        return (
            "format",
            f"this is {IMPORTERS[sure[0]].title}, which has to be imported",
            _import_hint(source.path, sure),
        )
    if sure:
        return "format", f"the format may be {' or '.join(sure)}", _import_hint(source.path, sure)
    if nested := _find_nested_persons(source):
        return nested
    if refusal := explain_export(source):
        return "format", refusal.message, refusal.hint or ""
    if not source.photos:
        files = f", only {format_count(len(source.other_files), 'other file')}" if source.other_files else ""
        hint = (
            f"give the folder that has the photos, or draw some to try: maskfit data synthesize {quoted} --persons 20"
        )
        if source.other_files:
            hint = "give the folder that has the photos (.jpg, .jpeg, .png, .webp, .bmp, .heic)"
            packed = [name for name in source.other_files if find_file_hint([name]) and not name.endswith(".txt")]
            if packed:
                hint += f"; of {packed[0]}: {find_file_hint(packed)}"
        return "empty", f"there are no photos here{files}", hint
    tables = source.with_suffix(".csv")
    if own := [name for name in tables if "/" not in name]:
        return _name_tables(source, own, schema)
    if found.get("folders") is Confidence.POSSIBLE:
        return _ask_for_words(source, schema)
    if found.get("flat") is Confidence.POSSIBLE:
        hint = IMPORT_COMMAND.format(source=quoted, options="--format flat ")
        return "format", "some file names have words that may be labels", hint
    if tables:
        # Such as train/metadata.csv of the Hugging Face hub: in the folder of the photos, whose names it has.
        return _name_tables(source, tables, schema)
    hint = (
        f"let the bundled model guess them: maskfit predict --images {quoted} --out guesses.csv; or write a CSV with "
        f"the columns path,{','.join(schema.names)}"
    )
    if unread := source.with_suffix(*LABEL_SUFFIXES):
        count = format_count(len(unread), "file that may hold labels is", "files that may hold labels are")
        message = f"{count} here, in no format that is read: {_list_names(unread)}"
        return "no labels", message, f"write a CSV with the columns path,{','.join(schema.names)} from it"
    return "no labels", f"nothing says the labels of the {format_count(len(source.photos), 'photo')} here", hint


def _name_tables(source: ImportSource, tables: Sequence[str], schema: LabelSchema) -> tuple[str, str, str]:
    """What to do about tables beside the photos; the most likely one is named first."""
    found = sorted(tables[:MAX_SHOWN], key=lambda name: _rank_table(source.path / name, schema))
    hint = f"check the table: maskfit data check {shlex.quote(str(source.path / found[0]))}"
    return "format", f"the photos are not in class folders, but there is {_list_names(found)}", hint


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _rank_table(path: Path, schema: LabelSchema) -> int:
    """The place of a table among those of a folder: labels first, then class indices, a list of photos, anything else.

    The classes of an evaluation list are placeholders.
    """
    try:
        columns = find_columns(list(next(iter_csv(path, ()), {})), schema)[0]
    except DataError:
        columns = None
    if columns is None:
        return 3
    return 0 if columns.labels or columns.bands else 1 if columns.number else 2


def _ask_for_words(source: ImportSource, schema: LabelSchema) -> tuple[str, str, str]:
    """What to do about class folders with unknown names."""
    try:
        import_dataset(source.path, schema, format="folders")
    except DataError as error:
        message = error.message
    else:
        message = "not every photo is in a class folder"
    words = WordReader(schema)
    folders = dict.fromkeys(part for name in source.photos for part in name.split("/")[-2:-1])
    unknown = [part for part in folders if not words.knows("", part)]
    options = "".join(f"--map {shlex.quote(f'{word}=skip')} " for word in unknown[:MAX_MAPS])
    options += "--map '*=skip' " if len(unknown) > MAX_MAPS else ""
    hint = IMPORT_COMMAND.format(source=shlex.quote(str(source.path)), options=f"--format folders {options}")
    if not unknown:
        return "labels", message, hint
    values = ", ".join(value for attribute in schema.attributes for value in attribute.values)
    if len(unknown) > MAX_MAPS and not any(words.knows("", part) for part in folders):
        message += "\n(if the folders are persons, their labels have to come from a table)"
    return "labels", message, f"{hint}; skip leaves its photos out: in its place write what the folder shows: {values}"


def _find_nested_persons(source: ImportSource) -> tuple[str, str, str] | None:
    """Where the person folders are, if they lie deeper."""
    places: dict[str, None] = {}
    for name in source.photos:
        parts = name.split("/")
        for number, part in enumerate(parts[:-1]):
            if FOLDER_REGEX.fullmatch(part):
                places["/".join(parts[:number])] = None
                break
    if not places:
        return None
    listed = ", ".join(places)
    hint = f"check that folder: maskfit data check {shlex.quote(str(source.path / next(iter(places))))}"
    return "folder", f"the person folders {FOLDER_PATTERN} are in {listed}", hint


def _import_hint(path: Path, formats: Sequence[str]) -> str:
    options = f"--format {formats[0]} " if len(formats) > 1 else ""
    return f"import it: {IMPORT_COMMAND.format(source=shlex.quote(str(path)), options=options)}"


def _to_maps(codes: CodesOption | None, schema: LabelSchema) -> dict[str, tuple[str, str]]:
    """Words that the user mapped with `data.codes`, as `--map` has them, with the column and word of each.

    Raises:
        DataError: A column is none of the schema.
    """
    attributes = {name.casefold(): name for name in WordReader(schema).schema.names}
    maps: dict[str, tuple[str, str]] = {}
    check_codes_names(codes or {}, (*attributes, *CLASS_COLUMNS))
    for name, meaning in (codes or {}).items():
        key = f"{attributes[name.casefold()]}:" if name.casefold() in attributes else ""
        if isinstance(meaning, Mapping):
            maps |= {f"{key}{word}={value}": (name, str(word)) for word, value in meaning.items()}
    return maps


def _fail(root: Path, kind: str, message: str, hint: str) -> tuple[PhotoDataset, list[DataProblem]]:
    return PhotoDataset(root, ()), [DataProblem("fatal", kind, str(root), message, hint)]
