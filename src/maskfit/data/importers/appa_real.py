"""APPA-REAL: `gt_avg_train.csv` and its siblings, with the real age of each photo, beside the photos' folders.

Each photo is there twice: `000000.jpg` as it was, which may show others too, and `000000.jpg_face.jpg`, its face turned
upright, with a margin. Source: https://chalearnlap.cvc.uab.cat/dataset/26/description/.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from maskfit.data.importers.interface import Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.photo_finder import NOT_FOUND, SEVERAL_NAMES, PhotoFinder
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.file_io import iter_csv
from maskfit.text import format_count

COLUMNS = ("file_name", "apparent_age_avg", "real_age")
PARTS = ("train", "valid", "test")
FACE_ENDING = "_face.jpg"


class AppaRealImporter:
    """APPA-REAL."""

    title: ClassVar[str] = "APPA-REAL: a CSV with file_name,apparent_age_avg,real_age"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"age": {}}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has APPA-REAL's label files.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a CSV has its columns.
        """
        return Confidence.SURE if source.tables_with(*COLUMNS) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads the real age of each photo, of its face where that is there.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per line whose photo exists.

        Raises:
            DataError: There is no such table.
        """
        result = RawImport(files=source.tables_with(*COLUMNS))
        if not result.files:
            hint = f"its columns are {', '.join(COLUMNS)}; name another format with --format"
            raise DataError("there is no CSV of APPA-REAL here", location=source.path, hint=hint)
        finder = options.photo_finder(source)
        found: list[tuple[str, Path, str, str]] = []
        for file in result.files:
            for number, row in enumerate(iter_csv(source.root / file, COLUMNS), start=2):
                location, name = f"{file} row {number}", row["file_name"]
                path = _path_in_part(name, file)
                photo, reason = _find(finder, path + FACE_ENDING, file)
                if photo is None:
                    photo, reason = _find(finder, path, file)
                if photo is None:
                    result.left_out.append(LeftOut(f"{location}: {name}", reason))
                else:
                    found.append((location, photo, path, row["real_age"]))
        num_faces = 0
        for location, photo, path, age in found:
            is_face = photo.name.endswith(FACE_ENDING)
            if finder.is_taken(photo, path + FACE_ENDING * is_face):
                result.left_out.append(LeftOut(f"{location}: {photo.name}", SEVERAL_NAMES))
                continue
            num_faces += is_face
            result.rows.append(RawRow(photo, location, [("age", age)]))
        if num_faces:
            result.notes.append(
                f"{format_count(num_faces, 'row takes', 'rows take')} the cropped face, NAME{FACE_ENDING}, in place of "
                "the whole photo, which may show others too"
            )
        result.notes.append("the age is real_age; apparent_age_avg, what people guessed, is not imported")
        return result


def _path_in_part(name: str, file: str) -> str:
    """The name of a photo below the folder of its part, which the label file's name says."""
    part = file.rpartition(".")[0].rpartition("_")[2].casefold()
    return f"{part}/{name}" if part in PARTS else name


def _find(finder: PhotoFinder, path: str, file: str) -> tuple[Path | None, str]:
    """The photo of a row and ""; None and the reason where there is none.

    Names are counted anew in each part: a photo in the folder of another part is another photo.
    """
    photo, reason = finder.find(path, file)
    part = path.rpartition("/")[0]
    if photo is not None and part and photo.absolute().parent.name.casefold() in {*PARTS} - {part}:
        return None, NOT_FOUND
    return photo, reason
