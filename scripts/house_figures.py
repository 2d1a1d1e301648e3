"""Prints figures about the source: files, lines, lengths, and how many public callables document arguments and results.

uv run python scripts/house_figures.py          # a table
uv run python scripts/house_figures.py --json   # for scripts
uv run python scripts/house_figures.py --list   # the callables without Args or Returns as well
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "maskfit"


@dataclass(frozen=True)
class PublicCallable:
    """A public function or method.

    Attributes:
        place: `file:line name`.
        num_arguments: Arguments without self and cls.
        returns: Whether its annotation says that it returns or yields something.
        docstring: Its docstring, empty without one.
        is_property: Whether it is read like an attribute, so that one sentence documents it.
    """

    place: str
    num_arguments: int
    returns: bool
    docstring: str
    is_property: bool


def public_callables(source: Path = SOURCE) -> Iterator[PublicCallable]:
    """Yields every public function and method of public classes.

    Args:
        source: The package's folder.

    Yields:
        Functions and methods without an underscore, in file order; nested functions, overloads, property setters and
        methods of `Protocol` doubles in tests are left out.
    """
    table = source / "cli" / "__init__.py"
    # A command's docstring is its help, and each option documents itself.
    commands = (
        set(re.findall(r"maskfit\.cli[.\w]*:(\w+)", table.read_text(encoding="utf-8"))) if table.is_file() else set()
    )
    for path in sorted(source.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        scopes: list[tuple[str, list[ast.stmt]]] = [("", tree.body)]
        scopes += [
            (f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"
        ]
        for prefix, body in scopes:
            for node in body:
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                    continue
                if path.is_relative_to(source / "cli") and node.name in commands:
                    continue
                decorators = [ast.unparse(item) for item in node.decorator_list]
                if any(
                    item.endswith((".setter", "overload", "validator", "serializer")) or "validator(" in item
                    for item in decorators
                ):
                    continue
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = [item.arg for item in arguments if item.arg not in ("self", "cls")]
                returned = "" if node.returns is None else ast.unparse(node.returns)
                yield PublicCallable(
                    f"{path.relative_to(source)}:{node.lineno} {prefix}{node.name}",
                    len(names) + (node.args.vararg is not None) + (node.args.kwarg is not None),
                    returned not in ("", "None", "NoReturn"),
                    ast.get_docstring(node) or "",
                    any("property" in item for item in decorators),
                )


def without_args(source: Path = SOURCE) -> tuple[int, list[str]]:
    """Finds public callables with two or more arguments whose docstring has no Args section.

    Args:
        source: The package's folder.

    Returns:
        How many there are with two or more arguments, and the places of those without Args.
    """
    found = [item for item in public_callables(source) if item.num_arguments >= 2]
    return len(found), [item.place for item in found if not re.search(r"^\s*Args:", item.docstring, re.MULTILINE)]


def without_returns(source: Path = SOURCE) -> tuple[int, list[str]]:
    """Finds public callables that return something whose docstring does not say what.

    Args:
        source: The package's folder.

    Returns:
        How many return something, properties left out, and the places of those that have neither a Returns or Yields
        section nor a one-line docstring that begins with Returns, Yields or Whether.
    """
    found = [item for item in public_callables(source) if item.returns and not item.is_property]
    pattern = r"^\s*(Returns|Yields):|\A(Returns|Yields)\b"
    return len(found), [item.place for item in found if not re.search(pattern, item.docstring, re.MULTILINE)]


def figures(source: Path = SOURCE) -> dict[str, float]:
    """Counts files, lines and docstrings.

    Args:
        source: The package's folder.

    Returns:
        Figures by name.
    """
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source.rglob("*.py")}
    args, missing_args = without_args(source)
    returns, missing_returns = without_returns(source)
    return {
        "files": len(lengths),
        "lines": sum(lengths.values()),
        "median_file": statistics.median(lengths.values()),
        "longest_file": max(lengths.values()),
        "callables_with_two_arguments": args,
        "share_with_args": round(1 - len(missing_args) / max(args, 1), 4),
        "callables_that_return": returns,
        "share_with_returns": round(1 - len(missing_returns) / max(returns, 1), 4),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list", action="store_true", help="also list callables without Args or Returns")
    parser.add_argument("--source", type=Path, default=SOURCE, help="the package's folder")
    given = parser.parse_args()
    found = figures(given.source)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):32} {value:,}")
    if given.list:
        print(
            "\n".join(
                [
                    "",
                    "without Args:",
                    *without_args(given.source)[1],
                    "",
                    "without Returns:",
                    *without_returns(given.source)[1],
                ]
            )
        )


if __name__ == "__main__":
    main()
