"""Label issues as tasks of labeling tools, and the decisions made there as label corrections.

`write_tasks` writes a folder for Label Studio and CVAT together; `read_decisions` reads what either of them exports. In
between, `tasks.csv` in the folder remembers whom each task is about and what is labeled now, so that a decision which
confirms the label changes nothing. The formats are Label Studio's JSON and "CVAT for images 1.1".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from maskfit.data.image_header import read_upright_size
from maskfit.data.importers.label_studio_tasks import Answer, read_json_tasks, read_min_tasks
from maskfit.data.label_corrections import USE_ATTRIBUTE, Correction
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.errors import DataError
from maskfit.evaluation.label_issues import LabelIssue
from maskfit.file_io import read_csv, read_json, write_csv, write_json, write_text
from maskfit.labels.schema import UNKNOWN, LabelSchema
from maskfit.text import format_count

TASKS, STUDIO_TASKS, STUDIO_INTERFACE = "tasks.csv", "label-studio.json", "label-studio.xml"
CVAT_LABELS, CVAT_TASKS = "cvat-labels.json", "cvat.xml"
FILES = (TASKS, STUDIO_TASKS, STUDIO_INTERFACE, CVAT_LABELS, CVAT_TASKS)
"""Files of a folder of tasks."""

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves files of its own machine, below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""

FACE = "face"
"""CVAT's label of the tag that holds all attributes."""

LEAVE_OUT = "leave out"
"""Choice for a photo that should not be used."""


@dataclass(frozen=True)
class LabelingTask:
    """A photo to look at.

    Attributes:
        photo: Its name.
        person: Who is on it.
        labels: What is labeled now, by attribute; attributes without a label are missing.
        proposed: What the models predict, by attribute in question.
        whole_person: Attributes whose decision holds for all photos of the person.
        score: Highest probability that one of its labels is wrong.
        reason: Explanations for people.
    """

    photo: str
    person: str
    labels: Mapping[str, str]
    proposed: Mapping[str, str]
    whole_person: tuple[str, ...]
    score: float
    reason: str


@dataclass(frozen=True)
class Decisions:
    """What was decided in a labeling tool.

    Attributes:
        corrections: Labels that differ from those that the tasks were made with.
        num_tasks: Tasks with a decision.
        num_confirmed: Of these, tasks whose labels were all confirmed.
        notes: One line for each thing that was left out.
    """

    corrections: tuple[Correction, ...]
    num_tasks: int
    num_confirmed: int
    notes: tuple[str, ...]


def make_tasks(issues: Sequence[LabelIssue], photos: PhotoDataset, schema: LabelSchema) -> list[LabelingTask]:
    """Makes one task for each photo that has an issue, and one for each person whose own attributes have one.

    Args:
        issues: Label issues, the most likely first.
        photos: The labeled photos.
        schema: The label schema.

    Returns:
        The tasks in the order of the issues.
    """
    by_name = {photo.name: photo for photo in photos}
    of_person: dict[str, list[str]] = {}
    for photo in photos:
        of_person.setdefault(photo.person, []).append(photo.name)
    found: dict[str, list[tuple[LabelIssue, str]]] = {}
    for issue in issues:
        # The last by name: in the competition's layout "normal", on which the face is bare.
        shown = issue.photos or (sorted(of_person[issue.person])[-1],)
        for name, proposed in zip(shown, issue.proposed, strict=True):
            found.setdefault(name, []).append((issue, proposed))
    return [
        LabelingTask(
            name,
            by_name[name].person,
            _current_labels(by_name[name], schema),
            {issue.attribute: proposed for issue, proposed in own},
            tuple(issue.attribute for issue, _ in own if not issue.photos),
            max(issue.score for issue, _ in own),
            "; ".join(dict.fromkeys(issue.reason for issue, _ in own)),
        )
        for name, own in found.items()
    ]


def _current_labels(photo: Photo, schema: LabelSchema) -> dict[str, str]:
    codes = schema.encode_batch([photo.labels])[0].tolist()
    return {
        attribute.name: attribute.values[code]
        for attribute, code in zip(schema.attributes, codes, strict=True)
        if code != UNKNOWN
    }


def write_tasks(
    folder: Path, tasks: Sequence[LabelingTask], photos: PhotoDataset, schema: LabelSchema, url: str = LOCAL_FILES
) -> list[Path]:
    """Writes tasks for Label Studio and CVAT.

    Args:
        folder: The folder; its files of these names are replaced.
        tasks: From `make_tasks`.
        photos: The labeled photos.
        schema: The label schema.
        url: What Label Studio finds photos below; the photo's name follows.

    Returns:
        The files.
    """
    rows = [
        (
            task.photo,
            task.person,
            "|".join(task.whole_person),
            f"{task.score:.4f}",
            task.reason,
            *(task.labels.get(name, "") for name in schema.names),
        )
        for task in tasks
    ]
    header = ("photo", "person", "whole_person", "score", "reason", *schema.names)
    return [
        write_csv(folder / TASKS, header, rows),
        write_json(folder / STUDIO_TASKS, [_studio_task(task, url) for task in tasks]),
        write_text(folder / STUDIO_INTERFACE, _studio_interface(schema)),
        write_json(folder / CVAT_LABELS, _cvat_labels(schema)),
        write_text(folder / CVAT_TASKS, _cvat_annotations(tasks, photos, schema)),
    ]


def _studio_task(task: LabelingTask, url: str) -> dict[str, Any]:
    """A task with the proposed labels as a prediction, which counts only once somebody submits it."""
    chosen = {**task.labels, **task.proposed}
    result = [
        {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [value]}}
        for name, value in chosen.items()
    ]
    current = ", ".join(f"{name}: {task.labels.get(name, 'not labeled')}" for name in task.proposed)
    proposed = ", ".join(f"{name}: {value}" for name, value in task.proposed.items())
    return {
        "data": {
            "image": url + quote(task.photo),
            "photo_name": task.photo,
            "person": task.person,
            "question": f"labeled {current}; proposed {proposed}",
            "reason": task.reason,
        },
        "predictions": [{"model_version": "maskfit", "score": round(task.score, 4), "result": result}],
    }


def _studio_interface(schema: LabelSchema) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image")
    ElementTree.SubElement(view, "Header", value="$question")
    ElementTree.SubElement(view, "Text", name="reason", value="$reason")
    controls = [(attribute.name, attribute.values) for attribute in schema.attributes]
    for name, values in [*controls, (USE_ATTRIBUTE, (LEAVE_OUT,))]:
        ElementTree.SubElement(view, "Header", value=name)
        control = ElementTree.SubElement(view, "Choices", name=name, toName="image", choice="single")
        for value in values:
            ElementTree.SubElement(control, "Choice", value=value)
    return _to_text(view)


def _cvat_labels(schema: LabelSchema) -> list[dict[str, Any]]:
    """For the field "Raw" of CVAT's label constructor."""
    selects = [(attribute.name, ["", *attribute.values]) for attribute in schema.attributes]
    return [
        {
            "name": FACE,
            "type": "tag",
            "attributes": [
                {"name": name, "mutable": False, "input_type": "select", "default_value": values[0], "values": values}
                for name, values in [*selects, (USE_ATTRIBUTE, ["yes", LEAVE_OUT])]
            ],
        }
    ]


def _cvat_annotations(tasks: Sequence[LabelingTask], photos: PhotoDataset, schema: LabelSchema) -> str:
    """Annotations to upload. They hold the present labels, since CVAT exports what nobody looked at as well."""
    by_name = {photo.name: photo for photo in photos}
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for number, task in enumerate(tasks):
        width, height = read_upright_size(by_name[task.photo].path)
        image = ElementTree.SubElement(
            root, "image", id=str(number), name=task.photo, width=str(width), height=str(height)
        )
        tag = ElementTree.SubElement(image, "tag", label=FACE, source="manual")
        values = {**{name: task.labels.get(name, "") for name in schema.names}, USE_ATTRIBUTE: "yes"}
        for name, value in values.items():
            ElementTree.SubElement(tag, "attribute", name=name).text = value
    return _to_text(root)


def _to_text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def read_decisions(folder: Path, export: Path, schema: LabelSchema) -> Decisions:
    """Reads what was decided about the tasks of a folder.

    Args:
        folder: Folder of `write_tasks`.
        export: Export of Label Studio (JSON or JSON-MIN) or of CVAT (CVAT for images 1.1).
        schema: The label schema.

    Returns:
        The decisions; of two annotators who disagree, neither.

    Raises:
        DataError: The folder has no tasks, the export cannot be read, or none of its photos is one of the tasks.
    """
    rows = {row["photo"]: row for row in read_csv(folder / TASKS, ("photo", "person", "whole_person", *schema.names))}
    is_xml = export.suffix.lower() == ".xml"
    answers = _read_cvat(export) if is_xml else _read_studio(export)
    tool = "CVAT" if is_xml else "Label Studio"
    corrections: dict[tuple[str, str, str], Correction] = {}
    notes: list[str] = []
    decided: dict[str, bool] = {}
    unknown = 0
    for shown, given in answers:
        row = _find_task(shown, rows)
        if row is None:
            unknown += 1
            continue
        found, problems = _to_corrections(row, given, schema, tool)
        notes += problems
        decided[row["photo"]] = not found
        for item in found:
            key = (item.person, item.photo, item.attribute)
            other = corrections.setdefault(key, item)
            if other.value != item.value:
                notes.append(
                    f"{item.person}: {item.attribute} is decided as {other.value} and as {item.value}; left out"
                )
                corrections[key] = Correction(*key, "")
    if not decided:
        raise DataError(
            "no photo of this export is one of the tasks" if unknown else "the export has no decision",
            location=export,
            hint=f"export the project that was made from {folder}",
        )
    if unknown:
        notes.append(f"{format_count(unknown, 'photo')} that are no tasks, left out")
    kept = tuple(item for item in corrections.values() if item.value)
    return Decisions(kept, len(decided), sum(decided.values()), tuple(notes))


Given = Mapping[str, tuple[str, ...]]
"""Attribute -> values that annotators chose for it."""


def _find_task(shown: str, rows: Mapping[str, dict[str, str]]) -> dict[str, str] | None:
    """The task of a photo as a tool names it: by its name, or by a URL or path that ends in it."""
    path = unquote(shown)
    if path in rows:
        return rows[path]
    found = [name for name in rows if path.endswith((f"/{name}", f"={name}"))]
    return rows[max(found, key=len)] if found else None


def _read_studio(export: Path) -> Iterator[tuple[str, Given]]:
    content = read_json(export)
    if not isinstance(content, list) or not all(isinstance(item, Mapping) for item in content):
        raise DataError("this is no list of tasks", location=export, hint="export as JSON or JSON-MIN")
    is_full = any("annotations" in item for item in content)
    tasks = read_json_tasks(content) if is_full else read_min_tasks(content, "item", 0)
    for item, task in zip(content, tasks, strict=True):
        data = item.get("data") if is_full else item
        name = data.get("photo_name") if isinstance(data, Mapping) else None
        answers = [answer for answer in task.answers if not answer.is_skipped and answer.values]
        if answers:
            yield str(name or task.photo), _merge(answers)


def _merge(answers: Sequence[Answer]) -> Given:
    given: dict[str, list[str]] = {}
    for answer in answers:
        for value in answer.values:
            given.setdefault(value.control, []).extend(value.words)
    return {name: tuple(dict.fromkeys(words)) for name, words in given.items()}


def _read_cvat(export: Path) -> Iterator[tuple[str, Given]]:
    try:
        root = ElementTree.parse(export).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DataError(f"this XML cannot be read: {error}", location=export, hint="export it again") from None
    for image in root.findall("image"):
        given: dict[str, list[str]] = {}
        for entry in image.findall("tag/attribute"):
            if text := (entry.text or "").strip():
                given.setdefault(entry.get("name", ""), []).append(text)
        if given:
            yield image.get("name", ""), {name: tuple(dict.fromkeys(values)) for name, values in given.items()}


def _to_corrections(
    row: Mapping[str, str], given: Given, schema: LabelSchema, tool: str
) -> tuple[list[Correction], list[str]]:
    """The labels of a task that differ from those that it was made with."""
    found: list[Correction] = []
    notes: list[str] = []
    photo = PurePosixPath(row["photo"]).name
    reason = f"decided in {tool}"
    if LEAVE_OUT in given.get(USE_ATTRIBUTE, ()):
        return [Correction(row["person"], photo, USE_ATTRIBUTE, "no", "certain", reason)], notes
    for attribute in schema.attributes:
        values = given.get(attribute.name, ())
        if len(values) > 1:
            notes.append(f"{row['photo']}: {attribute.name} is given as {' and '.join(values)}; left out")
        elif values and values[0] not in attribute.values:
            notes.append(f"{row['photo']}: {values[0]!r} is no value of {attribute.name}; left out")
        elif values and values[0] != row[attribute.name]:
            whole = attribute.name in row["whole_person"].split("|")
            found.append(
                Correction(row["person"], "" if whole else photo, attribute.name, values[0], "certain", reason)
            )
    return found, notes
