"""Input sizes of timm's pretrained models, read from its source: importing timm would import torch and torchvision.

Each of timm's modules has a table `default_cfgs` of calls such as `_cfg(input_size=(3, 384, 384), crop_pct=1.0)`, and
functions `_cfg` that return a dict of defaults. Only literals are read, nothing is run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from maskfit.models.backbone_names import find_timm_modules

TIMM_CROP_PCT = 0.875
"""timm's own default where a model's table has none."""

_QUOTES = "'\""


class TimmConfig(NamedTuple):
    """What the published weights of a timm model were trained for.

    Attributes:
        input_size: (height, width) in pixels.
        crop_pct: Fraction of the shorter side that its evaluation keeps, in (0, 1].
        is_fixed: Whether the network is built for one size, as those with position embeddings are.
    """

    input_size: tuple[int, int]
    crop_pct: float
    is_fixed: bool


def read_timm_config(name: str) -> TimmConfig | None:
    """Reads the configuration of a timm model's default weights.

    Args:
        name: A name in `timm.list_models()`.

    Returns:
        The configuration; None where timm is not installed or its source does not tell.
    """
    path = find_timm_modules().get(name)
    if path is None:
        return None
    source = path.read_text(encoding="utf-8")
    entry = re.search(rf"""^\s*['"]{re.escape(name)}(?:\.[^'"]*)?['"]:\s*(?=[\w.]+\()""", source, re.MULTILINE)
    if entry is None:
        return None
    call = _read_call(source[entry.end() :])
    values = _evaluate(call, source) if call is not None else {}
    size = values.get("input_size")
    if not (isinstance(size, tuple) and len(size) == 3):
        return None
    return TimmConfig(
        (size[1], size[2]),
        float(values.get("crop_pct") or TIMM_CROP_PCT),
        bool(values.get("fixed_input_size")),
    )


def _read_call(text: str) -> ast.Call | None:
    """Parses the call that a text starts with."""
    depth, quote, position = 0, "", 0
    while position < len(text):
        character = text[position]
        if quote:
            position += character == "\\"
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character == "#":
            position = text.find("\n", position)
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if not depth:
                return _parse_call(text[: position + 1])
        position += 1
    return None


def _parse_call(text: str) -> ast.Call | None:
    try:
        parsed = ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
    return parsed if isinstance(parsed, ast.Call) else None


def _evaluate(node: ast.expr | None, source: str) -> dict[str, Any]:
    """Evaluates a dict, or a call of `dict` or of a function that returns one; what is no literal is left out."""
    if isinstance(node, ast.Dict):
        pairs = [(_literal(key) if key else None, value) for key, value in zip(node.keys, node.values, strict=True)]
        spread = [_evaluate(value, source) for key, value in zip(node.keys, node.values, strict=True) if key is None]
        return {**_merge(spread), **_literals({key: value for key, value in pairs if isinstance(key, str)})}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return {}
    base = [_evaluate(argument, source) for argument in node.args]
    if node.func.id != "dict":
        base.insert(0, _evaluate(_find_return(node.func.id, source), source))
    given = _literals({keyword.arg: keyword.value for keyword in node.keywords if keyword.arg})
    spread = [_evaluate(keyword.value, source) for keyword in node.keywords if keyword.arg is None]
    return {**_merge(base), **_merge(spread), **given}


def _merge(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def _literals(nodes: Mapping[str, ast.expr]) -> dict[str, Any]:
    values = {name: _literal(node) for name, node in nodes.items()}
    return {name: value for name, value in values.items() if value is not None}


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _find_return(function: str, source: str) -> ast.expr | None:
    """Finds what a function of the module returns last."""
    start = re.search(rf"^def {re.escape(function)}\(", source, re.MULTILINE)
    if start is None:
        return None
    end = re.compile(r"^(?=[^\s#)])", re.MULTILINE).search(source, start.end())
    try:
        tree = ast.parse(source[start.start() : end.start() if end else len(source)])
    except SyntaxError:
        return None
    returns = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    return returns[-1] if returns else None
