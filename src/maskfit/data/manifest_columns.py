"""Columns of a manifest: which is which, how their codes are read, and which columns are likely to be meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from maskfit.data.data_problems import DataProblem, Severity
from maskfit.data.face_boxes import BoxColumns, find_box_columns
from maskfit.data.label_codes import CLASS_COLUMNS, LabelCodes, find_attributes
from maskfit.data.photo_dataset import is_photo_name
from maskfit.errors import DataError, LabelError
from maskfit.labels.schema import UNKNOWN, Attribute, LabelSchema, as_number
from maskfit.labels.spellings import as_integer

PATH_COLUMNS = (
    "path",
    "img_path",
    "image_path",
    "file_path",
    "filepath",
    "imageid",
    "image_id",
    "filename",
    "file_name",
    "image",
    "img",
    "file",
    "photo",
)
PERSON_COLUMNS = ("person", "person_id")
PERSONS_COLUMN = "persons"
"""Column with a CSV whose column `person` lists all persons that a generated photo was made of."""

URL_COLUMNS = ("url", "image_url", "img_url", "photo_url", "image_link")
"""Columns of URLs of photos, which come before ids in the same table."""

ID_COLUMNS = (*URL_COLUMNS, "id", "uid", "image_name", "imagename", "img_id", "photo_id", "photo")
"""Columns of ids of photos, besides those that may hold paths; `maskfit data import` finds their photos."""

REPEAT_COLUMN = "times"
"""Column with the number of repetitions per training epoch, for giving rare photos more weight."""

BAND_SUFFIXES = ("_band", "band", "_group", "group")

COLUMN_SYNONYMS = {
    "sex": "gender",
    "mask_state": "mask",
    "mask_status": "mask",
    "datei": "path",
    "dateiname": "path",
    "bild": "path",
    "pfad": "path",
    "foto": "path",
    "archivo": "path",
    "imagen": "path",
    "fichier": "path",
    "chemin": "path",
    "maske": "mask",
    "mascarilla": "mask",
    "masque": "mask",
    "geschlecht": "gender",
    "sexo": "gender",
    "género": "gender",
    "genero": "gender",
    "sexe": "gender",
    "alter": "age",
    "edad": "age",
    "âge": "age",
    "경로": "path",
    "파일": "path",
    "파일명": "path",
    "이미지": "path",
    "사진": "path",
    "이미지경로": "path",
    "이미지 경로": "path",
    "사진경로": "path",
    "사진 경로": "path",
    "사람": "person",
    "인물": "person",
    "마스크": "mask",
    "마스크착용": "mask",
    "마스크 착용": "mask",
    "마스크착용여부": "mask",
    "마스크 착용 여부": "mask",
    "착용여부": "mask",
    "성별": "gender",
    "나이": "age",
    "연령": "age",
    "연령대": "age_band",
    "나이대": "age_band",
}
"""Other names of columns, which are used where the standard name is absent."""

LIKELY_PERSON_COLUMNS = (
    "subject",
    "subject_id",
    "identity",
    "identity_id",
    "people_path",
    "people",
    "profile",
    "profile_id",
    "user_id",
    "folder",
    "id",
    "name",
)
"""Columns that may say who is on a photo, the most likely first; they are named and never read."""

MAX_BAND_CODE = 9
"""A column of years that holds nothing above this is taken for codes of bands: 0 to 2, 1 to 3, FairFace's 0 to 8."""

MAX_WORDS = 50
"""Number of different cells up to which an unread column is compared with the values of the label schema."""

VOTES_HINT = (
    "where they are votes, of one annotator or several, maskfit data majority FILE --out manifest.csv makes labels of "
    "them; data.soft_labels=FILE, beside a manifest, trains on votes and on probabilities"
)
"""What to do with columns such as `mask=wear`."""

FLAG_WORDS = frozenset({"yes", "no", "true", "false"})
"""Words that say too little about what an unread column holds."""

Rows = Sequence[dict[str, str]]


@dataclass(frozen=True, slots=True)
class ManifestColumns:
    """Names of the columns as spelled in the file; empty where there is none.

    Attributes:
        path: The photo.
        person: Who is on it.
        persons: The CSV with all persons.
        times: The number of repetitions.
        number: The class index.
        labels: Attribute name -> its column.
        bands: Attribute name -> the column of its bands.
        unread: Columns that are ignored.
        box: The columns of the face's box; None where there are none.
    """

    path: str
    person: str
    persons: str
    times: str
    number: str
    labels: dict[str, str]
    bands: dict[str, str]
    unread: tuple[str, ...]
    box: BoxColumns | None = None


def find_columns(header: Sequence[str], schema: LabelSchema) -> tuple[ManifestColumns | None, list[DataProblem]]:
    """Finds the role of each column.

    Args:
        header: Names of the columns.
        schema: The label schema.

    Returns:
        The columns, and notes on ignored ones; None, and a fatal problem, where there are no rows or no path column.
    """
    nameless = "" in header
    header = [name for name in header if name]
    column_of_name = {unicodedata.normalize("NFC", name).casefold(): name for name in header}
    problem = None
    if not header:
        problem = ("the manifest has no rows", "write a header and one row per photo")
    elif len(column_of_name) < len(header):
        problem = ("two columns differ only in upper and lower case", "rename one of them")
    for name in header:
        # `Age Group` and `image-path` are the names with an underscore.
        column_of_name.setdefault(re.sub(r"[\s-]+", "_", unicodedata.normalize("NFC", name).casefold()), name)
    for synonym, standard in COLUMN_SYNONYMS.items():
        if synonym in column_of_name:
            column_of_name.setdefault(standard, column_of_name[synonym])
    path = next((column_of_name[name] for name in PATH_COLUMNS if name in column_of_name), None)
    if not problem and path is None:
        listed = ", ".join(header[:12])
        problem = (
            f"the manifest has no path column; its columns are {listed}",
            "name the column with the photos' paths `path`, or add one",
        )
        if any(is_photo_name(name) for name in header):
            problem = (
                f"the first row is no header, but names a photo: {listed}",
                f"write a header above it, such as path,{schema.names[0]}",
            )
    if problem or path is None:
        return None, [DataProblem("fatal", "manifest", "row 1", *(problem or ("", "")))]
    try:
        box = find_box_columns({name: column for name, column in column_of_name.items() if not _is_label(name, schema)})
    except DataError as error:
        return None, [DataProblem("fatal", "box columns", "row 1", error.message, error.hint or "")]
    labels = {name: column_of_name[name.casefold()] for name in schema.names if name.casefold() in column_of_name}
    bands = {
        attribute.name: column_of_name[attribute.name.casefold() + ending]
        for attribute in schema.attributes
        for ending in BAND_SUFFIXES
        if attribute.bin_edges and attribute.name.casefold() + ending in column_of_name
    }
    taken = {path, *(box.names if box else ()), *labels.values(), *bands.values()}
    free = {name: column for name, column in column_of_name.items() if column not in taken}
    # A schema may have an attribute named "label"; then that column is the attribute, not a class index.
    number = next((free[name] for name in CLASS_COLUMNS if name in free), "")
    person = next((free[name] for name in PERSON_COLUMNS if name in free), "")
    persons = column_of_name.get(PERSONS_COLUMN, "")
    times = column_of_name.get(REPEAT_COLUMN, "")
    unread = tuple(name for name in header if name not in {*taken, number, person, persons, times})
    notes = []
    if unread:
        message = f"ignored columns: {', '.join(unread)}; label columns of this schema are {', '.join(schema.names)}"
        notes.append(DataProblem("note", "columns", "row 1", message, _find_hint(unread, schema)))
    if box and not box.is_standard:
        hint = "none needed; rename these columns to use the whole photos"
        notes.append(DataProblem("note", "boxes", "row 1", box.describe(), hint))
    if nameless:
        message = "a column without a name is ignored, such as the index that pandas writes"
        notes.append(DataProblem("note", "columns", "row 1", message, "none needed; to_csv(index=False) omits it"))
    return ManifestColumns(path, person, persons, times, number, labels, bands, unread, box), notes


def _find_hint(columns: Sequence[str], schema: LabelSchema) -> str:
    """What to do about columns that are not read; one named like a value, `is_male`, has a 1 that is not gender's."""
    for column in columns:
        for attribute in schema.attributes:
            code = UNKNOWN if attribute.bin_edges else _encode(attribute, re.sub("^(is|has)[_ ]", "", column.lower()))
            if code != UNKNOWN:
                words = ", ".join(attribute.values)
                return (
                    f"{column} says whether {attribute.name} is {attribute.values[code]}: write a column "
                    f"{attribute.name} with the words {words} in its place; renamed, its 1 would be another value"
                )
    return "rename a column that is meant as a label, or train attributes of your own (docs/data.md, Classes)"


def _is_label(name: str, schema: LabelSchema) -> bool:
    return any(name == own.casefold() for own in schema.names)


def check_codes(rows: Rows, columns: ManifestColumns, codes: LabelCodes) -> list[DataProblem]:
    """Checks label columns of codes without words, and describes how they are read.

    Args:
        rows: The rows.
        columns: The columns.
        codes: Meanings that the user set, and the label schema.

    Returns:
        A note for each column of codes; a fatal problem for numbers of a numeric attribute that look like bands, and
        for the codes 0 and 1 where the label schema has more values.
    """
    problems = []
    for attribute in codes.schema.attributes:
        name, size = attribute.name, len(attribute.values)
        for column, is_band in ((columns.labels.get(name, ""), False), (columns.bands.get(name, ""), True)):
            cells = _read_cells(rows, column)
            if attribute.bin_edges and not is_band and not codes.has_bands(attribute):
                problems += _check_years(column, cells, attribute, codes)
            elif numbers := _find_codes(cells):
                description = codes.describe(column, attribute)
                problems.append(
                    _check_few(column, numbers, name, size, codes, alone=len(cells) == 1)
                    or _note(column, description, name, attribute)
                )
            problems += _check_none(column, cells, attribute, name, codes)
    cells = _read_cells(rows, columns.number)
    for attribute in codes.schema.attributes:
        problems += _check_none(columns.number, cells, attribute, columns.number, codes)
    if cells := _find_codes(cells):
        column, size = columns.number, codes.schema.scored_schema().num_classes
        description = codes.describe(column, None)
        problems.append(_check_few(column, cells, column, size, codes) or _note(column, description, column))
    return problems


def read_label_cells(rows: Rows, columns: ManifestColumns) -> dict[str, set[str]]:
    """Returns the different cells of each attribute and class column that a manifest has.

    Args:
        rows: The rows.
        columns: The columns.

    Returns:
        Attribute, or class column, in lower case -> its cells, those of its bands too, without empty ones.
    """
    cells = {name.casefold(): _read_cells(rows, column) for name, column in columns.labels.items()}
    for name, column in columns.bands.items():
        cells[name.casefold()] = cells.get(name.casefold(), set()) | _read_cells(rows, column)
    if columns.number:
        cells[columns.number.casefold()] = _read_cells(rows, columns.number)
    return cells


def look_like_bands(cells: Sequence[str], num_bands: int) -> bool:
    """Returns whether numbers look like codes of bands: whole numbers from 0 to the number of bands, and no others.

    Args:
        cells: Numbers as text.
        num_bands: Number of bands.

    Returns:
        Whether all of them are codes; False where there are none.
    """
    return bool(cells) and all((code := as_integer(cell)) is not None and 0 <= code < num_bands for cell in cells)


def find_likely_columns(rows: Rows, columns: ManifestColumns, schema: LabelSchema) -> list[DataProblem]:
    """Finds ignored columns that are likely to hold labels or persons.

    Args:
        rows: The rows.
        columns: The columns.
        schema: The label schema.

    Returns:
        A warning for each such column, with the name that it needs.
    """
    problems = []
    if not columns.person and not columns.persons:
        folded = {name.casefold(): name for name in columns.unread}
        for column in (folded[name] for name in LIKELY_PERSON_COLUMNS if name in folded):
            cells = [row[column] for row in rows if row[column]]
            distinct = len(set(cells))
            if 1 < distinct < len(cells):
                message = (
                    f"no column says who is on a photo; column {column}, which has {distinct} values for {len(cells)} "
                    "photos, is ignored"
                )
                hint = f"rename column {column} to person, if it says so; otherwise folds may leak"
                problems.append(DataProblem("warning", "persons", f"column {column}", message, hint))
                break
    votes = find_vote_columns(columns.unread, schema)
    for column in columns.unread:
        words = _read_cells(rows, column)
        if column in votes and words and all(_is_amount(word) for word in words):
            continue
        votes.pop(column, None)
        if len(words) > MAX_WORDS or not {word.casefold() for word in words} - FLAG_WORDS:
            continue
        for attribute in schema.attributes:
            read = attribute.name in columns.labels or columns.number
            if not read and all(attribute in find_attributes(schema, word) for word in words):
                message = f"column {column} is ignored, but holds values of {attribute.name}: {_join(words)}"
                hint = f"rename column {column} to {attribute.name}"
                problems.append(DataProblem("warning", "labels", f"column {column}", message, hint))
                break
    if unlabeled := [name for name in dict.fromkeys(votes.values()) if name not in columns.labels]:
        own = [column for column, name in votes.items() if name in unlabeled]
        message = (
            f"{', '.join(own)}: votes or probabilities of {' and '.join(unlabeled)}, which are no labels, are ignored"
        )
        problems.append(DataProblem("warning", "labels", f"column {own[0]}", message, VOTES_HINT))
    return problems


def find_vote_columns(names: Iterable[str], schema: LabelSchema) -> dict[str, str]:
    """Finds columns with votes for, or probabilities of, one value: `mask=wear`.

    Args:
        names: Names of columns.
        schema: The label schema.

    Returns:
        Column -> its attribute.
    """
    parts = {name: name.partition("=")[0].strip() for name in names if "=" in name}
    return {name: attribute for name, attribute in parts.items() if attribute in schema.names}


def _is_amount(cell: str) -> bool:
    try:
        return isfinite(float(cell))
    except ValueError:
        return False


def _check_few(
    column: str, cells: set[str], name: str, num_values: int, codes: LabelCodes, *, alone: bool = False
) -> DataProblem | None:
    """A fatal problem where nobody gave the meaning of codes that are likely not those of the label schema.

    These are just 0 and 1, or one of them `alone` in its column, of three or more; and in a column of class indices
    only as many as the first attribute has values, so that it is a column of that attribute rather than of the first
    classes.
    """
    numbers = {as_integer(cell) for cell in cells}
    first = codes.schema.attributes[0]
    attribute = next((item for item in codes.schema.attributes if item.name == name), None)
    values = (attribute or first).values
    few = attribute is None and len(numbers) > 1 and num_values > len(values) and numbers <= set(range(len(values)))
    # A column of an attribute that holds one of them says even less: all photos of a set may show worn masks.
    binary = numbers == {0, 1} or (alone and attribute is not None and not attribute.bin_edges and numbers <= {0, 1})
    if not (binary or few) or num_values < 3 or codes.is_set(name):
        return None
    count = len(values) if numbers - {0, 1} else 2
    *others, last = sorted(number for number in numbers if number is not None)
    listed = f"codes {', '.join(map(str, others))} and {last}" if others else f"code {last}"
    message = f"column {column} holds only the {listed}, of {num_values} possible values"
    hint = (
        f"say what they mean with data.codes={{{name}: {{{_join_codes(_other_order(values), count)}}}}} or "
        f"{{{_join_codes(values, count)}}} (as an option: --codes)"
    )
    if name == column and name.casefold() in CLASS_COLUMNS and attribute is None:
        hint += f"; data.codes={{{name}: class}} for class indices"
    return DataProblem("fatal", "codes", f"column {column}", message, hint)


def _other_order(values: Sequence[str]) -> Sequence[str]:
    """The order in which other datasets often count: the last value first, such as not worn and female."""
    return (*values[-1:], *values[:-1])


def _join_codes(values: Sequence[str], count: int) -> str:
    """Formats the first codes with their values, such as `0: wear, 1: incorrect`."""
    return ", ".join(f"{code}: {value}" for code, value in enumerate(values[:count]))


def _check_years(column: str, cells: set[str], attribute: Attribute, codes: LabelCodes) -> list[DataProblem]:
    """A problem where the numbers in a column of years look like codes of bands that nobody gave a meaning."""
    name = attribute.name
    numbers = [cell for cell in cells if as_number(cell) is not None]
    ages = [number for cell in numbers if (number := as_number(cell)) is not None]
    if len(ages) > 1 and max(ages) <= 1 and any(0 < age < 1 for age in ages):
        message = f"column {column} holds only numbers from 0 to 1, such as {min(ages):g}: no years"
        hint = "write ages in years: multiply by what they were divided by, often 100 or 116"
        return [DataProblem("fatal", "codes", f"column {column}", message, hint)]
    if codes.is_set(name) or not look_like_bands(numbers, MAX_BAND_CODE + 1):
        return []
    severity: Severity = "fatal"
    if look_like_bands(numbers, len(attribute.values)):
        listed = ", ".join(f"{code} = {value}" for code, value in enumerate(attribute.values))
        hint = f"rename the column to {name}_band; if it holds years, set data.codes={{{name}: years}}"
    else:
        listed = "the bands of another dataset"
        first = min(numbers, key=float)
        # Codes begin at 0 or 1; a few ages of small children may be just that.
        severity = "fatal" if float(first) < 2 else "warning"
        hint = (
            f"say what they mean: data.codes={{{name}: {{{as_integer(first)}: '{attribute.values[0]}', ...}}}}; "
            f"if they are years, data.codes={{{name}: years}}"
        )
    message = f"column {column} holds only {_join(numbers)}, which looks like band codes: {listed}"
    return [DataProblem(severity, "codes", f"column {column}", message, f"{hint} (as an option: --codes)")]


def _check_none(column: str, cells: set[str], attribute: Attribute, name: str, codes: LabelCodes) -> list[DataProblem]:
    """A problem where `None` is the spelling of a value, although Python writes it for an empty cell."""
    spelled = {cell for cell in cells if cell.strip().casefold() == "none"}
    is_name = "none" in (value.casefold() for value in attribute.values)
    code = UNKNOWN if attribute.bin_edges or is_name or not spelled else _encode(attribute, "none")
    if code == UNKNOWN or any(codes.has_word(name, cell) for cell in spelled):
        return []
    value, others = attribute.values[code], cells - spelled
    message = f"'{_join(spelled)}' is read as {value}, but Python writes it for an empty cell too"
    hint = f"empty the cells that have no label; if it is {value}, set data.codes={{{name}: {{none: {value}}}}}"
    # Beside codes, or beside another spelling of the value, it is hardly the value.
    doubtful = bool(_find_codes(others)) or any(_encode(attribute, cell) == code for cell in others)
    severity: Severity = "fatal" if doubtful else "warning"
    return [DataProblem(severity, "codes", f"column {column}", message, f"{hint} (as an option: --codes)")]


def _encode(attribute: Attribute, text: str) -> int:
    """The code of a spelling; `UNKNOWN` where it is none."""
    try:
        return attribute.encode(text)
    except LabelError:
        return UNKNOWN


def _note(column: str, message: str, name: str, attribute: Attribute | None = None) -> DataProblem:
    meanings = "0: ..., 1: ..."
    if attribute is not None:
        # Bands ascend in every dataset, and are quoted: `>=60` alone is no text in YAML.
        values = [f"'{value}'" for value in attribute.values] if attribute.bin_edges else _other_order(attribute.values)
        meanings = _join_codes(values, len(values))
    hint = f"if that is wrong, set data.codes={{{name}: {{{meanings}}}}} or as they count (as an option: --codes)"
    return DataProblem("note", "codes", f"column {column}", message, hint)


def _read_cells(rows: Rows, column: str) -> set[str]:
    """The different cells of a column that are not empty; none where there is no column."""
    return {row[column] for row in rows} - {""} if column else set()


def _find_codes(cells: set[str]) -> set[str]:
    """The cells that are codes; words and gaps such as `nan` beside them do not hide how codes are read."""
    return {cell for cell in cells if as_integer(cell) is not None}


def _join(cells: Sequence[str] | set[str]) -> str:
    listed = sorted(cells)
    return ", ".join(listed[:6]) + (", ..." if len(listed) > 6 else "")
