"""Codes without words in label columns: what each code means, by default or as the user sets it.

By default, a code is the position of a value in the label schema: gender 0 is male. Other datasets count otherwise, so
readers report how they read such a column, and `data.codes` sets another meaning:
`{gender: {0: female, 1: male}, mask: {0: not_wear, 1: wear}, age: band}`. Words that are no value get one in the same
way: `{mask: {barefaced: not_wear}}`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from maskfit.data.photo_dataset import read_band, read_label
from maskfit.errors import DataError, LabelError, did_you_mean
from maskfit.labels.schema import UNKNOWN, Attribute, LabelSchema
from maskfit.labels.spellings import MISSING_WORDS, as_integer, fold_spelling

CLASS_COLUMNS = ("class", "ans", "label")
"""Columns of the class index of the label schema."""

CodesOption = Mapping[str, Mapping[str, str] | str]
"""Column -> code or word -> value; or `years` or `band` for a numeric attribute, `class` for class indices."""

CODES_HINT = "write column: {code: value}, such as data.codes={gender: {0: female, 1: male}}"

_BANDS, _YEARS, _CLASS = "band", "years", "class"


class LabelCodes:
    """Reads label cells, whose codes may have a meaning that the user set.

    Args:
        schema: The label schema.
        option: The user's meanings; the schema's order by default.

    Raises:
        DataError: The option names a column or value that does not exist.
    """

    def __init__(self, schema: LabelSchema, option: CodesOption | None = None) -> None:
        self.schema = schema
        self._kinds: dict[str, str] = {}
        self._values: dict[str, dict[int | str, str]] = {}
        self._class_attributes: dict[str, Attribute] = {}
        attributes = {attribute.name.casefold(): attribute for attribute in schema.attributes}
        check_codes_names(option or {}, (*attributes, *CLASS_COLUMNS))
        for name, meaning in (option or {}).items():
            column = name.casefold()
            attribute = attributes.get(column)
            if isinstance(meaning, str):
                allowed = (_CLASS,) if attribute is None else (_BANDS, _YEARS) if attribute.bin_edges else ()
                if meaning not in allowed:
                    expected = " or ".join(allowed) or "a value for each code"
                    raise _option_error(f"'{meaning}' is not a meaning of the codes of {name}; use {expected}")
                self._kinds[column] = meaning
                continue
            if attribute is None:
                attribute = self._class_attributes[column] = _find_attribute(schema, meaning.values())
            self._values[column] = {fold_code(str(code)): _value(attribute, word) for code, word in meaning.items()}

    def is_set(self, column: str) -> bool:
        """Returns whether the user set the meaning of a column's codes.

        Args:
            column: Name of an attribute or class column.

        Returns:
            Whether it is in the option.
        """
        return column.casefold() in self._kinds or self._has_codes(column)

    def has_bands(self, attribute: Attribute) -> bool:
        """Returns whether the user said that the numbers of an attribute's own column are bands.

        Args:
            attribute: A numeric attribute.

        Returns:
            Whether they are bands and not years.
        """
        return self._kinds.get(attribute.name.casefold()) == _BANDS or self._has_codes(attribute.name)

    def has_word(self, column: str, word: str) -> bool:
        """Returns whether the user gave a word of a column a meaning.

        Args:
            column: Name of an attribute or class column.
            word: The word.

        Returns:
            Whether it is in the option.
        """
        return fold_code(word) in self._values.get(column.casefold(), {})

    def _has_codes(self, column: str) -> bool:
        return any(isinstance(key, int) for key in self._values.get(column.casefold(), ()))

    def read(self, attribute: Attribute, text: str, *, is_band: bool = False) -> str | float | None:
        """Reads the label in a cell.

        Args:
            attribute: The attribute.
            text: The cell, not empty.
            is_band: Whether integers are codes of bands; otherwise they are numbers (years) in a numeric attribute.

        Returns:
            A label as `read_label` gives it; None where the cell stands for no label, such as `None` or `nan`.

        Raises:
            LabelError: The cell is no value, or a code without a meaning.
        """
        values, key = self._values.get(attribute.name.casefold(), {}), fold_code(text)
        if key in values:
            return values[key]
        if isinstance(key, int) and self._has_codes(attribute.name):
            raise LabelError(f"code {key} of {attribute.name} is not in data.codes")
        try:
            if is_band or self.has_bands(attribute):
                return read_band(attribute, text)
            return read_label(attribute, text)
        except LabelError:
            if text.casefold() in MISSING_WORDS:
                return None
            raise

    def read_class(self, column: str, text: str) -> dict[str, str | float] | None:
        """Reads a class index, which gives all attributes; or a value of one attribute.

        Args:
            column: Name of the column.
            text: The cell: an index of the scored label schema, a code that the user gave a meaning, or a value's name.

        Returns:
            Labels by attribute name; None where the cell stands for no label.

        Raises:
            LabelError: The cell is none of these.
        """
        number = as_integer(text)
        values, key = self._values.get(column.casefold(), {}), fold_code(text)
        if key in values:
            return {self._class_attributes[column.casefold()].name: values[key]}
        if number is not None and self._has_codes(column):
            raise LabelError(f"code {number} of {column} is not in data.codes")
        scored = self.schema.scored_schema()
        if number is None:
            found = find_attributes(scored, text)
            if len(found) == 1:
                return {found[0].name: found[0].values[found[0].encode(text)]}
            # A word of several attributes, or `none`, which is a value of one, is not taken for a gap in class indices.
            if not found and text.casefold() in MISSING_WORDS:
                return None
        if number is None or not 0 <= number < scored.num_classes:
            raise LabelError(f"'{text}' is not a class index in 0 to {scored.num_classes - 1}")
        indices = scored.to_attribute_indices([number])[0]
        return {item.name: item.values[index] for item, index in zip(scored.attributes, indices, strict=True)}

    def describe(self, column: str, attribute: Attribute | None) -> str:
        """Formats in one line how the codes of a column are read.

        Args:
            column: Name of the column as the file spells it.
            attribute: Its attribute; None for a class column.

        Returns:
            Such as "gender: 0 = male, 1 = female (codes without words)".
        """
        name = (attribute.name if attribute else column).casefold()
        is_set = self._has_codes(name)
        if is_set:
            meanings: Iterable[tuple[int | str, str]] = self._values[name].items()
        elif attribute is None:
            last = self.schema.scored_schema().num_classes - 1
            described = self.schema.scored_schema().describe
            return f"{column}: class index, 0 = {described(0)}, ... {last} = {described(last)} (codes without words)"
        else:
            meanings = enumerate(attribute.values)
        listed = ", ".join(f"{code} = {value}" for code, value in meanings)
        return f"{column}: {listed} ({'data.codes' if is_set else 'codes without words'})"


def check_codes_names(option: CodesOption, known: Collection[str]) -> None:
    """Checks the columns and codes that `data.codes` names.

    Args:
        option: The user's meanings.
        known: The attributes and class columns in lower case.

    Raises:
        DataError: A column is none of them, or a column or code is named twice.
    """
    for name in option:
        if name.casefold() not in known:
            raise _option_error(f"'{name}' is neither an attribute nor a class column; {did_you_mean(name, known)}")
    _check_once(option, str.casefold, "column")
    for name, meaning in option.items():
        if not isinstance(meaning, str):
            _check_once(meaning, fold_code, f"code of {name}")


def find_attributes(schema: LabelSchema, text: str) -> list[Attribute]:
    """Finds the attributes that have a word as a value.

    Args:
        schema: The label schema.
        text: A word; codes and numbers are no words.

    Returns:
        Attributes without bins that accept it.
    """
    found = []
    for attribute in schema.attributes:
        if attribute.bin_edges or as_integer(text) is not None:
            continue
        try:
            if attribute.encode(text) != UNKNOWN:
                found.append(attribute)
        except LabelError:
            continue
    return found


def _find_attribute(schema: LabelSchema, words: Iterable[str]) -> Attribute:
    """The one attribute that has all of the words as values."""
    words = list(words)
    for attribute in schema.attributes:
        names = {value.casefold() for value in attribute.values}
        if words and all(word.casefold() in names or attribute in find_attributes(schema, word) for word in words):
            return attribute
    raise _option_error(f"{', '.join(words) or 'nothing'} are not values of one attribute")


def fold_code(text: str) -> int | str:
    """Returns a code as an integer, or a word without regard to case, spaces, hyphens and underscores.

    Args:
        text: A cell, or a key of `data.codes`.

    Returns:
        What is alike for all spellings.
    """
    code = as_integer(text)
    return fold_spelling(text) if code is None else code


def _value(attribute: Attribute, text: str) -> str:
    try:
        code = attribute.encode(text)
    except LabelError as error:
        raise _option_error(error.message) from None
    if code == UNKNOWN or as_integer(text) is not None:
        raise _option_error(f"'{text}' is not one value of {attribute.name}; use {', '.join(attribute.values)}")
    return attribute.values[code]


def _check_once(names: Iterable[str], fold: Callable[[str], int | str], title: str) -> None:
    """Raises `DataError` where two names mean the same, of which the second would silently replace the first."""
    seen: dict[int | str, str] = {}
    for name in map(str, names):
        first = seen.setdefault(fold(name), name)
        if first != name:
            raise _option_error(f"'{first}' and '{name}' are one {title}; write it once")


def _option_error(message: str) -> DataError:
    return DataError(message, location="data.codes", hint=CODES_HINT)
