"""The docs say what is: their example runs, and every part is named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskfit.config.recipe_files import recipe_names
from maskfit.training.recipe_registry import RECIPE_REGISTRY

DOCS = Path(__file__).parent.parent / "docs"
README = DOCS.parent / "README.md"
PAGES = [*sorted(DOCS.parent.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def test_the_example_of_a_part_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from maskfit.losses import LOSSES
    from maskfit.synthesis.drawn import write_train_set

    photos = write_train_set(tmp_path / "drawn", 8, size=(48, 64), workers=1)
    text = (DOCS / "extend.md").read_text(encoding="utf-8")
    code = text.split("<!-- example: tests/test_docs.py runs this -->\n```python\n")[1].split("```")[0]
    code = code.replace("PHOTOS", str(photos)).replace("RUN", str(tmp_path / "run"))
    small = ['"data.image_size=24"', '"model.backbone.width=4"', f'"data.cache_dir={tmp_path}"', '"trainer.device=cpu"']
    code = code.replace('"trainer.epochs=1",', f'"trainer.epochs=1", {", ".join(small)},')
    try:
        exec(compile(code, "docs/extend.md", "exec"), {"__name__": "example"})
    finally:
        LOSSES.pop("bounded", None)
    assert 0 <= float(capsys.readouterr().out.strip().splitlines()[-1]) <= 1


@pytest.mark.parametrize("key", [key for key in RECIPE_REGISTRY if key != "model.backbone"])
def test_every_part_is_named_in_the_docs(key: str) -> None:
    row = next(
        line
        for line in (DOCS / "recipes.md").read_text("utf-8").splitlines()
        if f"`{key.replace('*', 'NAME')}`" in line
    )
    named = set(re.findall(r"`([a-z0-9_]+)`", row.split("|")[2]))
    assert named == set(RECIPE_REGISTRY[key].table)


def test_every_recipe_is_named_in_the_docs() -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    lost = [item for item in targets if "://" not in item and not (page.parent / item).exists()]
    # These pages are made when the site is built.
    lost = [item for item in lost if not re.fullmatch(r"(\.\./)?reference/(commands|recipe-keys)\.md", item)]
    assert lost == []


def find_crowded_headings(text: str) -> list[str]:
    """Headings without an empty line before them, which some renderers show as text of the paragraph."""
    found, is_code, before = [], False, ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and re.match("#{1,6} ", line) and before.strip():
            found.append(line)
        before = line
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_a_heading_has_an_empty_line_before_it(page: Path) -> None:
    assert find_crowded_headings(page.read_text("utf-8")) == []


def test_crowded_headings_are_found_outside_of_code() -> None:
    text = "# A\n\n```bash\necho\n# no heading\n```\n## B\n\n## C\ntext\n### D\n"
    assert find_crowded_headings(text) == ["## B", "### D"]


def test_the_examples_of_the_readme_print_what_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(DOCS.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MASKFIT_DETECTORS", str(tmp_path))
    code, printed = read_example(README.read_text("utf-8"), "python")
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 6
    assert all(re.match(r"(worn|worn wrongly|not worn|not sure \(.*\)) ", line) for line in lines), lines
    assert without_last_digits(lines[: len(printed)]) == without_last_digits(printed)
    command = subprocess.run(
        [sys.executable, "-m", "maskfit", "predict", "docs/images/street.jpg"],
        capture_output=True,
        text=True,
        check=True,
    )
    _, printed = read_example(README.read_text("utf-8"), "bash")
    shown = command.stdout.splitlines()[: len(printed)]
    assert without_last_digits(shown) == without_last_digits(printed)


def without_last_digits(lines: list[str]) -> list[str]:
    """Percentages in tens: processors round differently in the last place."""
    return [re.sub(r"\d%", "x%", line) for line in lines]


def read_example(text: str, language: str) -> tuple[str, list[str]]:
    """The first block of code in a language, and the lines of the output below it, without the last, three dots."""
    code, rest = text.split(f"```{language}\n")[1].split("```", 1)[0], text.split(f"```{language}\n")[1]
    output = rest.split("```text\n")[1].split("```")[0].splitlines()
    assert output[-1] == "..."
    return code, output[:-1]


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_every_page_shows_something(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.search(r"!\[|^```|^\| --- |^::: ", text, re.MULTILINE), "neither picture nor output nor table"


def test_the_readme_states_the_license_of_the_bundled_model() -> None:
    from maskfit.inference.input_resolution import bundled_model_path
    from maskfit.model_file import read_model_metadata

    card = read_model_metadata(bundled_model_path()).card
    for text in (card.license, README.read_text("utf-8"), (DOCS / "bundled-model.md").read_text("utf-8")):
        assert "research only" in text.casefold().replace("use only", "only")


def test_every_mistake_has_tests_that_exist() -> None:
    rows = [line for line in (DOCS / "mistakes.md").read_text("utf-8").splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 19
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            assert re.search(rf"^def {test}\(", (DOCS.parent / file).read_text("utf-8"), re.MULTILINE), (file, test)
