"""`maskfit inspect`: gradient check, module graph and Grad-CAM of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import (
    TRAIN_MODULES,
    check_overwrite,
    err,
    find_listed_images,
    out,
    print_json,
    print_table,
    print_written,
    progress,
    require_extra,
)
from maskfit.cli.dataset_options import CodesOption, parse_codes
from maskfit.errors import DataError
from maskfit.text import format_count

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
    file: Annotated[
        Path, typer.Option("--out", help="Page to write; tables and graphs are written next to it.")
    ] = Path("inspect.html"),
    graphs: Annotated[bool, typer.Option(help="Draw the module graph and the gradient graph.")] = True,
    depth: Annotated[int, typer.Option(min=1, max=10, help="Depth of the module graph.")] = 3,
    faces: Annotated[int, typer.Option(min=0, max=64, help="Number of photos with Grad-CAM.")] = 8,
    codes: CodesOption = "",
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
    _check_graphs_and_maps(graphs, faces > 0)
    stem = file.with_suffix("")
    layers_csv = stem.with_name(f"{stem.name}-gradients.csv")
    graph_files = [stem.with_name(f"{stem.name}-{name}") for name in ("modules.svg", "backward.svg")] if graphs else []
    for path in (file, layers_csv, *graph_files, *(path.with_suffix(".gv") for path in graph_files)):
        check_overwrite(path, force)
    from maskfit.explain.inspect_model import inspect_model, write_layers
    from maskfit.explain.page import write_inspection_page
    from maskfit.inference.input_resolution import find_models
    from maskfit.model_file import read_model_metadata

    path = find_models([model])[0]
    photos = _sample_photos(_read_photos(images, read_model_metadata(path).label_schema, parse_codes(codes)))
    with progress("inspecting") as advance:
        inspection = inspect_model(
            path, photos, graphs=stem if graphs else None, depth=depth, faces=faces, progress=advance
        )
    write_layers(layers_csv, inspection.layers)
    write_inspection_page(file, inspection, path.name if model == path else f"{model.name}, {path.parent.name}")
    _print_inspection(inspection, json)
    written = [path for item in graph_files for path in (item.with_suffix(".gv"), item) if path.exists()]
    for path in (file, layers_csv, *written):
        print_written(path)


def _check_graphs_and_maps(graphs: bool, maps: bool) -> None:
    """Checks what graphs and Grad-CAM need before photos are read, and says how to do without."""
    from maskfit.explain.model_graph import INSTALL_HINT, can_draw

    modules = [*(("torchview", "graphviz") if graphs else ()), *(("pytorch_grad_cam",) if maps else ())]
    if modules:
        require_extra("inspect' without '--no-graphs --faces 0", "inspect", *modules)
    if graphs and not can_draw():
        err.print(
            f"Graphviz is not installed, so graphs are written as text only; {INSTALL_HINT}",
            style="yellow",
            soft_wrap=True,
        )


def _read_photos(images: Path, schema: object, codes: dict[str, dict[str, str] | str]) -> list[Photo]:
    """Returns photos with labels if the folder is a dataset, otherwise all photos in it."""
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LabelSchema

    assert isinstance(schema, LabelSchema)
    try:
        return list(read_photos(images, schema, codes).photos)
    except DataError:
        # A folder that is not a dataset still has photos; a CSV that is not a manifest is an error.
        if images.suffix.lower() == ".csv" or codes:
            raise
        return find_listed_images(images)


def _sample_photos(photos: list[Photo]) -> list[Photo]:
    """Returns photos spread over the dataset instead of those of the first person, with some in reserve."""
    from maskfit.explain.inspect_model import BATCH

    return photos[:: max(len(photos) // (2 * BATCH), 1)]


def _print_inspection(inspection: ModelInspection, json: bool) -> None:
    from maskfit.explain.gradient_check import summarize_gradients

    if json:
        by_name = {layer.name: layer for layer in inspection.layers}
        print_json(
            {
                "photos": inspection.num_photos,
                "labelled": inspection.num_labeled,
                "layers": [
                    {
                        "layer": name,
                        "kind": layer.layer_type,
                        "weights": layer.num_parameters,
                        "verdict": layer.verdict,
                        "norm": layer.norm if layer.norm == layer.norm else None,
                        "root_mean_square": layer.rms if layer.rms == layer.rms else None,
                    }
                    for name, layer in by_name.items()
                ],
                "graphs": {name: str(graph) for name, graph in inspection.graphs.items()},
                "unreadable": inspection.unreadable,
            }
        )
        return
    shown = [*inspection.layers[:4], *inspection.layers[-4:]] if len(inspection.layers) > 8 else list(inspection.layers)
    print_table(
        f"{format_count(len(inspection.layers), 'layer')}, of which the first and last",
        ["layer", "kind", "weights", "norm", "root mean square", "verdict"],
        [
            (layer.name, layer.layer_type, layer.num_parameters, f"{layer.norm:.3g}", f"{layer.rms:.3g}", layer.verdict)
            for layer in shown
        ],
    )
    for line in summarize_gradients(inspection.layers):
        out.print(line, soft_wrap=True)
    for name, graph in inspection.graphs.items():
        if isinstance(graph, str):
            err.print(f"graph of {name}: {graph}", style="yellow")
    for name, reason in inspection.unreadable.items():
        err.print(f"set aside {name}: {reason}", style="yellow")
