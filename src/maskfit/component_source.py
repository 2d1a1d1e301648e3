"""Signatures and docstrings of maskfit's own components, read from their source without importing it.

A recipe is checked against what a component takes. Importing the components for that would import torch, torchvision,
timm and Lightning, which takes ten times as long as everything else. `tests/test_component_source.py` compares each
signature with the one that Python sees.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import resources
from inspect import Parameter, Signature
from typing import Any


class NotReadableError(Exception):
    """The source of a component is not where or what this module expects; it has to be imported."""


@lru_cache(maxsize=256)
def read_signature(path: str) -> Signature:
    """Reads the signature of a function or class.

    Args:
        path: `module:name` of something in maskfit.

    Returns:
        Parameters with their defaults, and annotations as text, without `self`.

    Raises:
        NotReadableError: There is no such source, or a default is not written as a constant.
    """
    module, name = path.split(":")
    node, module = _find(module, name)
    if isinstance(node, ast.FunctionDef):
        return Signature(list(_parameters(node, module)))
    return Signature(list(_class_parameters(node, module)))


@lru_cache(maxsize=256)
def read_docstring(path: str) -> str:
    """Reads the docstring of a function or class.

    Args:
        path: `module:name` of something in maskfit.

    Returns:
        The docstring without its indentation; empty where there is none.

    Raises:
        NotReadableError: There is no such source.
    """
    node, _ = _find(*path.split(":"))
    return ast.get_docstring(node) or ""


@lru_cache(maxsize=256)
def read_type_alias(path: str, alias: str) -> str:
    """Reads what a name in an annotation stands for, as in `Init = Literal["normal", "zeros"]`.

    Args:
        path: `module:name` of the function or class that has the annotation.
        alias: The name.

    Returns:
        The type as text.

    Raises:
        NotReadableError: There is no such source, or the name is not assigned in it.
    """
    _, module = _find(*path.split(":"))
    return ast.unparse(_assigned(alias, module)[0])


@lru_cache(maxsize=64)
def _module(name: str) -> ast.Module:
    package, *parts = name.split(".")
    if package != "maskfit":
        raise NotReadableError(name)
    # Not `find_spec`, which imports the packages above the module.
    folder = resources.files("maskfit").joinpath(*parts[:-1])
    for file in (folder / f"{parts[-1]}.py", folder / parts[-1] / "__init__.py"):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    raise NotReadableError(name)


def _find(module: str, name: str) -> tuple[ast.FunctionDef | ast.ClassDef, str]:
    """The definition of a name, and the module that it is in: names may be imported from other modules."""
    for node in _module(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node, module
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(node.module, alias.name)
    raise NotReadableError(f"{module}:{name}")


def _parameters(node: ast.FunctionDef, module: str) -> Iterator[Parameter]:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in zip(positional, defaults, strict=True):
        yield _parameter(argument, Parameter.POSITIONAL_OR_KEYWORD, default, module)
    if arguments.vararg:
        yield _parameter(arguments.vararg, Parameter.VAR_POSITIONAL, None, module)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, Parameter.KEYWORD_ONLY, default, module)
    if arguments.kwarg:
        yield _parameter(arguments.kwarg, Parameter.VAR_KEYWORD, None, module)


def _parameter(argument: ast.arg, kind: Any, default: ast.expr | None, module: str) -> Parameter:
    return Parameter(
        argument.arg,
        kind,
        default=Parameter.empty if default is None else _evaluate(default, module),
        annotation=Parameter.empty if argument.annotation is None else ast.unparse(argument.annotation),
    )


def _class_parameters(node: ast.ClassDef, module: str) -> Iterator[Parameter]:
    """The constructor's parameters: of `__init__`, of the fields of a dataclass, or of a base class."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            yield from list(_parameters(item, module))[1:]
            return
    inherited: dict[str, Parameter] = {}
    for base in node.bases:
        try:
            found, where = _find(module, ast.unparse(base))
        except NotReadableError:
            continue  # Of another package, such as nn.Module.
        if isinstance(found, ast.ClassDef):
            inherited |= {item.name: item for item in _class_parameters(found, where)}
    if any(ast.unparse(item).startswith("dataclass") for item in node.decorator_list):
        inherited |= {item.name: item for item in _fields(node, module)}
    yield from inherited.values()


def _fields(node: ast.ClassDef, module: str) -> Iterator[Parameter]:
    kind = Parameter.POSITIONAL_OR_KEYWORD
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and not ast.unparse(item.annotation).startswith("ClassVar"):
            argument = ast.arg(ast.unparse(item.target), item.annotation)
            yield _parameter(argument, kind, _field_default(item.value), module)


def _field_default(value: ast.expr | None) -> ast.expr | None:
    """The default in `name: type = default` or `name: type = field(default=default)`."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        return next((word.value for word in value.keywords if word.arg == "default"), None)
    return value


_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def _evaluate(node: ast.expr, module: str) -> Any:
    """The value of a constant, of arithmetic with constants, or of a module's constant."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left, module), _evaluate(node.right, module))
    if isinstance(node, ast.Tuple):
        return tuple(_evaluate(item, module) for item in node.elts)
    if isinstance(node, ast.Name):
        return _constant(node.id, module)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise NotReadableError(f"{module}: {ast.unparse(node)}") from None


def _constant(name: str, module: str) -> Any:
    return _evaluate(*_assigned(name, module))


def _assigned(name: str, module: str) -> tuple[ast.expr, str]:
    """What a name of a module is assigned, and the module that does so: names may be imported from other modules."""
    for node in _module(module).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value is not None:
            return node.value, module
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets):
            return node.value, module
        if isinstance(node, ast.ImportFrom) and node.module and any(item.name == name for item in node.names):
            return _assigned(name, node.module)
    raise NotReadableError(f"{module}: {name}")
