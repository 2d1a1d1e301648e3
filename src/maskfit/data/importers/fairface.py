"""FairFace: a CSV with the columns `file,age,gender,race,service_test`; ages are bands.

Source: https://github.com/joojs/fairface (`fairface_label_train.csv`, `fairface_label_val.csv`, beside `train` and
`val`). Copies that went through a spreadsheet have dates in place of two bands, `03-Sep` for 3-9 and `Oct-19` for
10-19.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from maskfit.data.importers.interface import Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.word_reader import WordReader
from maskfit.file_io import iter_csv
from maskfit.text import format_count

COLUMNS = ("file", "age", "gender", "race")

DATES = {
    **dict.fromkeys(("03-Sep", "3-Sep", "Sep-03", "Sep-3", "09-Mar", "9-Mar", "Mar-09", "Mar-9"), "3-9"),
    **dict.fromkeys(("9월 3일", "09월 03일", "3월 9일", "03월 09일"), "3-9"),
    **dict.fromkeys(("Oct-19", "19-Oct", "10월 19일"), "10-19"),
}
"""What spreadsheets make of FairFace's bands; no other of its nine bands looks like a date."""


class FairFaceImporter:
    """FairFace."""

    title: ClassVar[str] = "FairFace: a CSV with file,age,gender,race"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"age": DATES}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has FairFace's label files.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a CSV has its columns.
        """
        return Confidence.SURE if source.tables_with(*COLUMNS) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all label files of the source.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per line whose photo exists.
        """
        result = RawImport(files=source.tables_with(*COLUMNS) or list(source.with_suffix(".csv")))
        finder = options.photo_finder(source)
        num_dates = 0
        for file in result.files:
            for number, row in enumerate(iter_csv(source.root / file, COLUMNS[:3]), start=2):
                location = f"{file} row {number}"
                photo, reason = finder.find(row["file"], file)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                num_dates += row["age"] in DATES
                result.rows.append(RawRow(photo, location, (("gender", row["gender"]), ("age", row["age"]))))
        result.note_photos_without_row(finder)
        if num_dates:
            result.notes.append(
                f"{format_count(num_dates, 'age is a date', 'ages are dates')} that a spreadsheet made of a band: "
                "3-9 became 03-Sep, 10-19 Oct-19; read as the band"
            )
        result.notes.append("race and service_test are not imported")
        return result
