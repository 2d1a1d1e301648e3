"""Labels in file names: `000001_female_Asian_45_mask1.jpg`, `000001_mask1.jpg`, `no_mask_12.jpg`.

The first two are the competition's layout in one folder; they say who is on the photo. Other names are searched for
words that are values, in any place, only where the format is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from maskfit.data.competition_layout import FOLDER_REGEX, STEMS, find_person
from maskfit.data.importers.interface import (
    ANY,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.word_reader import WordReader
from maskfit.text import format_count

SHOWN_WORDS = 8
"""Ignored words that a note lists."""

NO_WORD = "no part of the name is a label"

MAX_WORD_PARTS = 4
"""Parts of a name that may be one word: `mask_weared_incorrect` has three."""


SHORT_WORDS = ("w_mask", "wo_mask", "w_o_mask")
"""Words that are asked for: without their first letters, all would be masks that are worn."""


class FlatImporter:
    """Labels in file names."""

    title: ClassVar[str] = "labels in file names"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"mask": STEMS}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that file names hold labels.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where every photo has the known pattern.
        """
        if not source.is_folder or not source.photos:
            return Confidence.NO
        if all(_read_known(name) is not None for name in source.photos):
            return Confidence.SURE
        some = source.photos[:: max(1, len(source.photos) // 50)]
        found = sum(bool(_find_words(PurePosixPath(name).stem, words)[0]) for name in some)
        return Confidence.POSSIBLE if found > len(some) / 2 else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads the names of all photos.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo whose name holds a label.
        """
        result = RawImport()
        known = 0
        ignored: Counter[str] = Counter()
        for name in source.photos:
            if read := _read_known(name):
                person, labels = read
                known += 1
            else:
                words, others = _find_words(PurePosixPath(name).stem, options.words)
                person, labels = "", [(ANY, word) for word in words]
                ignored.update(others)
            if labels:
                result.rows.append(RawRow(source.root / name, name, labels, person))
            else:
                result.left_out.append(LeftOut(name, NO_WORD))
        if ignored:
            listed = ", ".join(f"{word} ({count:,})" for word, count in ignored.most_common(SHOWN_WORDS))
            more = ", ..." if len(ignored) > SHOWN_WORDS else ""
            result.notes.append(f"other words in names, ignored: {listed}{more}")
        if known:
            names = format_count(known, "name has", "names have")
            result.notes.append(f"{names} the pattern ID_gender_race_age_photo or ID_photo; ID is the person")
        return result


def _read_known(name: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Person and labels of a name with the known pattern; None for other names."""
    stem = PurePosixPath(name).stem
    person = find_person(stem)
    if not person:
        return None
    photo = stem[stem.index(person) + len(person) + 1 :].lower()
    if photo not in STEMS:
        return None
    labels = [("mask", photo)]
    if match := FOLDER_REGEX.fullmatch(person):
        labels += [("gender", match["gender"]), ("age", match["age"])]
    return person, labels


def _find_words(stem: str, words: WordReader) -> tuple[list[str], list[str]]:
    """The words in a name that have a meaning, from left to right, the longest first, and those that have none."""
    parts = [
        part for part in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", stem) if part
    ]
    found: list[str] = []
    others: list[str] = []
    start = 0
    while start < len(parts):
        for end in range(min(len(parts), start + MAX_WORD_PARTS), start, -1):
            word = "_".join(parts[start:end])
            # A single letter in a name is seldom a gender.
            is_known = len(word) > 1 and not word.isdecimal() and words.knows(ANY, word)
            if is_known or word.casefold() in SHORT_WORDS:
                found.append(word)
                start = end
                break
        else:
            others += [parts[start]] if parts[start].isalpha() and len(parts[start]) > 1 else []
            start += 1
    return found, others
