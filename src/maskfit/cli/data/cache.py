"""`maskfit data cache`: what decoded photos take on disk, and taking some of it away."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_table
from maskfit.errors import DataError


def cache(
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Where stores lie, if a recipe's data.cache_dir says so."),
    ] = None,
    prune: Annotated[
        float | None, typer.Option("--prune", metavar="DAYS", min=0, help="Remove what nothing used for so many days.")
    ] = None,
    keep_under: Annotated[
        str | None, typer.Option("--keep-under", metavar="SIZE", help="Remove the longest unused until they fit: 10GB.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """List the stores of decoded photos with size and last use, and remove those that nothing uses.

    A store is built by itself from its photos when a training needs it again. One that is being filled is left alone.

    **Examples**

    `maskfit data cache`

    `maskfit data cache --keep-under 10GB`

    `maskfit data cache --prune 30 --yes`
    """
    from maskfit.data.image_cache.admin import find_stores, least_recently_used, read_size, remove_store
    from maskfit.data.image_cache.cache import default_folder

    limit = None if keep_under is None else read_size(keep_under)
    place = folder or default_folder()
    found = find_stores(place)
    now = time.time()
    wanted = least_recently_used(found, now=now, days=prune, keep_under=limit)
    if wanted and not yes:
        names = ", ".join(store.path.name for store in wanted)
        question = (
            f"remove {len(wanted)} of {len(found)} stores, {_gigabytes(sum(one.bytes for one in wanted))}: {names}?"
        )
        if json or not err.is_terminal:
            raise DataError(f"nobody can be asked: {question}", location=place, hint="add --yes")
        if not typer.confirm(question, err=True):
            wanted = []
    for store in wanted:
        remove_store(store)
    left = [store for store in found if store not in wanted]
    if json:
        removed = [store.to_dict() for store in wanted]
        print_json({"folder": str(place), "stores": [store.to_dict() for store in left], "removed": removed})
        return
    rows = [
        (one.path.name, one.photos, _gigabytes(one.bytes), f"{max(0.0, now - one.used) / 86_400:.1f} days ago")
        for one in left
    ]
    print_table(f"{place}: {_gigabytes(sum(store.bytes for store in left))}", ["store", "photos", "size", "used"], rows)
    for store in wanted:
        out.print(f"removed: {store.path.name}, {_gigabytes(store.bytes)}", soft_wrap=True)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
