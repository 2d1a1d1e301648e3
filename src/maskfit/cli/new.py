"""`maskfit new`: creates a project folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import out
from maskfit.errors import DataError
from maskfit.file_io import write_text
from maskfit.file_locks import is_occupied

README = """# {name}

Photos are in `photos`, in folders such as `000001_female_Asian_45` with `mask1.jpg` to `mask5.jpg`,
`incorrect_mask.jpg` and `normal.jpg`; or `data.path` in `recipe.yaml` names a CSV with the columns
`path,person,mask,gender,age`.

```bash
maskfit data check photos                  # every problem of the data
maskfit check recipe.yaml                  # every mistake of the recipe, before anything is trained
maskfit train recipe.yaml output_dir=runs/first   # split by person, train, evaluate; report.html in runs/first
maskfit train recipe.yaml output_dir=runs/first --resume                      # continue an interrupted run
maskfit train recipe.yaml output_dir=runs/second data.image_size=256 loss.smoothing=0.1   # other settings

maskfit predict runs/first --images eval/images --image-list eval/info.csv --out submission.csv --tta flip
maskfit ensemble runs/first runs/second --out votes                    # is it worth combining them?
maskfit evaluate truth.csv submission.csv                              # where the truth is known
```
"""

GITIGNORE = """# Photos of people, and files that can be recreated.
/photos/
/eval/
/runs/
/votes/
/submission*.csv
.env
"""


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create; it may exist if it is empty.")],
    recipe: Annotated[str, typer.Option(help="Recipe to start from; see maskfit recipes.")] = "baseline",
) -> None:
    """Create a project folder: a recipe to edit, a README with the commands, .gitignore.

    Examples:

        maskfit new masks

        maskfit new quick --recipe fast
    """
    from maskfit.config.recipe_files import read_recipe_text

    if is_occupied(folder):
        raise DataError("the folder is not empty", location=folder, hint="choose a new folder")
    name = (re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("._-") or "project")[:64]
    files = {
        "recipe.yaml": _customize_recipe(read_recipe_text(recipe), name, recipe),
        "README.md": README.format(name=name),
    }
    for file, text in {**files, ".gitignore": GITIGNORE}.items():
        write_text(folder / file, text)
    out.print(f"created {folder}: put your photos into {folder / 'photos'}, then", soft_wrap=True)
    out.print(f"  cd {folder} && maskfit train recipe.yaml", soft_wrap=True)


def _customize_recipe(text: str, name: str, origin: str) -> str:
    """Returns a shipped recipe with another header, name and data path; everything else stays, comments too."""
    # The comments at the top describe the shipped recipe.
    body = re.sub(r"\A(#[^\n]*\n|\s*\n)+", "", text)
    body = re.sub(r"^(name|description):[^\n]*\n", "", body, flags=re.MULTILINE)
    path_line = "  path: photos   # a folder of person folders or class folders, or a CSV\n"
    if re.search(r"^data:[ ]*\n", body, flags=re.MULTILINE):
        body = re.sub(r"^data:[ ]*\n", f"data:\n{path_line}", body, count=1, flags=re.MULTILINE)
    else:
        flow = re.subn(r"^data:\s*\{", "data: {path: photos, ", body, count=1, flags=re.MULTILINE)
        body = flow[0] if flow[1] else f"data:\n{path_line}{body}"
    head = (
        f"# {name}: started from the recipe '{origin}'. Every key, with its default: maskfit check recipe.yaml\n"
        "#\n#   maskfit train recipe.yaml\n#\n"
        "# Any key can be set there too: maskfit train recipe.yaml trainer.epochs=12\n"
    )
    return f"{head}name: {name}\ndescription: Started from {origin}.\n{body}"
