"""`maskfit inspect`: a look inside a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import (
    TRAIN_MODULES,
    check_overwrite,
    err,
    out,
    print_json,
    print_table,
    progress,
    require_extra,
)
from maskfit.errors import DataError

if TYPE_CHECKING:
    from maskfit.data.photo_dataset import Photo
    from maskfit.explain.inspect_model import ModelInspection


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL_OR_RUN", help="A .safetensors model, or a run.")],
    images: Annotated[
        Path,
        typer.Option(
            metavar="ROOT|CSV|DIR",
            help="Photos: a labeled dataset or any folder; 32 spread over it are used.",
        ),
    ],
    file: Annotated[Path, typer.Option("--out", help="Page to write; tables and graphs are written beside it.")] = Path(
        "inspect.html"
    ),
    graphs: Annotated[bool, typer.Option(help="Draw the module graph and the gradient graph.")] = True,
    depth: Annotated[int, typer.Option(min=1, max=10, help="Depth of the module graph.")] = 3,
    faces: Annotated[int, typer.Option(min=0, max=64, help="Number of photos with Grad-CAM.")] = 8,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the gradient check as JSON.")] = False,
) -> None:
    """Inspect a model: gradient check of every layer, graph of its modules, Grad-CAM on photos.

    Writes a page, the gradient check as a table, and the graphs as SVG and Graphviz text. The model is not changed.

    Examples:

        maskfit inspect runs/first --images photos

        maskfit inspect model.safetensors --images eval/images --faces 16 --no-graphs --out look.html
    """
    require_extra("inspect", "train", *TRAIN_MODULES)
    start = file.with_suffix("")
    layers = start.with_name(f"{start.name}-gradients.csv")
    drawn = [start.with_name(f"{start.name}-{name}") for name in ("modules.svg", "backward.svg")] if graphs else []
    for path in (file, layers, *drawn, *(path.with_suffix(".gv") for path in drawn)):
        check_overwrite(path, force)
    from maskfit.explain.inspect_model import inspect_model, write_layers
    from maskfit.explain.page import write_inspection_page
    from maskfit.inference.input_resolution import find_models
    from maskfit.model_file import read_model_metadata

    path = find_models([model])[0]
    photos = _spread(_read(images, read_model_metadata(path).label_schema))
    with progress("inspecting") as advance:
        inside = inspect_model(
            path, photos, graphs=start if graphs else None, depth=depth, faces=faces, progress=advance
        )
    write_layers(layers, inside.layers)
    write_inspection_page(file, inside, path.name if model == path else f"{model.name}, {path.parent.name}")
    _tell(inside, json)
    written = [path for item in drawn for path in (item.with_suffix(".gv"), item) if path.exists()]
    for path in (file, layers, *written):
        err.print(f"written: {path}")


def _read(images: Path, scheme: object) -> list[Photo]:
    """Returns photos with labels if the folder is a dataset, otherwise all photos in it."""
    from maskfit.data.image_lists import find_images
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LabelSchema

    assert isinstance(scheme, LabelSchema)
    try:
        return list(read_photos(images, scheme).photos)
    except DataError:
        # A folder that is not a dataset still has photos; a CSV that is not a manifest is an error.
        if images.suffix.lower() == ".csv":
            raise
        return find_images(images)


def _spread(photos: list[Photo]) -> list[Photo]:
    """Returns photos spread over the dataset instead of those of the first person, with some in reserve."""
    from maskfit.explain.inspect_model import BATCH

    return photos[:: max(len(photos) // (2 * BATCH), 1)]


def _tell(inside: ModelInspection, json: bool) -> None:
    from maskfit.explain.gradient_check import summarize_gradients

    if json:
        number = {layer.name: layer for layer in inside.layers}
        print_json(
            {
                "photos": inside.num_photos,
                "labelled": inside.num_labeled,
                "layers": [
                    {
                        "layer": name,
                        "kind": own.layer_type,
                        "weights": own.num_parameters,
                        "verdict": own.verdict,
                        "norm": own.norm if own.norm == own.norm else None,
                        "root_mean_square": own.rms if own.rms == own.rms else None,
                    }
                    for name, own in number.items()
                ],
                "graphs": {name: str(made) for name, made in inside.graphs.items()},
                "unreadable": inside.unreadable,
            }
        )
        return
    ends = [*inside.layers[:4], *inside.layers[-4:]] if len(inside.layers) > 8 else list(inside.layers)
    print_table(
        f"{len(inside.layers)} layers, of which the first and last",
        ["layer", "kind", "weights", "norm", "root mean square", "verdict"],
        [
            (own.name, own.layer_type, own.num_parameters, f"{own.norm:.3g}", f"{own.rms:.3g}", own.verdict)
            for own in ends
        ],
    )
    for line in summarize_gradients(inside.layers):
        out.print(line, soft_wrap=True)
    for name, made in inside.graphs.items():
        if isinstance(made, str):
            err.print(f"graph of {name}: {made}", style="yellow")
    for name, reason in inside.unreadable.items():
        err.print(f"set aside {name}: {reason}", style="yellow")
