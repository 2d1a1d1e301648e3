"""Label issues as tasks of labeling tools, and the decisions made there as label corrections.

`write_tasks` writes a folder for Label Studio and CVAT together; `read_decisions` reads what either of them exports. In
between, `tasks.csv` in the folder remembers whom each task is about and what is labeled now, so that a decision which
confirms the label changes nothing. The formats are Label Studio's JSON and "CVAT for images 1.1".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from maskfit.data.importers.label_studio_tasks import read_json_tasks, read_min_tasks
from maskfit.data.label_corrections import USE_ATTRIBUTE, Correction
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.errors import DataError
from maskfit.evaluation.label_issues import LabelIssue
from maskfit.file_io import check_unique_rows, read_csv, read_json, write_csv, write_json, write_text
from maskfit.inference.cvat_tasks import FACE, LEAVE_OUT, USED, cvat_annotations, cvat_labels, to_xml
from maskfit.labels.schema import UNKNOWN, LabelSchema
from maskfit.text import format_count

TASKS, STUDIO_TASKS, STUDIO_INTERFACE = "tasks.csv", "label-studio.json", "label-studio.xml"
CVAT_LABELS, CVAT_TASKS = "cvat-labels.json", "cvat.xml"
FILES = (TASKS, STUDIO_TASKS, STUDIO_INTERFACE, CVAT_LABELS, CVAT_TASKS)
"""Files of a folder of tasks."""

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves files of its own machine, below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""

PHOTO_NAME = "photo_name"
"""Field of Label Studio's tasks that holds the photo's name."""

DATA_FIELDS = frozenset({"image", PHOTO_NAME, "person", "question", "reason"})
"""All fields of Label Studio's tasks, which JSON-MIN mixes with the controls."""

WAYS_TO_EXPORT = "export as JSON or JSON-MIN from Label Studio, or as CVAT for images 1.1 from CVAT"


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
        num_confirmed: Of these, tasks of which every answer could be read and confirms the label.
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
            {issue.attribute: _to_choice(schema, issue.attribute, proposed) for issue, proposed in own},
            tuple(issue.attribute for issue, _ in own if not issue.photos),
            max(issue.score for issue, _ in own),
            "; ".join(dict.fromkeys(issue.reason for issue, _ in own)),
        )
        for name, own in found.items()
    ]


def _to_choice(schema: LabelSchema, name: str, proposed: str) -> str:
    """The value that the tool offers: where years are compared, an age is proposed, which lies in a band."""
    attribute = next(own for own in schema.attributes if own.name == name)
    return proposed if proposed in attribute.values else attribute.values[attribute.encode(float(proposed))]


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
    paths = {photo.name: photo.path for photo in photos}
    images = [(task.photo, paths[task.photo], task.labels) for task in tasks]
    return [
        write_csv(folder / TASKS, header, rows),
        write_json(folder / STUDIO_TASKS, [_studio_task(task, url) for task in tasks]),
        write_text(folder / STUDIO_INTERFACE, _studio_interface(schema)),
        write_json(folder / CVAT_LABELS, cvat_labels(schema)),
        write_text(folder / CVAT_TASKS, cvat_annotations(images, schema)),
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
            PHOTO_NAME: task.photo,
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
    return to_xml(view)


def read_decisions(folder: Path, export: Path, schema: LabelSchema) -> Decisions:
    """Reads what was decided about the tasks of a folder.

    Args:
        folder: Folder of `write_tasks`.
        export: Export of Label Studio (JSON or JSON-MIN) or of CVAT (CVAT for images 1.1).
        schema: The label schema.

    Returns:
        The decisions; of annotators who disagree, none.

    Raises:
        DataError: The folder has no tasks, the export cannot be read, none of its photos is one of the tasks, or none
            of its controls is one of the schema's.
    """
    tasks = read_csv(folder / TASKS, ("photo", "person", "whole_person", *schema.names))
    check_unique_rows((row["photo"] for row in tasks), folder / TASKS)
    rows = {row["photo"]: row for row in tasks}
    if export.suffix.lower() in (".csv", ".tsv", ".zip"):
        raise DataError(f"decisions are not read from {export.suffix.lower()}", location=export, hint=WAYS_TO_EXPORT)
    is_xml = export.suffix.lower() == ".xml"
    notes: list[str] = []
    answers = _read_cvat(export, notes) if is_xml else _read_studio(export)
    by_task = _group_by_task(answers, rows, notes, folder, export)
    verdicts = [_decide(rows[name], given, schema) for name, given in _keep_known(by_task, schema, notes, export)]
    notes += [note for verdict in verdicts for note in verdict.notes]
    notes += _settle_persons(verdicts, {name for row in rows.values() for name in _whole_person(row)})
    corrections: list[Correction] = []
    num_confirmed = 0
    for verdict in verdicts:
        found = verdict.to_corrections(f"decided in {'CVAT' if is_xml else 'Label Studio'}")
        corrections += found
        num_confirmed += verdict.is_clear and not found
    return Decisions(tuple(dict.fromkeys(corrections)), len(verdicts), num_confirmed, tuple(notes))


Given = Mapping[str, tuple[str, ...]]
"""What one annotator answered: control -> chosen words."""


@dataclass
class _Verdict:
    """What the annotators of a task agree on.

    Attributes:
        row: The task's row of `TASKS`.
        values: Agreed values by attribute.
        is_left_out: Whether the photo should not be used.
        is_clear: Whether every answer could be read and nobody disagrees.
        notes: What was left out.
    """

    row: Mapping[str, str]
    values: dict[str, str] = field(default_factory=dict)
    is_left_out: bool = False
    is_clear: bool = True
    notes: list[str] = field(default_factory=list)

    def asks_person(self, name: str) -> bool:
        """Whether the task's answer about an attribute holds for all photos of the person."""
        return name in _whole_person(self.row)

    def changes(self, name: str) -> bool:
        """Whether an attribute is decided, and not as it is labeled."""
        return name in self.values and self.values[name] != self.row[name]

    def to_corrections(self, reason: str) -> list[Correction]:
        """The labels that differ from those that the task was made with."""
        person, photo = self.row["person"], PurePosixPath(self.row["photo"]).name
        if self.is_left_out:
            return [Correction(person, photo, USE_ATTRIBUTE, "no", "certain", reason)]
        return [
            Correction(person, "" if self.asks_person(name) else photo, name, value, "certain", reason)
            for name, value in self.values.items()
            if self.changes(name)
        ]


def _whole_person(row: Mapping[str, str]) -> list[str]:
    return [name for name in row["whole_person"].split("|") if name]


def _group_by_task(
    answers: Iterable[tuple[str, Given]], rows: Mapping[str, Any], notes: list[str], folder: Path, export: Path
) -> dict[str, list[Given]]:
    """The answers about each task, by its photo's name."""
    named = [(name if name in rows else unquote(name).removeprefix(LOCAL_FILES), given) for name, given in answers]
    shown = {name for name, _ in named}
    prefix = _find_prefix(shown, rows)
    if prefix:
        notes.append(f"all photos of the tasks are found below {prefix}")
    by_task: dict[str, list[Given]] = {}
    for name, given in named:
        if (photo := name.removeprefix(prefix)) in rows:
            by_task.setdefault(photo, []).append(given)
    if not by_task:
        message = "no photo of this export is one of the tasks" if named else "the export has no decision"
        hint = f"export the project that was made from {folder}"
        if named:
            hint += f", with photos named as there: {min(rows, default='none')}, not {min(shown)}"
        raise DataError(message, location=export, hint=hint)
    if unknown := len(shown) - len(by_task):
        notes.append(f"{format_count(unknown, 'photo is no task', 'photos are no tasks')}, left out")
    return by_task


def _find_prefix(shown: Collection[str], rows: Collection[str]) -> str:
    """The URL or folder below which a tool has the dataset. One photo is no evidence: another folder may end alike."""
    if any(name in rows for name in shown):
        return ""
    found = []
    for name in shown:
        ends = [task for task in rows if name.endswith((f"/{task}", f"={task}"))]
        if ends:
            found.append(name.removesuffix(max(ends, key=len)))
    return found[0] if len(found) > 1 and len(set(found)) == 1 else ""


def _keep_known(
    by_task: Mapping[str, list[Given]], schema: LabelSchema, notes: list[str], export: Path
) -> list[tuple[str, list[Given]]]:
    """The tasks with an answer in a control of the schema."""
    controls = (*schema.names, USE_ATTRIBUTE)
    others = sorted({name for answers in by_task.values() for given in answers for name in given} - {*controls})
    kept = [(name, answers) for name, answers in by_task.items() if any({*controls} & {*given} for given in answers)]
    if not kept:
        raise DataError(
            f"no control of this export is one of the schema's; its controls are {_join(others)}",
            location=export,
            hint=f"name the controls {_join(controls)}, as {STUDIO_INTERFACE} and {CVAT_LABELS} do, or set --schema",
        )
    if others:
        notes.append(f"controls that are none of the schema's, left out: {', '.join(others)}")
    return kept


def _join(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _read_studio(export: Path) -> Iterator[tuple[str, Given]]:
    content = read_json(export)
    if not isinstance(content, list) or not all(isinstance(item, Mapping) for item in content):
        raise DataError("this is no list of tasks", location=export, hint=WAYS_TO_EXPORT)
    is_full = any("annotations" in item for item in content)
    tasks = read_json_tasks(content) if is_full else read_min_tasks(content, "item", 0)
    for item, task in zip(content, tasks, strict=True):
        data = item.get("data") if is_full else item
        name = data.get(PHOTO_NAME) if isinstance(data, Mapping) else None
        for answer in task.answers:
            given: dict[str, tuple[str, ...]] = {}
            for value in answer.values:
                if value.words and (is_full or value.control not in DATA_FIELDS):
                    given[value.control] = given.get(value.control, ()) + value.words
            if given and not answer.is_skipped:
                yield str(name or task.photo), given


def _read_cvat(export: Path, notes: list[str]) -> list[tuple[str, Given]]:
    try:
        root = ElementTree.parse(export).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DataError(f"this XML cannot be read: {error}", location=export, hint="export it again") from None
    answers: list[tuple[str, Given]] = []
    others: set[str] = set()
    for image in root.findall("image"):
        for tag in image.findall("tag"):
            if tag.get("label") != FACE:
                others.add(tag.get("label", ""))
                continue
            given: dict[str, tuple[str, ...]] = {}
            for entry in tag.findall("attribute"):
                name, text = entry.get("name", ""), (entry.text or "").strip()
                if text:
                    given[name] = (*given.get(name, ()), text)
            if given:
                answers.append((image.get("name", ""), given))
    if others:
        notes.append(f"tags other than {FACE}, left out: {', '.join(sorted(others))}")
    if others and not answers:
        message = f"no tag is named {FACE}; the tags are {_join(sorted(others))}"
        raise DataError(message, location=export, hint=f"make the labels in CVAT from {CVAT_LABELS}")
    return answers


def _decide(row: Mapping[str, str], answers: Sequence[Given], schema: LabelSchema) -> _Verdict:
    """What all answers about a task agree on. An answer without an attribute has no say in it."""
    verdict = _Verdict(row)
    # A control renamed after an attribute hides an answer about it; another one, such as a comment, does not.
    hidden = {
        name for given in answers for name in given if name not in schema.names and _words(name) & {*schema.names}
    }
    answers = [given for given in answers if {*schema.names, USE_ATTRIBUTE} & {*given}]
    uses = list(dict.fromkeys(word for given in answers for word in given.get(USE_ATTRIBUTE, (USED,))))
    if uses == [LEAVE_OUT]:
        verdict.is_left_out = True
        return verdict
    if uses != [USED]:
        labels = {name: given[name] for given in answers for name in schema.names if name in given}
        words = [f"labeled ({_join_labels(labels)})" if word == USED and labels else word for word in uses]
        verdict.notes.append(f"{row['photo']}: {USE_ATTRIBUTE} is given as {_join(words)}; the labels stay")
        verdict.is_clear = False
        return verdict
    for attribute in schema.attributes:
        values = list(dict.fromkeys(word for given in answers for word in given.get(attribute.name, ())))
        if len(values) > 1:
            verdict.notes.append(f"{row['photo']}: {attribute.name} is given as {_join(values)}; the label stays")
        elif values and values[0] not in attribute.values:
            verdict.notes.append(f"{row['photo']}: {values[0]!r} is no value of {attribute.name}; the label stays")
        elif values:
            verdict.values[attribute.name] = values[0]
    verdict.is_clear = not verdict.notes and not hidden
    return verdict


def _words(name: str) -> set[str]:
    return set(re.split(r"[\W_]+", name.casefold()))


def _join_labels(labels: Given) -> str:
    return ", ".join(f"{name} {_join(values)}" for name, values in labels.items() if values)


def _settle_persons(verdicts: Sequence[_Verdict], names: Iterable[str]) -> list[str]:
    """Drops what two photos of a person decide differently about attributes of persons; returns a note for each."""
    notes = []
    for name in sorted(names):
        of_person: dict[str, list[_Verdict]] = {}
        for verdict in verdicts:
            if name in verdict.values:
                of_person.setdefault(verdict.row["person"], []).append(verdict)
        for person, own in of_person.items():
            asked = any(verdict.asks_person(name) for verdict in own)
            # Tasks about something else hold the present label beforehand: unchanged, it says nothing against a change.
            counted = [one for one in own if not asked or one.asks_person(name) or one.changes(name)]
            if len({one.values[name] for one in counted}) > 1:
                given = _join(f"{one.values[name]} ({one.row['photo']})" for one in counted)
                notes.append(f"{person}: {name} is given as {given}; the label stays")
                for one in counted:
                    one.is_clear = False
                    del one.values[name]
            elif any(one.asks_person(name) and one.changes(name) for one in own):
                for one in own:
                    if not one.asks_person(name) and one.changes(name):
                        one.values[name] = one.row[name]
                        one.is_clear = False
    return notes
