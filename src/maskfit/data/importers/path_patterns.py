"""Published sets of faces that say age, gender and person in the path of each photo alone: a pattern each.

- AFAD: `25/111/109073-0.jpg`, age and gender in folders, 111 for male and 112 for female
  (https://afad-dataset.github.io).
- FG-NET: `001A43a.JPG`, person and age, a letter where a person has several photos at one age.
- MORPH: `009055_1M54.JPG`, person, number of the photo, gender and age.
- AgeDB: `0_MariaCallas_35_f.jpg`, number of the photo, name, age and gender.
- CACD: `14_Aaron_Johnson_0001.jpg`, age (year of the photo less year of birth) and name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from maskfit.data.importers.interface import ANY, Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.word_reader import WordReader

SURE_FRACTION = 0.9
"""Fraction of paths on the pattern from which on the format is certain."""

OFF_PATTERN = "the name is off the pattern"


class PathPatternImporter:
    """A set whose labels are in the paths of its photos.

    Attributes:
        pattern: The end of a photo's path but for its suffix, with any of the groups `person`, `gender` and `age`.
    """

    title: ClassVar[str]
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"age": {}}
    pattern: ClassVar[re.Pattern[str]]

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that the paths have the pattern.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where nine in ten paths have it, with no label in place of the person.
        """
        if not source.is_folder or not source.photos:
            return Confidence.NO
        found = 0
        for name in source.photos:
            match = self._match(name)
            person = match.groupdict().get("person", "") if match else ""
            # In 25_with_mask_0001.jpg a label has the place of the person.
            found += match is not None and not words.knows(ANY, person)
        return Confidence.SURE if found >= SURE_FRACTION * len(source.photos) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads the paths of all photos.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo whose path has the pattern; all others are left out.
        """
        result = RawImport()
        for name in source.photos:
            match = self._match(name)
            if match is None:
                result.left_out.append(LeftOut(name, OFF_PATTERN))
                continue
            groups = match.groupdict()
            labels = [(key, groups[key]) for key in ("gender", "age") if groups.get(key)]
            result.rows.append(RawRow(source.root / name, name, labels, groups.get("person") or ""))
        return result

    def _match(self, name: str) -> re.Match[str] | None:
        return self.pattern.search(name.rpartition(".")[0])


class AfadImporter(PathPatternImporter):
    """AFAD."""

    title: ClassVar[str] = "AFAD: folders of ages, within them 111 for male and 112 for female"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"age": {}, "gender": {"111": "male", "112": "female"}}
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"(?:^|/)(?P<age>\d{2})/(?P<gender>11[12])/[^/]+$")


class FgNetImporter(PathPatternImporter):
    """FG-NET."""

    title: ClassVar[str] = "FG-NET: person and age in file names, 001A43a"
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"(?:^|/)(?P<person>\d{3})[Aa](?P<age>\d{2})[a-z]?$")


class MorphImporter(PathPatternImporter):
    """MORPH."""

    title: ClassVar[str] = "MORPH: person, gender and age in file names, 009055_1M54"
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:^|/)(?P<person>\d{5,6})_\d{1,2}(?P<gender>[MF])(?P<age>\d{2})$"
    )


class CacdImporter(PathPatternImporter):
    """CACD."""

    title: ClassVar[str] = "CACD: age and name in file names, 14_Aaron_Johnson_0001"
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"(?:^|/)(?P<age>\d{2})_(?P<person>[^/\d_][^/\d]*)_\d{4}$")


class AgeDbImporter(PathPatternImporter):
    """AgeDB."""

    title: ClassVar[str] = "AgeDB: name, age and gender in file names, 0_MariaCallas_35_f"
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:^|/)\d{1,6}_(?P<person>[^/\d_][^/_]*)_(?P<age>\d{1,3})_(?P<gender>[mf])$"
    )
