"""Graphs of a network (seed s0): its modules, as the photo passes them, and the way back that its gradients take.

Both come as text in Graphviz's language, which needs no Graphviz; drawing them does. The modules' graph is torchview's.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskfit.errors import MaskfitError, MissingExtraError
from maskfit.file_io import atomic_write, write_text

if TYPE_CHECKING:
    from maskfit.models.network import Network

MOST_NODES = 4000
"""A graph of more nodes takes Graphviz minutes, and nobody can read it."""

LONGEST = 120
"""Seconds that Graphviz may take for one picture."""

REMEDY = "install Graphviz (apt install graphviz, brew install graphviz, or graphviz.org/download), then run this again"


def module_graph(network: Network, size: tuple[int, int], depth: int = 3) -> str:
    """The modules that a photo passes, with the shapes between them.

    Args:
        network: In evaluation mode.
        size: (height, width) of a photo.
        depth: How far modules are opened; 1 shows trunk and head alone.

    Raises:
        MissingExtraError: torchview is not installed.
    """
    if importlib.util.find_spec("torchview") is None or importlib.util.find_spec("graphviz") is None:
        raise MissingExtraError("the graph of modules", "inspect")
    from torchview import draw_graph

    drawn = draw_graph(
        network,
        input_size=(1, 3, *size),
        device="cpu",
        depth=depth,
        expand_nested=True,
        graph_dir="TB",
        show_shapes=True,
        graph_name="modules",
        mode="eval",
    )
    return str(drawn.visual_graph.source)


def backward_graph(network: Network, size: tuple[int, int]) -> str:
    """The operations that gradients pass on their way from the heads to every weight, as autograd has recorded them.

    Boxes are operations, ellipses weights with their names. A weight that is missing here cannot learn.

    Args:
        network: Any network.
        size: (height, width) of a photo.

    Raises:
        MaskfitError: The graph is too large to be of use.
    """
    import torch

    names = {id(parameter): name for name, parameter in network.named_parameters()}
    training = network.training
    with torch.enable_grad():
        logits = network.eval()(torch.zeros(1, 3, *size))
    network.train(training)
    lines = ["digraph backward {", "rankdir=BT; node [fontname=Helvetica, fontsize=10, shape=box];"]
    numbers: dict[Any, int] = {}
    waiting = []
    for head, values in logits.items():
        lines.append(f'"head {head}" [shape=doubleoctagon];')
        if values.grad_fn is not None:
            waiting.append(values.grad_fn)
            lines.append(f'n{numbers.setdefault(values.grad_fn, len(numbers))} -> "head {head}";')
    seen = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if len(seen) > MOST_NODES:
            raise MaskfitError(f"its backward graph has more than {MOST_NODES:,} nodes", hint="look at its modules")
        number = numbers.setdefault(node, len(numbers))
        lines.append(f"n{number} {_label(node, names)};")
        for before, _ in node.next_functions:
            if before is not None:
                lines.append(f"n{numbers.setdefault(before, len(numbers))} -> n{number};")
                waiting.append(before)
    return "\n".join([*lines, "}", ""])


def _label(node: Any, names: dict[int, str]) -> str:
    if hasattr(node, "variable"):
        shape = " x ".join(map(str, node.variable.shape))
        name = names.get(id(node.variable), "a tensor")
        return f'[label="{name}\\n{shape}", shape=ellipse, style=filled, fillcolor="#dbe8ee"]'
    return f'[label="{node.name().removesuffix("0")}"]'


def can_draw() -> bool:
    """Whether Graphviz is installed."""
    return shutil.which("dot") is not None


def draw_graph_file(source: str, out: Path) -> Path:
    """Writes a graph's text to `out` with the ending .gv, and its picture to `out`, an SVG.

    Raises:
        MaskfitError: Graphviz is missing, or takes too long; the text is written all the same.
    """
    text = write_text(out.with_suffix(".gv"), source)
    program = shutil.which("dot")
    if program is None:
        raise MaskfitError("Graphviz is missing, so the graph is text and no picture", location=text, hint=REMEDY)
    try:
        drawn = subprocess.run([program, "-Tsvg", str(text)], capture_output=True, check=True, timeout=LONGEST).stdout
    except subprocess.TimeoutExpired:
        raise MaskfitError(
            f"Graphviz took more than {LONGEST} s", location=text, hint="take a smaller --depth"
        ) from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()
        raise MaskfitError(
            f"Graphviz cannot draw it: {reason[-1] if reason else 'no reason given'}", location=text, hint=REMEDY
        ) from None
    with atomic_write(out) as temporary:
        temporary.write_bytes(drawn)
    return out
