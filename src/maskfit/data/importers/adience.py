"""Adience: tab-separated fold files with `user_id`, `original_image`, `face_id`, `age`, `gender`.

Source: https://talhassner.github.io/home/projects/Adience (`fold_0_data.txt` to `fold_4_data.txt`; photos are
`faces/USER/coarse_tilt_aligned_face.ID.IMAGE` or `aligned/USER/landmark_aligned_face.ID.IMAGE`). Ages are bands in
brackets, bare numbers or `None`; a user is the owner of an album, which is the best that the set says about
persons.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from maskfit.data.importers.interface import Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.photo_finder import NOT_FOUND, PhotoFinder
from maskfit.data.importers.word_reader import WordReader
from maskfit.file_io import iter_csv
from maskfit.text import format_count

COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")
PREFIXES = ("landmark_aligned_face", "coarse_tilt_aligned_face")


class AdienceImporter:
    """Adience."""

    title: ClassVar[str] = "Adience: tab-separated fold files"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"age": {"(25, 23)": ""}}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has Adience's fold files.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a text file has its columns.
        """
        return Confidence.SURE if _fold_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all fold files of the source.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per line whose photo exists.
        """
        result = RawImport(files=_fold_files(source) or list(source.with_suffix(".txt", ".csv", ".tsv")))
        finder = options.photo_finder(source)
        wrong_way_round = 0
        for file in result.files:
            for number, row in enumerate(iter_csv(source.root / file, COLUMNS), start=2):
                location = f"{file} row {number}"
                photo, reason = _find_photo(row, finder)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                wrong_way_round += row["age"] == "(25, 23)"
                labels = (("gender", row["gender"]), ("age", row["age"]))
                result.rows.append(RawRow(photo, location, labels, person=row["user_id"]))
        result.note_photos_without_row(finder)
        if wrong_way_round:
            result.notes.append(
                f"{format_count(wrong_way_round, 'age is', 'ages are')} (25, 23), which is no band, and no label; "
                "if 25-32 is meant, add --map 'age:(25, 23)=25-32'"
            )
        result.notes.append("a person is a user_id, the owner of an album, who may have photographed several people")
        return result


def _find_photo(row: Mapping[str, str], finder: PhotoFinder) -> tuple[Path | None, str]:
    """The aligned face of a row, by either of the two names that the set has for it."""
    reason = NOT_FOUND
    for prefix in PREFIXES:
        photo, why = finder.find(f"{row['user_id']}/{prefix}.{row['face_id']}.{row['original_image']}")
        if photo is not None:
            return photo, ""
        reason = why if why != NOT_FOUND else reason
    return None, reason


def _fold_files(source: ImportSource) -> list[str]:
    files = []
    for name in source.with_suffix(".txt", ".csv", ".tsv"):
        header = source.head(name).partition("\n")[0].replace(",", "\t").split("\t")
        if tuple(cell.strip() for cell in header[:5]) == COLUMNS:
            files.append(name)
    return files
