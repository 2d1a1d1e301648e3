"""UTKFace: age, gender and race in file names, `[age]_[gender]_[race]_[date&time].jpg.chip.jpg`; gender 0 is male.

Source: https://susanqq.github.io/UTKFace (aligned and cropped faces: 23,707 files, of which 8 names are off the
pattern; in the wild: `.jpg` alone).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from maskfit.data.importers.interface import Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.word_reader import WordReader

NAME = re.compile(
    r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_(?P<date>\d{17})(?:\.jpg\.chip)?\.(?:jpe?g|png)", re.IGNORECASE
)
NAME_START = re.compile(r"\d{1,3}_[01]_[0-4]_\d{8,}")
_REASONS = (
    (re.compile(r"\d{1,3}_[01]_\d{6,}"), "the name has no race, so that its numbers are not certain"),
    (
        re.compile(r"\d{1,3}_[01]_[0-4]_\d{17} *(?:\.?jpg|\.?pg)?\.?chip|\d{1,3}_[01]_[0-4]_\d{17} "),
        "the name's ending is off the pattern",
    ),
    (re.compile(r"\d{1,3}_[01]_[0-4]_\d+"), "the name's date does not have 17 digits"),
)
OTHER_REASON = "the name is off the pattern age_gender_race_date.jpg.chip.jpg"

SURE_FRACTION = 0.9
"""Fraction of names on the pattern from which on the format is certain."""


class UTKFaceImporter:
    """UTKFace."""

    title: ClassVar[str] = "UTKFace: age_gender_race_date in file names"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"gender": {"0": "male", "1": "female"}, "age": {}}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that file names have UTKFace's pattern.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where nine in ten names have it.
        """
        if not source.is_folder or not source.photos:
            return Confidence.NO
        found = sum(NAME.fullmatch(name.rpartition("/")[2]) is not None for name in source.photos)
        if found >= SURE_FRACTION * len(source.photos):
            return Confidence.SURE
        return Confidence.POSSIBLE if found else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads the names of all photos.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo whose name has the pattern; all others are left out, with the reason.
        """
        result = RawImport()
        for name in source.photos:
            match = NAME.fullmatch(name.rpartition("/")[2])
            if match:
                labels = (("gender", match["gender"]), ("age", match["age"]))
                result.rows.append(RawRow(source.root / name, name, labels))
            else:
                file = name.rpartition("/")[2]
                reason = next((reason for regex, reason in _REASONS if regex.match(file)), OTHER_REASON)
                result.left_out.append(LeftOut(name, reason))
        names = [name for name in source.other_files if NAME_START.match(name.rpartition("/")[2])]
        result.left_out += [LeftOut(name, "the name's ending is off the pattern") for name in names]
        result.notes.append("race, the third number, is not imported; UTKFace does not say who is on the photos")
        return result
