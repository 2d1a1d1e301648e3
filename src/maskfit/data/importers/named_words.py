"""Labels by the names that annotation tools give them: attributes, tags and questions, each with its words.

A name is a label where it is that of an attribute of the label schema (`mask`, `Sex`), or where one of its words in the
source is a value (`with_mask`); then its other words are asked for, but for bands of numbers, which are ages only where
the name says it or is one of `LABEL_NAMES`. A name without a word, or with `true`, is a word itself where it is a
value: the tag `with_mask`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from maskfit.data.importers.interface import ANY
from maskfit.data.importers.table_columns import WORD_COLUMNS
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import PERSON_COLUMNS
from maskfit.labels.schema import as_number

Pairs = Sequence[tuple[str, str]]
"""Name and word of each, in the order of the source; the word is empty where a name stands alone."""

IS_SET, IS_NOT_SET = "true", "false"

LABEL_NAMES = frozenset({*WORD_COLUMNS, "labels", "classes", "categories", "choice", "choices", "tag", "tags"})
"""Names, in lower case, that ask for labels of any kind, so that a band of numbers is an age."""


class NamedWords:
    """Finds the names that hold labels, and counts those that are ignored.

    Args:
        words: What the user says that words mean.
        pairs: All names and words of the source, so that no label depends on the order of its photos.
    """

    def __init__(self, words: WordReader, pairs: Iterable[tuple[str, str]]) -> None:
        self._words = words
        self._keys: dict[str, str | None] = {}
        self._ignored: Counter[str] = Counter()
        for name, word in dict.fromkeys(pairs):
            if self._keys.setdefault(name, words.find_key(name)) is not None or is_other_band(words, name, word):
                continue
            if word and as_number(word) is None and words.knows_alone(word):
                self._keys[name] = ANY

    def read(self, pairs: Pairs) -> list[tuple[str, str]]:
        """Reads the labels of a photo or box.

        Args:
            pairs: Its names and words.

        Returns:
            Pairs of key and word, as in `RawRow.labels`.
        """
        found = []
        for name, word in pairs:
            key = self._keys.get(name)
            if name.casefold() in PERSON_COLUMNS:
                continue
            if word and key is not None and (key != ANY or not is_other_band(self._words, name, word)):
                found.append((key, word))
            elif word in ("", IS_SET, IS_NOT_SET) and self._words.knows_alone(name):
                found += [] if word == IS_NOT_SET else [(ANY, name)]
            else:
                self._ignored[name] += 1
        return found

    def notes(self, what: str) -> list[str]:
        """Returns what was ignored.

        Args:
            what: What the tool calls them: "tags".

        Returns:
            A note; none where nothing was ignored.
        """
        listed = ", ".join(f"{name} ({count:,})" for name, count in self._ignored.items())
        return [f"{what} that hold no label, ignored: {listed}"] if listed else []


def is_other_band(words: WordReader, name: str, word: str) -> bool:
    """Returns whether a word is a band of numbers under a name that may ask for anything: a distance, not an age.

    Args:
        words: What the user says that words mean.
        name: The name, which is no attribute's.
        word: The word.

    Returns:
        Whether it is.
    """
    return name.casefold() not in LABEL_NAMES and words.is_bare_band(word)


def find_person(*pairs: tuple[str, str]) -> str:
    """Finds who is on a photo.

    Args:
        pairs: Names and words.

    Returns:
        The word of the first name that is one of a person; empty where there is none.
    """
    return next(
        (word for name, word in pairs if name.casefold() in PERSON_COLUMNS and word not in ("", IS_SET, IS_NOT_SET)), ""
    )


def to_words(value: Any) -> tuple[str, ...]:
    """Converts a value of a JSON file to words.

    Args:
        value: A text, a number, a truth value, or a list of them.

    Returns:
        The words that are not empty; none for anything else.
    """
    if isinstance(value, bool):
        return (IS_SET if value else IS_NOT_SET,)
    if isinstance(value, list):
        return tuple(word for item in value if not isinstance(item, list) for word in to_words(item))
    text = ""
    if isinstance(value, float) and math.isfinite(value):
        # With all digits: a number of a person may have many.
        text = f"{value:.0f}" if value.is_integer() else f"{value:.15g}"
    elif isinstance(value, str | int):  # NaN is a gap
        text = str(value).strip()
    return (text,) if text else ()


def to_person(*values: Any) -> str:
    """Converts values of a JSON file to who is on a photo; 1 and 1.0 are one person.

    Args:
        values: A text or number each; anything else says nothing.

    Returns:
        The first that is one; empty where there is none.
    """
    texts = (to_words(value) for value in values if not isinstance(value, bool | list))
    return next((words[0] for words in texts if words), "")
