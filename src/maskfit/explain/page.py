"""The page of `maskfit inspect`."""

from __future__ import annotations

import base64
import io
import re
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.explain.gradient_chart import depth_chart
from maskfit.explain.gradient_check import LayerGradient, summarize_gradients
from maskfit.explain.inspect_model import GradCamResult, ModelInspection
from maskfit.file_io import write_text
from maskfit.html.page import page, section, table

STYLE = """
.looks { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); gap: 1rem; }
.look { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: .4rem; margin: 0; }
.look figure { margin: 0; } .look img { width: 100%; border-radius: 6px; image-rendering: auto; }
.look figcaption { font-size: .8rem; overflow-wrap: anywhere; }
.graph { overflow: auto; max-height: 70vh; border: 1px solid #8884; background: #fff; border-radius: 6px; }
.graph svg { height: auto; } summary { cursor: pointer; padding: .4rem 0; }
"""

TITLES = {
    "modules": "The modules that a photo passes, with the shapes between them",
    "backward": "The way back: operations that gradients pass, and the weights that they reach",
}


def write_inspection_page(path: Path, inside: ModelInspection, title: str) -> Path:
    """Writes the page; it needs no network, holds small pictures of the faces shown, and no paths of this machine.

    Args:
        path: Where to.
        inside: What was seen.
        title: What model it is.
    """
    sections = [_gradients(inside), _looks(inside), *(_graph(name, made) for name, made in inside.graphs.items())]
    about = inside.facts.description or inside.facts.backbone.name
    return write_text(path, page(f"Inside {title}", about, sections, STYLE))


def _gradients(inside: ModelInspection) -> str:
    own = "their labels"
    if inside.labelled < inside.photos:
        own = f"the labels of {inside.labelled} of them and the model's own answers for the others"
    remark = (
        f"{inside.photos} photos went forward and backward once, as in a training step, with {own}; nothing was "
        "changed. A bar is the root mean square of what arrived at a layer: how strongly each of its weights is pulled."
    )
    words = "".join(f"<li>{escape(line)}</li>" for line in summarize_gradients(inside.layers))
    rows = [_row(layer) for layer in inside.layers]
    cells = table(["layer", "kind", "verdict", "weights", "norm", "root mean square"], rows, 3)
    body = f"<ul>{words}</ul><figure>{depth_chart(inside.layers)}</figure>"
    return section("What each layer learns", remark, f"{body}<details><summary>All layers</summary>{cells}</details>")


def _row(layer: LayerGradient) -> str:
    numbers = "".join(
        f"<td class=number>{number}</td>" for number in (f"{layer.weights:,}", f"{layer.norm:.3g}", f"{layer.mean:.3g}")
    )
    return (
        f"<tr><td>{escape(layer.name)}</td><td>{escape(layer.kind)}</td><td>{escape(layer.verdict)}</td>{numbers}</tr>"
    )


def _looks(inside: ModelInspection) -> str:
    if not inside.looks:
        return ""
    remark = (
        "Grad-CAM: bright is where the last maps of the network speak for the answer beneath. Coarse by nature; a face "
        "on which the mask is read off the background, or the age off the hair, shows itself here."
    )
    return section("Where it looks", remark, f'<div class="looks">{"".join(map(_look, inside.looks))}</div>', "long")


def _look(look: GradCamResult) -> str:
    shown = [_figure(look.frame, look.name)]
    shown += [_figure(heat, f"{name}: {look.answers[name]}") for name, heat in look.heats.items()]
    return f'<div class="look">{"".join(shown)}</div>'


def _figure(pixels: NDArray[np.uint8], words: str) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    data = base64.b64encode(stream.getvalue()).decode()
    said = escape(words)
    return f'<figure><img alt="{said}" src="data:image/jpeg;base64,{data}"><figcaption>{said}</figcaption></figure>'


def _graph(name: str, made: Path | str) -> str:
    title = TITLES[name]
    if isinstance(made, str):
        return section(title, escape(made), "")
    drawing = made.read_text(encoding="utf-8")
    # From the element on: what stands before it belongs into a file of its own.
    drawing = re.sub(r"^.*?(?=<svg)", "", drawing, count=1, flags=re.DOTALL)
    remark = f"Beside this page it lies as {escape(made.name)}, and as text for Graphviz."
    return section(title, remark, f'<details><summary>Show</summary><div class="graph">{drawing}</div></details>')
