"""Hooks of mkdocs: they add the pages that are made from the code, and change links that leave `docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from command_pages import file_name, make_command_index, make_command_pages  # noqa: E402
from recipe_pages import make_recipe_page  # noqa: E402

PROJECT_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Pages beside `docs`, by the page of the site that shows them."""


def on_files(files: Files, config: Any) -> Files:
    """Adds generated pages.

    Args:
        files: Files of the docs folder.
        config: Configuration of mkdocs.

    Returns:
        The same collection with more files.
    """
    pages = make_command_pages()
    generated = {f"reference/commands/{file_name(page.name)}": page.markdown for page in pages}
    generated["reference/commands.md"] = make_command_index(pages)
    generated["reference/recipe-keys.md"] = make_recipe_page()
    for source, target in PROJECT_PAGES.items():
        generated[target] = _from_root((ROOT / source).read_text(encoding="utf-8"))
    for path, text in generated.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **kwargs: Any) -> str:
    """Makes links from `docs` to files beside it links of the site, or plain names of files.

    Args:
        markdown: Text of a page.
        page: The page.
        kwargs: What else mkdocs passes.

    Returns:
        The text with other links.
    """
    up = "../" * page.file.src_uri.count("/")

    def replace(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        if target in PROJECT_PAGES:
            return f"[{text}]({up}{PROJECT_PAGES[target]})"
        if target.startswith("README"):
            return f"[{text}]({up}index.md)"
        return f"{text} (`{target}`)" if text != f"`{target}`" else text

    return re.sub(r"\[([^]]*)\]\((?:\.\./)+([A-Za-z][^)#]*)\)", replace, markdown) if not up else markdown


def _from_root(text: str) -> str:
    """Rewrites links of a page in the root for its place in `docs`."""
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"\[([^]]*)\]\(((?:CONTRIBUTING|CHANGELOG|SECURITY)\.md)([^)]*)\)", _to_project_page, text)


def _to_project_page(match: re.Match[str]) -> str:
    return f"[{match[1]}]({PROJECT_PAGES[match[2]]}{match[3]})"
