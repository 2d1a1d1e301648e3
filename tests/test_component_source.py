"""Components read from their source: as Python sees them after an import."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from maskfit.component_source import NotReadableError, read_docstring, read_signature
from maskfit.data.detectors import DETECTORS
from maskfit.models.backbone_names import OWN_BACKBONES, read_timm_names
from maskfit.registry import LazyComponent, option_docs
from maskfit.training.recipe_registry import RECIPE_REGISTRY


def every_component() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Key, name and component of every registry of a recipe, with one of timm's many backbones."""
    for key, entry in RECIPE_REGISTRY.items():
        names = [*OWN_BACKBONES, "resnet18"] if key == "model.backbone" else entry.table
        yield from ((f"{key}={name}", entry.table[name]) for name in names)
    yield from ((f"detector={name}", detector) for name, detector in DETECTORS.items())


COMPONENTS = dict(every_component())
LAZY = {name: component for name, component in COMPONENTS.items() if isinstance(component, LazyComponent)}


@pytest.mark.parametrize("name", LAZY)
def test_a_signature_is_the_one_that_python_sees(name: str) -> None:
    component = LAZY[name]
    real = list(inspect.signature(component.load()).parameters.values())[len(component.arguments) :]
    read = list(inspect.signature(component).parameters.values())
    assert [(item.name, item.kind, item.default, item.annotation) for item in read] == [
        (item.name, item.kind, item.default, item.annotation) for item in real
    ]
    assert component.docstring == inspect.getdoc(component.load())


def test_classes_that_are_imported_at_once_can_be_read_too() -> None:
    """Dataclasses, fields with a default, and names that are imported from another module."""
    for component in [item for item in COMPONENTS.values() if not isinstance(item, LazyComponent)]:
        real = inspect.signature(component).parameters
        path = f"{component.__module__}:{component.__qualname__}"
        assert {name: item.default for name, item in read_signature(path).parameters.items()} == {
            name: item.default for name, item in real.items()
        }
        assert read_docstring(path) == inspect.getdoc(component)
    assert "scale" in read_signature("maskfit.data.crops:CenterCrop").parameters
    assert "fallback" in read_signature("maskfit.data.crops:FaceCrop").parameters


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_option_is_documented(name: str) -> None:
    component = COMPONENTS[name]
    options = set(inspect.signature(component).parameters) - {"options"}
    assert options <= set(option_docs(component)) | {"path", "name"}


@pytest.mark.parametrize("path", ["maskfit.losses.focal:Absent", "maskfit.absent:A", "json:loads"])
def test_what_cannot_be_read_says_so(path: str) -> None:
    with pytest.raises(NotReadableError):
        read_signature(path)


def test_timms_names_are_those_that_timm_lists() -> None:
    import timm

    names = read_timm_names()
    assert len(names) > 1000
    assert sorted(names) == sorted(timm.list_models())
