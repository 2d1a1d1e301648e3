"""`maskfit data explore`: a dataset on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_written, progress
from maskfit.cli.dataset_options import CodesOption, SchemaOption, SourceArgument, find_schema, parse_codes


def explore(
    source: SourceArgument,
    target: Annotated[Path | None, typer.Option("--out", metavar="PAGE", help="The HTML page to write.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, for scripts.")] = False,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, help="Maximum number of photos on the contact sheet of a class."),
    ] = 24,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the contact sheets.")] = 0,
    schema: SchemaOption = "mask-gender-age",
    codes: CodesOption = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
) -> None:
    """Explore a dataset on one page: class counts, ages, mean faces, outliers, leaks between persons.

    Every photo is decoded once at low resolution. The page is self-contained and can be mailed and printed. Unreadable
    photos are listed with the reason. Without --out and --json the key findings are printed.

    Examples:

        maskfit data explore train/images --out photos.html

        maskfit data explore photos.csv --schema mask --limit 60 --out photos.html

        maskfit data explore train/images --json > figures.json
    """
    from maskfit.exploration.explore import explore as explore_dataset
    from maskfit.exploration.page import key_findings, write_page
    from maskfit.exploration.statistics import to_json

    label_schema, meanings = find_schema(schema), parse_codes(codes)
    check_overwrite(target, force)
    with _stages() as advance:
        findings = explore_dataset(source, label_schema, codes=meanings, limit=limit, seed=seed, progress=advance)
    written = None if target is None else write_page(target, findings)
    if json:
        print_json(to_json(findings))
    else:
        for finding in key_findings(findings):
            out.print(f"{finding.severity}: {finding.text}", markup=False, soft_wrap=True)
        if target is None:
            err.print("these are the key findings; --out PAGE writes them with pictures as a page", soft_wrap=True)
    if written:
        size = written.stat().st_size / 1e6
        print_written(written, f"{size:.1f} MB", console=err if json else out)


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """Shows a progress bar for each stage, one after the other.

    Yields:
        A function to call with (stage, done, total).
    """
    with ExitStack() as stack:
        advance: Callable[[int, int], None] | None = None
        current = ""

        def show(stage: str, done: int, total: int) -> None:
            nonlocal advance, current
            if advance is None or stage != current:
                stack.close()
                current, unit = stage, "photos" if stage == "reading" else "pairs of persons"
                advance = stack.enter_context(progress(stage, unit))
            advance(done, total)

        yield show
