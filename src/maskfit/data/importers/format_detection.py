"""Finds the format of a source: asks every import format how sure it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from maskfit.data.competition_layout import FOLDER_REGEX
from maskfit.data.data_problems import find_file_hint
from maskfit.data.importers.interface import Confidence, Importer
from maskfit.data.importers.other_exports import explain_export
from maskfit.data.importers.plain_table import explain_table
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.text import format_count

NAME_FORMATS = ("folders", "flat")
"""Formats that read the names of photos and folders alone."""

WRONG_TYPES = (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""What an importer meets where a JSON has a list in place of a mapping, or a number in place of a text."""


def find_formats(source: ImportSource, importers: Mapping[str, Importer], words: WordReader) -> dict[str, Confidence]:
    """Asks every format how sure it is.

    Args:
        source: The source.
        importers: Formats by name.
        words: What the user says that words mean.

    Returns:
        The formats that are possible, with their confidence.
    """
    found = {name: _detect(importer, source, words) for name, importer in importers.items()}
    return {name: confidence for name, confidence in found.items() if confidence is not Confidence.NO}


def _only_table(source: ImportSource) -> ImportSource:
    """The only CSV of a folder without other label files, as a source of its own; else the source itself."""
    tables = source.with_suffix(".csv", ".tsv") if source.is_folder else ()
    return ImportSource(source.root / tables[0]) if len(tables) == 1 == len(source.other_files) else source


def _detect(importer: Importer, source: ImportSource, words: WordReader) -> Confidence:
    try:
        return importer.detect(source, words)
    except WRONG_TYPES:
        return Confidence.NO


def detect_format(source: ImportSource, importers: Mapping[str, Importer], words: WordReader) -> str:
    """Finds the format of a source.

    Args:
        source: The source.
        importers: Formats by name.
        words: What the user says that words mean.

    Returns:
        The name of the only format that it certainly has.

    Raises:
        DataError: It has several, or none for sure.
    """
    found = find_formats(source, importers, words)
    sure = [name for name, confidence in found.items() if confidence is Confidence.SURE]
    if len(sure) == 1:
        return sure[0]
    if any(FOLDER_REGEX.fullmatch(name.removeprefix("images/").partition("/")[0]) for name in source.photos):
        raise DataError(
            "this is the competition's layout, which needs no import",
            location=source.path,
            hint=f"use the folder as it is: maskfit data check {shlex.quote(str(source.path))}; or name a --format",
        )
    if not sure and (refusal := explain_export(source)):
        raise refusal
    # What an annotation tool wrote beside the photos says more than the words in their names.
    candidates = sorted(sure or found, key=NAME_FORMATS.__contains__)
    if len(candidates) == 1 and candidates[0] not in NAME_FORMATS:
        # It then says what of its label files it cannot read.
        return candidates[0]
    if not candidates:
        if refusal := explain_table(_only_table(source), words.schema):
            raise refusal
        known = ", ".join(importers)
        photos, others = format_count(len(source.photos), "photo"), format_count(len(source.other_files), "other file")
        content = f"{photos} and {others}"
        hint = f"name the format with --format: {known}; or write a CSV with the columns path,person,mask,gender,age"
        if not source.photos:
            hint = find_file_hint(source.other_files) or hint
        raise DataError(
            f"this is none of the formats that can be imported ({content})", location=source.path, hint=hint
        )
    listed = ", ".join(f"{name} ({importers[name].title})" for name in candidates)
    raise DataError(
        f"the format is not certain; it may be {listed}",
        location=source.path,
        hint=f"name it: --format {candidates[0]}",
    )
