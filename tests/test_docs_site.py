"""The docs site: pages made from the code say what the code says, and the site has every page of the docs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import griffe
import pytest
import yaml
from pydantic import BaseModel

from maskfit.cli import COMMAND_TABLE, DATA_COMMANDS_TABLE
from maskfit.config.recipe import SECTIONS

ROOT = Path(__file__).parent.parent


def load(name: str) -> ModuleType:
    """Imports a module of scripts/docs_site."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / "docs_site" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # NamedTuple looks its module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def command_pages() -> list:
    return load("command_pages").make_command_pages()


def test_every_command_has_a_page_with_usage_and_example(command_pages) -> None:
    expected = {name for table in COMMAND_TABLE.values() for name in table} - {"data"}
    expected |= {f"data {name}" for table in DATA_COMMANDS_TABLE.values() for name in table}
    assert {page.name for page in command_pages} == expected
    without = [page.name for page in command_pages if "\n## Examples\n" not in page.markdown]
    assert without == []
    assert [page.name for page in command_pages if f"```text\nmaskfit {page.name} " not in page.markdown] == []


def test_a_page_has_the_options_of_its_command(command_pages) -> None:
    page = next(page.markdown for page in command_pages if page.name == "predict")
    assert "| <code>--top-k K</code> | Number of best models per fold to use. (x>=1) | 1 |" in page
    assert "| <code>--faces auto&#124;find&#124;whole</code> |" in page
    check = next(page.markdown for page in command_pages if page.name == "data check")
    assert "| <code>ROOT&#124;CSV</code> |" in check
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings[2:5] == ["## Options", "## Named photos", "## Folders and lists of photos"]


def test_no_page_of_a_command_has_a_type_of_python(command_pages) -> None:
    shown = [page.name for page in command_pages if re.search(r"&lt;[a-z|]+(\[| range|&gt;)", page.markdown)]
    assert shown == []


SOURCE = '''
LIMIT = 100
TABLE = dict(LIMIT=1)


def count(limit: int = LIMIT, table: dict = TABLE, most: int | None = None) -> int:
    """Counts.

    Example:
        >>> for item in (1, 2):
        ...     count(item)
        1
        2

    Args:
        limit: The limit.
    """
'''


def test_the_reference_has_values_for_constants_and_code_without_prompts() -> None:
    extensions = griffe.load_extensions(load("api_pages").ReadableReference)
    with griffe.temporary_visited_package("counting", {"__init__.py": SOURCE}, extensions=extensions) as package:
        function = package["count"]
        block = """Example:
    ```python
    for item in (1, 2):
        count(item)
    # 1
    # 2
    ```

Args:"""
        assert block in function.docstring.value
        assert [str(parameter.default) for parameter in function.parameters] == ["100", "TABLE", "None"]


def test_the_index_links_every_page(command_pages) -> None:
    module = sys.modules["command_pages"]
    index = module.make_command_index(command_pages)
    assert [page.name for page in command_pages if f"](commands/{module.file_name(page.name)})" not in index] == []


def test_the_page_of_recipe_keys_has_every_key_with_its_default() -> None:
    page = load("recipe_pages").make_recipe_page()
    for section, model in SECTIONS.items():
        for name in model.model_fields:
            assert f"\n| `{section + '.' if section else ''}{name}` |" in page
    assert "| `trainer.epochs` | integer | `10` | Number of epochs, >= 1. |" in page
    assert "| `loss` | component | `cross_entropy` |" in page
    assert "`auto`, `32-true`" in page


def test_a_key_without_a_description_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Undescribed(BaseModel):
        """A section."""

        size: int = 1

    module = load("recipe_pages")
    monkeypatch.setitem(module.SECTIONS, "undescribed", Undescribed)
    with pytest.raises(ValueError, match="Undescribed does not describe size"):
        module.make_recipe_page()


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """Reads mkdocs.yml, whose tags name Python functions."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)
    config = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)

    def leaves(item: object) -> list[str]:
        if isinstance(item, str):
            return [item]
        parts = item.values() if isinstance(item, dict) else item
        return [leaf for part in parts for leaf in leaves(part)]

    named = set(leaves(config["nav"]))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= named, pages - named


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    assert (tmp_path / "site" / "reference" / "commands" / "predict.html").exists()
    api = (tmp_path / "site" / "reference" / "api.html").read_text("utf-8")
    assert "predict_one" in api
    assert 'class="gp"' not in api, "code with prompts cannot be copied"
    assert "MAX_FACES" not in api
