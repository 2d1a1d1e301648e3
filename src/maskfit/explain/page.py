"""Writes the HTML page of `maskfit inspect`."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from maskfit.explain.gradient_chart import depth_chart
from maskfit.explain.gradient_check import LayerGradient, summarize_gradients
from maskfit.explain.inspect_model import GradCamResult, ModelInspection
from maskfit.file_io import write_text
from maskfit.html.page import read_text, render_page

GRAPH_TITLES = {
    "modules": "Modules in the forward pass, with the shapes between them",
    "backward": "Autograd graph: operations of the backward pass and the parameters that they reach",
}
"""Heading of the section of each graph."""


def write_inspection_page(path: Path, inspection: ModelInspection, title: str) -> Path:
    """Writes the page; it is self-contained, with thumbnails of the faces and without paths of the machine.

    Args:
        path: Where to write; an existing file is replaced.
        inspection: The inspection.
        title: Name of the model.

    Returns:
        `path`.
    """
    text = render_page(
        "maskfit.explain",
        "page.html.j2",
        title=f"Inspection of {title}",
        subtitle=inspection.metadata.description or inspection.metadata.backbone.name,
        style=read_text("maskfit.explain", "inspection.css"),
        num_photos=inspection.num_photos,
        num_labeled=inspection.num_labeled,
        summary=summarize_gradients(inspection.layers),
        chart=depth_chart(inspection.layers),
        layers=[_layer_row(layer) for layer in inspection.layers],
        faces=[_figures(item) for item in inspection.grad_cams],
        graphs=[_graph(name, graph) for name, graph in inspection.graphs.items()],
    )
    return write_text(path, text)


def _layer_row(layer: LayerGradient) -> tuple[list[str], list[str]]:
    """(cells, numbers)."""
    numbers = [f"{layer.num_parameters:,}", f"{layer.norm:.3g}", f"{layer.rms:.3g}"]
    return [layer.name, layer.layer_type, layer.verdict], numbers


def _figures(face: GradCamResult) -> list[tuple[str, str]]:
    """(data URI, caption) of the input and of each attribute's overlay."""
    overlays = [(_data_uri(image), f"{name}: {face.predictions[name]}") for name, image in face.overlays.items()]
    return [(_data_uri(face.image), face.name), *overlays]


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _graph(name: str, graph: Path | str) -> dict[str, Any]:
    """The variables of a graph's section: its drawing, or the reason why there is none."""
    title = GRAPH_TITLES[name]
    if isinstance(graph, str):
        return {"title": title, "reason": graph, "file": "", "drawing": Markup("")}
    drawing = graph.read_text(encoding="utf-8")
    # The XML declaration and the document type before the element are not allowed within HTML.
    drawing = re.sub(r"^.*?(?=<svg)", "", drawing, count=1, flags=re.DOTALL)
    # Written by Graphviz, which escapes the labels.
    return {"title": title, "reason": "", "file": graph.name, "drawing": Markup(drawing)}
