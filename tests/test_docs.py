"""The docs say what is: their example runs, and every part is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maskfit.config.loader import recipe_names
from maskfit.training.recipe_registry import RECIPE_REGISTRY

DOCS = Path(__file__).parent.parent / "docs"
README = DOCS.parent / "README.md"


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


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    lost = [item for item in targets if "://" not in item and not (page.parent / item).exists()]
    assert lost == []


def test_every_command_in_the_docs_is_one() -> None:
    from maskfit.cli import COMMAND_TABLE

    verbs = {name for named in COMMAND_TABLE.values() for name in named}
    texts = [page.read_text(encoding="utf-8") for page in (README, *DOCS.glob("*.md"))]
    blocks = "\n".join(block for text in texts for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    used = set(re.findall(r"^maskfit ([a-z-]+)", blocks, re.MULTILINE))
    assert {"train", "predict"} <= used
    assert used <= verbs


def test_the_python_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from maskfit.synthesis.drawn import write_train_set

    photo = next(write_train_set(tmp_path / "drawn", 1, size=(96, 128), workers=1).rglob("normal.*"))
    Image.open(photo).convert("RGB").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = README.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, "README.md", "exec"), {})
    line = capsys.readouterr().out
    assert re.search(r"(worn|worn wrongly|not worn) \d+%.* (fe)?male \d+%", line), line


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
