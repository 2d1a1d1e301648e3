"""The house's rules, walked through the source: floors, circles, names, sizes, nothing that runs what a file says.

Each rule is also shown a small house that breaks it, so that a rule which sees nothing is noticed.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "maskfit"

FLOORS = (
    {"errors", "text", "verbosity", "version"},
    {"file_locks"},
    {
        "component_source",
        "cpu_features",
        "deferred_packages",
        "environment",
        "file_io",
        "memory_allocator",
        "onnx_metadata",
        "onnx_runtime",
        "process_supervisor",
        "progress_log",
        "safe_yaml",
        "thread_pool",
        "user_cache",
    },
    {"labels", "model_metadata"},
    {"calibration", "model_card", "registry"},
    {"pretrained_weights"},
    {"config"},
    {"data", "evaluation", "losses", "models"},
    {"html", "model_file", "run_dir"},
    {"report"},
    {"model_card_markdown"},
    {"explain", "exploration", "inference", "synthesis", "training"},
    {"cluster", "component_catalog", "recipe_keys"},
    {"component_page"},
    {"pipeline", "sweep"},
    {"api", "apps"},
    {"cli"},
)
"""Packages and modules, from the bottom up. Each imports from the layers below it, from nothing of its own."""

NOT_BELOW = {(room, "config") for room in ("data", "models", "losses", "evaluation")}
"""Who may not import from a room although it lies lower: these take plain arguments."""

NO_ROOM = {"utils", "util", "helpers", "helper", "common", "core", "base", "misc"}

MOST_LINES, MOST_FUNCTION_LINES = 500, 60

MAY_NEED_TORCH = (
    "models",
    "losses",
    "training",
    "sweep",
    "synthesis.gan",
    "apps.demo",
    "apps.header_timeout",
    "apps.review.streamlit_page",
    "apps.webapp.pages",
    "apps.service",
)
"""Rooms, or modules, that need not import in the base install; `apps.demo` trains, Optuna leads the sweeps,
Streamlit runs the pages, FastAPI the service."""

NOT_IN_BASE = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "sklearn",
    "pandas",
    "matplotlib",
    "cv2",
    "scipy",
    "onnx",
    "onnxscript",
    "streamlit",
    "openvino",
    "av",
    "pytorch_grad_cam",
    "fastapi",
    "starlette",
    "uvicorn",
    "python_multipart",
    "prometheus_client",
    "optuna",
    "sqlalchemy",
    "ray",
    "fsspec",
)


@dataclass(frozen=True)
class House:
    """A package's source."""

    root: Path

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """Each module by its name without `maskfit.`, the package itself being ""."""
        return {self.name(path): ast.parse(path.read_text()) for path in sorted(self.root.rglob("*.py"))}

    def name(self, path: Path) -> str:
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def imports(self, module: str) -> Iterator[str]:
        """What a module imports of the house, wherever in the module that stands."""
        for node in ast.walk(self.modules[module]):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative imports hide where a thing comes from"
                if node.module and node.module.split(".")[0] == "maskfit":
                    package = node.module.removeprefix("maskfit").removeprefix(".")
                    for alias in node.names:
                        inner = f"{package}.{alias.name}".removeprefix(".")
                        yield inner if inner in self.modules else package
            elif isinstance(node, ast.Import):
                yield from (
                    alias.name.removeprefix("maskfit").removeprefix(".")
                    for alias in node.names
                    if alias.name.split(".")[0] == "maskfit"
                )

    def strangers(self, module: str) -> Iterator[str]:
        """The first names of everything that a module imports."""
        for node in ast.walk(self.modules[module]):
            if isinstance(node, ast.ImportFrom):
                yield (node.module or "").split(".")[0]
            elif isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)


def room_of(module: str) -> str:
    return module.split(".")[0]


def floor_breaches(house: House) -> list[str]:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    breaches = []
    for module in house.modules:
        room = room_of(module)
        if module in ("", "__main__"):
            continue
        if room not in floor:
            breaches.append(f"{module}: say in FLOORS on which floor '{room}' lies")
            continue
        for other in map(room_of, house.imports(module)):
            if other in ("", room):
                continue
            lower = floor[other] < floor[room]
            if not lower or (room, other) in NOT_BELOW:
                breaches.append(f"{module} imports from {other}")
    return breaches


def circles(house: House) -> list[str]:
    """One circle for each module that a walk comes back to."""
    found: list[str] = []
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        if module in way:
            found.append(" -> ".join((*way[way.index(module) :], module)))
        elif module not in done:
            for other in sorted((set(house.imports(module)) & set(house.modules)) - {module}):
                walk(other, (*way, module))
            done.add(module)

    for module in house.modules:
        walk(module, ())
    return found


def bad_names(house: House) -> list[str]:
    paths = (path.relative_to(house.root) for path in house.root.rglob("*") if "__pycache__" not in path.parts)
    return [str(path) for path in paths if path.stem in NO_ROOM]


def lightning_outside_training(house: House) -> list[str]:
    names = {"lightning", "pytorch_lightning", "lightning_fabric"}
    return [name for name in house.modules if room_of(name) != "training" and names & set(house.strangers(name))]


def lazy_past_the_room(house: House) -> list[str]:
    """A registry imports what it names later, which the floors do not see: so it names its own room only."""
    found = []
    for name, tree in house.modules.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "LazyComponent":
                continue
            path = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            if not str(path).startswith(f"maskfit.{room_of(name)}."):
                found.append(f"{name}: {ast.unparse(node)}")
    return found


def onnx_runtime_past_its_door(house: House) -> list[str]:
    """Whoever imports it unasked lets it report over the network; its own parts come after a call of the door."""
    found = []
    for name, tree in house.modules.items():
        opened = any(
            ast.unparse(node.func) == "import_onnxruntime" for node in ast.walk(tree) if isinstance(node, ast.Call)
        )
        for node in ast.walk(tree):
            names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            inside = [item for item in names if item.partition(".")[0] == "onnxruntime"]
            if inside and name != "onnx_runtime" and not (opened and all("." in item for item in inside)):
                found.append(f"{name} imports {', '.join(inside)}")
    return found


def too_long(house: House) -> list[str]:
    found = []
    for path in house.root.rglob("*.py"):
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES:
            found.append(f"{house.name(path)}: {lines} lines")
    for name, tree in house.modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # The signature and the docstring document; they are not what has to fit on a screen.
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > MOST_FUNCTION_LINES:
                    found.append(f"{name}.{node.name}: {lines} lines")
    return found


def private_names_of_other_modules(house: House) -> list[str]:
    """Imports of names that a module keeps to itself: what others need has a public name and documentation."""
    return [
        f"{name} imports {alias.name} of {node.module}"
        for name, tree in house.modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maskfit")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


def runs_what_a_file_says(house: House) -> list[str]:
    """Whatever could run code that a model file, recipe or photo brings along."""
    pickles = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
    found = [
        f"{name} imports {', '.join(pickles & set(house.strangers(name)))}"
        for name in house.modules
        if pickles & set(house.strangers(name))
    ]
    for name, tree in house.modules.items():
        safe = {item.name for item in ast.walk(tree) if isinstance(item, ast.ClassDef) and _is_safe_loader(item)}
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        found += [f"{name}:{call.lineno}: {ast.unparse(call)}" for call in calls if _is_unsafe(call, safe)]
    return found


def _is_safe_loader(item: ast.ClassDef) -> bool:
    return any(ast.unparse(base) in ("yaml.SafeLoader", "yaml.CSafeLoader") for base in item.bases)


def _is_unsafe(call: ast.Call, safe_loaders: set[str]) -> bool:
    called = ast.unparse(call.func)
    words = {item.arg: ast.unparse(item.value) for item in call.keywords}
    if called in ("eval", "exec", "compile", "__import__"):
        return True
    if called == "torch.load":
        return words.get("weights_only") != "True"
    if called in ("yaml.load", "yaml.load_all"):
        return words.get("Loader") not in safe_loaders | {"yaml.SafeLoader"}
    if called.startswith("yaml.") and called.endswith(("unsafe_load", "unsafe_load_all", "full_load", "full_load_all")):
        return True
    return words.get("allow_pickle", "False") != "False" or words.get("shell", "False") != "False"


RULES: dict[Callable[[House], list[str]], list[dict[str, str]]] = {
    floor_breaches: [
        {"labels/schema.py": "from maskfit.registry import Part"},
        {"data/a.py": "from maskfit.config.recipe import Recipe"},
        {"data/a.py": "def f():\n    from maskfit.models import network"},
        {"inference/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import maskfit.training.train"},
        {"training/a.py": "from maskfit import cli", "cli/__init__.py": ""},
        {"apps/a.py": "import maskfit.cli.data.dataset"},
        {"attic/a.py": ""},
    ],
    circles: [
        {"data/a.py": "from maskfit.data import b", "data/b.py": "def f():\n    from maskfit.data.a import x"},
        {
            "data/a.py": "import maskfit.data.b",
            "data/b.py": "import maskfit.data.c",
            "data/c.py": "import maskfit.data.a",
        },
    ],
    bad_names: [{"data/utils.py": ""}, {"core/__init__.py": ""}, {"data/common/a.py": ""}],
    lightning_outside_training: [
        {"inference/a.py": "def f():\n    from lightning.pytorch import Trainer"},
        {"losses/a.py": "import lightning as L"},
    ],
    lazy_past_the_room: [
        {"losses/a.py": "X = LazyComponent('maskfit.training.train:train')"},
        {"losses/a.py": "X = LazyComponent('torch.nn:Linear')"},
        {"losses/a.py": "X = LazyComponent(name)"},
    ],
    onnx_runtime_past_its_door: [
        {"data/a.py": "def f():\n    import onnxruntime"},
        {"data/a.py": "from onnxruntime import InferenceSession"},
        {"data/a.py": "from onnxruntime.quantization import quantize"},
        {"data/a.py": "import_onnxruntime()\nimport onnxruntime as ort"},
    ],
    too_long: [
        {"a.py": "x = 1\n" * 501},
        {"a.py": "class A:\n    def f(self):\n" + "        x = 1\n" * 61},
    ],
    private_names_of_other_modules: [
        {"data/a.py": "from maskfit.data.b import _load", "data/b.py": "def _load(): ..."},
        {"data/a.py": "def f():\n    from maskfit.data.b import C, _D", "data/b.py": "C = _D = 1"},
    ],
    runs_what_a_file_says: [
        {"a.py": "import pickle"},
        {"a.py": "def f():\n    from pickle import loads"},
        {"a.py": "torch.load(path)"},
        {"a.py": "torch.load(path, weights_only=False)"},
        {"a.py": "eval('1')"},
        {"a.py": "exec(text)"},
        {"a.py": "yaml.load(text, Loader=yaml.Loader)"},
        {"a.py": "class _L(yaml.Loader): pass\nyaml.load(text, Loader=_L)"},
        {"a.py": "yaml.unsafe_load(text)"},
        {"a.py": "np.load(path, allow_pickle=True)"},
    ],
}
"""Each rule, and houses that break it."""

HOUSE = House(SOURCE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule):
    assert rule(HOUSE) == []


@pytest.mark.parametrize(
    ("rule", "files"),
    [(rule, files) for rule, cases in RULES.items() for files in cases],
    ids=lambda item: getattr(item, "__name__", None) or "+".join(item),
)
def test_a_broken_house_is_noticed(tmp_path, rule, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert rule(House(tmp_path))


def test_what_is_allowed_is_let_through(tmp_path):
    """The rules do not mistake a network's `eval()`, a compiled pattern, or a safe loader for the real thing."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/loader.py").write_text(
        "from maskfit.config.recipe import Recipe\nfrom maskfit.errors import RecipeError\n"
        "from maskfit.version import __version__\n"
        "class _L(yaml.SafeLoader): pass\nyaml.load(text, Loader=_L)\nnetwork.eval()\nre.compile('a')\n"
        "torch.load(path, weights_only=True)\nos.execve(a, b, c)\n"
    )
    (tmp_path / "config/recipe.py").write_text("")
    house = House(tmp_path)
    assert [line for rule in RULES for line in rule(house)] == []


def test_every_package_is_a_package():
    """A folder without `__init__.py` would be missing from nothing but some installs."""
    folders = {path.parent for path in SOURCE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


BLOCKED = """
import importlib, json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the base install", name=name)

sys.meta_path.insert(0, Blocker())
failed = {{}}
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""


def test_the_base_install_has_no_torch():
    names = [f"maskfit.{name}".rstrip(".") for name in HOUSE.modules if name != "__main__"]
    script = BLOCKED.format(blocked=NOT_IN_BASE, names=names)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    failed = json.loads(done.stdout)
    surprising = {
        name: why for name, why in failed.items() if not name.removeprefix("maskfit.").startswith(MAY_NEED_TORCH)
    }
    assert surprising == {}
    # The blocker blocks: without torch there are no networks.
    assert "maskfit.models.network" in failed
    assert "maskfit.training.train" in failed


def house_figures() -> Any:
    """The module behind `scripts/house_figures.py`."""
    path = Path(__file__).parents[1] / "scripts" / "house_figures.py"
    spec = importlib.util.spec_from_file_location("house_figures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house_figures"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["without_args", "without_returns"])
def test_public_callables_document_arguments_and_results(kind: str) -> None:
    count, missing = getattr(house_figures(), kind)(SOURCE)
    assert count > 500
    assert len(missing) <= 0.05 * count, missing


def test_a_callable_without_documentation_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'def good(a: int, b: int) -> int:\n    """Adds.\n\n    Args:\n        a: One.\n        b: Two.\n\n'
        "    Returns:\n"
        '        The sum.\n    """\n'
        'def bad(a: int, b: int) -> int:\n    """Adds."""\n'
        'def short() -> int:\n    """Returns one."""\n'
        'def silent(a: int) -> None:\n    """Does it."""\n'
    )
    figures = house_figures()
    assert figures.without_args(tmp_path) == (2, ["a.py:11 bad"])
    assert figures.without_returns(tmp_path) == (3, ["a.py:11 bad"])
