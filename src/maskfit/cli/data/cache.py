"""`maskfit data cache`: lists and removes image caches and converted networks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_table
from maskfit.errors import DataError, MaskfitError
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.image_cache.admin import CacheInfo


def cache(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", metavar="DIR", help="Folder of the image caches, as in data.cache_dir; only that is listed."
        ),
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
    """List image caches, cached features and converted networks, with size and last use; remove unused ones.

    A removed cache is rebuilt from its photos when a training needs it, a converted network when it predicts. A cache
    that is being filled is never removed.
    A removed int8 conversion is made again by `predict`, for `serve` and `video` with `--calibrate`.

    Examples:

        maskfit data cache

        maskfit data cache --keep-under 10GB

        maskfit data cache --prune 30 --yes
    """
    from maskfit.data.image_cache.admin import least_recently_used, list_caches, parse_size, remove_cache
    from maskfit.data.image_cache.cache import default_cache_dir
    from maskfit.inference.engines.cached_networks import list_networks, remove_network
    from maskfit.inference.engines.int8_files import networks_dir

    limit = None if keep_under is None else parse_size(keep_under)
    cache_dir, networks_folder = (folder, None) if folder else (default_cache_dir(), networks_dir())
    caches = list_caches(cache_dir)
    networks = list_networks(networks_folder) if networks_folder else []
    now = time.time()
    removed = least_recently_used([*caches, *networks], now=now, days=prune, keep_under=limit)
    if removed and not yes and not _confirm(removed, len(caches) + len(networks), cache_dir, json):
        removed = []
    # One that is in use stays, and is named at the end.
    failed: list[tuple[CacheInfo, MaskfitError]] = []
    for item in removed:
        try:
            (remove_network if item in networks else remove_cache)(item)
        except MaskfitError as error:
            failed.append((item, error))
    removed = [item for item in removed if all(item is not other for other, _ in failed)]
    caches, networks = ([item for item in items if item not in removed] for items in (caches, networks))
    if json:
        lists = {"stores": caches, "networks": networks, "removed": removed}
        records = {name: [item.to_dict() for item in items] for name, items in lists.items()}
        print_json({"folder": str(cache_dir), **records})
    else:
        _print_caches(cache_dir, caches, now)
        if networks_folder and networks:
            _print_networks(networks_folder, networks, now)
        for item in removed:
            out.print(f"removed: {item.path.name}, {_gigabytes(item.size_bytes)}", soft_wrap=True)
    for _, reason in failed[1:]:
        err.print(f"not removed: {reason.message}: {reason.location}", markup=False, soft_wrap=True)
    if failed:
        raise failed[0][1]


def _confirm(removed: Sequence[CacheInfo], total: int, location: Path, json: bool) -> bool:
    """Asks whether to remove caches; without a terminal that is an error."""
    names = ", ".join(item.path.name for item in removed)
    size = _gigabytes(sum(item.size_bytes for item in removed))
    question = f"remove {len(removed)} of {format_count(total, 'cache', 'caches')}, {size}: {names}?"
    if json or not err.is_terminal:
        raise DataError(f"confirmation needed: {question}", location=location, hint="add --yes")
    return typer.confirm(question, err=True)


def _print_caches(folder: Path, caches: Sequence[CacheInfo], now: float) -> None:
    rows = [(item.path.name, item.photos, *_size_and_age(item, now)) for item in caches]
    print_table(f"{folder}: {_total(caches)}", ["cache", "photos", "size", "last used"], rows)


def _print_networks(folder: Path, networks: Sequence[CacheInfo], now: float) -> None:
    rows = [(item.path.name, item.description, *_size_and_age(item, now)) for item in networks]
    print_table(f"{folder}: {_total(networks)}", ["network", "what it is", "size", "last used"], rows)


def _size_and_age(item: CacheInfo, now: float) -> tuple[str, str]:
    return _gigabytes(item.size_bytes), f"{max(0.0, now - item.last_used) / 86_400:.1f} days ago"


def _total(caches: Sequence[CacheInfo]) -> str:
    return _gigabytes(sum(item.size_bytes for item in caches))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
