"""How labels are written in tables: whole numbers, synonyms in English and Korean, age bands of other datasets."""

from __future__ import annotations

import math
import re
import unicodedata

SYNONYMS: dict[str, tuple[str, ...]] = {
    "wear": (
        "with_mask",
        "with mask on",
        "mask_on",
        "masked",
        "mask_weared",
        "mask_worn",
        "worn",
        "wearing",
        "wearing_mask",
        "wear_mask",
        "correct_mask",
        "mask_correct",
        "correctly_worn",
        "mask_correctly_worn",
        "yes",
        "true",
        "mask_weared_correct",
        "mask_worn_correctly",
        "worn_correctly",
        "wearing_correctly",
        "correctly_masked",
        "cmfd",
        "afdb_masked_face_dataset",
        "face_with_mask",
        "proper_mask",
        "properly_worn",
        "properly_worn_mask",
        "mask_worn_properly",
        "getragen",
        "maske_getragen",
        "con_mascarilla",
        "com_mascara",
        "com_máscara",
        "avec_masque",
        "mit_maske",
        "戴口罩",
        "佩戴口罩",
        "マスクあり",
        "착용",
        "마스크 착용",
        "마스크착용",
        "정상 착용",
        "정상착용",
        "올바른 착용",
        "바른착용",
    ),
    "incorrect": (
        "incorrect_mask",
        "with_incorrect_mask",
        "mask_incorrect",
        "mask_weared_incorrect",
        "mask_worn_incorrectly",
        "mask_wear_incorrect",
        "incorrectly_worn",
        "incorrectly_worn_mask",
        "incorrectly",
        "worn_incorrectly",
        "wear_incorrect",
        "wrong_mask",
        "improper",
        "wrongly_worn",
        "wrongly_worn_mask",
        "mask_wrongly_worn",
        "mask_worn_wrongly",
        "mask_worn_improperly",
        "improperly_worn_mask",
        "falsch_getragen",
        "maske_falsch_getragen",
        "improperly_worn",
        "partial",
        "partial_mask",
        "incorrectly_masked",
        "imfd",
        "mask_chin",
        "mask_under_nose",
        "mask_below_nose",
        "mask_on_tip_of_nose",
        "under_nose",
        "below_nose",
        "under_the_nose",
        "below_the_nose",
        "mask_under_the_nose",
        "under_chin",
        "below_chin",
        "under_the_chin",
        "on_the_chin",
        "chin_mask",
        "mask_under_chin",
        "mask_below_chin",
        "mask_on_chin",
        "mask_above_chin",
        "nose_uncovered",
        "nose_exposed",
        "mask_mouth_chin",
        "mask_nose_mouth",
        "mask_worn_incorrect",
        "face_with_mask_incorrect",
        "wearing_incorrectly",
        "improper_mask",
        "mascarilla_mal_puesta",
        "오착용",
        "잘못 착용",
        "잘못착용",
        "불량 착용",
        "불량착용",
        "비정상 착용",
        "비정상착용",
        "이상 착용",
        "이상착용",
        "턱스크",
        "코스크",
    ),
    "not_wear": (
        "without_mask",
        "no_mask",
        "nomask",
        "not_worn",
        "mask_not_worn",
        "nicht_getragen",
        "maske_nicht_getragen",
        "not_wearing",
        "not_wear_mask",
        "mask_off",
        "unmasked",
        "no_mask_on",
        "bare_face",
        "afdb_face_dataset",
        "no",
        "false",
        "face_no_mask",
        "face_without_mask",
        "no_face_mask",
        "non_mask",
        "non_masked",
        "not_masked",
        "not_wearing_mask",
        "sin_mascarilla",
        "sem_mascara",
        "sem_máscara",
        "sans_masque",
        "ohne_maske",
        "未戴口罩",
        "没戴口罩",
        "マスクなし",
        "미착용",
        "마스크 미착용",
        "마스크미착용",
        "착용 안함",
        "착용안함",
        "안 씀",
        "안씀",
    ),
    "male": (
        "m",
        "man",
        "men",
        "boy",
        "boys",
        "males",
        "männlich",
        "mann",
        "hombre",
        "masculino",
        "homme",
        "masculin",
        "남",
        "남자",
        "남성",
    ),
    "female": (
        "f",
        "w",
        "woman",
        "women",
        "girl",
        "girls",
        "females",
        "weiblich",
        "frau",
        "mujer",
        "femenino",
        "femme",
        "féminin",
        "여",
        "여자",
        "여성",
    ),
}
"""Value -> other accepted spellings, for any attribute that has the value; the attribute's own spellings come first."""

GENERIC_WORDS = frozenset(
    {
        "yes", "no", "true", "false", "y", "n", "none", "normal", "partial", "improper", "incorrect", "incorrectly",
        "m", "w", "f", "worn", "not worn", "wearing", "not wearing", "correct", "wrong",
    }
)  # fmt: skip
"""Folded spellings that answer other questions as well, such as whether glasses are worn: they say a label only where
the question is known."""

YES_NO_WORDS = frozenset({"yes", "no", "true", "false", "y", "n"})
"""Those of `GENERIC_WORDS` that name no state: without a question they are labels where there is one attribute only."""

MISSING_WORDS = frozenset({"none", "nan", "null", "n/a", "na", "#n/a", "unknown", "unk", "u", "?", "-", "없음", "모름"})
"""Cells, in lower case, that stand for no label wherever they are not a value."""

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DATE = re.compile(
    rf"\d{{1,4}}[-/ .]({_MONTHS})[a-z]*([-/ .]\d{{2,4}})?|({_MONTHS})[a-z]*[-/ .]\d{{1,4}}"
    r"|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ t].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|(\d{4}년 ?)?\d{1,2}월 ?\d{1,2}일"
)
_NUMBER = r"(\d+(?:\.\d+)?)"
_INTERVAL = re.compile(rf"([\[(]?)\s*{_NUMBER}\s*(?:-|,|to)\s*{_NUMBER}\s*([\])]?)")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")
_AGE_UNIT = re.compile(r"\s*(years old|years|year|yrs|세|살)(?=$|\s|[-,\])+]|이상|이하|미만|초과)")
_DECADE = re.compile(r"(\d*0)(?:'?s|대)")
_RANGES: tuple[tuple[re.Pattern[str], bool, int], ...] = tuple(
    (re.compile(pattern), is_lower, offset)
    for pattern, is_lower, offset in (
        (rf"(?:>=|≥|at least|from)\s*{_NUMBER}", True, 0),
        (
            rf"{_NUMBER}\s*(?:\+|-|and over|and above|and older|and up|or more|or older|or over|plus|이상|대 ?이상)",
            True,
            0,
        ),
        (rf"(?:>|more than|over|older than|above)\s*{_NUMBER}", True, 1),
        (rf"{_NUMBER}\s*초과", True, 1),
        (rf"(?:<=|≤|up to|at most)\s*{_NUMBER}", False, 0),
        (rf"{_NUMBER}\s*(?:and under|and below|and younger|or less|or younger|이하)", False, 0),
        (rf"(?:<|less than|under|younger than|below)\s*{_NUMBER}", False, -1),
        (rf"{_NUMBER}\s*미만", False, -1),
    )
)
"""Pattern of a half-open range; whether its number is the lower end; what is added to the number in whole years."""


MAX_LENGTH = 1000
"""Characters of a number; longer text is none."""


def as_integer(value: str | float) -> int | None:
    """Converts a value to an integer; `2.0` is 2, as pandas writes integers in a column with gaps.

    Args:
        value: A number or text with ASCII digits.

    Returns:
        The integer, or None where the value is not a whole number of at most 18 digits.
    """
    # 18 digits fit into 64 bits; Python refuses to convert thousands.
    match = re.fullmatch(r"([+-]?0*[0-9]{1,18})(\.0*)?", str(value).strip()) if len(str(value)) <= MAX_LENGTH else None
    return int(match[1]) if match else None


def fold_spelling(text: str) -> str:
    """Reduces a spelling to lower case with single spaces, so that `No-Mask`, `no_mask` and `no mask` are the same.

    Args:
        text: A spelling.

    Returns:
        The reduced spelling.
    """
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", text).strip().casefold())


def is_spreadsheet_date(text: str) -> bool:
    """Returns whether a text looks like a date, which spreadsheets make of bands: `3-9` becomes `9-Mar`.

    Args:
        text: A cell.

    Returns:
        Whether it is a date.
    """
    return _DATE.fullmatch(text.strip().casefold()) is not None


def remove_age_unit(text: str) -> str:
    """Removes the unit behind an age.

    Args:
        text: A cell, such as `25세` or `60 years and over`.

    Returns:
        The cell without it.
    """
    return _AGE_UNIT.sub("", text)


def parse_range(text: str) -> tuple[float, float] | None:
    """Parses a band of whole numbers as datasets write them.

    `3-9` and `(25, 32)` include both ends, `[20, 30)` and `(20, 30]` only the end with the square bracket; `more than
    70`, `70+`, `under 20`, `20s` and the Korean `60대 이상` are bands as well. `34,75` is none, as the comma is a
    decimal one.

    Args:
        text: A cell.

    Returns:
        Smallest and largest number, both included; infinite where the band is open. None where the text is no band.
    """
    text = re.sub(r"[‐‑‒–—―−~〜∼]", "-", unicodedata.normalize("NFKC", text).strip().casefold())
    text = remove_age_unit(text).strip()
    if _DECIMAL_COMMA.fullmatch(text):
        return None
    if match := _INTERVAL.fullmatch(text):
        opening, low, high, closing = match[1], float(match[2]), float(match[3]), match[4]
        if bool(opening) != bool(closing):
            return None
        low = math.floor(low) + 1 if (opening, closing) == ("(", "]") else low
        high = math.ceil(high) - 1 if (opening, closing) == ("[", ")") else high
        return (low, high) if low <= high else None
    if match := _DECADE.fullmatch(text):
        return float(match[1]), float(match[1]) + 9
    for pattern, is_lower, offset in _RANGES:
        if match := pattern.fullmatch(text):
            number = float(match[1])
            if is_lower:
                return (math.floor(number) + 1 if offset else number), math.inf
            return -math.inf, (math.ceil(number) - 1 if offset else number)
    return None
