"""Packages with templates for the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Makes an importable package with templates; its name is unique, because environments are cached by name."""
    made: list[str] = []

    def make(**templates: str) -> str:
        name = f"templates_of_{tmp_path.name}".replace("-", "_")
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for stem, text in templates.items():
            (folder / f"{stem}.html.j2").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)
