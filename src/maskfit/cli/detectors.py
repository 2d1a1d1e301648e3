"""`maskfit detectors`: the face detectors, where they are on this machine, and how to get the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from maskfit.cli.console import err, print_json, print_table
from maskfit.errors import DataError, RecipeError, did_you_mean


def detectors(
    fetch: Annotated[
        str | None, typer.Option("--fetch", metavar="NAME", help="Download a detector's weights into the cache.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List face detectors with recall and time, and where they are on this machine; download one.

    Recall: share of the faces of at least 24 pixels that are found on street photos, at the default options; time: of
    one photo, as a multiple of YuNet's (docs/bundled-detector.md).

    Examples:

        maskfit detectors

        maskfit detectors --fetch yunet

        maskfit predict photo.jpg --detector /path/to/detector.onnx
    """
    if fetch is not None:
        _fetch(fetch)
    rows = _rows()
    if json:
        print_json({"default": _default(), "detectors": rows})
        return
    cells = [
        [
            row["name"],
            f"{row['recall']:.3f}",
            f"{row['time']:.1f}",
            "yes" if row["landmarks"] else "no",
            row["size"],
            row["license"],
            "yes" if row["path"] else "no",
        ]
        for row in rows
    ]
    header = ["name", "recall", "time", "landmarks", "weights", "license", "here"]
    print_table("face detectors (recall on street photos; time of one photo, YuNet's = 1)", header, cells)
    for row in rows:
        path = row["path"] or "not here; " + row["source"]
        # A detector that a package brings with its weights has the package's name in place of a path.
        print(f"{row['name']}: {'the package ' if path.isidentifier() else ''}{path}")
    for path, kind in _further_files({row["path"] for row in rows}):
        print(f"{kind}, under another name: {path}; --detector {path}")
    print(f"default: {_default() or 'none, each photo is taken as one face'}")
    named = os.environ.get("MASKFIT_DETECTORS")
    if named and not Path(named).exists():
        err.print(f"MASKFIT_DETECTORS names {named}, which does not exist", style="yellow")


def _further_files(known: set[str | None]) -> Iterator[tuple[Path, str]]:
    """Yields the detector files in the folder of MASKFIT_DETECTORS that have other names than published ones."""
    from maskfit.data.detectors.recognition import recognize_detector

    folder = Path(os.environ.get("MASKFIT_DETECTORS") or "")
    if not os.environ.get("MASKFIT_DETECTORS") or not folder.is_dir():
        return
    for path in sorted(folder.glob("*.onnx")):
        if str(path) not in known:
            with suppress(DataError):
                yield path, recognize_detector(path)


def _rows() -> list[dict[str, Any]]:
    from maskfit.data.detectors.catalog import FACTS, locate_detector

    return [{"name": name, "path": locate_detector(name), **facts._asdict()} for name, facts in FACTS.items()]


def _default() -> str | None:
    """The detector of named photos where no model brings one: its name, and its file where the environment names it."""
    from maskfit.data.crops.face import default_detector

    crop = default_detector()
    if crop is None:
        return None
    return crop.detector_name + (f" ({crop.weights})" if crop.weights else "")


def _fetch(name: str) -> None:
    """Downloads the weights of a detector.

    Raises:
        RecipeError: There is no such detector.
        DataError: It cannot be downloaded.
    """
    from maskfit.data.detectors import DETECTORS
    from maskfit.data.detectors.catalog import FACTS, locate_detector
    from maskfit.pretrained_weights import find_weights

    if name not in FACTS:
        raise RecipeError(f"there is no detector '{name}'; {did_you_mean(name, FACTS)}", hint="maskfit detectors")
    published = getattr(DETECTORS[name], "published", None)
    path = locate_detector(name)
    if path is None and (published is None or not published.url):
        raise DataError(f"the detector '{name}' is not downloaded by maskfit", hint=FACTS[name].source)
    err.print(f"{name}: {find_weights(published) if published is not None else path}", highlight=False)
