"""`maskfit data cache`: lists and removes image caches."""

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
        typer.Option("--folder", metavar="DIR", help="Folder of the image caches, as in data.cache_dir."),
    ] = None,
    prune: Annotated[
        float | None, typer.Option("--prune", metavar="DAYS", min=0, help="Remove caches not used for this many days.")
    ] = None,
    keep_under: Annotated[
        str | None,
        typer.Option(
            "--keep-under", metavar="SIZE", help="Remove the least recently used caches until the rest fits: 10GB."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """List the image caches with size and last use, and remove unused ones.

    A removed cache is rebuilt from its photos when a training needs it. A cache that is being filled is never removed.

    **Examples**

    `maskfit data cache`

    `maskfit data cache --keep-under 10GB`

    `maskfit data cache --prune 30 --yes`
    """
    from maskfit.data.image_cache.admin import least_recently_used, list_caches, parse_size, remove_cache
    from maskfit.data.image_cache.cache import default_cache_dir

    limit = None if keep_under is None else parse_size(keep_under)
    place = folder or default_cache_dir()
    found = list_caches(place)
    now = time.time()
    wanted = least_recently_used(found, now=now, days=prune, keep_under=limit)
    if wanted and not yes:
        names = ", ".join(store.path.name for store in wanted)
        size = _gigabytes(sum(one.size_bytes for one in wanted))
        question = f"remove {len(wanted)} of {len(found)} caches, {size}: {names}?"
        if json or not err.is_terminal:
            raise DataError(f"confirmation needed: {question}", location=place, hint="add --yes")
        if not typer.confirm(question, err=True):
            wanted = []
    for store in wanted:
        remove_cache(store)
    left = [store for store in found if store not in wanted]
    if json:
        removed = [store.to_dict() for store in wanted]
        print_json({"folder": str(place), "stores": [store.to_dict() for store in left], "removed": removed})
        return
    rows = [
        (
            one.path.name,
            one.photos,
            _gigabytes(one.size_bytes),
            f"{max(0.0, now - one.last_used) / 86_400:.1f} days ago",
        )
        for one in left
    ]
    print_table(
        f"{place}: {_gigabytes(sum(store.size_bytes for store in left))}",
        ["cache", "photos", "size", "last used"],
        rows,
    )
    for store in wanted:
        out.print(f"removed: {store.path.name}, {_gigabytes(store.size_bytes)}", soft_wrap=True)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
