"""`maskfit data cache`: lists and removes image caches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_table
from maskfit.errors import DataError
from maskfit.text import format_count


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
    """List the image caches, and cached features, with size and last use, and remove unused ones.

    A removed cache is rebuilt from its photos when a training needs it. A cache that is being filled is never removed.

    Examples:

        maskfit data cache

        maskfit data cache --keep-under 10GB

        maskfit data cache --prune 30 --yes
    """
    from maskfit.data.image_cache.admin import least_recently_used, list_caches, parse_size, remove_cache
    from maskfit.data.image_cache.cache import default_cache_dir

    limit = None if keep_under is None else parse_size(keep_under)
    cache_dir = folder or default_cache_dir()
    caches = list_caches(cache_dir)
    now = time.time()
    removed = least_recently_used(caches, now=now, days=prune, keep_under=limit)
    if removed and not yes:
        names = ", ".join(item.path.name for item in removed)
        size = _gigabytes(sum(item.size_bytes for item in removed))
        question = f"remove {len(removed)} of {format_count(len(caches), 'cache', 'caches')}, {size}: {names}?"
        if json or not err.is_terminal:
            raise DataError(f"confirmation needed: {question}", location=cache_dir, hint="add --yes")
        if not typer.confirm(question, err=True):
            removed = []
    for item in removed:
        remove_cache(item)
    kept = [item for item in caches if item not in removed]
    if json:
        removed_records = [item.to_dict() for item in removed]
        print_json({"folder": str(cache_dir), "stores": [item.to_dict() for item in kept], "removed": removed_records})
        return
    rows = [
        (
            item.path.name,
            item.photos,
            _gigabytes(item.size_bytes),
            f"{max(0.0, now - item.last_used) / 86_400:.1f} days ago",
        )
        for item in kept
    ]
    print_table(
        f"{cache_dir}: {_gigabytes(sum(item.size_bytes for item in kept))}",
        ["cache", "photos", "size", "last used"],
        rows,
    )
    for item in removed:
        out.print(f"removed: {item.path.name}, {_gigabytes(item.size_bytes)}", soft_wrap=True)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
