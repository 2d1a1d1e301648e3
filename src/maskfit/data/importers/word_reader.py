"""What the words and codes of a source mean: as the user says, as the format says, or by their spelling.

A word is mapped with `[KEY:]WORD=VALUE`, such as `with_mask=wear` or, where a code is used for several attributes,
`mask:0=not_wear`. VALUE is a value of the label schema, several with commas between them (`wear,female`), `unknown`
for no label, or `skip` to leave the rows out. The word `*` stands for all words that have no meaning otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from maskfit.data.label_codes import LabelCodes, find_attributes
from maskfit.data.manifest_columns import BAND_SUFFIXES as COLUMN_BAND_SUFFIXES
from maskfit.data.manifest_columns import COLUMN_SYNONYMS, look_like_bands
from maskfit.data.photo_dataset import read_label
from maskfit.errors import DataError, LabelError
from maskfit.labels.schema import AGE, GENDER, MASK, Attribute, LabelSchema, as_number
from maskfit.labels.spellings import GENERIC_WORDS, MISSING_WORDS, YES_NO_WORDS, as_integer, fold_spelling, parse_range
from maskfit.text import format_count

ANY = ""
"""Key of a raw label whose attribute follows from the word."""

BAND_SUFFIX = "_band"
"""Ending of the key of a raw label that is a band of a numeric attribute: `age_band`."""

SKIP, NO_LABEL, OTHER_WORDS = "skip", "unknown", "*"
"""Words with a meaning in `--map`."""

MAX_NUMBERS = 12
"""Different numbers of an attribute up to which each is listed; more are one line with their range."""

SHOWN_WORDS = 12
"""Words without a meaning that an error lists."""

How = Literal["--map", "format", "spelling", "number"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a word is read.

    Attributes:
        labels: Attribute -> cell of a manifest; empty where the word stands for no label.
        how: Who says so.
        skip: Whether its rows are left out.
        problem: Why it has no meaning; empty where it has one.
        is_invalid: Whether the problem is that of a value (an age of 300), not of a word: its rows are left out.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    how: How = "spelling"
    skip: bool = False
    problem: str = ""
    is_invalid: bool = False


@dataclass(frozen=True, slots=True)
class CodeReading:
    """A line of the table of words: what the source has, and how it was read.

    Attributes:
        key: Attribute, or "any" for words whose attribute follows from them.
        word: The word or code.
        meaning: Such as "mask wear", "no label", "left out".
        how: Who says so: `--map`, the format's definition, or the spelling.
        count: Number of rows.
    """

    key: str
    word: str
    meaning: str
    how: str
    count: int


class WordReader:
    """Reads the raw labels of rows, and counts how each word was read.

    Args:
        schema: The label schema; mask, gender and age are known besides.
        codes: What codes without words mean in the format, as in `Importer.codes`.
        maps: What the user says, each as `[KEY:]WORD=VALUE`.

    Raises:
        DataError: An item of `maps` is not of that form, or its value does not exist.
    """

    def __init__(
        self, schema: LabelSchema, codes: Mapping[str, Mapping[str, str]] | None = None, maps: Iterable[str] = ()
    ) -> None:
        own = {attribute.name.casefold() for attribute in schema.attributes}
        others = tuple(item for item in (MASK, GENDER, AGE) if item.name not in own)
        self.schema = LabelSchema(attributes=(*schema.attributes, *others))
        self._own = schema
        self._label_codes = LabelCodes(self.schema)
        self._codes = {key: {_fold(word): value for word, value in of.items()} for key, of in (codes or {}).items()}
        self._maps: dict[tuple[str, str], str] = {}
        self._items: dict[tuple[str, str], str] = {}
        self._used_maps: set[tuple[str, str]] = set()
        for item in maps:
            key, word, value = self._parse_map(item)
            pair = (key, OTHER_WORDS if word == OTHER_WORDS else _fold(word))
            if self._maps.get(pair, value) != value:
                hint = (
                    "name each word once; values of several attributes are separated by commas: --map WORD=wear,female"
                )
                raise _map_error(f"'{self._items[pair]}' and '{item}' give one word two meanings", hint)
            self._maps[pair], self._items[pair] = value, item
        self._readings: dict[tuple[str, str], Reading] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def read(self, key: str, word: str) -> Reading:
        """Reads one word, and counts it.

        Args:
            key: As in `RawRow.labels`.
            word: The word, not empty.

        Returns:
            How it is read.
        """
        pair = (key, word)
        self._counts[pair] += 1
        reading = self._readings.get(pair)
        if reading is None:
            reading = self._readings[pair] = self._read_new(key, word)
        return reading

    def knows(self, key: str, word: str) -> bool:
        """Returns whether a word is a value, or is mapped, without counting it.

        Args:
            key: As for `read`.
            word: As for `read`.

        Returns:
            Whether it is; words that stand for no label, such as `None`, are not.
        """
        reading = self.peek(key, word)
        return not reading.problem and (bool(reading.labels) or reading.how == "--map")

    def peek(self, key: str, word: str) -> Reading:
        """Reads one word without counting it.

        Args:
            key: As for `read`.
            word: As for `read`.

        Returns:
            How it is read.
        """
        return self._read_new(key, word)

    def knows_alone(self, word: str) -> bool:
        """Returns whether a word is a value whatever it was asked for: `with_mask` is, `yes` and `normal` are not.

        Args:
            word: A word under a name that says nothing.

        Returns:
            Whether it is a value, or is mapped, and no word of `GENERIC_WORDS`.
        """
        reading = self._read_new(ANY, word)
        return self.knows(ANY, word) and (reading.how == "--map" or fold_spelling(word) not in GENERIC_WORDS)

    def knows_value(self, word: str) -> bool:
        """Returns whether a value is a label whatever the attribute, tag or key that has it is called.

        Args:
            word: A value under a name that says nothing.

        Returns:
            As `knows_alone`, but False for every number: where `--map 1=wear` says what the labels mean, the 1 of an
            `id` or `track` means something else. False also for bands of numbers, by `is_bare_band`.
        """
        return as_number(word) is None and not self.is_bare_band(word) and self.knows_alone(word)

    def is_bare_band(self, word: str) -> bool:
        """Returns whether a word is only a band of numbers: the `2-5` of a `distance` is no age.

        Args:
            word: A value under a name that says nothing.

        Returns:
            Whether it is one, such as `2-5`, `0,5` or `90+`, and is not mapped.
        """
        return parse_range(word) is not None and self._read_new(ANY, word).how != "--map"

    def find_key(self, name: str) -> str | None:
        """Finds the key that a column, task or control stands for by its name.

        Args:
            name: Its name: `mask`, `Sex`, `age_group`, `성별`.

        Returns:
            An attribute, or one with `BAND_SUFFIX`; None where the name says nothing.
        """
        spaced, folded = fold_spelling(name), fold_spelling(name).replace(" ", "_")
        folded = COLUMN_SYNONYMS.get(spaced) or COLUMN_SYNONYMS.get(folded, folded)
        for attribute in self.schema.attributes:
            own = attribute.name.casefold()
            if folded == own:
                return attribute.name
            if attribute.bin_edges and folded in {own + ending for ending in COLUMN_BAND_SUFFIXES}:
                return attribute.name + BAND_SUFFIX
        return None

    def code_key(self, key: str) -> str:
        """Returns the key under which integers are codes, not numbers such as years.

        Args:
            key: A key.

        Returns:
            The key of the bands for a numeric attribute, else the key itself.
        """
        attribute = self._attribute(key)
        return attribute.name + BAND_SUFFIX if attribute and attribute.bin_edges else key

    def finish(self) -> tuple[str, ...]:
        """Checks what was read.

        Returns:
            The items of `maps` that no row needed.

        Raises:
            DataError: Words have no meaning, or numbers look like codes of bands; the error names all of them.
        """
        self._raise_unknown_words()
        self._raise_band_codes()
        return tuple(item for pair, item in self._items.items() if pair not in self._used_maps)

    def table(self) -> list[CodeReading]:
        """Returns how every word was read, for the user.

        Returns:
            One line per word, in the order of keys and counts; numbers are one line where there are many.
        """
        lines: list[CodeReading] = []
        numbers: dict[str, Counter[float]] = {}
        for (key, word), count in sorted(self._counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
            reading = self._readings[key, word]
            number = as_number(word)
            if reading.how == "number" and number is not None and not reading.problem:
                numbers.setdefault(key, Counter())[number] += count
                continue
            meaning = ", ".join(map(self._describe, reading.labels, reading.labels.values())) or "no label"
            meaning = "left out" if reading.skip or reading.problem else meaning
            lines.append(CodeReading(key or "any", word, meaning, reading.how, count))
        for key, counts in numbers.items():
            if len(counts) <= MAX_NUMBERS:
                lines += [CodeReading(key, f"{n:g}", f"{key} {n:g}", "number", c) for n, c in sorted(counts.items())]
            else:
                span = f"{len(counts)} numbers, {min(counts):g} to {max(counts):g}"
                lines.append(CodeReading(key, span, f"{key} as it is", "number", counts.total()))
        return lines

    def _describe(self, name: str, cell: str) -> str:
        """A cell for people: of a band that is no value of its own, also the values that it allows."""
        attribute = self.schema[name]
        if not attribute.bin_edges or cell in attribute.values or as_number(cell) is not None:
            return f"{name} {cell}"
        allowed = [
            value
            for value, is_allowed in zip(attribute.values, attribute.allowed_mask(cell), strict=True)
            if is_allowed
        ]
        return f"{name} {cell} ({' or '.join(allowed)})"

    def _parse_map(self, item: str) -> tuple[str, str, str]:
        left, equals, value = item.partition("=")
        key, colon, word = left.partition(":")
        keys = {name.casefold(): name for name in self._keys()}
        if not colon or key.strip().casefold() not in keys:
            key, word = ANY, left
        else:
            key = keys[key.strip().casefold()]
        word, value = word.strip(), value.strip()
        if not equals or not word or not value:
            raise _map_error(f"'{item}' is not WORD=VALUE")
        if value.casefold() not in (SKIP, NO_LABEL):
            self._labels_of_value(key, value)
        return key, word, value

    def _keys(self) -> list[str]:
        return [
            *self.schema.names,
            *(attribute.name + BAND_SUFFIX for attribute in self.schema.attributes if attribute.bin_edges),
        ]

    def _attribute(self, key: str) -> Attribute | None:
        """The attribute of a key; None for `ANY`."""
        names = {name.casefold(): name for name in self.schema.names}
        name = key.casefold()
        if name not in names:
            name = name.removesuffix(BAND_SUFFIX)
        return self.schema[names[name]] if key else None

    def _labels_of_value(self, key: str, value: str) -> dict[str, str]:
        """The labels that the right side of a `--map` or a format's code gives."""
        attribute = self._attribute(key)
        labels: dict[str, str] = {}
        for part in [value] if attribute else value.split(","):
            found = [attribute] if attribute else self._find_attributes(part.strip())
            if len(found) != 1:
                names = [name for item in self.schema.attributes for name in item.values]
                why = "is a value of several attributes; write KEY:WORD=VALUE" if found else "is no value"
                hint = f"values are {', '.join(names)}; also {SKIP} and {NO_LABEL}"
                raise _map_error(f"'{part}' {why}", hint)
            try:
                labels[found[0].name] = _to_cell(found[0], part.strip())
            except LabelError as error:
                raise _map_error(error.message) from None
        return labels

    def _find_attributes(self, word: str) -> list[Attribute]:
        """The attributes that have a word as a value; those of the label schema come before others."""
        for schema in (self._own, self.schema):
            found = find_attributes(schema, word)
            found += [item for item in schema.attributes if item.bin_edges and _is_band(item, word)]
            if found:
                return found
        return []

    def _read_new(self, key: str, word: str) -> Reading:
        attribute = self._attribute(key)
        for pair in ((key, _fold(word)), (ANY, _fold(word))):
            if (value := self._maps.get(pair)) is not None and (reading := self._read_mapped(key, value)):
                self._used_maps.add(pair)
                return reading
        if key == ANY and (reading := self._read_mapped_by_attribute(word)):
            return reading
        if (value := self._codes.get(key, {}).get(_fold(word))) is not None:
            return Reading(self._labels_of_value(key, value), "format") if value else Reading(how="format")
        reading = self._read_spelling(attribute, word, key.endswith(BAND_SUFFIX))
        if not reading.problem or reading.is_invalid:
            return reading
        for pair in ((key, OTHER_WORDS), (ANY, OTHER_WORDS)):
            if (value := self._maps.get(pair)) is not None and (mapped := self._read_mapped(key, value)):
                self._used_maps.add(pair)
                return mapped
        return reading

    def _read_mapped_by_attribute(self, word: str) -> Reading | None:
        """The reading of a word without a key, such as a folder's name, by `--map KEY:WORD=VALUE`; None without one."""
        pairs = [(key, _fold(word)) for key in self._keys() if (key, _fold(word)) in self._maps]
        readings = [reading for pair in pairs if (reading := self._read_mapped(pair[0], self._maps[pair]))]
        if not readings:
            return None
        self._used_maps.update(pairs)
        labels = {name: cell for reading in readings for name, cell in reading.labels.items()}
        return Reading(labels, "--map", skip=any(reading.skip for reading in readings))

    def _read_mapped(self, key: str, value: str) -> Reading | None:
        """The reading that a `--map` gives; None where its value is of another attribute."""
        if value.casefold() in (SKIP, NO_LABEL):
            return Reading(how="--map", skip=value.casefold() == SKIP)
        attribute = self._attribute(key)
        if attribute is not None and attribute not in self._find_attributes(value):
            try:
                return Reading({attribute.name: _to_cell(attribute, value)}, "--map")
            except LabelError:
                return None
        return Reading(self._labels_of_value(key, value), "--map")

    def _read_spelling(self, attribute: Attribute | None, word: str, is_band: bool) -> Reading:
        if attribute is None:
            return self._read_any(word)
        number = as_number(word)
        if number is not None and (is_band or not attribute.bin_edges):
            return Reading(problem="a code without a meaning")
        try:
            if self._label_codes.read(attribute, word) is None:
                return Reading()
            return Reading({attribute.name: _to_cell(attribute, word)}, "spelling" if number is None else "number")
        except LabelError as error:
            return Reading(problem=error.message, is_invalid=number is not None)

    def _read_any(self, word: str) -> Reading:
        found = self._find_attributes(word)
        if len(found) == 1 and fold_spelling(word) in YES_NO_WORDS and len(self._own.attributes) > 1:
            return Reading(problem="it answers a question that is not named")
        if len(found) == 1:
            return Reading({found[0].name: _to_cell(found[0], word)})
        if len(found) > 1:
            return Reading(problem=f"a value of {' and of '.join(item.name for item in found)}")
        if fold_spelling(word) in MISSING_WORDS:
            return Reading()
        combined = [labels for labels in self._split(word) if labels]
        if len(combined) == 1:
            return Reading(combined[0])
        return Reading(problem="no value of the label schema")

    def _split(self, word: str) -> list[dict[str, str]]:
        """Every way to read a word as values of several attributes in a row: `female_with_mask`, `mask-female`.

        The letter of `w_mask` is rather short for "with" than for "woman", and says nothing.
        """
        parts = [part for part in re.split(r"[_\s]+|(?<!\d)-|-(?!\d)|(?<=[a-z])(?=[A-Z])", word) if part]
        if not 2 <= len(parts) <= 8 or any(len(part) == 1 and part.isascii() and part.isalpha() for part in parts):
            return []

        def read(start: int) -> list[dict[str, str]]:
            if start == len(parts):
                return [{}]
            readings: list[dict[str, str]] = []
            for end in range(start + 1, len(parts) + 1):
                text = " ".join(parts[start:end])
                found = self._find_attributes(text)
                if len(found) == 1:
                    name, cell = found[0].name, _to_cell(found[0], text)
                    readings += [{name: cell} | rest for rest in read(end) if name not in rest]
            return readings

        readings = read(0)
        return [labels for number, labels in enumerate(readings) if labels not in readings[:number]]

    def _raise_unknown_words(self) -> None:
        unknown = [
            (pair, reading) for pair, reading in self._readings.items() if reading.problem and not reading.is_invalid
        ]
        if not unknown:
            return
        unknown.sort(key=lambda item: -self._counts[item[0]])
        lines = []
        for (key, word), reading in unknown[:SHOWN_WORDS]:
            of_key = f" of {key}" if key else ""
            why = f": {reading.problem}" if reading.problem != "no value of the label schema" else ""
            lines.append(f"- '{word}'{of_key} ({format_count(self._counts[key, word], 'row')}){why}")
        if len(unknown) > SHOWN_WORDS:
            lines.append(f"- and {len(unknown) - SHOWN_WORDS:,} more")
        (key, word), _ = unknown[0]
        example = f"{key}:{word}" if key else word
        quote = "'" if re.search(r"[^\w.:-]", example) else ""
        # No value as an example: whoever copies it would give the word a meaning unread.
        examples = [f"--map {quote}{example}=VALUE{quote}", f"--map {quote}{example}={SKIP}{quote}"]
        plural = format_count(len(unknown), "word is", "words are")
        values = " | ".join(", ".join(item.values) for item in self._own.attributes)
        raise DataError(
            f"{plural} no value of the label schema:\n" + "\n".join(lines),
            hint=f"say what each means, as {examples[0]} (values: {values}), or leave its rows out: {examples[1]}",
        )

    def _raise_band_codes(self) -> None:
        for attribute in self.schema.attributes:
            words = [
                word
                for (key, word), reading in self._readings.items()
                if key == attribute.name and reading.how == "number"
            ]
            if attribute.name in self._codes or not attribute.bin_edges:
                continue
            if look_like_bands(words, len(attribute.values)):
                name, values = attribute.name, attribute.values
                maps = " ".join(f"--map '{name}:{code}={value}'" for code, value in enumerate(values))
                raise DataError(
                    f"{name} is only {', '.join(sorted(words))}, which looks like codes of bands",
                    hint=f"say what they mean: {maps}; if they are years: --map {name}:{words[0]}={words[0]}",
                )


def _to_cell(attribute: Attribute, word: str) -> str:
    """The cell of a manifest for a word; raises `LabelError` where it is no value.

    A band other than the attribute's own is written as `3 to 9`: spreadsheets make a date of `3-9`.
    """
    value = read_label(attribute, word)
    if isinstance(value, float):
        return f"{value:g}"
    band = parse_range(word) if attribute.bin_edges else None
    if band is None or word.strip() in attribute.values:
        return value
    low, high = band
    if low > float("-inf") and high < float("inf"):
        return f"{low:g} to {high:g}"
    return f"{low:g}+" if high == float("inf") else f"up to {high:g}"


def _is_band(attribute: Attribute, word: str) -> bool:
    """Whether a word is a band of numbers, by the attribute's own name or as other datasets write it; no number is."""
    if as_number(word) is not None:
        return False
    return word.strip() in attribute.values or parse_range(word) is not None


def _fold(word: str) -> str:
    """A word without regard to case, spaces, hyphens and underscores; `2.0` is 2."""
    code = as_integer(word)
    return fold_spelling(word) if code is None else str(code)


def _map_error(message: str, hint: str = "") -> DataError:
    return DataError(message, location="--map", hint=hint or "write --map with_mask=wear, or --map mask:0=not_wear")
