"""Packages that others import without using them: executed on the first use of what they define, not at the import.

Lightning and torch's optimizers import `torch._dynamo`, the tracer of `torch.compile`, and with it SymPy and Triton:
more work than `import torch`. Of torchmetrics Lightning needs two classes, and gets scipy.signal, torchvision and
Matplotlib. timm's models need a few numbers of its data loaders, and get torchvision, the tracer, and wandb where it is
installed.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
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
        spec: Its spec where the usual search, which imports its parents, cannot be used.
    """

    def __init__(
        self,
        name: str,
        known: Mapping[str, Any],
        ready: Sequence[str] = (),
        before_load: Callable[[], None] = lambda: None,
        spec: ModuleSpec | None = None,
    ) -> None:
        spec = spec or find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        self.name = name
        self.ready = frozenset(f"{name}.{module}" for module in ready)
        self.before_load = before_load
        self.module = module_from_spec(spec)
        vars(self.module).update(known, __getattr__=self._load_attribute)
        sys.modules[name] = self.module
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
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

    def forward(self, name: str) -> Callable[..., Any]:
        """Builds a function for `known` that runs the package's code when it is called, and calls what that defines.

        Args:
            name: Name of a function or class of the package.

        Returns:
            The function.
        """

        def call(*args: Any, **options: Any) -> Any:
            self.load()
            return getattr(self.module, name)(*args, **options)

        return call

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
    """Defers what Lightning does not use, unless it is imported already; call it before Lightning is imported."""
    if "torch._dynamo" not in sys.modules:
        _defer_dynamo()
    if "torchmetrics" not in sys.modules:
        _defer_torchmetrics()
    if "torch.utils.flop_counter" not in sys.modules:
        _defer_flop_counter()


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
    # Metric names its plots' types in annotations; they come with Matplotlib.
    types = {"_AX_TYPE": Any, "_PLOT_OUT_TYPE": Any, "_CMAP_TYPE": Any}
    location = ("torchmetrics", "utilities", "plot")
    plot = DeferredPackage("torchmetrics.utilities.plot", types, spec=_find_spec_alone(*location))
    vars(plot.module)["plot_single_or_multi_val"] = plot.forward("plot_single_or_multi_val")
    # The real classes. Metric and its utilities import each other, which works from this side only.
    importlib.import_module("torchmetrics.utilities")
    vars(package.module).update(
        Metric=importlib.import_module("torchmetrics.metric").Metric,
        MetricCollection=importlib.import_module("torchmetrics.collections").MetricCollection,
    )


def _defer_flop_counter() -> None:
    """Lightning's summary of a model imports it, which nobody asks for here, and with it Triton."""
    package = DeferredPackage("torch.utils.flop_counter", {})
    vars(package.module)["FlopCounterMode"] = package.forward("FlopCounterMode")


def import_timm() -> ModuleType:
    """Imports timm without its data loaders and without torchvision; both are there when something of them is used.

    Returns:
        timm.
    """
    with _lock:
        if "timm" not in sys.modules:
            package = None if "timm.data" in sys.modules else _defer_timm_data()
            stand_ins = {} if "torchvision" in sys.modules else _torchvision_stand_ins()
            sys.modules.update(stand_ins)
            try:
                importlib.import_module("timm")
            finally:
                # timm keeps what it took from them; whoever imports torchvision gets the real one.
                for name in stand_ins:
                    del sys.modules[name]
            if package is not None:
                vars(sys.modules["timm"])["data"] = package.module
        return sys.modules["timm"]


def _defer_timm_data() -> DeferredPackage:
    """Timm's models take the means and standard deviations of their inputs from it, and nothing else."""
    spec = _find_spec_alone("timm", "data", "constants")
    assert spec.loader is not None
    constants = module_from_spec(spec)
    spec.loader.exec_module(constants)
    known = {name: value for name, value in vars(constants).items() if not name.startswith("_")}
    return DeferredPackage("timm.data", known, ("constants", "config"), spec=_find_spec_alone("timm", "data"))


def _torchvision_stand_ins() -> dict[str, ModuleType]:
    """What timm takes from torchvision when it is imported: functions and a layer that few of its networks use."""
    features, misc = ModuleType("torchvision.models.feature_extraction"), ModuleType("torchvision.ops.misc")
    for name in ("create_feature_extractor", "get_graph_node_names"):
        vars(features)[name] = _forward_import(features.__name__, name)

    class Forwarded(type):
        def __call__(cls, *args: Any, **options: Any) -> Any:
            return importlib.import_module("torchvision.ops").misc.FrozenBatchNorm2d(*args, **options)

        def __instancecheck__(cls, instance: object) -> bool:
            # No such layer exists as long as its module is not imported.
            real = sys.modules.get("torchvision.ops.misc")
            return real is not None and isinstance(instance, real.FrozenBatchNorm2d)

    vars(misc)["FrozenBatchNorm2d"] = Forwarded("FrozenBatchNorm2d", (), {})
    return {module.__name__: module for module in (features, misc)}


def _forward_import(module: str, name: str) -> Callable[..., Any]:
    """A function that imports another one when it is called, and calls it."""
    return lambda *args, **options: getattr(importlib.import_module(module), name)(*args, **options)


def _find_spec_alone(*names: str) -> ModuleSpec:
    """Finds the spec of a module without importing its parents, as `importlib.util.find_spec` does."""
    path: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    for number in range(1, len(names) + 1):
        spec = PathFinder.find_spec(".".join(names[:number]), path)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {'.'.join(names)!r}", name=names[0])
        path = spec.submodule_search_locations
    assert spec is not None
    return spec
