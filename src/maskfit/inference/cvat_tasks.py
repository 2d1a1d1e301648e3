"""Labeling tasks in the form of "CVAT for images 1.1"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from maskfit.data.image_header import read_upright_size
from maskfit.data.label_corrections import USE_ATTRIBUTE
from maskfit.labels.schema import LabelSchema

FACE = "face"
"""CVAT's label of the tag that holds all attributes."""

LEAVE_OUT, USED = "leave out", "yes"
"""Choices for a photo that should not be used, and for one that should."""


def cvat_labels(schema: LabelSchema) -> list[dict[str, Any]]:
    """Builds the labels for the field "Raw" of CVAT's label constructor.

    Args:
        schema: The label schema.

    Returns:
        One tag, with an attribute for each of the schema's and one for photos to leave out.
    """
    selects = [(attribute.name, ["", *attribute.values]) for attribute in schema.attributes]
    return [
        {
            "name": FACE,
            "type": "tag",
            "attributes": [
                {"name": name, "mutable": False, "input_type": "select", "default_value": values[0], "values": values}
                for name, values in [*selects, (USE_ATTRIBUTE, [USED, LEAVE_OUT])]
            ],
        }
    ]


def cvat_annotations(images: Sequence[tuple[str, Path, Mapping[str, str]]], schema: LabelSchema) -> str:
    """Builds annotations to upload. They hold the present labels: CVAT exports what nobody looked at as well.

    Args:
        images: Name, file and present labels by attribute of each photo.
        schema: The label schema.

    Returns:
        XML.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    _add_meta(root, len(images), schema)
    for number, (name, path, labels) in enumerate(images):
        width, height = read_upright_size(path)
        image = ElementTree.SubElement(root, "image", id=str(number), name=name, width=str(width), height=str(height))
        tag = ElementTree.SubElement(image, "tag", label=FACE, source="manual")
        values = {**{attribute: labels.get(attribute, "") for attribute in schema.names}, USE_ATTRIBUTE: USED}
        for attribute, value in values.items():
            ElementTree.SubElement(tag, "attribute", name=attribute).text = value
    return to_xml(root)


def _add_meta(root: ElementTree.Element, size: int, schema: LabelSchema) -> None:
    """The labels, as CVAT's own exports have them: CVAT reads annotations without, datumaro does not."""
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for name, text in (("name", "label issues"), ("size", str(size)), ("mode", "annotation")):
        ElementTree.SubElement(task, name).text = text
    labels = ElementTree.SubElement(task, "labels")
    for label in cvat_labels(schema):
        element = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(element, "name").text = label["name"]
        ElementTree.SubElement(element, "type").text = label["type"]
        attributes = ElementTree.SubElement(element, "attributes")
        for attribute in label["attributes"]:
            own = ElementTree.SubElement(attributes, "attribute")
            for key in ("name", "mutable", "input_type", "default_value"):
                ElementTree.SubElement(own, key).text = str(attribute[key])
            ElementTree.SubElement(own, "values").text = "\n".join(attribute["values"])


def to_xml(root: ElementTree.Element) -> str:
    """Formats XML with indentation.

    Args:
        root: The root element, which is indented in place.

    Returns:
        The text, ending in a line break.
    """
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
