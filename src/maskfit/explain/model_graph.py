"""Graphs of a network: its modules in the forward pass, and its autograd graph. Source: boostup.

Both are text in Graphviz's DOT language, which needs no Graphviz; drawing does. torchview makes the graph of modules.
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

MAX_NODES = 4000
"""Maximum number of nodes of a graph; a larger one takes Graphviz minutes and is unreadable."""

TIMEOUT = 120
"""Seconds that Graphviz may take for one drawing."""

INSTALL_HINT = (
    "install Graphviz (apt install graphviz, brew install graphviz, or graphviz.org/download), then run this again"
)


def module_graph(network: Network, size: tuple[int, int], depth: int = 3) -> str:
    """Makes the graph of the modules in the forward pass, with the shapes between them.

    Args:
        network: A network in evaluation mode.
        size: (height, width) of an input.
        depth: Depth to which nested modules are expanded; 1 shows backbone and head only.

    Returns:
        DOT text.

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
    """Makes the autograd graph from the heads to all parameters.

    Boxes are operations, ellipses parameters with their names. A parameter that is missing cannot learn.

    Args:
        network: Any network.
        size: (height, width) of an input.

    Returns:
        DOT text.

    Raises:
        MaskfitError: The graph has more than `MAX_NODES` nodes.
    """
    import torch

    names = {id(parameter): name for name, parameter in network.named_parameters()}
    training = network.training
    with torch.enable_grad():
        logits = network.eval()(torch.zeros(1, 3, *size))
    network.train(training)
    lines = ["digraph backward {", "rankdir=BT; node [fontname=Helvetica, fontsize=10, shape=box];"]
    numbers: dict[Any, int] = {}
    queue = []
    for head, values in logits.items():
        lines.append(f'"head {head}" [shape=doubleoctagon];')
        if values.grad_fn is not None:
            queue.append(values.grad_fn)
            lines.append(f'n{numbers.setdefault(values.grad_fn, len(numbers))} -> "head {head}";')
    visited = set()
    while queue:
        node = queue.pop()
        if node in visited:
            continue
        visited.add(node)
        if len(visited) > MAX_NODES:
            raise MaskfitError(
                f"the autograd graph has more than {MAX_NODES:,} nodes", hint="use the graph of modules instead"
            )
        number = numbers.setdefault(node, len(numbers))
        lines.append(f"n{number} {_label(node, names)};")
        for source, _ in node.next_functions:
            if source is not None:
                lines.append(f"n{numbers.setdefault(source, len(numbers))} -> n{number};")
                queue.append(source)
    return "\n".join([*lines, "}", ""])


def _label(node: Any, names: dict[int, str]) -> str:
    """The DOT attributes of an autograd node; an `AccumulateGrad` node has its parameter as `variable`."""
    if hasattr(node, "variable"):
        shape = " x ".join(map(str, node.variable.shape))
        name = names.get(id(node.variable), "a tensor")
        return f'[label="{name}\\n{shape}", shape=ellipse, style=filled, fillcolor="#dbe8ee"]'
    return f'[label="{node.name().removesuffix("0")}"]'


def can_draw() -> bool:
    """Returns whether Graphviz is installed."""
    return shutil.which("dot") is not None


def draw_graph_file(source: str, out: Path) -> Path:
    """Writes a graph as text, with the suffix .gv, and as an SVG drawing.

    Args:
        source: DOT text.
        out: Path of the SVG; the text is written next to it.

    Returns:
        `out`.

    Raises:
        MaskfitError: Graphviz is missing, fails or takes too long; the text is written nevertheless.
    """
    text = write_text(out.with_suffix(".gv"), source)
    program = shutil.which("dot")
    if program is None:
        raise MaskfitError(
            "Graphviz is not installed, so the graph is written as text only", location=text, hint=INSTALL_HINT
        )
    try:
        drawn = subprocess.run([program, "-Tsvg", str(text)], capture_output=True, check=True, timeout=TIMEOUT).stdout
    except subprocess.TimeoutExpired:
        raise MaskfitError(
            f"Graphviz took more than {TIMEOUT} s", location=text, hint="choose a smaller --depth"
        ) from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()
        raise MaskfitError(
            f"Graphviz cannot draw the graph: {reason[-1] if reason else 'no reason given'}",
            location=text,
            hint=INSTALL_HINT,
        ) from None
    with atomic_write(out) as temporary:
        temporary.write_bytes(drawn)
    return out
