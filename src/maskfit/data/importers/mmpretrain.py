"""MMPretrain's JSON: `metainfo` and `data_list`, whose items have `img_path` and `gt_label`.

`MultiTaskDataset` has a label per task, `{"gender": 0, "mask": 2}`; the other datasets of OpenMMLab 2.0 have one
class index or a list of them, whose names are `metainfo.classes`. Source: mmpretrain 1.2,
`mmpretrain/datasets/multi_task.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from maskfit.data.importers.interface import (
    ANY,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.file_io import read_json

NO_PATH = "the item has no img_path"
NO_NAME = "the class has no name"


class MMPretrainImporter:
    """MMPretrain's multi-task and single-task JSON."""

    title: ClassVar[str] = "MMPretrain: JSON with metainfo and data_list"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has MMPretrain's JSON.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON file has `data_list`.
        """
        return Confidence.SURE if _label_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all JSON files of the source that have `data_list`.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per item whose photo exists.

        Raises:
            DataError: A file is not of this form.
        """
        result = RawImport(files=_label_files(source) or list(source.with_suffix(".json")))
        finder = options.photo_finder(source)
        ignored: Counter[str] = Counter()
        for file in result.files:
            content = read_json(source.root / file)
            items = content.get("data_list") if isinstance(content, dict) else None
            if not isinstance(items, list):
                raise DataError("there is no list data_list", location=source.describe(file), hint="check the format")
            metainfo = content.get("metainfo") or {}
            for number, item in enumerate(items):
                location = f"{file} item {number}"
                name = item.get("img_path") if isinstance(item, dict) else None
                photo, reason = finder.find(str(name), file) if name else (None, NO_PATH)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                labels = list(_read_labels(item.get("gt_label"), metainfo, options.words, ignored))
                if labels and not any(word for _, word in labels):
                    result.left_out.append(LeftOut(location, NO_NAME))
                else:
                    result.rows.append(RawRow(photo, location, labels))
        result.note_photos_without_row(finder)
        if ignored:
            listed = ", ".join(f"{task} ({count:,})" for task, count in ignored.items())
            result.notes.append(f"tasks that are no attribute of the label schema, ignored: {listed}")
        return result


def _read_labels(
    label: Any, metainfo: Mapping[str, Any], words: WordReader, ignored: Counter[str]
) -> Iterator[tuple[str, str]]:
    """The keys and words of a `gt_label`."""
    if isinstance(label, Mapping):
        for task, value in label.items():
            categories = _categories(metainfo, task)
            key = words.find_key(task)
            for index in _indices(value, one_hot=True):
                word = categories[index] if categories and index < len(categories) else str(index)
                if key is not None:
                    yield (key if categories else words.code_key(key)), word
                elif word and categories and words.knows_value(word):
                    yield ANY, word
                else:
                    ignored[task] += 1
        return
    classes = _names(metainfo.get("classes"))
    for index in _indices(label, one_hot=False):
        yield ANY, classes[index] if index < len(classes) else str(index)


def _categories(metainfo: Mapping[str, Any], task: str) -> list[str]:
    """Names of a task's values, where the file has them."""
    tasks = metainfo.get("tasks") or ()
    for item in tasks:
        if isinstance(item, Mapping) and item.get("name") == task:
            return _names(item.get("categories") or item.get("classes"))
    own = metainfo.get(task)
    return _names(own) if isinstance(own, list) else []


def _names(values: Any) -> list[str]:
    """Names of classes; null is none."""
    return ["" if name is None else str(name) for name in values or ()]


def _indices(value: Any, *, one_hot: bool) -> list[int]:
    """The class indices of a label: a number, a list of them, or in a task one number per class (0 or 1)."""
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int):
        return [value] if value >= 0 else []
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        return []
    if one_hot:
        return [index for index, item in enumerate(value) if item == 1]
    return [item for item in value if item >= 0]


def _label_files(source: ImportSource) -> list[str]:
    return [
        name
        for name in source.with_suffix(".json")
        if source.head(name).lstrip()[:1] == "{" and '"data_list"' in source.head(name)
    ]
