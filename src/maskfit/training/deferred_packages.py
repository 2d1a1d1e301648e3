"""Packages that others import without using them: executed on the first use of what they define, not at the import.

Lightning and torch's optimizers import `torch._dynamo`, the tracer of `torch.compile`, and with it SymPy and Triton:
more work than `import torch`. Of torchmetrics Lightning needs two classes, and gets scipy.signal and torchvision.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_lock = RLock()


class DeferredPackage:
    """A package that is in `sys.modules` under its own spec, and runs its code in place when something of it is used.

    What triggers that: an attribute that is not among `known`, and the import of a submodule that is not in `ready`.
    From then on the module object is the package as a plain import makes it.

    Args:
        name: Full name of an installed package that is not imported yet.
        known: Attributes that it has before its code runs; its code replaces them.
        ready: Submodules, relative to the package, that can be imported before its code runs.
        before_load: Called right before its code runs.
    """

    def __init__(
        self,
        name: str,
        known: Mapping[str, Any],
        ready: Sequence[str] = (),
        before_load: Callable[[], None] = lambda: None,
    ) -> None:
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        self.name = name
        self.ready = frozenset(f"{name}.{module}" for module in ready)
        self.before_load = before_load
        self.module = module_from_spec(spec)
        vars(self.module).update(known, __getattr__=self._load_attribute)
        sys.modules[name] = self.module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, self.module)
        sys.meta_path.insert(0, self)

    @property
    def loaded(self) -> bool:
        """Whether the package's code has run."""
        return self not in sys.meta_path

    def load(self) -> None:
        """Runs the package's code, once."""
        with _lock:
            if self.loaded:
                return
            sys.meta_path.remove(self)
            del self.module.__getattr__
            self.before_load()
            spec = self.module.__spec__
            assert spec is not None
            assert spec.loader is not None
            try:
                spec.loader.exec_module(self.module)
            except BaseException:
                # As after a plain import that fails: the next one tries again.
                sys.modules.pop(self.name, None)
                raise

    def _load_attribute(self, name: str) -> Any:
        # Python itself asks for these, of any module.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.name!r} has no attribute {name!r}")
        self.load()
        return getattr(self.module, name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Loads the package before a submodule that needs it; part of Python's import protocol.

        Args:
            fullname: Name of the module that is imported.
            path: Not used.
            target: Not used.

        Returns:
            The module that the package has imported itself; None where the other finders are to find it.
        """
        if not fullname.startswith(f"{self.name}.") or self._is_ready(fullname):
            return None
        self.load()
        module = sys.modules.get(fullname)
        if module is None:
            return None
        # The import machinery takes the spec of a module that appears while it looks for one, and would run it again.
        module.__spec__ = ModuleSpec(fullname, _Imported(module))
        return module.__spec__

    def _is_ready(self, name: str) -> bool:
        return any(name == module or name.startswith(f"{module}.") for module in self.ready)


class _Imported(Loader):
    """Loader of a module that was imported while it was looked for."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns the module."""
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """Restores the module's own spec, which the import has replaced."""
        module.__spec__ = self.spec


def defer_unused_packages() -> None:
    """Defers torch._dynamo and torchmetrics, unless they are imported already; call it before Lightning is imported."""
    if "torch._dynamo" not in sys.modules:
        _defer_dynamo()
    if "torchmetrics" not in sys.modules:
        _defer_torchmetrics()


def _defer_dynamo() -> None:
    import torch  # noqa: F401 (the parent must be there)

    undecorated: list[Callable[..., Any]] = []

    def disable(
        fn: Callable[..., Any] | None = None, recursive: bool = True, *, reason: str = "", wrapping: bool = True
    ) -> Any:
        """Keeps a function out of traces; nothing is traced before torch.compile has loaded the real one."""
        if fn is not None:
            undecorated.append(fn)
        return fn if fn is not None else disable

    def forget_disabled() -> None:
        # torch keeps the result of `disable` there, and must ask the real one from now on.
        for function in undecorated:
            vars(function).pop("__dynamo_disable", None)

    package = DeferredPackage(
        "torch._dynamo",
        {"disable": disable, "graph_break": lambda msg="": None},
        before_load=forget_disabled,
    )

    class OnceLoaded(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return package.loaded and isinstance(instance, package.module.OptimizedModule)

    vars(package.module)["OptimizedModule"] = OnceLoaded("OptimizedModule", (), {})


def _defer_torchmetrics() -> None:
    ready = ("metric", "collections", "utilities", "__about__")
    known = {"__version__": version("torchmetrics"), "_logger": logging.getLogger("torchmetrics")}
    package = DeferredPackage("torchmetrics", known, ready)
    # The real classes. Metric and its utilities import each other, which works from this side only.
    importlib.import_module("torchmetrics.utilities")
    vars(package.module).update(
        Metric=importlib.import_module("torchmetrics.metric").Metric,
        MetricCollection=importlib.import_module("torchmetrics.collections").MetricCollection,
    )
